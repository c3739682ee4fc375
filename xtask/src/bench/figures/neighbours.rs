//! Noisy neighbours: how a component answers at half of what it can do on one core, while another one on that core loops, allocates
//! or floods its log.

use super::latency::at_rate;
use crate::bench::pin::Pinned;
use crate::bench::report::Report;
use crate::bench::{Bench, median, wrk};
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use umbel_testkit::http;
use umbel_testkit::platform::{Platform, application};

/// What the neighbours do: a guest, and what it is asked.
const NOISE: [(&str, &str, &str); 3] = [
    ("loops", "spin", "/"),
    ("allocates", "grow", "/?touch=1"),
    ("floods its log", "logflood", "/?lines=100000&size=1000"),
];
/// Callers of a neighbour, who ask again as soon as they are answered.
const CALLERS: usize = 4;

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let pinned = Pinned::server()?;
    let platform = Platform::up(&bench.umbel)?;
    pinned.load()?;
    platform.deploy(&application("hello", "v1", &umbel_testkit::example("hello"), &[]))?;
    for (_, guest, _) in NOISE {
        let limits = ["limits: {call_time: 1s}"];
        platform.deploy(&application(guest, "v1", &umbel_testkit::guest(guest), &limits))?;
    }
    platform.wait_for_answer("hello")?;
    let port = platform.address.port();
    wrk::run(port, "hello.localhost", 1)?;
    let rate = wrk::run(port, "hello.localhost", bench.seconds)?.per_second / 2.0;
    for (does, guest, path) in NOISE {
        let (mut alone, mut beside, mut share) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            alone.push(at_rate(port, "hello.localhost", rate, bench.seconds)?.p99_ms);
            let noisy = beside_noise(&platform, guest, path, || {
                at_rate(port, "hello.localhost", rate, bench.seconds)
            })?;
            beside.push(noisy.p99_ms);
            share.push(noisy.share);
        }
        let (alone, beside) = (median(alone), median(beside));
        report.state(
            &format!("p99 alone, and beside one that {does}"),
            format!("{alone:.2} ms, {beside:.2} ms"),
        );
        report.at_most(&format!("p99 beside one that {does} ÷ alone"), beside / alone, 1.1, "");
        let missing = 1.0 - median(share);
        report.at_most(
            &format!("share of requests not answered in time beside one that {does}"),
            missing,
            0.1,
            "",
        );
    }
    Ok(())
}

/// Does something while callers keep the guest at work.
fn beside_noise<T>(platform: &Platform, guest: &str, path: &str, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let host = format!("{guest}.localhost");
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What it answers is no matter: it may well be ended for what it does.
                    let _ = http::get(platform.address, &host, path);
                }
            });
        }
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}
