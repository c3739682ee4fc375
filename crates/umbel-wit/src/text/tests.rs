use super::*;
use serde_json::{Value as Json, json};

fn list(ty: Type) -> Type {
    Type::List(Box::new(ty))
}

fn option(ty: Type) -> Type {
    Type::Option(Box::new(ty))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}

/// What is read in WAVE is written as that JSON, and the other way round.
#[track_caller]
fn check(ty: &Type, wave: &str, json: &Json) {
    let of_wave = from_wave(ty, wave).unwrap_or_else(|error| panic!("{wave}: {error}"));
    assert_eq!(to_json(ty, &of_wave).as_ref(), Some(json), "{wave}");
    assert_eq!(to_wave(ty, &of_wave).as_deref(), Some(wave));
    let of_json = from_json(ty, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(to_wave(ty, &of_json).as_deref(), Some(wave), "{json}");
    assert_eq!(to_json(ty, &of_json).as_ref(), Some(json));
}

#[test]
fn values_of_every_kind_are_the_same_in_both_forms() {
    check(&Type::Bool, "true", &json!(true));
    check(&Type::S8, "-128", &json!(-128));
    check(&Type::U64, "18446744073709551615", &json!(u64::MAX));
    check(&Type::S64, "-9223372036854775808", &json!(i64::MIN));
    check(&Type::F32, "0.1", &json!(0.1));
    check(&Type::F64, "-inf", &json!("-inf"));
    check(&Type::F64, "nan", &json!("nan"));
    check(&Type::Char, "'🦀'", &json!("🦀"));
    check(&Type::String, "\"a \\\"b\\\"\"", &json!("a \"b\""));
    check(&list(Type::U8), "[0, 255]", &json!([0, 255]));
    check(&list(Type::String), "[\"a\", \"\"]", &json!(["a", ""]));
    check(&Type::FixedList(Box::new(Type::U32), 2), "[1, 2]", &json!([1, 2]));
    check(&option(Type::U8), "none", &json!(null));
    check(&option(Type::U8), "some(1)", &json!(1));
    check(&option(option(Type::U8)), "some(none)", &json!({"some": null}));
    check(&option(option(Type::U8)), "none", &json!(null));
    check(&Type::Result(None, None), "ok", &json!({"ok": null}));
    let result = Type::Result(Some(Box::new(Type::U8)), Some(Box::new(Type::String)));
    check(&result, "ok(1)", &json!({"ok": 1}));
    check(&result, "err(\"no\")", &json!({"err": "no"}));
    check(&Type::Tuple(vec![Type::U8, Type::String]), "(1, \"a\")", &json!([1, "a"]));
    let record = Type::Record(vec![("x".into(), Type::S32), ("is-it".into(), Type::Bool)]);
    check(&record, "{x: -1, is-it: false}", &json!({"x": -1, "is-it": false}));
    let variant = Type::Variant(vec![("all".into(), None), ("some-of".into(), Some(Type::U8))]);
    check(&variant, "all", &json!("all"));
    check(&variant, "some-of(3)", &json!({"some-of": 3}));
    check(&Type::Enum(names(&["low", "high"])), "high", &json!("high"));
    let many: Vec<String> = (0..40).map(|n| format!("f{n}")).collect();
    check(&Type::Flags(many), "{f0, f39}", &json!(["f0", "f39"]));
    let map = Type::Map(Box::new(Type::String), Box::new(Type::U8));
    check(&map, "[(\"a\", 1)]", &json!([["a", 1]]));
}

#[test]
fn a_string_needs_its_quotes_only_where_it_begins_with_one() {
    for (typed, meant) in
        [("Umbel", "Umbel"), ("\"Umbel\"", "Umbel"), ("", ""), ("[1]", "[1]"), ("\"\\\"\"", "\"")]
    {
        match from_wave(&Type::String, typed).unwrap() {
            Value::String(text) => assert_eq!(text, meant),
            other => panic!("{other:?}"),
        }
    }
    assert!(from_wave(&list(Type::String), "[a]").is_err(), "within a value they are needed");
}

#[test]
fn what_does_not_fit_is_told_with_the_type() {
    let record = Type::Record(vec![("x".into(), Type::S32)]);
    for (ty, wave) in [
        (&Type::U8, "256"),
        (&Type::U8, "-1"),
        (&Type::Bool, "yes"),
        (&Type::String, "\"open"),
        (&record, "{y: 1}"),
        (&Type::FixedList(Box::new(Type::U8), 2), "[1]"),
        (&list(Type::U8), "[1, 2"),
        (&Type::U8, ""),
        (&Type::Own("bucket".into()), "1"),
    ] {
        let error = from_wave(ty, wave).expect_err(wave).to_string();
        assert!(error.contains(&ty.to_string()), "{error}");
    }
    let error = from_json(&record, &json!({"x": "many"})).unwrap_err();
    assert_eq!(error.to_string(), "`\"many\"` is no value, where `s32` is taken");
    for (ty, json) in [
        (&record, json!({"x": 1, "y": 1})),
        (&record, json!({})),
        (&Type::Char, json!("ab")),
        (&Type::U8, json!(1.5)),
        (&Type::Result(None, None), json!({"ok": 1})),
        (&Type::Result(None, None), json!({"ok": null, "err": null})),
        (&Type::Enum(names(&["a"])), json!("b")),
        (&Type::Flags(names(&["a"])), json!(["b"])),
        (&list(Type::U8), json!([256])),
    ] {
        assert!(from_json(ty, &json).is_err(), "{json}");
    }
}

#[test]
fn hostile_nesting_is_refused_and_not_followed() {
    let deep = "[".repeat(1 << 20);
    assert!(from_wave(&list(Type::U8), &deep).is_err());
    let mut ty = Type::U8;
    for _ in 0..200 {
        ty = option(ty);
    }
    let function = Function { is_async: false, params: vec![("x".into(), ty)], result: None };
    assert!(without_text(&function).is_some_and(|why| why.contains("levels")));
}

#[test]
fn handles_and_streams_have_no_text() {
    let function = |ty: Type| Function { is_async: false, params: Vec::new(), result: Some(ty) };
    for ty in [
        Type::Own("bucket".into()),
        Type::Borrow("bucket".into()),
        Type::Stream(None),
        Type::Future(None),
        option(Type::ErrorContext),
    ] {
        assert!(without_text(&function(ty.clone())).is_some(), "{ty}");
    }
    assert_eq!(without_text(&function(list(option(Type::U8)))), None);
}

#[test]
fn a_weight_is_not_counted_far_beyond_its_limit() {
    let value = Value::List((0..1000).map(|_| Value::String("x".repeat(98))).collect());
    assert!(weight(&value, usize::MAX) >= 100_000);
    assert!(weight(&value, 1_000) < 2_000);
}

#[test]
fn what_is_wrong_within_a_wave_value_is_told_with_its_place() {
    let point = Type::Record(vec![("x".into(), Type::S32), ("name".into(), Type::String)]);
    let error = from_wave(&point, "{x: 1, name: 2}").expect_err("a number is no name").to_string();
    assert!(error.contains("at character 14 (`{x: 1, name: 2}`)"), "{error}");
    let error = from_wave(&point, "{x: ü, name: \"n\"}").expect_err("that is no number").to_string();
    assert!(error.contains("at character 5 "), "{error}");
    // What is missing is missing at the very beginning, or at the end.
    from_wave(&point, "").expect_err("that is nothing");
    from_wave(&point, "{x: 1").expect_err("its end is missing");
}
