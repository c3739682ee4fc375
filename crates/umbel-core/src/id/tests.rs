use super::{AppName, ComponentId, HostId, application_part_id, new_ulid, new_uuid};
use crate::error::Coded;
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn names_are_dns_labels() {
    let longest = "a".repeat(63);
    for good in ["a", "0", "hello", "orders-api", "a--b", longest.as_str()] {
        assert_eq!(AppName::new(good).expect(good).as_str(), good);
    }
    let too_long = "a".repeat(64);
    for bad in ["", "-a", "a-", "Hello", "a_b", "a.b", "é", "a b", "a\n", "../x", too_long.as_str()] {
        let error = AppName::new(bad).expect_err(bad);
        assert_eq!(error.code().to_string(), "UM0101");
    }
}

#[test]
fn ids_are_safe_in_subjects_and_file_names() {
    let longest = "a".repeat(256);
    for good in ["a", "hello-http_server", "NBRZ", "a.b", "a:b", longest.as_str()] {
        assert_eq!(ComponentId::new(good).expect(good).as_str(), good);
    }
    let too_long = "a".repeat(257);
    for bad in ["", ".", "..", ".a", "a.", "a..b", "a*", "a>", "a/b", "a\\b", "a b", "é", "\0", &too_long] {
        let error = ComponentId::new(bad).expect_err(bad);
        assert_eq!(error.code().to_string(), "UM0102");
    }
}

#[test]
fn messages_show_little_of_what_was_given_and_nothing_that_a_terminal_obeys() {
    let error = AppName::new(format!("\x1b[2J{}", "x".repeat(1_000_000))).expect_err("not a name");
    let message = error.to_string();
    assert!(message.len() < 200 && !message.contains('\x1b'), "{message}");
}

#[test]
fn json_is_the_text_and_is_checked() {
    let id: HostId = serde_json::from_str("\"NABC\"").expect("parses");
    assert_eq!(serde_json::to_string(&id).expect("serialises"), "\"NABC\"");
    serde_json::from_str::<HostId>("\"N*\"").expect_err("not an id");
}

#[test]
fn parts_of_applications_have_the_ids_that_wadm_gives() {
    let app = AppName::new("rust-hello-world").expect("a name");
    assert_eq!(application_part_id(&app, "http-component"), "rust_hello_world-http_component");
    assert_eq!(application_part_id(&app, "httpserver"), "rust_hello_world-httpserver");
}

#[test]
fn generated_ids_sort_by_time_and_differ() {
    let at = |seconds| Duration::from_secs(seconds);
    let (early, late) = (new_ulid(at(1_790_000_000)), new_ulid(at(1_790_000_001)));
    assert!(early < late && early.len() == 26, "{early} {late}");
    assert_ne!(new_ulid(at(1)), new_ulid(at(1)));
    // The first 48 bits of a recorded event's id are its milliseconds.
    let uuid = new_uuid(Duration::from_millis(0x01a1_fbea_3a19));
    assert!(uuid.starts_with("01a1fbea-3a19-") && uuid.len() == 36, "{uuid}");
    assert_eq!(new_ulid(Duration::MAX).len(), 26);
}

proptest! {
    #[test]
    fn whatever_is_accepted_stays_as_it_is(text in ".{0,300}") {
        if let Ok(id) = ComponentId::new(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
