use super::*;

#[test]
fn names_are_read() {
    let name = InterfaceName::new("wasi:keyvalue/store@0.2.0-draft");
    assert_eq!(name.package(), Some("wasi:keyvalue"));
    assert_eq!(name.interface(), "store");
    assert_eq!(name.version.as_ref().map(ToString::to_string).as_deref(), Some("0.2.0-draft"));
    assert_eq!(name.to_string(), "wasi:keyvalue/store@0.2.0-draft");
    let plain = InterfaceName::new("cache");
    assert_eq!((plain.package(), plain.interface(), plain.version.is_none()), (None, "cache", true));
    assert_eq!(InterfaceName::new("a:b/c@x").unversioned, "a:b/c@x");
}

#[test]
fn versions_serve_as_semver_says() {
    let cases = [
        ("a:b/c@0.2.6", "a:b/c@0.2.0", true),
        ("a:b/c@0.2.0", "a:b/c@0.2.6", false),
        ("a:b/c@0.3.0", "a:b/c@0.2.0", false),
        ("a:b/c@1.4.0", "a:b/c@1.2.3", true),
        ("a:b/c@2.0.0", "a:b/c@1.2.3", false),
        ("a:b/c@0.0.1", "a:b/c@0.0.1", true),
        ("a:b/c@0.0.2", "a:b/c@0.0.1", false),
        ("a:b/c@0.2.0-draft", "a:b/c@0.2.0-draft", true),
        ("a:b/c@0.2.0-draft2", "a:b/c@0.2.0-draft", false),
        ("a:b/c@0.2.0", "a:b/c@0.2.0-draft", false),
        ("a:b/c", "a:b/c@0.2.0", true),
        ("a:b/c@0.2.0", "a:b/c", true),
        ("a:b/d@0.2.0", "a:b/c@0.2.0", false),
    ];
    for (have, want, expect) in cases {
        let served = InterfaceName::new(have).serves(&InterfaceName::new(want));
        assert_eq!(served, expect, "{have} serves {want}");
    }
}
