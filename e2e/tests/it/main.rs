//! The program as its users run it. Every test has a platform of its own: a state folder, a process, a port.
//!
//! Read in this order: `launch`, `examples`, `documents` and `links` (what it is for), `cli`, `update`, `durability` (what must not be lost),
//! `machine` (what it may lack), `bad_input`, `claims` and `neighbours` (what must not do harm), `languages`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod claims;
mod cli;
mod documents;
mod durability;
mod examples;
mod grants;
mod languages;
mod launch;
mod links;
mod machine;
mod neighbours;
mod update;

use std::path::PathBuf;
use umbel_testkit::Platform;

/// The program under test: `UMBEL_BIN`, or what cargo built into the folder above this test.
fn umbel() -> PathBuf {
    if let Some(program) = std::env::var_os("UMBEL_BIN") {
        return program.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let program = test.ancestors().nth(2).expect("tests lie in a folder `deps`").join("umbel");
    assert!(
        program.is_file(),
        "{} is not there; `cargo build --release --workspace` builds it",
        program.display()
    );
    program
}

fn up() -> Platform {
    Platform::up(&umbel()).unwrap()
}

/// A platform to be, in a folder of its own.
fn folder() -> Platform {
    Platform::new(&umbel()).unwrap()
}
