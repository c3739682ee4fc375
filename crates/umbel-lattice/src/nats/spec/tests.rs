use super::*;
use proptest::prelude::*;
use umbel_core::Coded;
use umbel_core::code::lattice::NATS_SPEC;

fn refused(spec: NatsSpec) -> String {
    let error = spec.check().expect_err("it is wrong");
    assert_eq!(error.code(), NATS_SPEC);
    error.to_string()
}

#[test]
fn addresses_bring_their_credentials() {
    let spec = NatsSpec::parse("nats://me:s3%40cret@one, tls://two:4443,").expect("good");
    assert_eq!(spec.servers, ["nats://one:4222", "tls://two:4443"]);
    assert_eq!(spec.auth, Auth::User { name: "me".into(), password: "s3@cret".to_string().into() });
    let spec = NatsSpec::parse("nats://t%3Aken@[::1]").expect("good");
    assert_eq!(spec.servers, ["nats://[::1]:4222"]);
    assert_eq!(spec.auth, Auth::Token("t:ken".to_string().into()));
    assert_eq!(NatsSpec::parse("127.0.0.1").expect("good").servers, ["nats://127.0.0.1:4222"]);
    assert_eq!(NatsSpec::default().check().map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn what_is_wrong_is_told_without_secrets() {
    for addresses in ["", ",", "http://me:s3cret@host", "nats://me:s3cret@host:port", "nats://me:s3cret@"] {
        let error = NatsSpec::parse(addresses).expect_err(addresses);
        assert_eq!(error.code(), NATS_SPEC, "{addresses}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
    let spec = NatsSpec::parse("nats://me:s3cret@host").expect("good");
    assert!(!format!("{spec:?}").contains("s3cret"));
}

#[test]
fn every_field_is_checked_before_anything_is_connected() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let empty = file("empty", "");
    let jwt_alone =
        file("jwt.creds", "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n");
    let missing = folder.path().join("missing");
    let seed = |text: &str| Auth::Nkey(text.to_string().into());
    let auth = |auth: Auth| NatsSpec { auth, ..NatsSpec::default() };
    let tls = |tls: Tls| NatsSpec { tls, ..NatsSpec::default() };
    for (spec, word) in [
        (NatsSpec { servers: vec!["nats://me:pw@host".into()], ..NatsSpec::default() }, "`servers`"),
        (NatsSpec { servers: vec!["ws://host".into()], ..NatsSpec::default() }, "`servers`"),
        (NatsSpec { inbox_prefix: "a..b".into(), ..NatsSpec::default() }, "`inbox_prefix`"),
        (NatsSpec { js_domain: Some("a.b".into()), ..NatsSpec::default() }, "`js_domain`"),
        (NatsSpec { replicas: 6, ..NatsSpec::default() }, "`replicas`"),
        (auth(seed("SUABC")), "`auth`"),
        (auth(seed(&"SA".repeat(29))), "`auth`"),
        (auth(Auth::Token(String::new().into())), "`auth`"),
        (auth(Auth::Jwt { jwt: "one.two".into(), seed: "SU".repeat(29).into() }), "`auth`"),
        (auth(Auth::Creds(missing.clone())), "cannot be read"),
        (auth(Auth::Creds(empty.clone())), "there is no"),
        (auth(Auth::Creds(jwt_alone)), "no seed"),
        (tls(Tls { ca_file: Some(missing), ..Tls::default() }), "`tls.ca_file`"),
        (tls(Tls { certificate: Some((empty.clone(), empty)), ..Tls::default() }), "`tls.certificate`"),
    ] {
        let error = refused(spec);
        assert!(error.contains(word), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_worse_than_refused(text in ".{0,200}") {
        if let Ok(spec) = NatsSpec::parse(&text) {
            prop_assert!(!spec.servers.is_empty());
            prop_assert!(spec.check().is_ok());
        }
    }
}
