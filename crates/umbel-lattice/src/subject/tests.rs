use super::*;
use proptest::prelude::*;

#[test]
fn subjects_are_checked() {
    let long = "a".repeat(SUBJECT_BYTES_MAX + 1);
    let deep = vec!["a"; TOKENS_MAX + 1].join(".");
    for (text, publish, subscribe) in [
        ("a", true, true),
        ("wasmbus.ctl.v1.default.host.ping", true, true),
        ("default.hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle", true, true),
        ("a.*", false, true),
        ("*", false, true),
        (">", false, true),
        ("a.>", false, true),
        ("a.>.b", false, false),
        // A wildcard is a whole token; inside of one it is a letter like others.
        ("a.b*", true, true),
        ("", false, false),
        (".", false, false),
        ("a.", false, false),
        (".a", false, false),
        ("a..b", false, false),
        ("a b", false, false),
        ("a\nb", false, false),
        ("a\0b", false, false),
        (&long, false, false),
        (&deep, false, false),
    ] {
        assert_eq!(check(text).is_ok(), publish, "publish to {text:?}");
        assert_eq!(check_pattern(text).is_ok(), subscribe, "subscribe to {text:?}");
    }
}

#[test]
fn patterns_match() {
    for (pattern, subject, expect) in [
        ("a.b", "a.b", true),
        ("a.b", "a.c", false),
        ("a.b", "a", false),
        ("a.b", "a.b.c", false),
        ("a.*", "a.b", true),
        ("a.*", "a", false),
        ("a.*", "a.b.c", false),
        ("*.b", "a.b", true),
        ("*.*", "a.b", true),
        ("a.>", "a.b", true),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        (">", "a", true),
        (">", "a.b.c", true),
        ("*.>", "a", false),
        ("*.>", "a.b", true),
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.b.d", false),
    ] {
        assert_eq!(matches(pattern, subject), expect, "{pattern} on {subject}");
    }
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(text in ".{0,200}") {
        let _ = check(&text);
        let _ = check_pattern(&text);
    }
}
