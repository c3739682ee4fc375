use super::*;

fn interface(name: &str, function: Function) -> Interface {
    Interface { functions: [(name.to_string(), function)].into(), resources: Vec::new() }
}

fn function(params: Vec<(&str, Type)>, result: Option<Type>) -> Function {
    let params = params.into_iter().map(|(n, t)| (n.to_string(), t)).collect();
    Function { is_async: false, params, result }
}

fn record(fields: Vec<(&str, Type)>) -> Type {
    Type::Record(fields.into_iter().map(|(n, t)| (n.to_string(), t)).collect())
}

#[test]
fn a_server_may_have_more() {
    let import = interface("get", function(vec![("key", Type::String)], Some(Type::U8)));
    let mut server = import.clone();
    server.functions.insert("put".into(), function(vec![], None));
    // The name of a parameter does not matter.
    server.functions.get_mut("get").expect("it was put in").params[0].0 = "k".into();
    assert_eq!(import.served_by(&server), Ok(()));
    let mismatch = server.served_by(&import).expect_err("`put` is missing");
    assert_eq!(mismatch.to_string(), "put: the importer has `func()`, the server has `nothing`");
}

#[test]
fn a_mismatch_names_the_smallest_part_that_differs() {
    let deep = |size| {
        let item = record(vec![("name", Type::String), ("size", size)]);
        let ok = Type::List(Box::new(item));
        interface("list", function(vec![], Some(Type::Result(Some(Box::new(ok)), None))))
    };
    let mismatch = deep(Type::U32).served_by(&deep(Type::U64)).expect_err("sizes differ");
    assert_eq!(mismatch.at, "list: result: ok: element: field size");
    assert_eq!((mismatch.wanted.as_str(), mismatch.found.as_str()), ("u32", "u64"));
}

#[test]
fn whole_types_are_shown_where_their_shapes_differ() {
    let a = interface("f", function(vec![("x", record(vec![("a", Type::U8)]))], None));
    let b = interface("f", function(vec![("x", record(vec![("b", Type::U8)]))], None));
    let mismatch = a.served_by(&b).expect_err("fields differ");
    let text = mismatch.to_string();
    assert_eq!(
        text,
        "f: parameter x: the importer has `record { a: u8 }`, the server has `record { b: u8 }`"
    );
    let none = interface("f", function(vec![], None));
    let some = interface("f", function(vec![], Some(Type::Bool)));
    let text = none.served_by(&some).expect_err("results differ").to_string();
    assert_eq!(text, "f: result: the importer has `_`, the server has `bool`");
}

#[test]
fn types_are_shown_as_wit() {
    let cases = Type::Variant(vec![("a".into(), None), ("b".into(), Some(Type::Char))]);
    let ty = Type::Result(None, Some(Box::new(cases)));
    let function = function(vec![("h", Type::Borrow("bucket".into()))], Some(ty));
    assert_eq!(function.to_string(), "func(h: borrow<bucket>) -> result<_, variant { a, b(char) }>");
}

#[test]
fn a_function_takes_values_of_its_types_and_no_others() {
    let set = Function {
        is_async: false,
        params: vec![
            ("self".into(), Type::Borrow("bucket".into())),
            (
                "items".into(),
                Type::List(Box::new(Type::Tuple(vec![Type::String, Type::List(Box::new(Type::U8))]))),
            ),
            ("mode".into(), Type::Variant(vec![("keep".into(), None), ("for".into(), Some(Type::U32))])),
        ],
        result: None,
    };
    let bucket = || Value::Borrow(crate::Resource::new(1));
    let item = || Value::Tuple(vec!["key".into(), Value::bytes("value")]);
    for (args, fits) in [
        (vec![bucket(), Value::List(vec![item(), item()]), Value::case(1, 7_u32.into())], true),
        (vec![bucket(), Value::List(vec![]), Value::Variant(0, None)], true),
        (vec![bucket(), Value::List(vec![])], false),
        (vec!["bucket".into(), Value::List(vec![]), Value::Variant(0, None)], false),
        (vec![bucket(), Value::List(vec![item(), "x".into()]), Value::Variant(0, None)], false),
        (vec![bucket(), Value::bytes("ab"), Value::Variant(0, None)], false),
        (vec![bucket(), Value::List(vec![]), Value::case(0, 7_u32.into())], false),
        (vec![bucket(), Value::List(vec![]), Value::Variant(1, None)], false),
        (vec![bucket(), Value::List(vec![]), Value::Variant(2, None)], false),
    ] {
        assert_eq!(set.takes(&args), fits, "{args:?}");
    }
}
