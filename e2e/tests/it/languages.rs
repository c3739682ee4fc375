//! Components that other tools make import the file system, sockets and much more, whether they use it or not. And `examples/languages`: the
//! same application in four languages, which call one another.

use crate::{running, skip, up};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// The component, or `None` with a word to the reader where it was not built. In CI that is a failure.
fn component(language: &str) -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let file = home.join(format!(".cache/umbel-tools/languages/{language}.wasm"));
    is_built(language, &file).then_some(file)
}

/// Whether it was built, with a word to the reader if not. In CI that is a failure.
fn is_built(language: &str, file: &Path) -> bool {
    if file.is_file() {
        return true;
    }
    skip(&format!("{language}'s component is not here; `cargo xtask fixtures --languages` builds it"));
    false
}

fn says(language: &str, expected: &str) {
    let Some(file) = component(language) else { return };
    let platform = up();
    platform.succeed(&["launch", file.to_str().unwrap(), "--timeout", "5m"]).unwrap();
    for _ in 0..3 {
        let answer = platform.get(language, "/").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, expected), "{language}");
    }
}

#[test]
fn python() {
    says("python", "Hello from Python!\n");
}

#[test]
fn javascript() {
    says("javascript", "Hello from JavaScript!\n");
}

#[test]
fn go() {
    let Some(file) = component("go") else { return };
    let platform = up();
    platform.succeed(&["launch", file.to_str().unwrap(), "--timeout", "5m"]).unwrap();
    let logs = platform.succeed(&["logs", "go"]).unwrap();
    assert!(logs.contains("Hello from Go!") && !logs.contains("readable"), "{logs}");
}

/// Each is greeted by the next one.
const RING: [(&str, &str); 4] =
    [("rust", "Rust"), ("javascript", "JavaScript"), ("python", "Python"), ("go", "Go")];

/// What one of them answers.
fn ask(platform: &Platform, path: &str) -> Value {
    let answer = platform.get("languages", path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    serde_json::from_slice(&answer.body).unwrap()
}

fn expected(language: &str, visits: u64, greeter: &str, name: &str) -> Value {
    let text = format!("Hello, {name}! {greeter} greets you.");
    json!({"language": language, "visits": visits, "greeting": {"language": greeter, "text": text}})
}

#[test]
fn the_same_application_in_four_languages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/languages");
    if !RING.iter().all(|(path, language)| is_built(language, &folder.join(path).with_extension("wasm"))) {
        return;
    }
    let mut platform = running("languages");
    for (index, (path, language)) in RING.into_iter().enumerate() {
        let greeter = RING[(index + 1) % 4].1;
        let named = ask(&platform, &format!("/{path}?name=Ada+%22%C3%A9%F0%9F%A6%80%22%0A"));
        assert_eq!(named, expected(language, 1, greeter, "Ada \"é🦀\"\n"));
        assert_eq!(ask(&platform, &format!("/{path}")), expected(language, 2, greeter, "World"));
        let long = "n".repeat(20_000);
        assert_eq!(ask(&platform, &format!("/{path}?name={long}")), expected(language, 3, greeter, &long));
    }

    std::thread::scope(|scope| {
        for (path, _) in RING.into_iter().chain(RING) {
            let platform = &platform;
            scope.spawn(move || (0..10).for_each(|_| drop(ask(platform, &format!("/{path}?name=you")))));
        }
    });
    platform
        .succeed(&["link", "put", "languages-rust", "languages-go", "examples:languages/greeter"])
        .unwrap();
    block_until("the link leads to Go", || ask(&platform, "/rust")["greeting"]["language"] == "Go");

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    // Each is there when its machine code has been read again.
    block_until("they answer", || {
        RING.iter().all(|(path, _)| platform.get("languages", &format!("/{path}")).unwrap().status == 200)
    });
    assert!(ask(&platform, "/python")["visits"].as_u64().unwrap() > 24, "what was counted is there");
}
