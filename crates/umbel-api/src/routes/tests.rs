use super::*;
use std::collections::BTreeSet;

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let routes: BTreeSet<String> =
        listed().iter().map(|(method, path)| format!("{} {path}", method.as_str().to_lowercase())).collect();
    let mut documented = BTreeSet::new();
    for (path, operations) in crate::openapi::document()["paths"].as_object().unwrap() {
        documented.extend(operations.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    assert_eq!(routes, documented);
}
