//! Latency at half of what the server can do on one core, and of hyper at the same rate.

use crate::bench::pin::Pinned;
use crate::bench::process::address;
use crate::bench::report::Report;
use crate::bench::{Bench, median, peers, wrk};
use anyhow::{Result, bail};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use umbel_testkit::load::Load;
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
        hypers.push(at_rate(hyper.port, "localhost", rate, bench.seconds)?.p99_ms);
        ours.push(at_rate(platform.address.port(), "hello.localhost", rate, bench.seconds)?.p99_ms);
    }
    let (ours, hypers) = (median(ours), median(hypers));
    report.state("p99 at half saturation, hyper", format!("{hypers:.2} ms at {rate:.0} requests/s"));
    report.state("p99 at half saturation, umbel P2 fresh", format!("{ours:.2} ms"));
    report.at_most("p99, umbel ÷ hyper at the same rate", ours / hypers, 3.0, "");
    Ok(())
}

/// How a server answered at a rate.
pub struct AtRate {
    pub p99_ms: f64,
    /// Answers per second, of those that were asked for.
    pub share: f64,
}

/// Loads a server at a rate. A request that fails makes it worthless.
pub fn at_rate(port: u16, host: &str, rate: f64, seconds: u32) -> Result<AtRate> {
    let load = Load {
        address: address(port),
        host: host.to_owned(),
        path: "/".to_owned(),
        rate,
        connections: CONNECTIONS,
        duration: Duration::from_secs(seconds.into()),
    };
    let start = Instant::now();
    let outcome = load.run(&AtomicBool::new(false));
    if outcome.failed > 0 {
        bail!("{} of {} failed: {:?}", outcome.failed, outcome.succeeded + outcome.failed, outcome.examples);
    }
    let per_second = outcome.succeeded as f64 / start.elapsed().as_secs_f64();
    Ok(AtRate { p99_ms: outcome.quantile(0.99).as_secs_f64() * 1e3, share: per_second / rate })
}
