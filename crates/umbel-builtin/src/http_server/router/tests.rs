use super::{Table, conflict, covers};
use crate::http_server::authority::HostName;
use crate::http_server::link::{Claim, On};
use proptest::prelude::*;
use umbel_core::link::LinkKey;

fn claim(number: usize, on: On, hosts: &[&str], paths: &[&str], app: &str) -> Claim {
    Claim {
        key: LinkKey {
            source_id: format!("provider-{number}"),
            name: "default".into(),
            wit_namespace: "wasi".into(),
            wit_package: "http".into(),
        },
        on,
        hosts: hosts.iter().map(|h| (*h).to_string()).collect(),
        paths: paths.iter().map(|p| (*p).to_string()).collect(),
        component: format!("component-{number}"),
        application: Some(app.into()),
        manner: None,
    }
}

fn table(claims: &[Claim], on: On) -> Table<String> {
    Table::build(claims.iter().map(|c| (c, c.component.clone())), on)
}

fn lookup<'a>(table: &'a Table<String>, host: Option<&HostName>, path: &str) -> Option<&'a String> {
    table.route(table.group(host)?, path)
}

fn find(table: &Table<String>, host: &str, path: &str) -> Option<usize> {
    let host = HostName::parse(host.as_bytes()).expect("a host");
    lookup(table, Some(&host), path)
        .map(|c| c.rsplit('-').next().expect("a number").parse().expect("a number"))
}

#[test]
fn the_longest_prefix_of_the_host_wins() {
    let claims = [
        claim(1, On::Shared, &["a.localhost"], &[""], "a"),
        claim(2, On::Shared, &["a.localhost"], &["/api", "/api/v2"], "a"),
        claim(3, On::Shared, &["a.localhost"], &["/api/v2/deep"], "a"),
        claim(4, On::Shared, &["b.localhost", "b.example"], &["/only"], "b"),
    ];
    let table = table(&claims, On::Shared);
    for (host, path, expect) in [
        ("a.localhost:8000", "/", Some(1)),
        ("A.LOCALHOST.", "/apix", Some(1)),
        ("a.localhost", "/api", Some(2)),
        ("a.localhost", "/api/v2/x", Some(2)),
        ("a.localhost", "/api/v2/deep/x", Some(3)),
        ("a.localhost", "*", Some(1)),
        ("b.example", "/only/x", Some(4)),
        ("b.localhost", "/", None),
        ("c.localhost", "/", None),
        ("127.0.0.1:8000", "/", None),
    ] {
        assert_eq!(find(&table, host, path), expect, "{host}{path}");
    }
}

#[test]
fn the_bare_port_answers_when_there_is_one_application() {
    let one = [
        claim(1, On::Shared, &["a.localhost"], &[""], "a"),
        claim(2, On::Shared, &["api.a.example"], &["/api"], "a"),
    ];
    let table = table(&one, On::Shared);
    for host in ["localhost:8000", "127.0.0.1", "[::1]:8000", "my.machine.lan"] {
        assert_eq!(find(&table, host, "/"), Some(1), "{host}");
        assert_eq!(find(&table, host, "/api/x"), Some(2), "{host}");
    }
    assert_eq!(lookup(&table, None, "/"), Some(&"component-1".to_string()));
    assert_eq!(find(&table, "other.localhost", "/"), None, "a name of another application is not this one");
}

#[test]
fn an_own_listener_is_all_its_components() {
    let own = On::Own("0.0.0.0:8080".parse().expect("an address"));
    let claims = [claim(1, On::Shared, &["a.localhost"], &[""], "a"), claim(2, own, &[], &[""], "b")];
    let table = table(&claims, own);
    for host in ["a.localhost", "anything.example:8080", "10.0.0.1"] {
        assert_eq!(find(&table, host, "/x"), Some(2), "{host}");
    }
}

#[test]
fn conflicts_name_who_has_it() {
    let own = On::Own("0.0.0.0:8080".parse().expect("an address"));
    let held = [
        claim(1, On::Shared, &["a.localhost", "x.example"], &["", "/api"], "a"),
        claim(2, own, &[], &[""], "b"),
    ];
    let check = |new: &Claim, expect: Option<(&str, &str)>| {
        let got = conflict(held.iter(), new);
        assert_eq!(got.as_ref().map(|(_, holder, at)| (holder.as_str(), at.as_str())), expect);
    };
    check(
        &claim(3, On::Shared, &["b.example", "x.example"], &["/y", "/api"], "c"),
        Some(("component-1", "x.example/api/")),
    );
    check(&claim(3, On::Shared, &["x.example"], &["/y"], "c"), None);
    check(&claim(1, On::Shared, &["x.example"], &["/api"], "c"), None);
    check(&claim(3, own, &[], &[""], "c"), Some(("component-2", "*/")));
    check(&claim(3, own, &["x.example"], &[""], "c"), None);
    check(&claim(3, own, &[], &["/sub"], "c"), None);
    let renamed =
        Claim { component: "component-1".into(), ..claim(3, On::Shared, &["a.localhost"], &[""], "a") };
    check(&renamed, None);
}

/// The same decision written without tables: look at every claim.
fn naive(claims: &[Claim], host: &str, path: &str) -> Option<String> {
    let best = |among: Vec<&Claim>| {
        let mut best: Option<(usize, String)> = None;
        for claim in among {
            for prefix in claim.paths.iter().filter(|prefix| covers(prefix, path)) {
                if best.as_ref().is_none_or(|(length, _)| prefix.len() > *length) {
                    best = Some((prefix.len(), claim.component.clone()));
                }
            }
        }
        best.map(|(_, component)| component)
    };
    let exact: Vec<&Claim> = claims.iter().filter(|c| c.hosts.iter().any(|h| h == host)).collect();
    if !exact.is_empty() {
        return best(exact);
    }
    let single = claims.iter().all(|c| c.application == claims[0].application);
    if host.ends_with(".localhost") || !single { None } else { best(claims.iter().collect()) }
}

proptest! {
    #[test]
    fn the_table_decides_as_the_model(
        wanted in proptest::collection::vec((0usize..4, 0usize..5, 0usize..2), 1..8),
        host in 0usize..5,
        path in "(/(a|b|ab)){0,4}",
    ) {
        let hosts = ["one.localhost", "two.localhost", "a.example", "[::1]", "localhost"];
        let prefixes = ["", "/a", "/a/b", "/ab", "/b/a/b"];
        let mut claims: Vec<Claim> = Vec::new();
        for (number, (h, p, app)) in wanted.into_iter().enumerate() {
            let new = claim(number, On::Shared, &[hosts[h]], &[prefixes[p]], ["x", "y"][app]);
            if conflict(claims.iter(), &new).is_none() {
                claims.push(new);
            }
        }
        let table = table(&claims, On::Shared);
        let name = HostName::parse(hosts[host].as_bytes()).expect("a host");
        let path = if path.is_empty() { "/".to_string() } else { path };
        prop_assert_eq!(lookup(&table, Some(&name), &path).cloned(), naive(&claims, hosts[host], &path));
    }
}
