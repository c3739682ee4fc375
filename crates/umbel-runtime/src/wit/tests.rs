use super::*;
use umbel_testkit::{example, guest};
use wit_parser::Resolve;

fn of(path: &Path) -> String {
    describe("a file", &std::fs::read(path).unwrap()).unwrap()
}

/// What is printed is WIT: it can be read again, and then is printed the same.
#[test]
fn what_is_printed_can_be_read_again() {
    let files = ["hello", "hello-p3", "documents", "proxy"].map(example);
    let guests = ["library", "custom-import", "config", "wasi-user", "trap-p3"].map(guest);
    for path in files.iter().chain(&guests) {
        let text = of(path);
        let mut resolve = Resolve::default();
        let package = resolve.push_str("printed.wit", &text);
        let package = package.unwrap_or_else(|error| panic!("{}: {error:#}\n{text}", path.display()));
        let world = *resolve.packages[package].worlds.values().next().expect("a component has a world");
        let mut again: Vec<String> = print::component(&resolve, world).lines().map(str::to_string).collect();
        // The order of packages is not a part of what they say.
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        again.sort();
        lines.sort();
        assert_eq!(again, lines, "{}", path.display());
    }
}

#[test]
fn a_world_and_its_interfaces_are_printed() {
    assert_eq!(
        of(&guest("library")),
        "package root:component;\n\nworld root {\n  export acme:demo/greeter@1.0.0;\n}\n\npackage acme:demo@1.0.0 {\n  \
         interface greeter {\n    greet: func(name: string) -> string;\n  }\n}\n"
    );
}

#[test]
fn what_is_no_component_is_told() {
    use umbel_core::Coded;
    use umbel_core::code::runtime;
    let library = std::fs::read(guest("library")).unwrap();
    for (bytes, code) in [
        (&b"not wasm"[..], runtime::NOT_WASM),
        (&b"\0asm\x01\0\0\0"[..], runtime::MODULE_NOT_COMPONENT),
        (&library[..library.len() / 2], runtime::DAMAGED_WASM),
    ] {
        assert_eq!(describe("a file", bytes).unwrap_err().code(), code);
    }
}
