//! The difference between two manifests, by path.

use crate::document::Change;
use serde_json::Value;
use std::collections::BTreeSet;

/// Differences that are listed; more say no more.
const CHANGES_MAX: usize = 1_000;

/// What differs. Lists of named things are compared by name: their order means nothing in a manifest.
pub(crate) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

/// The manifest without its version: that differs always.
pub(crate) fn without_version(mut manifest: Value) -> Value {
    if let Some(annotations) = manifest.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove("version");
    }
    manifest
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if old == new || changes.len() >= CHANGES_MAX {
        return;
    }
    match (fields(old), fields(new)) {
        (Some(old), Some(new)) => {
            let get = |fields: &[(String, Value)], name: &str| {
                fields.iter().find(|(key, _)| key == name).map_or(Value::Null, |(_, value)| value.clone())
            };
            let names: BTreeSet<&String> = old.iter().chain(&new).map(|(name, _)| name).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                compare(&path, &get(&old, name), &get(&new, name), changes);
            }
        }
        _ => {
            let some = |value: &Value| (!value.is_null()).then(|| value.clone());
            changes.push(Change { path: path.to_string(), old: some(old), new: some(new) });
        }
    }
}

/// What a value is made of, by name: the fields of an object, or the entries of a list that all have different names.
fn fields(value: &Value) -> Option<Vec<(String, Value)>> {
    match value {
        Value::Object(object) => {
            Some(object.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        Value::Array(items) if !items.is_empty() => {
            let named: Vec<(String, Value)> = items
                .iter()
                .filter_map(|item| Some((item.get("name")?.as_str()?.to_string(), item.clone())))
                .collect();
            let names: BTreeSet<&String> = named.iter().map(|(name, _)| name).collect();
            (names.len() == items.len()).then_some(named)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(old: Value, new: Value, expect: &[(&str, Option<Value>, Option<Value>)]) {
        let expect: Vec<Change> = expect
            .iter()
            .map(|(path, old, new)| Change { path: (*path).into(), old: old.clone(), new: new.clone() })
            .collect();
        assert_eq!(changes(&old, &new), expect);
    }

    #[test]
    fn differences_are_named_by_their_place() {
        check(json!({"a": 1}), json!({"a": 1}), &[]);
        check(json!({"a": 1}), json!({"a": 2}), &[("a", Some(json!(1)), Some(json!(2)))]);
        check(Value::Null, json!({"a": 1}), &[("", None, Some(json!({"a": 1})))]);
        check(
            json!({"components": [{"name": "x", "image": "1"}, {"name": "y"}]}),
            json!({"components": [{"name": "z"}, {"name": "x", "image": "2"}]}),
            &[
                ("components/x/image", Some(json!("1")), Some(json!("2"))),
                ("components/y", Some(json!({"name": "y"})), None),
                ("components/z", None, Some(json!({"name": "z"}))),
            ],
        );
        check(json!({"l": [1, 2]}), json!({"l": [2]}), &[("l", Some(json!([1, 2])), Some(json!([2])))]);
    }
}
