use super::{CodecError, DEPTH_MAX, INPUT, Lend, OUTPUT, STREAMS_MAX, Take, VALUES_MAX, decode, encode};
use bytes::Bytes;
use proptest::prelude::*;
use umbel_core::code::guest;
use umbel_core::{Coded, Problem};
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{Resource, Type, Value};

/// Resources are numbers; streams are noted by their paths.
#[derive(Default)]
struct Noted {
    streams: Vec<Vec<u32>>,
}

impl Lend for Noted {
    fn lend(&mut self, resource: Resource, _: &str, _: bool) -> Result<Bytes, Problem> {
        Ok(Bytes::copy_from_slice(&resource.get::<u64>().expect("ours").to_le_bytes()))
    }

    fn input(&mut self, path: &[u32], _: Input) -> Result<(), Problem> {
        self.streams.push(path.to_vec());
        Ok(())
    }

    fn items(&mut self, path: &[u32], _: &Type, _: Items) -> Result<(), Problem> {
        self.streams.push(path.to_vec());
        Ok(())
    }

    fn output(&mut self, path: &[u32], _: Output) -> Result<(), Problem> {
        self.streams.push(path.to_vec());
        Ok(())
    }

    fn later(&mut self, path: &[u32], _: &Type, _: Later) -> Result<(), Problem> {
        self.streams.push(path.to_vec());
        Ok(())
    }
}

impl Take for Noted {
    fn resource(&mut self, handle: &[u8], name: &str, _: bool) -> Result<Resource, Problem> {
        let unknown = || Problem::new(umbel_core::code::wire::HANDLE_UNKNOWN, name);
        let number: [u8; 8] = handle.try_into().map_err(|_| unknown())?;
        Ok(Resource::new(u64::from_le_bytes(number)))
    }

    fn input(&mut self, path: &[u32], _: Option<Bytes>) -> Result<Input, Problem> {
        self.streams.push(path.to_vec());
        Ok(Input::new(Box::pin(futures::stream::empty())))
    }

    fn items(&mut self, path: &[u32], _: &Type) -> Result<Items, Problem> {
        self.streams.push(path.to_vec());
        Ok(Items::new(Box::pin(futures::stream::empty())))
    }

    fn output(&mut self, path: &[u32]) -> Result<Output, Problem> {
        self.streams.push(path.to_vec());
        Ok(Output(futures::channel::mpsc::channel(1).0))
    }

    fn later(&mut self, path: &[u32], _: &Type) -> Result<Later, Problem> {
        self.streams.push(path.to_vec());
        Ok(Later::new(async { Ok(Value::U8(7)) }))
    }
}

fn put(ty: &Type, value: Value) -> Result<Bytes, CodecError> {
    encode([value], [ty], &mut Noted::default()).map(Bytes::from)
}

fn get(ty: &Type, bytes: &[u8]) -> Result<Value, CodecError> {
    let values = decode(&Bytes::copy_from_slice(bytes), [ty], &mut Noted::default())?;
    Ok(values.into_iter().next().expect("one type, one value"))
}

fn list(ty: Type) -> Type {
    Type::List(Box::new(ty))
}

/// A value as text, so that two can be compared; resources by their numbers.
fn shown(value: &Value) -> String {
    match value {
        Value::Own(resource) | Value::Borrow(resource) => format!("{:?}", resource.get::<u64>()),
        Value::F32(value) => format!("{:x}", value.to_bits()),
        Value::F64(value) => format!("{:x}", value.to_bits()),
        Value::List(values) | Value::Tuple(values) | Value::Record(values) => {
            format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(","))
        }
        Value::Option(Some(value)) => format!("some({})", shown(value)),
        Value::Result(Ok(Some(value))) => format!("ok({})", shown(value)),
        Value::Result(Err(Some(value))) => format!("err({})", shown(value)),
        Value::Variant(place, Some(value)) => format!("{place}({})", shown(value)),
        Value::Map(pairs) => {
            pairs.iter().map(|(k, v)| format!("{}:{},", shown(k), shown(v))).collect::<String>()
        }
        value => format!("{value:?}"),
    }
}

#[test]
fn every_kind_has_the_bytes_that_it_should_have() {
    let cases: Vec<(Type, Value, &[u8])> = vec![
        (Type::Bool, true.into(), &[1]),
        (Type::U8, Value::U8(200), &[200]),
        (Type::S8, Value::S8(-1), &[255]),
        (Type::U16, Value::U16(200), &[0xc8, 1]),
        (Type::U32, Value::U32(624_485), &[0xe5, 0x8e, 0x26]),
        (Type::U64, Value::U64(u64::MAX), &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        (Type::S16, Value::S16(-64), &[0x40]),
        (Type::S32, Value::S32(64), &[0xc0, 0]),
        (Type::S64, Value::S64(i64::MIN), &[128, 128, 128, 128, 128, 128, 128, 128, 128, 0x7f]),
        (Type::F32, Value::F32(1.0), &[0, 0, 0x80, 0x3f]),
        (Type::F64, Value::F64(-2.0), &[0, 0, 0, 0, 0, 0, 0, 0xc0]),
        (Type::Char, Value::Char('é'), &[0xc3, 0xa9]),
        (Type::String, "hé".into(), &[3, b'h', 0xc3, 0xa9]),
        (list(Type::U8), Value::bytes(vec![1, 2]), &[2, 1, 2]),
        (list(Type::Bool), Value::List(vec![true.into(), false.into()]), &[2, 1, 0]),
        (Type::FixedList(Box::new(Type::U16), 2), Value::List(vec![Value::U16(1), Value::U16(2)]), &[1, 2]),
        (Type::Option(Box::new(Type::U8)), Value::none(), &[0]),
        (Type::Option(Box::new(Type::U8)), Value::some(Value::U8(7)), &[1, 7]),
        (Type::Result(None, Some(Box::new(Type::String))), Value::unit(), &[0]),
        (Type::Result(None, Some(Box::new(Type::String))), Value::err("x".into()), &[1, 1, b'x']),
        (
            Type::Variant(vec![("a".into(), None), ("b".into(), Some(Type::U8))]),
            Value::case(1, Value::U8(3)),
            &[1, 3],
        ),
        (Type::Enum(vec!["a".into(), "b".into()]), Value::Enum(1), &[1]),
        (Type::Flags((0..9).map(|n| n.to_string()).collect()), Value::Flags(vec![0b1_0000_0010]), &[2, 1]),
        (Type::Tuple(vec![Type::U8, Type::Bool]), Value::Tuple(vec![Value::U8(9), true.into()]), &[9, 1]),
        (
            Type::Map(Box::new(Type::String), Box::new(Type::U8)),
            Value::Map(vec![("k".into(), Value::U8(1))]),
            &[1, 1, b'k', 1],
        ),
        (Type::Own("a:b/c.d".into()), Value::Own(Resource::new(5_u64)), &[8, 5, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (ty, value, bytes) in cases {
        let text = shown(&value);
        assert_eq!(put(&ty, value).expect("it is of its type"), bytes, "{ty}");
        assert_eq!(shown(&get(&ty, bytes).expect("it is of its type")), text, "{ty}");
    }
}

#[test]
fn streams_are_named_by_their_places() {
    let input = || Value::Input(Input::new(Box::pin(futures::stream::empty())));
    let stream = || Value::Stream(Input::new(Box::pin(futures::stream::empty())));
    let ty = [
        Type::U8,
        Type::Record(vec![
            ("a".into(), Type::Stream(Some(Box::new(Type::U8)))),
            ("b".into(), Type::Option(Box::new(Type::Own(INPUT.into())))),
            ("c".into(), Type::Future(Some(Box::new(Type::U8)))),
            ("d".into(), Type::Stream(Some(Box::new(Type::String)))),
        ]),
    ];
    let later = || Value::Later(Later::new(async { Ok(Value::U8(7)) }));
    let items = || Value::Items(Items::new(Box::pin(futures::stream::empty())));
    let values = [Value::U8(1), Value::Record(vec![stream(), Value::some(input()), later(), items()])];
    let mut noted = Noted::default();
    let bytes = encode(values, &ty, &mut noted).expect("it is of its type");
    assert_eq!(bytes, [1, 0, 1, 0, 0, 0]);
    assert_eq!(noted.streams, [vec![1, 0], vec![1, 1], vec![1, 2], vec![1, 3]]);
    let mut read = Noted::default();
    decode(&bytes.into(), &ty, &mut read).expect("it is of its type");
    assert_eq!(read.streams, noted.streams);
    assert_eq!(
        put(&Type::Own(OUTPUT.into()), Value::Output(Output(futures::channel::mpsc::channel(1).0)))
            .expect("carried"),
        [0][..]
    );
}

#[test]
fn what_cannot_be_carried_names_its_type() {
    let stream = || Value::Stream(Input::new(Box::pin(futures::stream::empty())));
    for ty in [Type::Stream(None), Type::Future(None), Type::ErrorContext, Type::Borrow(INPUT.into())] {
        for error in [put(&ty, stream()).expect_err("not carried"), get(&ty, &[0]).expect_err("not carried")]
        {
            let error = Problem::from(&error);
            if !matches!(ty, Type::Borrow(_)) || error.code == guest::NOT_CARRIED {
                assert_eq!(error.code, guest::NOT_CARRIED, "{ty}");
                assert!(error.message.contains(&ty.to_string()), "{}", error.message);
            }
        }
    }
}

#[test]
fn what_is_broken_is_refused_and_what_is_short_may_go_on() {
    use Type as T;
    let broken = |ty: Type, bytes: &[u8]| {
        let error = get(&ty, bytes).expect_err("broken");
        assert!(
            matches!(error, CodecError::Broken { .. } | CodecError::Limit { .. }),
            "{ty} {bytes:?}: {error:?}"
        );
    };
    broken(T::Bool, &[2]);
    broken(T::U16, &[0x80, 0x80, 0x04]);
    broken(T::U16, &[0x80, 0x80, 0x80, 0]);
    broken(T::U32, &[0xff, 0xff, 0xff, 0xff, 0x1f]);
    broken(T::U64, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]);
    broken(T::S16, &[0x80, 0x80, 0x02]);
    broken(T::S64, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]);
    broken(T::Char, &[0xff, 0, 0, 0]);
    broken(T::Char, &[0xed, 0xa0, 0x80]);
    broken(T::String, &[1, 0xff]);
    broken(T::Enum(vec!["a".into()]), &[1]);
    broken(T::Flags(vec!["a".into()]), &[2]);
    broken(T::U8, &[1, 2]);
    broken(T::String, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    // Four thousand million empty tuples in five bytes.
    broken(list(T::Tuple(Vec::new())), &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    broken(list(T::Tuple(Vec::new())), &[0xff, 0xff, 0xff, 0x0f]);
    broken(T::FixedList(Box::new(T::Tuple(Vec::new())), u32::MAX), &[]);
    for (ty, bytes) in
        [(T::String, &[3, b'a'][..]), (T::U32, &[0x80]), (T::F64, &[0; 7]), (list(T::U8), &[9])]
    {
        assert!(matches!(get(&ty, bytes), Err(CodecError::Incomplete)), "{ty}");
    }
}

#[test]
fn limits_are_named() {
    let mut deep = Type::U8;
    let mut value = Value::U8(0);
    for _ in 0..=DEPTH_MAX {
        deep = Type::Option(Box::new(deep));
        value = Value::some(value);
    }
    assert!(matches!(put(&deep, value), Err(CodecError::Limit { max: DEPTH_MAX, .. })));
    assert!(matches!(get(&deep, &[1; 200]), Err(CodecError::Limit { max: DEPTH_MAX, .. })));
    let many = vec![1; VALUES_MAX + 10];
    let count = [&[0x80 | 0x4a, 0x80 | 0x04, 0x3d][..], &many].concat();
    assert!(matches!(get(&list(Type::Bool), &count), Err(CodecError::Limit { max: VALUES_MAX, .. })));
    let streams = Type::List(Box::new(Type::Stream(Some(Box::new(Type::U8)))));
    let bytes = [&[65][..], &[0; 65]].concat();
    assert!(matches!(get(&streams, &bytes), Err(CodecError::Limit { max: STREAMS_MAX, .. })));
}

#[test]
fn a_value_of_another_type_is_a_mismatch() {
    for (ty, value) in [
        (Type::U8, Value::U16(1)),
        (Type::String, Value::bytes(vec![1])),
        (list(Type::U8), Value::List(vec![Value::U8(1)])),
        (Type::Enum(vec!["a".into()]), Value::Enum(1)),
        (Type::Flags(vec!["a".into()]), Value::Flags(vec![2])),
        (Type::Tuple(vec![Type::U8]), Value::Tuple(Vec::new())),
        (Type::Result(None, None), Value::ok(Value::U8(1))),
        (Type::Own("a".into()), Value::Borrow(Resource::new(1_u64))),
    ] {
        let error = put(&ty, value).expect_err("another type");
        assert_eq!(error.code(), guest::CONTRACT_MISMATCH, "{ty}");
    }
}

/// A type, and values of it.
fn types() -> impl Strategy<Value = Type> {
    let plain = prop::sample::select(vec![
        Type::Bool,
        Type::U8,
        Type::S8,
        Type::U16,
        Type::S16,
        Type::U32,
        Type::S32,
        Type::U64,
        Type::S64,
        Type::F32,
        Type::F64,
        Type::Char,
        Type::String,
        list(Type::U8),
        Type::Own("a:b/c.r".into()),
        Type::Borrow("a:b/c.r".into()),
        Type::Enum((0..300).map(|n| n.to_string()).collect()),
        Type::Flags((0..40).map(|n| n.to_string()).collect()),
    ]);
    plain.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(Type::List),
            boxed.clone().prop_map(Type::Option),
            (boxed.clone(), 0_u32..4).prop_map(|(ty, len)| Type::FixedList(ty, len)),
            (boxed.clone(), boxed.clone()).prop_map(|(k, v)| Type::Map(k, v)),
            (prop::option::of(boxed.clone()), prop::option::of(boxed)).prop_map(|(o, e)| Type::Result(o, e)),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|tys| Type::Record(tys.into_iter().map(|ty| ("f".to_string(), ty)).collect())),
            prop::collection::vec(prop::option::of(inner), 1..4)
                .prop_map(|tys| Type::Variant(tys.into_iter().map(|ty| ("c".to_string(), ty)).collect())),
        ]
    })
}

/// A value of the type, made of the numbers.
fn value_of(ty: &Type, numbers: &mut dyn FnMut() -> u64) -> Value {
    let n = numbers();
    let text = |n: u64| char::from_u32((n % 0x500) as u32 + 1).unwrap_or('x').to_string();
    let few = n as usize % 4;
    match ty {
        Type::Bool => (n.is_multiple_of(2)).into(),
        Type::U8 => Value::U8(n as u8),
        Type::S8 => Value::S8(n as i8),
        Type::U16 => Value::U16(n as u16),
        Type::S16 => Value::S16(n as i16),
        Type::U32 => Value::U32(n as u32),
        Type::S32 => Value::S32(n as i32),
        Type::U64 => Value::U64(n),
        Type::S64 => Value::S64(n as i64),
        Type::F32 => Value::F32(f32::from_bits(n as u32)),
        Type::F64 => Value::F64(f64::from_bits(n)),
        Type::Char => Value::Char(char::from_u32((n % 0x11_0000) as u32).unwrap_or('?')),
        Type::String => Value::String(text(n).repeat(few)),
        Type::List(t) | Type::FixedList(t, _) if matches!((ty, &**t), (Type::List(_), Type::U8)) => {
            Value::bytes(vec![n as u8; few])
        }
        Type::List(t) => Value::List((0..few).map(|_| value_of(t, numbers)).collect()),
        Type::FixedList(t, len) => Value::List((0..*len).map(|_| value_of(t, numbers)).collect()),
        Type::Map(k, v) => {
            Value::Map((0..few).map(|_| (value_of(k, numbers), value_of(v, numbers))).collect())
        }
        Type::Option(_) if n.is_multiple_of(2) => Value::none(),
        Type::Option(t) => Value::some(value_of(t, numbers)),
        Type::Result(ok, err) => {
            let payload = |t: &Option<Box<Type>>, numbers: &mut dyn FnMut() -> u64| {
                t.as_ref().map(|t| Box::new(value_of(t, numbers)))
            };
            Value::Result(if n.is_multiple_of(2) {
                Ok(payload(ok, numbers))
            } else {
                Err(payload(err, numbers))
            })
        }
        Type::Tuple(types) => Value::Tuple(types.iter().map(|t| value_of(t, numbers)).collect()),
        Type::Record(fields) => Value::Record(fields.iter().map(|(_, t)| value_of(t, numbers)).collect()),
        Type::Variant(cases) => {
            let place = n as usize % cases.len();
            Value::Variant(place as u32, cases[place].1.as_ref().map(|t| Box::new(value_of(t, numbers))))
        }
        Type::Enum(names) => Value::Enum((n % names.len() as u64) as u32),
        Type::Flags(_) => Value::Flags(vec![n as u32, (n >> 32) as u32 & 0xff]),
        Type::Own(_) => Value::Own(Resource::new(n)),
        Type::Borrow(_) => Value::Borrow(Resource::new(n)),
        Type::ErrorContext | Type::Stream(_) | Type::Future(_) => unreachable!("not among the types"),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(types in prop::collection::vec(types(), 0..4), seed in prop::collection::vec(any::<u64>(), 1..40)) {
        let mut next = seed.iter().copied().cycle();
        let values: Vec<Value> = types.iter().map(|ty| value_of(ty, &mut || next.next().unwrap_or(0))).collect();
        let before: Vec<String> = values.iter().map(shown).collect();
        let bytes = Bytes::from(encode(values, &types, &mut Noted::default()).expect("of their types"));
        let after = decode(&bytes, &types, &mut Noted::default()).expect("what was written");
        prop_assert_eq!(before, after.iter().map(shown).collect::<Vec<_>>());
        // Cut anywhere, it is never taken for whole.
        for end in 0..bytes.len() {
            prop_assert!(decode(&bytes.slice(..end), &types, &mut Noted::default()).is_err());
        }
    }

    #[test]
    fn rubbish_is_refused_and_never_a_panic(types in prop::collection::vec(types(), 0..4), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes.into(), &types, &mut Noted::default());
    }
}
