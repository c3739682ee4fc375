//! The program as a user runs it: exit codes, what goes to stdout and what to stderr, and the platform behind it.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod alone;
mod call;
mod contracts;
mod platform;
mod secret;
mod told;
mod top;

use std::path::Path;
use umbel_testkit::Platform;

/// The program under test.
fn umbel() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_umbel"))
}

/// A state folder in which nothing runs.
fn nothing_runs() -> Platform {
    Platform::new(umbel()).unwrap()
}
