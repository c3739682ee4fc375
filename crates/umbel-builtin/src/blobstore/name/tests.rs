use super::{NAME_BYTES_MAX, file_name, is_digest, spelled};
use proptest::prelude::*;

#[test]
fn names_that_mean_something_to_a_file_system_are_spelled_so_that_they_do_not() {
    for (name, file) in [
        ("report-2026_11.pdf", "report-2026_11.pdf"),
        ("", "%"),
        (".", "%2e"),
        ("..", "%2e."),
        ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd"),
        ("/", "%2f"),
        ("a/b", "a%2fb"),
        ("\0", "%00"),
        ("%", "%25"),
        ("%%", "%25%25"),
        ("%2e", "%252e"),
        ("A", "%41"),
        ("a", "a"),
        ("🦀", "%f0%9f%a6%80"),
        ("\u{e9}", "%c3%a9"),
        ("e\u{301}", "e%cc%81"),
        ("con ", "con%20"),
    ] {
        assert_eq!(file_name(name), file, "{name:?}");
        assert_eq!(spelled(file).as_deref(), Some(name), "{file:?}");
    }
}

#[test]
fn what_no_name_has_as_its_file_is_nobodys() {
    for file in ["", "%%", "%2", "%zz", "%2E", "%61", ".hidden", "A", "a/b", "%+f", "%ff", "a b"] {
        assert_eq!(spelled(file), None, "{file:?}");
    }
    assert_eq!(spelled(&file_name(&"x".repeat(NAME_BYTES_MAX))), None);
}

#[test]
fn long_names_are_told_apart_although_they_begin_alike() {
    let long = "x".repeat(NAME_BYTES_MAX);
    let files: Vec<String> = [&long, &long[1..], &format!("{}y", &long[1..])].map(file_name).into();
    assert!(files.iter().all(|file| is_digest(file) && file.len() <= 255));
    assert!(files[0] != files[1] && files[1] != files[2] && files[0] != files[2]);
}

/// Names that people and programs give, and names that nobody should.
fn names() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "", ".", "..", "/", "\\", "\0", "%", "%%", "%2f", "~", " ", "A", "a", "\u{e9}", "e\u{301}", "🦀",
        "\n", ":", "CON", "name", "objects", "ß", "ẞ", "ı", "I",
    ]);
    let piece = prop_oneof![odd.prop_map(str::to_string), any::<String>(), "[a-z0-9._-]{1,40}"];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_file_name_is_one_harmless_component(name in names()) {
        let file = file_name(&name);
        prop_assert!(!file.is_empty() && file.len() <= 255);
        prop_assert!(!file.starts_with('.'));
        let harmless = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'%');
        prop_assert!(file.bytes().all(harmless), "{}", file);
        let path = std::path::Path::new("/srv").join(&file);
        prop_assert_eq!(path.parent(), Some(std::path::Path::new("/srv")));
    }

    #[test]
    fn what_is_spelled_is_read_back(name in names()) {
        let file = file_name(&name);
        prop_assert_eq!(spelled(&file), (!is_digest(&file)).then_some(name));
    }

    #[test]
    fn two_names_never_share_a_file_whatever_the_case(a in names(), b in names()) {
        prop_assert_eq!(a == b, file_name(&a).to_lowercase() == file_name(&b).to_lowercase());
    }

    #[test]
    fn a_file_name_from_elsewhere_is_no_panic(file in any::<String>()) {
        if let Some(name) = spelled(&file) {
            prop_assert_eq!(file_name(&name), file);
        }
    }
}
