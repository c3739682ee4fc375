use super::{Reference, owner};
use umbel_core::Problem;
use umbel_core::link::Values;
use umbel_core::settings::SecretValue;
use umbel_provider::secrets::{Found, Owner};

fn reference(pairs: &[(&str, &str)]) -> Result<Reference, Problem> {
    let values: Values = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Reference::read("SECRET_shop-db", Some(values))
}

fn found(text: &str) -> Option<Found> {
    Some(Found { value: SecretValue::String(text.into()), version: 3 })
}

fn of_shop() -> Owner {
    owner(Some("shop"), "shop-db")
}

#[test]
fn a_reference_needs_a_name_and_a_key() {
    assert_eq!(Reference::read("SECRET_x", None).err().unwrap().code.to_string(), "UM1183");
    for wrong in [&[("name", "password")][..], &[("key", "db")], &[("name", ""), ("key", "db")]] {
        assert_eq!(reference(wrong).err().unwrap().code.to_string(), "UM1183", "{wrong:?}");
    }
    let whole = reference(&[("name", "password"), ("key", "db")]).unwrap();
    assert_eq!((whole.name.as_str(), whole.backend.as_str()), ("password", super::OWN));
}

#[test]
fn what_is_not_kept_is_told_with_the_command_that_keeps_it() {
    let whole = reference(&[("name", "password"), ("key", "db")]).unwrap();
    let problem = whole.pick(&of_shop(), None).err().unwrap();
    assert_eq!(problem.code.to_string(), "UM1182");
    assert_eq!(problem.help, "umbel secret put db --application shop");
    let alone = whole.pick(&owner(None, "cache"), None).err().unwrap();
    assert_eq!(alone.help, "umbel secret put db --component cache");
}

#[test]
fn a_version_that_is_named_is_the_one_that_is_given() {
    let of = |version| reference(&[("name", "password"), ("key", "db"), ("version", version)]).unwrap();
    assert_eq!(of("3").pick(&of_shop(), found("hush")).unwrap(), SecretValue::String("hush".into()));
    assert_eq!(of("2").pick(&of_shop(), found("hush")).err().unwrap().code.to_string(), "UM1182");
}

#[test]
fn a_field_is_picked_of_a_json_object_and_nothing_of_it_is_told() {
    let of = |field| reference(&[("name", "password"), ("key", "db"), ("field", field)]).unwrap();
    let json = r#"{"user": "shop", "password": "hush"}"#;
    assert_eq!(of("password").pick(&of_shop(), found(json)).unwrap(), SecretValue::String("hush".into()));
    for (field, text) in
        [("missing", json), ("password", "hush"), ("password", r#"{"password": 7, "x": "hush"}"#)]
    {
        let problem = of(field).pick(&of_shop(), found(text)).err().unwrap();
        assert_eq!(problem.code.to_string(), "UM1183", "{text}");
        assert!(!format!("{problem:?}").contains("hush"), "{problem:?}");
    }
}
