use super::metadata::Metadata;
use super::*;
use std::collections::BTreeSet;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
}

fn printed(findings: Vec<Finding>) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// Packages `NAME` of the workspace in `crates/NAME`, with edges `FROM > TO` and, for tests, `FROM ~ TO`.
fn metadata(members: &[&str], edges: &[&str]) -> Metadata {
    let mut metadata = Metadata::default();
    for member in members {
        metadata.members.insert((*member).to_owned(), format!("crates/{member}"));
    }
    for edge in edges {
        let parts: Vec<&str> = edge.split(' ').collect();
        let target = if parts[1] == ">" { &mut metadata.edges } else { &mut metadata.test_edges };
        target.entry(parts[0].to_owned()).or_insert_with(BTreeSet::new).insert(parts[2].to_owned());
    }
    metadata
}

#[test]
fn arrows_point_down() {
    let members = ["umbel-core", "umbel-host", "umbel-manager", "umbel-testkit"];
    let good = metadata(
        &members,
        &[
            "umbel-host > umbel-core",
            "umbel-host > serde",
            "umbel-host ~ umbel-testkit",
            "umbel-host ~ umbel-host",
        ],
    );
    assert_eq!(printed(house::check(&good)), Vec::<String>::new());

    for edge in ["umbel-host > umbel-manager", "umbel-host ~ umbel-manager", "umbel-host > umbel-testkit"] {
        let to = edge.rsplit(' ').next().unwrap();
        let expected = format!("crates/umbel-host/Cargo.toml: `umbel-host` may not depend on `{to}`");
        assert_eq!(printed(house::check(&metadata(&members, &[edge]))), [expected]);
    }
    let upward = metadata(&members, &["umbel-core > umbel-host"]);
    assert_eq!(house::check(&upward).len(), 1);
}

#[test]
fn a_crate_without_a_place_is_found() {
    let findings = printed(house::check(&metadata(&["umbel-utils"], &[])));
    assert_eq!(
        findings,
        ["crates/umbel-utils/Cargo.toml: `umbel-utils` has no place in the table of the house"]
    );
}

#[test]
fn heavy_crates_have_owners() {
    let deny = r#"[bans]
        deny = [{ crate = "wasmtime", wrappers = ["umbel-runtime", "wasmtime-wasi"] }]"#;
    let members = ["umbel-runtime", "umbel-host"];
    let good = ["umbel-runtime > wasmtime", "wasmtime-wasi > wasmtime", "umbel-host ~ wasmtime"];
    assert_eq!(owners::check(deny, &metadata(&members, &good)).unwrap(), []);

    let bad = metadata(&members, &["umbel-host > wasmtime", "other > wasmtime"]);
    assert_eq!(
        printed(owners::check(deny, &bad).unwrap()),
        [
            "deny.toml: `other` may not depend on `wasmtime`; its owners are: umbel-runtime, wasmtime-wasi",
            "crates/umbel-host/Cargo.toml: `umbel-host` may not depend on `wasmtime`; its owners are: umbel-runtime, wasmtime-wasi",
        ]
    );
}

fn function_of(lines: usize) -> String {
    format!("/// Documentation does not count.\nfn long() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
}

#[test]
fn functions_have_seventy_lines() {
    let check = |text: &str, allowed: &str| printed(sizes::check(&[source("a.rs", text)], allowed));
    let none = Vec::<String>::new();
    assert_eq!(check(&function_of(70), ""), none);
    assert_eq!(check(&function_of(71), ""), ["a.rs:2: `long` has 71 lines; a function has at most 70"]);
    assert_eq!(check(&format!("impl A {{\n{}}}", function_of(71)), "").len(), 1);
    assert_eq!(check(&format!("trait A {{\n{}}}", function_of(71)), "").len(), 1);

    assert_eq!(check(&function_of(71), "# known\na.rs::long 71\n"), none);
    assert_eq!(
        check(&function_of(72), "a.rs::long 71"),
        ["a.rs:2: `long` has 72 lines; a function has at most 70"]
    );
    let list = sizes::ALLOWED;
    assert_eq!(check(&function_of(71), "a.rs::long 80"), [format!("{list}:1: a.rs::long shrank: write 71")]);
    let gone = format!("{list}:1: a.rs::long is short enough now: remove this line");
    assert_eq!(check(&function_of(70), "a.rs::long 71"), [gone]);
    assert_eq!(
        check("", "nonsense"),
        [format!("{list}:1: a line is `PATH LINES` or `PATH::FUNCTION LINES`")]
    );
}

#[test]
fn files_have_a_thousand_lines() {
    let check = |lines: usize| printed(sizes::check(&[source("a.rs", &"// line\n".repeat(lines))], ""));
    assert_eq!(check(1_000), Vec::<String>::new());
    assert_eq!(check(1_001), ["a.rs:1: 1001 lines; a file has at most 1000"]);
}

#[test]
fn what_is_not_rust_is_found() {
    assert!(printed(sizes::check(&[source("a.rs", "fn {")], ""))[0].starts_with("a.rs:1: is not Rust"));
}

#[test]
fn a_library_says_what_it_must_not_know() {
    let check = |text: &str| printed(layout::check(&[source("crates/umbel-x/src/lib.rs", text)]));
    assert_eq!(check("//! Does x. It must not\n//! know y.\n"), Vec::<String>::new());
    let place = "crates/umbel-x/src/lib.rs:1:";
    assert_eq!(check("use a;"), [format!("{place} starts with a comment that says what the crate is")]);
    assert_eq!(
        check("//! Does x.\n"),
        [format!("{place} says what the crate \"must not know\", in these words")]
    );
}

#[test]
fn a_crate_has_one_integration_binary() {
    let check = |path: &str| layout::check(&[source(path, "")]).len();
    assert_eq!(check("crates/umbel-x/tests/it/main.rs"), 0);
    assert_eq!(check("crates/umbel-x/tests/it/orders.rs"), 0);
    assert_eq!(check("crates/umbel-x/tests/golden/orders.json"), 0);
    assert_eq!(check("crates/umbel-x/tests/orders.rs"), 1);
    assert_eq!(check("e2e/tests/more/main.rs"), 1);
}

#[test]
fn notes_and_traces_are_found() {
    let check = |path: &str, text: &str| printed(text::check(Path::new("/checkout"), &[source(path, text)]));
    let note = concat!("FIX", "ME");
    let trace = concat!("/ro", "ot/");
    assert_eq!(
        check("a.md", &format!("fine\n{note}: later")),
        [format!("a.md:2: `{note}`: do it, or open an issue")]
    );
    assert_eq!(check("a.rs", &format!("work(); // {note}")).len(), 1);
    assert_eq!(check("a.rs", &format!("work(\"{note}\");")), Vec::<String>::new());
    assert_eq!(check("a.md", &format!("A{note}S and {}", note.to_lowercase())), Vec::<String>::new());
    assert_eq!(
        check("a.rs", &format!("\"{trace}x\"")),
        [format!("a.rs:1: `{trace}` exists on one machine only")]
    );
    assert_eq!(check("a.rs", "\"/checkout/x\""), ["a.rs:1: `/checkout` exists on one machine only"]);
    let mirror = "source = \"registry+https://mirror.example/index\"";
    assert_eq!(check("Cargo.lock", mirror), ["Cargo.lock:1: a crate comes from the public registry alone"]);

    let binary = Source { path: "a.wasm".to_owned(), bytes: [&[0xff, 0xfe], trace.as_bytes()].concat() };
    assert_eq!(text::check(Path::new("/checkout"), &[binary]).len(), 1);
}
