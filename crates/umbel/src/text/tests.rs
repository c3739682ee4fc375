use super::*;

#[test]
fn what_a_terminal_would_obey_is_made_visible() {
    let check = |text: &str, expect: &str| assert_eq!(neutral(text), expect);
    check("plain ü 漢", "plain ü 漢");
    check("\x1b[2Jgone", "\\u{1b}[2Jgone");
    check("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}");
    check("\u{9b}31m", "\\u{9b}31m");
    check("a\tb\r\nc", "a    b\\r\\nc");
    check("abc\u{202e}cba", "abc\\u{202e}cba");
}

#[test]
fn json_stays_json_and_harmless() {
    let value = serde_json::json!({"a": "\u{9b}31m\x7f\u{202e}\u{e0001}\x1b"});
    let line = json_line(&value);
    assert!(line.is_ascii(), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    let pretty = json_pretty(&value);
    assert_eq!(serde_json::from_str::<Value>(&pretty).unwrap(), value);
}

#[test]
fn numbers_are_readable() {
    let shown = |ms| duration(Duration::from_millis(ms));
    assert_eq!(shown(420), "0.4 s");
    assert_eq!(shown(42_000), "42 s");
    assert_eq!(shown(200_000), "3 min 20 s");
    assert_eq!(shown(7_500_000), "2 h 5 min");
    assert_eq!(shown(4 * 86_400_000 + 3 * 3_600_000), "4 d 3 h");
    assert_eq!(bytes(512), "512 B");
    assert_eq!(bytes(1536), "1.5 KiB");
    assert_eq!(bytes(64 << 20), "64.0 MiB");
    assert_eq!(bytes(3 << 50), "3072.0 TiB");
}

#[test]
fn times_are_rfc_3339() {
    assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
    assert_eq!(time(951_868_799_999), "2000-02-29T23:59:59.999Z");
    assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    assert_eq!(time(1_795_248_898_123), "2026-11-21T08:14:58.123Z");
}

#[test]
fn durations_are_read() {
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
    assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
    assert_eq!(parse_duration("1d"), Ok(Duration::from_secs(86_400)));
    for text in ["", "s", "1.5s", "-3s", "3 s", "3w", "99999999999999999999d", "18446744073709551615h"] {
        parse_duration(text).unwrap_err();
    }
}

#[test]
fn words_survive_a_shell() {
    assert_eq!(shell_word("/tmp/a-b_c.d"), "/tmp/a-b_c.d");
    assert_eq!(shell_word("a b"), "'a b'");
    assert_eq!(shell_word("it's"), "'it'\\''s'");
    assert_eq!(shell_word(""), "''");
}
