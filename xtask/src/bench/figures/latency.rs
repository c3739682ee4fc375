//! Latency at half of what the server can do on one core, and of hyper at the same rate.

use crate::bench::pin::Pinned;
use crate::bench::process::address;
use crate::bench::report::Report;
use crate::bench::{Bench, median, peers, wrk};
use anyhow::{Result, bail};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use umbel_testkit::load::{Load, Outcome};
use umbel_testkit::platform::{Platform, application};

const CONNECTIONS: u32 = 16;

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let pinned = Pinned::server()?;
    let platform = Platform::up(&bench.umbel)?;
    let hyper = peers::hyper()?;
    pinned.load()?;
    platform.deploy(&application("hello", "v1", &umbel_testkit::example("hello"), &[]))?;
    platform.wait_for_answer("hello")?;

    wrk::run(platform.address.port(), "hello.localhost", 1)?;
    let rate = wrk::run(platform.address.port(), "hello.localhost", bench.seconds)?.per_second / 2.0;
    let (mut ours, mut hypers) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let duration = Duration::from_secs(bench.seconds.into());
        let p99_ms = |outcome: Outcome| outcome.quantile(0.99).as_secs_f64() * 1e3;
        hypers.push(p99_ms(load(hyper.port, "localhost", rate, duration)?));
        ours.push(p99_ms(load(platform.address.port(), "hello.localhost", rate, duration)?));
    }
    let (ours, hypers) = (median(ours), median(hypers));
    report.state("p99 at half saturation, hyper", format!("{hypers:.2} ms at {rate:.0} requests/s"));
    report.state("p99 at half saturation, umbel P2 fresh", format!("{ours:.2} ms"));
    report.at_most("p99, umbel ÷ hyper at the same rate", ours / hypers, 3.0, "");
    Ok(())
}

/// Loads a server at a rate. A request that fails makes it worthless.
pub fn load(port: u16, host: &str, rate: f64, duration: Duration) -> Result<Outcome> {
    let load = Load {
        address: address(port),
        host: host.to_owned(),
        path: "/".to_owned(),
        rate,
        connections: CONNECTIONS,
        duration,
    };
    let outcome = load.run(&AtomicBool::new(false));
    if outcome.failed > 0 {
        bail!("{} of {} failed: {:?}", outcome.failed, outcome.succeeded + outcome.failed, outcome.examples);
    }
    Ok(outcome)
}
