use super::*;

/// The contract is a promise: whoever changes it sees the change in review. `UMBEL_BLESS=1 cargo test` writes it anew.
#[test]
fn the_contract_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
    let found = format!("{}\n", serde_json::to_string_pretty(document()).unwrap());
    if std::env::var_os("UMBEL_BLESS").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == kept, "the OpenAPI document has changed: bless it with UMBEL_BLESS=1 if that is meant");
}

#[test]
fn every_operation_says_what_it_is_and_how_it_fails() {
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
                "{name}: summary"
            );
            for status in ["200", "401", "403", "default"] {
                assert!(operation["responses"].get(status).is_some(), "{name}: {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_document_has_its_type() {
    let text = document().to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document()["components"]["schemas"].get(name).is_some(), "{name}");
    }
    for (name, kind) in doc::ALL {
        let schema = &document()["components"]["schemas"][name];
        assert_eq!(schema["properties"]["$type"]["const"], *kind, "{name}");
    }
}
