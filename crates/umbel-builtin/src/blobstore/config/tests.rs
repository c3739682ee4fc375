use super::Settings;
use umbel_core::link::Values;

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn a_links_config_overrides_the_providers() {
    let provider = values(&[("root", "/srv/blobs"), ("object_bytes_max", "1000")]);
    let link = values(&[("object_bytes_max", "2000"), ("space", "pictures")]);
    let settings = Settings::read(&provider, &link).expect("valid");
    let expected = Settings {
        root: Some("/srv/blobs".into()),
        space: Some("pictures".into()),
        object_bytes_max: 2000,
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    assert_eq!(Settings::read(&values(&[("ROOT", "/srv")]), &link).expect("valid").root, Some("/srv".into()));
}

#[test]
fn what_is_wrong_names_the_key() {
    for (key, value, reason) in [
        ("root", "blobs", "`blobs` is not a path from the root on"),
        ("root", "", "`` is not a path from the root on"),
        ("space", "", "`` is not a name"),
        ("object_bytes_max", "-1", "`-1` is not a number of bytes"),
        ("free_bytes_min", "1 GB", "`1 GB` is not a number of bytes"),
        ("bucket", "x", "this key is not known"),
    ] {
        let error = Settings::read(&Values::new(), &values(&[(key, value)])).expect_err(key);
        assert_eq!(error.to_string(), format!("config `{key}`: {reason}"));
    }
}
