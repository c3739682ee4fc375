//! The wasm of `guests/` and `examples/`. Building it is `cargo xtask fixtures`.

use std::path::{Path, PathBuf};

/// The file of a guest program.
///
/// # Panics
/// When there is no such program: the test that asks is wrong.
pub fn guest(name: &str) -> PathBuf {
    existing(&format!("guests/wasm/{name}.wasm"))
}

/// The file of an example.
///
/// # Panics
/// When there is no such example: the test that asks is wrong.
pub fn example(name: &str) -> PathBuf {
    existing(&format!("examples/{name}/{name}.wasm"))
}

fn existing(path: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).expect("the crate lies two folders below the root");
    let file = root.join(path);
    assert!(file.is_file(), "{path} is not there; `cargo xtask fixtures` builds it");
    file
}
