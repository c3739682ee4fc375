use super::{AREAS, Code, all};
use crate::error::Kind;
use std::collections::HashMap;

#[test]
fn every_number_stands_once() {
    let mut numbers = HashMap::new();
    for entry in all().map(Code::entry) {
        if let Some(other) = numbers.insert(entry.number, entry.name) {
            panic!("{} and {other} are both UM{:04}", entry.name, entry.number);
        }
    }
}

#[test]
fn areas_keep_to_their_hundred_and_to_the_order_of_numbers() {
    for (hundred, area, codes) in AREAS {
        for code in *codes {
            assert_eq!(code.entry().number / 100, *hundred, "{code:?} is not of the area {area}");
        }
        assert!(codes.is_sorted_by_key(|code| code.entry().number), "{area} is not in order");
    }
}

#[test]
fn every_entry_says_what_why_and_what_to_do() {
    for code in all() {
        let entry = code.entry();
        for (field, text) in [("title", entry.title), ("why", entry.why), ("help", entry.help)] {
            assert!(text.trim() == text && text.len() >= 8, "{code:?}: {field} says too little: `{text}`");
            assert!(!text.contains(['\n', '\t', '\x1b']), "{code:?}: {field} is one line");
            let leaked = ["Some(", "None)", "Err(", "{:?}", "{}"].iter().any(|debug| text.contains(debug));
            assert!(!leaked, "{code:?}: {field} shows insides: `{text}`");
        }
        let first = entry.title.chars().next().expect("not empty");
        let lower = !first.is_uppercase() || is_acronym(entry.title);
        assert!(
            lower && !entry.title.ends_with('.'),
            "{code:?}: a title is a lower-case fragment: `{}`",
            entry.title
        );
        assert!(entry.title.len() <= 100, "{code:?}: a title fits a line: `{}`", entry.title);
        assert!(entry.why.ends_with(['.', '?', '`', ')']), "{code:?}: `why` is a sentence: `{}`", entry.why);
        assert_ne!(entry.title, entry.help, "{code:?}: the help repeats the title");
    }
}

fn is_acronym(title: &str) -> bool {
    let word = title.split(' ').next().unwrap_or(title);
    word.chars().filter(|c| c.is_uppercase()).count() >= 2
}

#[test]
fn a_code_is_found_by_what_people_type() {
    let code = super::identity::INVALID_NAME;
    for text in ["UM0101", "um0101", "UM101", "101", " 0101 ", "um101\n"] {
        assert_eq!(Code::find(text), Some(code), "{text:?}");
    }
    for text in ["", "UM", "UM9999", "99999999", "-1", "UM 101", "XX101", "MU101", "UUMM101"] {
        assert_eq!(Code::find(text), None, "{text:?}");
    }
}

#[test]
fn json_is_the_text_and_an_unknown_code_of_a_newer_peer_is_kept_apart() {
    let code = super::identity::INVALID_NAME;
    assert_eq!(serde_json::to_string(&code).expect("serialises"), "\"UM0101\"");
    assert_eq!(serde_json::from_str::<Code>("\"UM0101\"").expect("parses"), code);
    assert_eq!(serde_json::from_str::<Code>("\"UM9998\"").expect("parses"), super::api::UNKNOWN_CODE);
}

#[test]
fn every_kind_has_a_status_and_an_exit_code_of_an_error() {
    for kind in all().map(Code::kind).chain([Kind::Version, Kind::Guest, Kind::Timeout]) {
        assert!((400..600).contains(&kind.http_status()), "{kind:?}");
        assert_ne!(kind.exit_code(), 0, "{kind:?}");
        assert_ne!(kind.exit_code(), 2, "{kind:?}: 2 is for wrong usage of the command line");
    }
}
