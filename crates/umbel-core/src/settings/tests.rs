use super::{SecretValue, Secrets, Settings, hide};
use crate::Problem;
use crate::code::manifest;
use crate::link::Values;

fn settings() -> Settings {
    Settings {
        values: Values::from([("url".into(), "redis://h".into()), ("password".into(), "old".into())]),
        secrets: Secrets::from([
            ("password".into(), SecretValue::String("hush".into())),
            ("key".into(), SecretValue::Bytes(vec![1, 2])),
        ]),
    }
}

#[test]
fn a_secret_stands_in_for_a_value_of_its_name_and_bytes_for_none() {
    let all = settings().all();
    assert_eq!(all["password"], "hush");
    assert_eq!(all["url"], "redis://h");
    assert!(!all.contains_key("key"));
}

#[test]
fn nothing_of_a_value_is_shown() {
    let shown = format!("{:?} {:?}", settings(), settings().secrets);
    assert!(shown.contains("password") && shown.contains("url"), "{shown}");
    assert!(!shown.contains("hush") && !shown.contains("old") && !shown.contains("redis"), "{shown}");
}

#[test]
fn a_secret_is_written_as_wasmcloud_writes_it() {
    let json = serde_json::to_value(settings().secrets).unwrap();
    assert_eq!(json["password"], serde_json::json!({"kind": "String", "value": "hush"}));
    assert_eq!(json["key"], serde_json::json!({"kind": "Bytes", "value": [1, 2]}));
}

#[test]
fn a_problem_does_not_repeat_a_secret() {
    let mut problem = Problem::new(manifest::SYNTAX, "`hush` is no url").with_help("not hush, but …");
    problem = problem.with_cause("hush: refused");
    let hidden = hide(problem, &settings().secrets);
    assert_eq!(hidden.message, "`…` is no url");
    assert!(!format!("{hidden:?}").contains("hush"), "{hidden:?}");
}
