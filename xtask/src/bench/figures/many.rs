//! Very many idle components, and a large one that was compiled before.

use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median};
use crate::run;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use umbel_testkit::platform::{Platform, application, many};

const MANY: usize = 10_000;

/// Start, memory and `ps` of 10,000 components, which cost what 1,000 cost each.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (few, _, _) = start(bench, MANY / 10)?;
    let (seconds, mib, ps) = start(bench, MANY)?;
    report.state("start of 10,000 identical components", format!("{seconds:.1} s"));
    report.state("memory of the host with them", format!("{mib:.0} MiB"));
    report.state("`umbel ps` of them", format!("{ps:.2} s"));
    report.at_most("cost of each of 10,000 ÷ each of 1,000", seconds / 10.0 / few, 2.0, "");
    python(bench, report)
}

fn start(bench: &Bench, count: usize) -> Result<(f64, f64, f64)> {
    let platform = Platform::up(&bench.umbel)?;
    let image = umbel_testkit::example("hello");
    platform.deploy(&application("first", "v1", &image, &[]))?;
    platform.wait_for_answer("first")?;
    // A manifest has a limit, so there are as many applications as it takes.
    let begun = Instant::now();
    for number in 0..count / 1_000 {
        platform.deploy(&many(&format!("many{number}"), 1_000, &image))?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_secs(1));
    let mib = cpu::resident_bytes(platform.pid)? as f64 / 1024.0 / 1024.0;
    let begun = Instant::now();
    let listed = platform.json(&["ps"])?;
    let ps = begun.elapsed().as_secs_f64();
    let listed = listed["components"].as_array().map_or(0, Vec::len);
    if listed != count + 1 {
        bail!("{listed} of {} components are listed", count + 1);
    }
    Ok((seconds, mib, ps))
}

/// The first answer of a large component on a machine that has compiled it before.
fn python(bench: &Bench, report: &mut Report) -> Result<()> {
    let what = "first 200 of Python's hello, compiled before";
    let file = run::tools()?.join("languages/python.wasm");
    if !file.is_file() {
        report.failure(what, "it is not built: `cargo xtask fixtures --languages` builds it");
        return Ok(());
    }
    let platform = Platform::up(&bench.umbel)?;
    let begun = Instant::now();
    platform.deploy(&application("python", "v1", &file, &[]))?;
    platform.wait_for_answer("python")?;
    report.state("the same, compiled for the first time", format!("{:.1} s", begun.elapsed().as_secs_f64()));
    let mut took = Vec::new();
    for _ in 0..bench.rounds {
        platform.succeed(&["undeploy", "python"])?;
        let begun = Instant::now();
        platform.deploy(&application("python", "v1", &file, &[]))?;
        platform.wait_for_answer("python")?;
        took.push(begun.elapsed().as_secs_f64());
    }
    report.at_most(what, median(took), 1.0, " s");
    Ok(())
}
