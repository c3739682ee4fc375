//! Tasks of the workspace, run as `cargo xtask TASK`. It knows the layout of the repository and nothing of the product.
//!
//! ```text
//! cargo xtask tidy        the rules of the house that no compiler checks
//! cargo xtask test        everything that must pass: format, tidy, clippy, unit, integration and end-to-end tests
//! cargo xtask fixtures    build the wasm of guests/ and examples/ that is stale
//! cargo xtask servers     install the servers that tests run against and that Debian does not have
//! cargo xtask conformance tools and providers of wasmCloud 1.x against a host of ours
//! cargo xtask bench       the figures of SPECIFICATION.md, peers beside ours
//! ```

#![allow(unreachable_pub, reason = "in a binary, `pub` says that other modules use it")]

mod bench;
mod conformance;
mod fixtures;
mod run;
mod servers;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask TASK

  tidy                     check the rules of the house (see STYLE.md)
    --fast                 without cargo fmt and clippy
  test                     run everything that must pass
  conformance              build tools and providers of wasmCloud 1.x (about 40 minutes, once) and run e2e with them
  servers                  install the servers that tests run against and that Debian does not have
  bench [FIGURE]...        measure the figures of SPECIFICATION.md: binary cpu latency launch scale update
    --rounds N             rounds of which the median counts [3]
    --seconds N            length of one load [4]
    --requests N           requests of the update figure [100000]
    --profile NAME         the profile to build umbel with [dist]
    --umbel FILE           measure this binary instead of building one
    --peers                first build what is compared with, if it is not there
  fixtures                 build the wasm of guests/ and examples/ that is stale
    --check                only say whether anything is stale
    --all                  build all of it
    --languages            also build Python's, JavaScript's and Go's hello (not checked in)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (task, options) = match arguments.split_first() {
        Some((task, options)) => (task.as_str(), options),
        None => ("help", arguments),
    };
    match task {
        "tidy" => tidy::main(options),
        bench::NOISE_TASK => bench::make_noise(options.first().map_or("", String::as_str)),
        "test" => test::main(options),
        "servers" => servers::main(options),
        "conformance" => conformance::main(options),
        "bench" => bench::main(options),
        "fixtures" => fixtures::main(options),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("there is no task `{task}`\n\n{HELP}"),
    }
}
