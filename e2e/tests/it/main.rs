//! The program as its users run it. Every test has a platform of its own: a state folder, a process, a port.
//!
//! Read in this order: `launch`, `examples`, `counter`, `shortener`, `chat`, `report`, `documents` and `links` (what it is for), `cli`, `update`,
//! `durability` (what must not be lost), `machine` (what it may lack), `bad_input`, `claims` and `neighbours` (what must not do harm),
//! `languages`, `registries`; `lattice` (several hosts), `faults` (what goes wrong between them) and `conformance` (tools of wasmCloud 1.x); `processes` and `adoption` (what outlives a platform, and what must not).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adoption;
mod bad_input;
mod chat;
mod claims;
mod cli;
mod component_providers;
mod conformance;
mod counter;
mod documents;
mod durability;
mod examples;
mod faults;
mod grants;
mod languages;
mod lattice;
mod launch;
mod links;
mod machine;
mod misbehaving;
mod neighbours;
mod processes;
mod registries;
mod report;
mod secrets;
mod shortener;
mod spy;
mod strangers;
mod swap;
mod update;

use std::io::Write;
use std::path::{Path, PathBuf};
use umbel_testkit::Platform;
use umbel_testkit::http::{Answer, Connection};

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

/// Says that a test cannot run here. On a machine that is to run all of them that is a failure.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "continuous integration skips nothing: {why}");
    // Not by a macro: what those print in a test that passes is kept from the reader, and `cargo xtask test` counts these lines.
    let _ = std::io::stdout().write_all(format!("\nskipped: {why}\n").as_bytes());
}

/// Says that a test is left out, because what it takes is built by a task of its own.
fn leave_out(why: &str) {
    let _ = std::io::stdout().write_all(format!("\nskipped: {why}\n").as_bytes());
}

fn up() -> Platform {
    Platform::up(&umbel()).unwrap()
}

/// A platform to be, in a folder of its own.
fn folder() -> Platform {
    Platform::new(&umbel()).unwrap()
}

/// A platform that runs the manifest of an example.
fn running(example: &str) -> Platform {
    let platform = up();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = root.join("examples").join(example);
    platform.succeed(&["launch", folder.to_str().unwrap(), "--timeout", "5m"]).unwrap();
    platform
}

/// One request to an application, on a connection of its own.
fn ask(platform: &Platform, application: &str, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
    let mut connection = Connection::open(platform.address, &format!("{application}.localhost")).unwrap();
    connection.request(method, path, &[], body).unwrap()
}
