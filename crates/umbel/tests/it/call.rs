//! Functions called by hand, what there is to call, and why links work.

use crate::umbel;
use umbel_testkit::platform::{Ran, many};
use umbel_testkit::{Platform, example, guest};

/// A component with a function of every fate.
const MATH: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 64) "no")
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "trap") unreachable)
        (func (export "spin") (loop br 0))
        (func (export "fail") (result i32)
            (i32.store8 (i32.const 16) (i32.const 1))
            (i32.store (i32.const 20) (i32.const 64))
            (i32.store (i32.const 24) (i32.const 2))
            (i32.const 16))
        (func (export "flip") (param i32 i32) (result i32)
            (i32.store (i32.const 32) (local.get 0))
            (i32.store8 (i32.const 36) (i32.eqz (local.get 1)))
            (i32.const 32)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (func $add (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
    (func $trap (canon lift (core func $i "trap")))
    (func $spin (canon lift (core func $i "spin")))
    (func $fail (result (result u32 (error string))) (canon lift (core func $i "fail") (memory $memory)))
    (func $flip (param "pair" (tuple s32 bool)) (result (tuple s32 bool))
        (canon lift (core func $i "flip") (memory $memory)))
    (instance $math (export "add" (func $add)) (export "trap" (func $trap)) (export "spin" (func $spin))
        (export "fail" (func $fail)) (export "flip" (func $flip)))
    (instance $more (export "add" (func $add)))
    (export "acme:demo/math@1.2.0" (instance $math))
    (export "acme:demo/more@0.1.0" (instance $more)))"#;

/// A platform that runs it as `calls-c0`.
fn with_math() -> Platform {
    let platform = Platform::up(umbel()).unwrap();
    let file = platform.folder().join("math.wasm");
    std::fs::write(&file, wat::parse_str(MATH).unwrap()).unwrap();
    platform.deploy(&many("calls", 1, &file)).unwrap();
    platform
}

#[track_caller]
fn fails(ran: &Ran, code: i32, wanted: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "`{wanted}` in\n{}", ran.stderr);
    }
}

#[test]
fn a_function_is_called_by_hand_and_its_result_printed() {
    let platform = with_math();
    let call = |words: &[&str]| platform.run(&[&["call", "calls-c0"], words].concat()).unwrap();
    for name in ["acme:demo/math@1.2.0.add", "acme:demo/math.add", "math.add", "math#add"] {
        let ran = call(&[name, "40", "2"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "42\n"), "{name}: {ran:?}");
    }
    assert_eq!(call(&["math.add", "-3", "--json", "1"]).stdout, "-2\n");
    assert_eq!(call(&["flip", "(7, false)"]).stdout, "(7, true)\n");
    assert_eq!(call(&["flip", "--json", "[7, true]"]).stdout, "(7, false)\n");
    let json = platform.json(&["call", "calls", "flip", "(7, false)"]).unwrap();
    assert_eq!((json["$type"].as_str(), &json["result"]), (Some("call/v1"), &serde_json::json!([7, true])));
    assert_eq!(json["function"], "acme:demo/math@1.2.0.flip");

    let ran = call(&["fail"]);
    assert_eq!(ran.stdout, "err(\"no\")\n", "the value is printed: {ran:?}");
    fails(&ran, 1, &["error[UM0584]"]);
}

#[test]
fn what_cannot_be_called_is_told() {
    let platform = with_math();
    platform.succeed(&["launch", example("hello").to_str().unwrap()]).unwrap();
    let call = |words: &[&str]| platform.run(&[&["call"], words].concat()).unwrap();
    fails(&call(&["calls-c0", "add", "1", "2"]), 4, &["UM0581", "acme:demo/math.add", "acme:demo/more.add"]);
    fails(&call(&["calls-c0", "sub"]), 3, &["UM0580", "acme:demo/math.flip: func(pair: tuple<s32, bool>)"]);
    fails(&call(&["calls-c0", "math.add", "1"]), 1, &["UM0582", "takes 2 arguments, and 1 were given"]);
    fails(&call(&["calls-c0", "math.add", "1", "x"]), 1, &["UM0582", "`b`", "`x` is no value", "`s32`"]);
    fails(&call(&["calls-c0", "math.add", "1", "--json", "{"]), 1, &["UM0582", "is no JSON"]);
    fails(&call(&["calls-c0", "trap"]), 1, &["UM0551"]);
    fails(&call(&["nobody", "trap"]), 3, &["UM1014"]);
    fails(&call(&["calls-c0", "spin", "--timeout", "300ms"]), 7, &["UM0552", "300 ms", "--timeout"]);
    fails(&call(&["hello", "handle"]), 1, &["UM0583", "`wasi:http/"]);
    // Nobody was hurt.
    assert_eq!(call(&["calls-c0", "math.add", "1", "2"]).stdout, "3\n");
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
}

#[test]
fn interfaces_are_printed_of_a_file_and_of_what_runs() {
    let platform = with_math();
    let of_file = platform.succeed(&["wit", "math.wasm"]).unwrap();
    assert!(of_file.contains("flip: func(pair: tuple<s32, bool>) -> tuple<s32, bool>;"), "{of_file}");
    assert_eq!(platform.succeed(&["wit", "calls-c0"]).unwrap(), of_file);
    let json = platform.json(&["wit", "calls-c0"]).unwrap();
    assert_eq!((json["$type"].as_str(), json["wit"].as_str()), (Some("wit/v1"), Some(of_file.as_str())));
    fails(&platform.run(&["wit", "nobody"]).unwrap(), 3, &["UM1014"]);
    std::fs::write(platform.folder().join("not.wasm"), b"\0asm\x0d\0\x01\0garbage").unwrap();
    fails(&platform.run(&["wit", "not.wasm"]).unwrap(), 1, &["error[UM04", "help:"]);
}

fn manifest() -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: pair}}
spec:
  components:
    - {{name: caller, type: component, properties: {{image: '{}'}}}}
    - {{name: greeter, type: component, properties: {{image: '{}'}}}}
    - {{name: kv, type: capability, properties: {{image: 'builtin:keyvalue'}}}}
",
        guest("custom-import").display(),
        guest("library").display(),
    )
}

#[test]
fn a_link_is_explained_and_what_mends_it_works() {
    let platform = Platform::up(umbel()).unwrap();
    platform.deploy(&manifest()).unwrap();
    let explain = || platform.json(&["link", "explain", "pair-caller", "acme:demo"]).unwrap();
    let missing = explain();
    let problem = &missing["links"][0]["problem"];
    assert_eq!(problem["code"], "UM0550", "{missing}");
    let help = problem["help"].as_str().unwrap().to_string();
    assert_eq!(help, "umbel link put pair-caller pair-greeter acme:demo/greeter");
    // The command that it names is all that is needed.
    let words: Vec<&str> = help.split(' ').skip(1).collect();
    platform.succeed(&words).unwrap();
    let linked = explain();
    let link = &linked["links"][0];
    assert_eq!((&link["works"], link["path"].as_str()), (&true.into(), Some("fresh-instance")), "{linked}");
    assert_eq!(
        (link["target"]["kind"].as_str(), link["target"]["distance"].as_str()),
        (Some("component"), Some("local"))
    );
    let shown = platform.succeed(&["link", "explain", "pair-caller"]).unwrap();
    assert!(
        shown.contains("default → pair-greeter (component, running") && shown.contains("fresh instance"),
        "{shown}"
    );
    let inspected = platform.succeed(&["inspect", "pair-caller"]).unwrap();
    assert!(inspected.contains("pair-greeter  works"), "{inspected}");
    let file = platform.succeed(&["inspect", guest("custom-import").to_str().unwrap()]).unwrap();
    assert!(file.contains("COULD BE SERVED BY") && file.contains("pair-greeter"), "{file}");
    fails(&platform.run(&["link", "explain", "nobody"]).unwrap(), 3, &["UM1014"]);
    fails(&platform.run(&["link", "explain", "pair-caller", "wasi:nothing"]).unwrap(), 3, &["UM1014"]);
}

#[test]
fn a_link_that_can_never_work_is_refused_and_one_that_may_is_warned_of() {
    let platform = Platform::up(umbel()).unwrap();
    platform.deploy(&manifest()).unwrap();
    let put = |words: &[&str]| platform.run(&[&["link", "put"], words].concat()).unwrap();
    // Somebody who exports another interface of that name.
    let other = MATH.replace("acme:demo/math@1.2.0", "acme:demo/greeter@1.0.0");
    let other = other.replace("(instance $math (export \"add\"", "(instance $math (export \"greet\"");
    std::fs::write(platform.folder().join("other.wasm"), wat::parse_str(other).unwrap()).unwrap();
    platform.deploy(&many("other", 1, &platform.folder().join("other.wasm"))).unwrap();
    fails(
        &put(&["pair-caller", "other-c0", "acme:demo/greeter"]),
        1,
        &["UM0570", "greet", "func(name: string) -> string", "func(a: s32, b: s32) -> s32", "pair-greeter"],
    );
    fails(&put(&["pair-caller", "pair-kv", "acme:demo/greeter"]), 1, &["UM0570", "builtin:keyvalue"]);
    fails(&put(&["pair-kv", "pair-kv", "acme:demo/greeter"]), 1, &["UM0586"]);
    assert!(platform.json(&["link", "list"]).unwrap()["items"].as_array().unwrap().is_empty());
    for (words, warning) in [
        (["pair-caller", "later", "acme:demo/greeter"], "nothing runs with the id `later` yet"),
        (
            ["pair-greeter", "pair-kv", "wasi:keyvalue/store"],
            "pair-greeter imports nothing of `wasi:keyvalue/store`",
        ),
    ] {
        let ran = put(&words);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains(warning), "{ran:?}");
    }
    let explained = platform.json(&["link", "explain", "pair-caller"]).unwrap();
    assert_eq!(explained["links"][0]["target"]["kind"], "unknown", "{explained}");
}
