//! From nothing to the first answer, and what the platform holds when it has nothing to do.

use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median};
use anyhow::Result;
use std::time::{Duration, Instant};
use umbel_testkit::Platform;

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let mut platform = Platform::new(&bench.umbel)?;
        cold.push(launch(&mut platform)?);
        platform.down()?;
        warm.push(launch(&mut platform)?);
    }
    report.at_most("`umbel launch` to the first 200, cold", median(cold), 3.0, " s");
    report.at_most("`umbel launch` to the first 200, warm cache", median(warm), 1.0, " s");

    let platform = Platform::up(&bench.umbel)?;
    // What starting needed is given back a moment later.
    std::thread::sleep(Duration::from_secs(2));
    let resident = cpu::resident_bytes(platform.pid)? as f64 / f64::from(1 << 20);
    report.at_most("memory of an idle host", resident, 60.0, " MiB");
    Ok(())
}

/// In seconds.
fn launch(platform: &mut Platform) -> Result<f64> {
    let start = Instant::now();
    platform.succeed(&["launch"])?;
    platform.read_endpoint()?;
    platform.wait_for_answer("hello")?;
    Ok(start.elapsed().as_secs_f64())
}
