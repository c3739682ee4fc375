//! Bad manifests and the exact words for them. `UMBEL_BLESS=1 cargo test` writes the golden file anew.

use super::{BASE, rendered};
use crate::{NODES_MAX, TEXT_BYTES_MAX, parse};
use std::fmt::Write as _;
use umbel_core::code::manifest;

/// A case: its name, and what is replaced in the base by what. Without the first text the second is the whole manifest.
type Case = (&'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    ("empty", "", ""),
    ("only a comment", "", "# nothing\n"),
    ("a scalar", "", "hello\n"),
    ("a list", "", "- a\n- b\n"),
    ("json that ends", "", "{\"apiVersion\": \"core.oam.dev/v1beta1\","),
    ("json list", "", "[1, 2]"),
    ("bad indentation", "  name: hello\n  ann", "   name: hello\n  ann"),
    ("unclosed quote", "name: hello\n  ann", "name: \"hello\n  ann"),
    ("tab as indentation", "  annotations:\n    version: v1", "  annotations:\n\tversion: v1"),
    ("unclosed bracket", "[incoming-handler]", "[incoming-handler"),
    ("undefined alias", "text: hi", "text: *nobody"),
    ("alias of itself", "properties: {text: hi}", "properties: &p {text: *p}"),
    ("two documents", "spec:", "---\nspec:"),
    ("tag", "text: hi", "text: !secret hi"),
    ("binary tag", "text: hi", "text: !!binary aGk="),
    ("merge key", "properties: {text: hi}", "<<: {properties: {text: hi}}"),
    ("complex key", "{text: hi}", "{[a, b]: hi}"),
    ("null key", "{text: hi}", "{~: hi}"),
    ("duplicate key", "kind: Application", "kind: Application\nkind: Application"),
    ("duplicate key deep", "{text: hi}", "{text: hi, text: ho}"),
    ("other apiVersion", "core.oam.dev/v1beta1", "core.oam.dev/v1alpha2"),
    ("other kind", "kind: Application", "kind: Deployment"),
    ("no apiVersion", "apiVersion: core.oam.dev/v1beta1\n", ""),
    ("no kind", "kind: Application\n", ""),
    ("no metadata", "metadata:\n  name: hello\n  annotations:\n    version: v1\n", ""),
    ("no name", "  name: hello\n  ann", "  ann"),
    ("no spec", "", "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: hello}\n"),
    (
        "empty spec",
        "",
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: a}\nspec: {}\n",
    ),
    (
        "no parts",
        "",
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: a}\nspec: {components: []}\n",
    ),
    ("unknown field at the top", "kind: Application", "kind: Application\nspeck: {}"),
    ("unknown field in metadata", "  annotations:", "  anotations:"),
    ("misspelt image", "image: ./hello.wasm", "imgae: ./hello.wasm"),
    ("unknown property", "image: ./hello.wasm", "image: ./hello.wasm\n        zzz: 1"),
    ("limits of a provider", "image: builtin:http-server", "image: builtin:http-server\n        limits: {}"),
    ("grants of a provider", "image: builtin:http-server", "image: builtin:http-server\n        grants: {}"),
    ("misspelt grant", "image: ./hello.wasm", "image: ./hello.wasm\n        grants: {folder: []}"),
    (
        "grants that are none",
        "image: ./hello.wasm",
        "image: ./hello.wasm\n        grants: {env: {'a=b': c}, args: [1], folders: [{at: /x}, {path: x, access: rw}], connect: [db, '::1:80'], listen: ['0.0.0.0/33:80']}",
    ),
    (
        "isolation of another kind",
        "image: builtin:http-server",
        "image: builtin:http-server\n        isolation: vm",
    ),
    (
        "limits that a process has not",
        "image: builtin:http-server",
        "image: builtin:keyvalue\n        isolation: process\n        limits: {memory: 64MiB, pids: 9, call_time: 5s, waiting: 1}",
    ),
    (
        "a sandbox in the host",
        "image: builtin:http-server",
        "image: builtin:http-server\n        sandbox: strict",
    ),
    ("a sandbox of another kind", "image: builtin:http-server", "image: ./kv.par.gz\n        sandbox: tight"),
    ("pids of a component", "memory: 64MiB", "memory: 64MiB, pids: 5"),
    ("restart of another kind", "image: ./hello.wasm", "image: ./hello.wasm\n        restart: sometimes"),
    ("misspelt trait field", "instances: 5", "instance: 5"),
    ("misspelt link field", "package: http", "pakage: http"),
    ("upper-case application", "name: hello\n  ann", "name: Hello\n  ann"),
    ("number as a name", "name: hello\n  ann", "name: 5\n  ann"),
    ("part name with a blank", "- name: http", "- name: my http"),
    ("config name", "name: greeting", "name: -greeting"),
    ("version annotation is a number", "version: v1", "version: 1.0"),
    ("version annotation has a blank", "version: v1", "version: v 1"),
    ("version is latest", "version: v1", "version: latest"),
    ("config value is a number", "text: hi", "text: 404"),
    ("config value is a boolean", "text: hi", "text: true"),
    ("config value is empty", "text: hi", "text:"),
    ("config value is a list", "text: hi", "text: [hi]"),
    ("config is a mapping", "config:\n          - name", "config:\n            name"),
    ("requirements are numbers", "region: east", "region: 1"),
    ("image is a number", "image: ./hello.wasm", "image: 5"),
    ("image is empty", "image: ./hello.wasm", "image: ''"),
    ("no image", "image: ./hello.wasm\n", "id: hello\n"),
    (
        "image and application",
        "image: ./hello.wasm",
        "image: ./a.wasm\n        application: {name: b, component: c}",
    ),
    ("shared part with config", "image: ./hello.wasm", "application: {name: other, component: c}"),
    ("bad id", "image: ./hello.wasm", "image: ./hello.wasm\n        id: 'a b'"),
    ("unknown type", "type: capability", "type: provider"),
    ("misspelt type", "type: capability", "type: capabilty"),
    ("unknown trait", "type: spreadscaler", "type: autoscaler"),
    ("misspelt trait", "type: spreadscaler", "type: spreadscalar"),
    ("trait without properties", "type: link\n          properties:", "type: link\n          property:"),
    (
        "two scalers",
        "        - type: link",
        "        - {type: daemonscaler, properties: {instances: 1}}\n        - {type: spreadscaler, properties: {instances: 1}}\n        - type: link",
    ),
    ("negative instances", "instances: 5", "instances: -1"),
    ("fractional instances", "instances: 5", "instances: 1.5"),
    ("instances as text", "instances: 5", "instances: '5'"),
    ("too many instances", "instances: 5", "instances: 4294967296"),
    ("instances and replicas", "instances: 5", "instances: 5\n            replicas: 5"),
    ("bad memory unit", "memory: 64MiB", "memory: 64XB"),
    ("memory without number", "memory: 64MiB", "memory: lots"),
    ("memory fraction", "memory: 64MiB", "memory: 1.5GiB"),
    ("memory too small", "memory: 64MiB", "memory: 1KiB"),
    ("memory overflow", "memory: 64MiB", "memory: 99999999999GiB"),
    ("memory is a list", "memory: 64MiB", "memory: [64]"),
    ("duration without unit", "call_time: 5s", "call_time: 5"),
    ("duration in years", "call_time: 5s", "call_time: 5y"),
    ("cpu without percent", "call_time: 5s", "cpu: 50"),
    ("rate without second", "call_time: 5s", "log_rate: 64KiB"),
    ("outbound address", "call_time: 5s", "outbound_hosts: ['https://api.example.com/v1']"),
    ("outbound rubbish", "call_time: 5s", "outbound_hosts: ['a b', '*.*', 'a:0']"),
    ("instance mode", "limits:", "instance: often\n        limits:"),
    ("unknown target", "target: {name: hello}", "target: {name: helo}"),
    ("unknown legacy target", "target: {name: hello}", "target: nobody-of-that-name"),
    ("no target", "            target: {name: hello}\n", ""),
    (
        "both link forms",
        "target: {name: hello}",
        "target: {name: hello}\n            target_config: []\n            source: {}\n            source_config: []",
    ),
    ("versioned interface", "[incoming-handler]", "['wasi:http/incoming-handler@0.2.0']"),
    ("no interfaces", "[incoming-handler]", "[]"),
    ("interfaces as text", "[incoming-handler]", "incoming-handler"),
    ("bad distance", "package: http", "package: http\n            distance: far"),
    ("two parts of one name", "- name: http", "- name: hello"),
    (
        "two parts of one id",
        "- name: http",
        "- name: x1\n      type: component\n      properties: {image: a, id: x}\n    - name: x2\n      type: component\n      properties: {image: a, id: x}\n    - name: http",
    ),
    (
        "conflicting configs",
        "image: builtin:http-server",
        "image: builtin:http-server\n        config: [{name: greeting, properties: {text: ho}}]",
    ),
    (
        "two links alike",
        "        - type: link",
        "        - type: link\n          properties: {namespace: wasi, package: http, interfaces: [x], target: hello}\n        - type: link",
    ),
    ("undeclared policy", "policy: vault", "policy: valt"),
    ("secret without key", "{policy: vault, key: path/token}", "{policy: vault}"),
    ("policy without type", "      type: policy.secret.wasmcloud.dev/v1alpha1\n", ""),
    (
        "two spreads alike",
        "requirements: {region: east}",
        "requirements: {region: east}\n              - {name: east}",
    ),
    (
        "many at once",
        "image: ./hello.wasm\n        config:\n          - name: greeting\n            properties: {text: hi}",
        "imag: ./hello.wasm\n        config:\n          - nam: greeting\n            properties: {text: 7, more: true}",
    ),
];

fn text_of((name, from, to): &Case) -> String {
    if from.is_empty() {
        return (*to).to_owned();
    }
    assert!(BASE.contains(from), "the base has nothing to replace for `{name}`");
    BASE.replacen(from, to, 1)
}

#[test]
fn every_bad_manifest_has_its_words() {
    let mut out = String::new();
    for case in CASES {
        let problems = parse("app.yaml", text_of(case).as_bytes()).expect_err(case.0);
        assert!(!problems.is_empty(), "{}", case.0);
        writeln!(out, "=== {}\n{}", case.0, rendered(&problems)).unwrap();
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/bad.golden");
    if std::env::var_os("UMBEL_BLESS").is_some() {
        std::fs::write(golden, &out).unwrap();
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    assert!(out == expected, "{}", first_difference(&expected, &out));
    assert!(CASES.len() >= 60);
}

fn first_difference(expected: &str, found: &str) -> String {
    let mut section = "";
    let mut expected = expected.lines();
    for line in found.lines() {
        if line.starts_with("===") {
            section = line;
        }
        let wanted = expected.next().unwrap_or("(nothing)");
        if wanted != line {
            return format!("in `{section}`\n  expected: {wanted}\n  found:    {line}");
        }
    }
    "something is left over".to_owned()
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let check = |name: &str, bytes: &[u8], place: &str, code| {
        let problems = parse("f", bytes).expect_err(name);
        assert_eq!(problems.len(), 1, "{name}");
        assert_eq!(problems[0].code, code, "{name}");
        assert_eq!(problems[0].span.as_ref().unwrap().to_string(), place, "{name}");
    };
    check("invalid utf-8", b"kind: A\nx: \xFF\n", "f:2:4", manifest::NOT_TEXT);
    check("nul", b"kind: A\n\n  \0", "f:3:3", manifest::NOT_TEXT);
    check("escape", b"kind: \x1b[31m", "f:1:7", manifest::NOT_TEXT);
    check("utf-16", b"\xFF\xFEk\0", "f:1:1", manifest::NOT_TEXT);
    check("bom inside", "kind: A\u{FEFF}".as_bytes(), "f:1:8", manifest::NOT_TEXT);
    check("wasm", b"\0asm\x0d\0\x01\0", "f:1:1", manifest::NOT_TEXT);
}

#[test]
fn a_hundred_megabytes_are_refused_at_once() {
    let started = std::time::Instant::now();
    let text = vec![b'a'; 100 << 20];
    let allocated = started.elapsed();
    let problems = parse("f", &text).unwrap_err();
    assert_eq!(problems[0].code, manifest::TOO_LARGE);
    assert!(started.elapsed() - allocated < std::time::Duration::from_millis(100));
    let mut largest = BASE.as_bytes().to_vec();
    largest.resize(TEXT_BYTES_MAX, b'\n');
    assert!(parse("f", &largest).is_ok());
    largest.push(b'\n');
    assert!(parse("f", &largest).is_err());
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let copies = format!("*a{}, ", i - 1).repeat(10);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", copies.trim_end_matches(", ")));
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(1_000));
    let wide = format!("a: [{}]\n", "1,".repeat(NODES_MAX + 1));
    for text in [bomb, long, wide] {
        let problems = parse("f", text.as_bytes()).unwrap_err();
        assert_eq!(problems.last().unwrap().code, manifest::TOO_MANY_NODES, "{}", rendered(&problems));
    }
}

#[test]
fn nesting_has_a_limit() {
    let deep_flow = "[".repeat(200_000);
    let deep_block: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let by_alias = "a: &a [[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]\nb: &b [[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]\n";
    for text in [deep_flow.as_str(), &deep_block, by_alias] {
        let problems = parse("f", text.as_bytes()).unwrap_err();
        assert_eq!(problems.last().unwrap().code, manifest::TOO_DEEP, "{}", rendered(&problems));
    }
}

#[test]
fn the_list_of_problems_has_an_end() {
    let fields: String = (0..5_000).map(|i| format!("f{i}: 1\n")).collect();
    let problems = parse("f", format!("{BASE}{fields}").as_bytes()).unwrap_err();
    assert_eq!(problems.len(), crate::PROBLEMS_MAX + 1);
    assert_eq!(problems.last().unwrap().code, manifest::TOO_MANY_PROBLEMS);
}

#[test]
fn a_megabyte_of_anything_takes_bounded_time() {
    let patterns = [
        "- ",
        "? ",
        "a: ",
        "[",
        "[a, ",
        "{a: ",
        "\"",
        "&a ",
        "*a ",
        "!t ",
        "# ",
        "|\n",
        ">\n ",
        "-\n",
        "a\n",
        "a: b\n",
        "%TAG ! x\n",
        "---\n",
        "\n",
        " ",
        "\t",
        "\\",
        "\"\\u0041",
        "[a]: ",
        "? [a]\n",
        "&a [*a]\n",
        ": ",
        "é",
    ];
    for (pattern, prefix) in patterns.iter().flat_map(|pattern| [(pattern, ""), (pattern, "{\"a\": [")]) {
        let mut text = format!("{prefix}{}", pattern.repeat(TEXT_BYTES_MAX / pattern.len())).into_bytes();
        text.truncate(TEXT_BYTES_MAX);
        let started = std::time::Instant::now();
        let _ = parse("f", &text);
        let took = started.elapsed();
        assert!(
            took < std::time::Duration::from_secs(10),
            "{prefix:?} {pattern:?} took {took:?}, unoptimised"
        );
    }
}
