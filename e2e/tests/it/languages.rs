//! Components that other tools make import the file system, sockets and much more, whether they use it or not.

use crate::{skip, up};
use std::path::PathBuf;

/// The component, or `None` with a word to the reader where it was not built. In CI that is a failure.
fn component(language: &str) -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let file = home.join(format!(".cache/umbel-tools/languages/{language}.wasm"));
    if file.is_file() {
        return Some(file);
    }
    skip(&format!("{language}'s component is not here; `cargo xtask fixtures --languages` builds it"));
    None
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
