//! Noisy neighbours: how a component answers at half of what it can do on one core, while another one on that core loops, allocates
//! or floods its log.
//!
//! What a core costs that somebody else keeps busy at all, its caches and its scheduler, no platform can take away: so the limit is
//! measured as well, a process of the lowest priority that does the same on that core. Alone, beside that and beside the component
//! take turns, and all answers of each are one sample.

use super::latency::load;
use crate::bench::pin::Pinned;
use crate::bench::report::Report;
use crate::bench::{Bench, wrk};
use crate::run::command;
use anyhow::{Context, Result, bail};
use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel_testkit::http;
use umbel_testkit::load::Outcome;
use umbel_testkit::platform::{Platform, application};

/// What the neighbours do: a guest, and what it is asked.
const NOISE: [(&str, &str, &str); 3] = [
    ("loops", "spin", "/"),
    ("allocates", "grow", "/?touch=1"),
    ("floods its log", "logflood", "/?lines=100000&size=1000"),
];
/// Callers of a neighbour, who ask again as soon as they are answered.
const CALLERS: usize = 4;
/// The hidden task by which this program is noisy itself: see [`make_noise`].
pub const NOISE_TASK: &str = "__noise";
/// Memory that the process takes and gives back, in bytes: as much as a component may have.
const STORM_BYTES: usize = 256 << 20;

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
        let [mut alone, mut process, mut component] = <[Outcome; 3]>::default();
        let mut time = Duration::ZERO;
        let take = || load(port, "hello.localhost", rate, Duration::from_secs(bench.seconds.into()));
        for _ in 0..bench.rounds {
            alone.add(take()?);
            process.add(beside_process(does, take)??);
            let (outcome, taken) = beside_noise(&platform, guest, path, || {
                let start = Instant::now();
                (take(), start.elapsed())
            });
            component.add(outcome?);
            time += taken;
        }
        let at = |outcome: &Outcome, share| outcome.quantile(share).as_secs_f64() * 1e3;
        let both = |outcome: &Outcome| format!("{:.2}, {:.2} ms", at(outcome, 0.5), at(outcome, 0.99));
        report.state(&format!("p50, p99 beside nobody, before one that {does}"), both(&alone));
        report.state(&format!("p50, p99 beside a process of lowest priority that {does}"), both(&process));
        report.state(&format!("p50, p99 beside a component that {does}"), both(&component));
        let ratio = at(&component, 0.99) / at(&process, 0.99);
        report.at_most(
            &format!("p99 beside a component that {does} ÷ beside such a process"),
            ratio,
            1.1,
            "",
        );
        let missing = 1.0 - component.succeeded as f64 / time.as_secs_f64() / rate;
        report.at_most(
            &format!("share of requests not answered in time beside one that {does}"),
            missing,
            0.1,
            "",
        );
    }
    Ok(())
}

/// Does something while a process of the lowest priority does that to the server's core.
fn beside_process<T>(does: &str, work: impl FnOnce() -> T) -> Result<T> {
    let own = std::env::current_exe()?;
    let mut noise = command("taskset")
        .args(["--cpu-list", "0", "nice", "-n", "19"])
        .arg(own)
        .args([NOISE_TASK, does])
        .spawn()
        .context("a noisy process")?;
    let done = work();
    noise.kill()?;
    noise.wait()?;
    Ok(done)
}

/// The noisy process: does that until it is killed.
pub fn make_noise(does: &str) -> Result<()> {
    let mut null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    loop {
        match does {
            "loops" => drop(black_box((0..1_000_000_u64).fold(0, |sum, next| black_box(sum ^ next)))),
            "allocates" => {
                let mut storm: Vec<u8> = Vec::with_capacity(STORM_BYTES);
                for page in storm.spare_capacity_mut().iter_mut().step_by(4 << 10) {
                    black_box(page.write(1));
                }
            }
            "floods its log" => null.write_all(black_box(&[b'x'; 1000]))?,
            _ => bail!("there is no such noise"),
        }
    }
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
