use super::interfaces;
use crate::types::{Interface, Type};

const STORE: &str = "
    package wasi:keyvalue@0.2.0-draft;
    interface store {
      variant error { no-such-store, other(string) }
      open: func(identifier: string) -> result<bucket, error>;
      resource bucket { get: func(key: string) -> result<option<list<u8>>, error>; }
    }
    interface atomics {
      use store.{bucket, error};
      increment: func(bucket: borrow<bucket>, key: string, delta: u64) -> result<u64, error>;
    }";

fn named<'a>(all: &'a [(crate::InterfaceName, Interface)], name: &str) -> &'a Interface {
    &all.iter().find(|(n, _)| n.to_string() == name).expect("it is there").1
}

#[test]
fn functions_resources_and_what_is_used_are_read() {
    let all = interfaces(&[STORE]).expect("it is WIT");
    let store = named(&all, "wasi:keyvalue/store@0.2.0-draft");
    assert_eq!(store.resources, ["bucket"]);
    let get = &store.functions["[method]bucket.get"];
    assert_eq!(get.params[0].1, Type::Borrow("wasi:keyvalue/store.bucket".into()));
    let atomics = named(&all, "wasi:keyvalue/atomics@0.2.0-draft");
    assert!(atomics.resources.is_empty(), "it uses a resource and defines none");
    assert_eq!(
        atomics.functions["increment"].to_string(),
        "func(bucket: borrow<wasi:keyvalue/store.bucket>, key: string, delta: u64) -> result<u64, variant { \
         no-such-store, other(string) }>"
    );
}

#[test]
fn a_package_may_use_another() {
    let other = "package a:b@1.0.0;
        interface c { use wasi:keyvalue/store@0.2.0-draft.{bucket}; take: func(b: bucket); }";
    let all = interfaces(&[STORE, other]).expect("it is WIT");
    let take = &named(&all, "a:b/c@1.0.0").functions["take"];
    assert_eq!(take.params[0].1, Type::Own("wasi:keyvalue/store.bucket".into()));
}

#[test]
fn what_is_no_wit_is_told() {
    let error = interfaces(&["package a:b; interface c { f: func(x: nothing); }"]).expect_err("no such type");
    assert!(error.to_string().contains("nothing"), "{error}");
}

#[test]
fn types_go_through_json() {
    let all = interfaces(&[STORE]).expect("it is WIT");
    let json = serde_json::to_string(&all[0].1).expect("plain data");
    let back: Interface = serde_json::from_str(&json).expect("what was written");
    assert_eq!(back, all[0].1);
    assert!(json.contains(r#"{"result":[{"option":{"list":"u8"}},{"variant":"#), "{json}");
}
