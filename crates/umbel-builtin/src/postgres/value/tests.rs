use super::calendar::{date_of, time_of};
use super::float::{of_f32, of_f64, text, to_f64};
use super::*;
use proptest::prelude::*;
use tokio_postgres::types::{FromSql, Type};
use umbel_wit::Value;

#[test]
fn cases_stand_where_the_wit_has_them() {
    let places = [
        (Case::Null, 0),
        (Case::BigInt, 1),
        (Case::Int8, 2),
        (Case::Bool, 6),
        (Case::Float8, 10),
        (Case::Int4, 17),
        (Case::Numeric, 19),
        (Case::Serial, 22),
        (Case::Int2, 25),
        (Case::Bit, 31),
        (Case::Bytea, 36),
        (Case::Varchar, 40),
        (Case::Inet, 44),
        (Case::Macaddr8Array, 49),
        (Case::Polygon, 62),
        (Case::Date, 64),
        (Case::TimestampTz, 74),
        (Case::Json, 76),
        (Case::Jsonb, 78),
        (Case::Money, 80),
        (Case::PgSnapshot, 84),
        (Case::Text, 88),
        (Case::TsVector, 93),
        (Case::Uuid, 94),
        (Case::Hstore, 96),
    ];
    for (case, place) in places {
        assert_eq!(case as u32, place, "{case:?}");
        assert_eq!(Case::of(place), Ok(case));
    }
    assert!(Case::of(97).is_err() && Case::of(u32::MAX).is_err());
    for case in Case::ALL {
        let is_array = format!("{case:?}").ends_with("Array");
        assert_eq!(case.element().is_some(), is_array, "{case:?}");
        if let Some(element) = case.element() {
            assert!(format!("{case:?}") == format!("{element:?}Array"), "{element:?} in {case:?}");
        }
    }
}

#[test]
fn days_have_dates() {
    for (days, date) in [
        (0, (2000, 1, 1)),
        (-1, (1999, 12, 31)),
        (59, (2000, 2, 29)),
        (60, (2000, 3, 1)),
        (-10_957, (1970, 1, 1)),
        (-36_465, (1900, 3, 1)),
        (-36_466, (1900, 2, 28)),
        (-730_119, (1, 1, 1)),
        (-730_120, (0, 12, 31)),
        (2_921_939, (9999, 12, 31)),
    ] {
        assert_eq!(date_of(days), date, "{days}");
    }
    assert_eq!(time_of(86_399_999_999), (23, 59, 59, 999_999));
    assert_eq!(time_of(86_400_000_000), (24, 0, 0, 0));
}

fn param(case: Case, payload: Value) -> Result<String, Mismatch> {
    Param::read(Value::case(case as u32, payload)).map(|param| param.text().expect("a text").to_string())
}

#[test]
fn parameters_are_texts() {
    let pair = |a: Value, b: Value| Value::Tuple(vec![a, b]);
    let real = |number: f64| {
        let (mantissa, exponent, sign) = of_f64(number);
        Value::Tuple(vec![Value::U64(mantissa), Value::S16(exponent), Value::S8(sign)])
    };
    let at = |x: f64, y: f64| pair(real(x), real(y));
    let texts = |texts: &[&str]| Value::List(texts.iter().map(|text| (*text).into()).collect());
    let bytes = |bytes: &[u8]| Value::bytes(bytes.to_vec());
    for (case, payload, expected) in [
        (Case::Int4, Value::S32(-7), "-7"),
        (Case::Boolean, true.into(), "t"),
        (Case::Float8, real(-0.5), "-5e-1"),
        (Case::Float8, real(f64::INFINITY), "Infinity"),
        (Case::Float8, real(f64::NAN), "NaN"),
        (Case::Numeric, "1e400".into(), "1e400"),
        (Case::Bit, pair(Value::U32(3), bytes(&[0b1010_0000])), "101"),
        (Case::Varbit, pair(Value::none(), bytes(&[0xff, 0])), "1111111100000000"),
        (Case::Bytea, bytes(b"\0a\xff"), "\\x0061ff"),
        (Case::Varchar, pair(Value::some(Value::U32(2)), bytes("äb".as_bytes())), "äb"),
        (Case::Box, pair(at(1.0, 2.0), at(3.0, 4.0)), "(1e0,2e0),(3e0,4e0)"),
        (Case::Circle, pair(at(1.0, 2.0), real(3.0)), "<(1e0,2e0),3e0>"),
        (Case::Path, Value::List(vec![at(0.0, 0.0), at(1.0, 1.0)]), "[(0e0,0e0),(1e0,1e0)]"),
        (Case::PgLsn, Value::U64(0x16_b374_d848), "16/B374D848"),
        (Case::TextArray, texts(&["a", "", "x,\"y\\", "NULL", "{}"]), r#"{"a","","x,\"y\\","NULL","{}"}"#),
        (Case::Int4Array, Value::List(vec![Value::S32(1), Value::S32(2)]), r#"{"1","2"}"#),
        (Case::BoxArray, Value::List(vec![pair(at(0.0, 0.0), at(1.0, 1.0))]), r#"{"(0e0,0e0),(1e0,1e0)"}"#),
        (Case::Hstore, Value::List(vec![pair("a\"".into(), Value::none())]), r#""a\""=>NULL"#),
    ] {
        assert_eq!(param(case, payload).as_deref(), Ok(expected), "{case:?}");
    }
    assert_eq!(Param::read(Value::Variant(0, None)).map(|param| param.text().is_none()), Ok(true));
    let wrong = [
        Value::Variant(97, None),
        Value::U32(1),
        Value::case(Case::Text as u32, "a\0b".into()),
        Value::case(Case::Text as u32, true.into()),
        Value::case(Case::Int4Array as u32, "1".into()),
        Value::case(Case::Float8 as u32, Value::Tuple(vec![])),
        Value::case(Case::Bit as u32, pair(Value::U32(9), bytes(&[1]))),
        Value::case(Case::Char as u32, pair(Value::U32(9), bytes(b"a"))),
        Value::case(Case::Varchar as u32, pair(Value::none(), bytes(b"\xff"))),
    ];
    for value in wrong {
        let shown = format!("{value:?}");
        assert!(Param::read(value).is_err(), "{shown}");
    }
}

proptest! {
    #[test]
    fn floats_come_back(number in any::<f64>(), single in any::<f32>()) {
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        prop_assert!(same(to_f64(of_f64(number)), number));
        prop_assert!(same(to_f64(of_f32(single)), single.into()));
        prop_assert!(same(text(number).replace("Infinity", "inf").parse().expect("a number"), number));
    }

    #[test]
    fn subnormal_floats_come_back(bits in 0u64..1 << 52, little in 0u32..1 << 23) {
        prop_assert_eq!(to_f64(of_f64(f64::from_bits(bits))), f64::from_bits(bits));
        prop_assert_eq!(to_f64(of_f32(f32::from_bits(little))), f64::from(f32::from_bits(little)));
    }

    #[test]
    fn days_follow_one_another(days in -2_000_000i64..100_000_000) {
        let (one, next) = (date_of(days), date_of(days + 1));
        prop_assert!(one < next && (1..=12).contains(&one.1) && (1..=31).contains(&one.2));
        prop_assert!(next.2 == one.2 + 1 || next.2 == 1);
    }

    #[test]
    fn rubbish_from_the_server_is_refused_and_never_panics(raw in prop::collection::vec(any::<u8>(), 0..60)) {
        for oid in (16..5_000).filter_map(Type::from_oid) {
            // Bytes may be a value by chance; what is not one is told in words.
            if let Err(refused) = Cell::from_sql(&oid, &raw) {
                prop_assert!(!refused.to_string().is_empty(), "{oid}");
            }
        }
    }
}
