//! What is printed is a promise, so it is kept in files under `tests/golden`. `UMBEL_BLESS=1 cargo test` writes them anew.

use crate::context::Context;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name)
}

/// Compares the text with the file.
#[track_caller]
pub(crate) fn check(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os("UMBEL_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} has changed: bless it with UMBEL_BLESS=1 if that is meant. It is now:\n{text}"
    );
}

/// Reads a document that is to be rendered.
#[track_caller]
pub(crate) fn input<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

/// The context of a command that was told to use a state folder which is not the default one.
pub(crate) fn context() -> Context {
    Context::for_tests("/s".into())
}
