use super::*;
use umbel_core::Coded;
use umbel_core::code::keyvalue as code;

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn what_is_not_said_has_its_default() {
    assert_eq!(Settings::read(&values(&[])).unwrap(), Settings::default());
    let settings = Settings::read(&values(&[("value_bytes_max", "1024"), ("page_keys_max", " 7 ")])).unwrap();
    assert_eq!((settings.value_bytes_max, settings.page_keys_max), (1024, 7));
    assert_eq!(Target::read(&values(&[])).unwrap(), Target::default());
}

#[test]
fn wrong_config_names_its_key() {
    let cases = [
        Settings::read(&values(&[("value_bytes_max", "0")])).map(drop),
        Settings::read(&values(&[("value_bytes_max", "67108865")])).map(drop),
        Settings::read(&values(&[("page_keys_max", "many")])).map(drop),
        Settings::read(&values(&[("total_bytes_max", "-1")])).map(drop),
        Settings::read(&values(&[("watch_timeout_ms", "")])).map(drop),
        Settings::read(&values(&[("bucket", "b")])).map(drop),
        Target::read(&values(&[("scope", "everybody")])).map(drop),
        Target::read(&values(&[("bucket", &"b".repeat(257))])).map(drop),
        Target::read(&values(&[("watch", "SET@key")])).map(drop),
        Watching::read(&values(&[("watch", "key")])).map(drop),
        Watching::read(&values(&[("watch", "GET@key")])).map(drop),
        Watching::read(&values(&[("url", "redis://127.0.0.1")])).map(drop),
    ];
    for (n, case) in cases.into_iter().enumerate() {
        let error = case.expect_err(&n.to_string());
        assert_eq!(error.code(), code::CONFIG, "{n}");
        assert!(matches!(&error, KeyvalueError::Config { key, .. } if !key.is_empty()), "{n}: {error}");
    }
}

#[test]
fn a_watcher_hears_what_it_asked_for() {
    let watching =
        Watching::read(&values(&[("watch", "SET@order, del@order ,SET@users/*,,SET@a@b")])).unwrap();
    for (key, deleted, wanted) in [
        ("order", false, true),
        ("order", true, true),
        ("orders", false, false),
        ("users/", false, true),
        ("users/7", false, true),
        ("users/7", true, false),
        ("a@b", false, true),
        ("", false, false),
    ] {
        assert_eq!(watching.wants(key, deleted), wanted, "{key:?}, deleted: {deleted}");
    }
    let all = Watching::read(&values(&[])).unwrap();
    assert!(all.wants("anything", false) && all.wants("", true));
}
