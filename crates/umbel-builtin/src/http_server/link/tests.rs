use super::{Claim, On};
use umbel_core::Coded;
use umbel_core::link::{Contract, Distance, Link, ResolvedLink, Values};

fn link(config: &[(&str, &str)], interfaces: &[&str]) -> ResolvedLink {
    ResolvedLink::new(
        Link {
            source_id: "http".into(),
            target: "Shop_1-cart".into(),
            name: "default".into(),
            contract: Contract::new("wasi", "http", interfaces),
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        values(config),
        Values::new(),
    )
}

fn values(config: &[(&str, &str)]) -> Values {
    config.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

fn read(config: &[(&str, &str)], app: Option<&str>) -> Result<(On, Vec<String>, Vec<String>), String> {
    let shared = ["127.0.0.1:8000".parse().unwrap(), "[::1]:8000".parse().unwrap()];
    Claim::read(&link(config, &["incoming-handler"]), &Values::new(), app.map(Into::into), &shared)
        .map(|c| (c.on, c.hosts, c.paths))
        .map_err(|e| format!("{} {e}", e.code()))
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|i| (*i).to_string()).collect()
}

#[test]
fn a_link_that_says_nothing_gets_the_applications_name() {
    assert_eq!(read(&[], Some("shop")), Ok((On::Shared, strings(&["shop.localhost"]), strings(&[""]))));
    assert_eq!(read(&[], None), Ok((On::Shared, strings(&["shop-1-cart.localhost"]), strings(&[""]))));
}

#[test]
fn hosts_and_paths_are_lists_in_normal_form() {
    let config = [("host", "Api.Localhost, b.example.com."), ("path", "/v1/,/v2, /v1")];
    assert_eq!(
        read(&config, Some("shop")),
        Ok((On::Shared, strings(&["api.localhost", "b.example.com"]), strings(&["/v1", "/v2"])))
    );
    assert_eq!(read(&[("path", "/")], Some("shop")).unwrap().2, strings(&[""]));
}

#[test]
fn an_address_is_a_listener_of_its_own_unless_it_is_the_shared_one() {
    let own = |text: &str| On::Own(text.parse().unwrap());
    assert_eq!(
        read(&[("address", "0.0.0.0:8080")], Some("shop")),
        Ok((own("0.0.0.0:8080"), Vec::new(), strings(&[""])))
    );
    for shared in ["127.0.0.1:8000", "0.0.0.0:8000", "[::]:8000", "[::1]:8000"] {
        assert_eq!(
            read(&[("address", shared)], Some("shop")),
            Ok((On::Shared, strings(&["shop.localhost"]), strings(&[""]))),
            "{shared}"
        );
    }
    assert_eq!(read(&[("address", "10.0.0.7:8000")], None).unwrap().0, own("10.0.0.7:8000"));
    let provider = values(&[("default_address", "127.0.0.1:9000")]);
    let claim = Claim::read(&link(&[], &["incoming-handler"]), &provider, None, &[]).unwrap();
    assert_eq!(claim.on, own("127.0.0.1:9000"));
}

#[test]
fn slips_are_refused_with_a_code() {
    for config in [
        ("adress", "0.0.0.0:8080"),
        ("address", "8080"),
        ("address", "localhost:8080"),
        ("host", "http://x"),
        ("host", "x:80"),
        ("host", ""),
        ("path", "api"),
        ("path", "/a?b"),
        ("tls_cert_file", "/x"),
    ] {
        let error = read(&[config], Some("shop")).unwrap_err();
        assert!(error.starts_with("UM0504"), "{config:?}: {error}");
        assert!(error.contains(config.0), "{config:?}: {error}");
    }
    let other = Claim::read(&link(&[], &["outgoing-handler"]), &Values::new(), None, &[]).unwrap_err();
    assert_eq!(other.code().to_string(), "UM0515");
    assert!(Claim::read(&link(&[], &["handler"]), &Values::new(), None, &[]).is_ok());
}
