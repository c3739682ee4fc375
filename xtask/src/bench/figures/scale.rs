//! Starting many components that are alike, and what each holds while it has nothing to do.

use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median};
use anyhow::Result;
use std::time::Duration;
use umbel_testkit::platform::{Platform, application, many};

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut hundred, mut thousand, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        hundred.push(start(bench, 100)?.0);
        let (seconds, kib) = start(bench, 1_000)?;
        thousand.push(seconds);
        each.push(kib);
    }
    let (hundred, thousand) = (median(hundred), median(thousand));
    report.at_most("start of 100 identical components", hundred, 1.0, " s");
    report.at_most("start of 1,000 identical components", thousand, 5.0, " s");
    // Twice the cost each would be a curve; less than that is noise.
    report.at_most("cost of each of 1,000 ÷ each of 100", thousand / 10.0 / hundred, 2.0, "");
    report.at_most("memory of each idle component", median(each), 100.0, " KiB");
    Ok(())
}

/// Seconds until all run, and KiB that each of them added.
fn start(bench: &Bench, count: usize) -> Result<(f64, f64)> {
    let platform = Platform::up(&bench.umbel)?;
    let image = umbel_testkit::example("hello");
    // The code is compiled and mapped before the clock starts: what is measured is what each further component costs.
    platform.deploy(&application("first", "v1", &image, &[]))?;
    platform.wait_for_answer("first")?;
    std::thread::sleep(Duration::from_secs(1));
    let before = cpu::resident_bytes(platform.pid)?;
    let seconds = platform.deploy(&many("many", count, &image))?.as_secs_f64();
    std::thread::sleep(Duration::from_secs(1));
    let added = cpu::resident_bytes(platform.pid)?.saturating_sub(before) as f64 / 1024.0;
    Ok((seconds, added / count as f64))
}
