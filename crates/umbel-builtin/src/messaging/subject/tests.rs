use super::{check, check_group, check_pattern};

#[test]
fn what_may_be_published_to() {
    let longest = "a".repeat(256);
    for subject in ["a", "a.b.c", "orders.new", "$SYS.x", "_INBOX.abc", "🌱.grüße", "a-b_c:d/e", &longest]
    {
        assert!(check(subject).is_ok(), "{subject}");
    }
    let too_long = "a".repeat(257);
    for subject in [
        "", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\0b", "a\n", "*", ">", "a.*", "a.>", "a*", "b>.c",
        &too_long,
    ] {
        assert!(check(subject).is_err(), "{subject:?}");
    }
}

#[test]
fn what_may_be_subscribed_to() {
    for pattern in ["a", "*", ">", "a.*.b", "*.*", "a.>", "*.>", "🌱.*"] {
        assert!(check_pattern(pattern).is_ok(), "{pattern}");
    }
    for pattern in ["", "a.", ">.a", "a.>.b", "a*", "*a", ">>", "**", "a .b", "_INBOX.a", "_INBOX.>", "a\0"] {
        assert!(check_pattern(pattern).is_err(), "{pattern:?}");
    }
}

#[test]
fn queue_groups_are_plain_names() {
    assert!(check_group("workers").is_ok());
    for name in ["", "*", "a b", "a\0", "a>"] {
        assert!(check_group(name).is_err(), "{name:?}");
    }
}

#[test]
fn an_error_shows_no_control_characters() {
    let error = check("evil\x1b[31m").expect_err("refused");
    assert!(!error.to_string().contains('\x1b'), "{error}");
}
