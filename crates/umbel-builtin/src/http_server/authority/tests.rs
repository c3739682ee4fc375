use super::HostName;

fn check(authority: &str, expect: Option<&str>) {
    let got = HostName::parse(authority.as_bytes());
    assert_eq!(got.as_ref().map(HostName::as_str), expect, "{authority:?}");
}

#[test]
fn hosts_are_normalised_or_refused() {
    check("hello.localhost", Some("hello.localhost"));
    check("Hello.LocalHost:8000", Some("hello.localhost"));
    check("hello.localhost.", Some("hello.localhost"));
    check("hello.localhost.:8000", Some("hello.localhost"));
    check("127.0.0.1:8000", Some("127.0.0.1"));
    check("[::1]", Some("[::1]"));
    check("[::1]:8000", Some("[::1]"));
    check("[FE80::1]:1", Some("[fe80::1]"));
    check("under_score.localhost", Some("under_score.localhost"));
    check("host:", Some("host"));
    for bad in [
        "",
        ":8000",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        "a/b",
        "a@b",
        "user@host",
        "a,b",
        "host:80x",
        "host:123456",
        "host:-1",
        "[::1",
        "[]",
        "[::1]x",
        "[::g]",
        "::1",
        "a:b:c",
        "hé",
        "a\0",
        "a%41",
        "a\tb",
        "[::1]:",
        "[::1]:99999x",
    ] {
        match bad {
            "[::1]:" => check(bad, Some("[::1]")),
            _ => check(bad, None),
        }
    }
    check(&"a".repeat(254), Some(&"a".repeat(254)));
    check(&"a".repeat(255), None);
}

#[test]
fn names_below_localhost_belong_to_applications() {
    let names = |text: &str| HostName::parse(text.as_bytes()).expect("well-formed").names_an_application();
    assert!(names("hello.localhost"));
    assert!(names("a.b.localhost:1"));
    assert!(!names("localhost"));
    assert!(!names("notlocalhost"));
    assert!(!names("example.com"));
}
