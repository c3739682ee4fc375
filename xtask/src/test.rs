//! Everything that must pass, in the order of what fails fastest. The last line counts.

use crate::{conformance, fixtures, run, servers, tidy};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

pub fn main(options: &[String]) -> Result<()> {
    if let Some(option) = options.first() {
        bail!("there is no option `{option}`");
    }
    let start = Instant::now();
    tidy::main(&[])?;

    // All targets at once: the binary that e2e runs, and every test, with one set of features, so that nothing is compiled twice.
    let mut build = run::command("cargo");
    build.args(["build", "--release", "--workspace", "--all-targets"]).current_dir(run::root());
    run::step("build", &mut build)?;

    // Tests that need one fail without it.
    servers::main(&[])?;
    // Without them, the tests of other languages say that they are skipped; in CI that is a failure.
    if let Err(error) = fixtures::languages::build(&run::root()) {
        eprintln!("==> no components of other languages: {error:#}");
    }
    // They take most of an hour to build, so they are not built here.
    let missing = conformance::missing()?;
    if !missing.is_empty() {
        let missing = missing.join(", ");
        eprintln!(
            "==> no {missing} in the cache: tests of e2e `conformance` are left out; `cargo xtask conformance` builds it"
        );
    }
    let (counts, succeeded) = run_tests()?;
    eprintln!("==> all of it: {:.0} s", start.elapsed().as_secs_f64());
    println!("{} passed, {} failed{}", counts.passed, counts.failed, counts.skipped());
    if !succeeded {
        bail!("tests failed");
    }
    Ok(())
}

/// Runs all tests, even after a failure, and passes their output on.
fn run_tests() -> Result<(Counts, bool)> {
    eprintln!("==> test");
    let mut cargo = run::command("cargo");
    cargo.args(["test", "--release", "--workspace", "--no-fail-fast"]).current_dir(run::root());
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cargo cannot be run")?;
    let output = child.stdout.take().expect("it is piped");
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        counts.add(&line);
    }
    let succeeded = child.wait()?.success() && counts.failed == 0;
    Ok((counts, succeeded))
}

/// The sums over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Those that were told to be ignored, and those that said themselves that they cannot run here.
    skipped: usize,
    /// The latter, of the binary that runs.
    said: usize,
}

impl Counts {
    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …` says. One that begins with `skipped: ` is of a
    /// test that its result counts among those that passed.
    fn add(&mut self, line: &str) {
        if line.starts_with("skipped: ") {
            self.said += 1;
            self.skipped += 1;
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
        self.passed = self.passed.saturating_sub(std::mem::take(&mut self.said));
    }

    fn skipped(&self) -> String {
        match self.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        }
    }
}

#[cfg(test)]
mod tests;
