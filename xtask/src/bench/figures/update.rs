//! Updates and rollbacks under load: how many requests fail.

use crate::bench::Bench;
use crate::bench::report::Report;
use anyhow::{Result, bail};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_testkit::load::{Load, Outcome};
use umbel_testkit::platform::{Platform, application};
use umbel_testkit::{example, guest};

const RATE: f64 = 500.0;

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    platform.deploy(&application("hello", "v1", &example("hello"), &[]))?;
    platform.wait_for_answer("hello")?;
    let load = Load {
        address: platform.address,
        host: "hello.localhost".to_owned(),
        path: "/".to_owned(),
        rate: RATE,
        connections: 16,
        duration: Duration::from_secs_f64(bench.requests as f64 / RATE),
    };
    let over = AtomicBool::new(false);
    let (outcome, changes) = std::thread::scope(|scope| {
        let changes = scope.spawn(|| change(&platform, &over));
        let outcome = load.run(&AtomicBool::new(false));
        over.store(true, Ordering::Relaxed);
        (outcome, changes.join().expect("changing does not panic"))
    });
    say(&outcome, changes?, report);
    Ok(())
}

/// Deploys another version and goes back to the first, again and again; how often.
fn change(platform: &Platform, over: &AtomicBool) -> Result<usize> {
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        platform.deploy(&application("hello", &format!("v{}", changes + 2), &guest("hello-v2"), &[]))?;
        platform.succeed(&["rollback", "hello", "v1"])?;
        changes += 2;
    }
    if changes == 0 {
        bail!("the load was over before anything changed");
    }
    Ok(changes)
}

fn say(outcome: &Outcome, changes: usize, report: &mut Report) {
    let sent = outcome.succeeded + outcome.failed;
    let what = format!("failed of {sent} requests during {changes} updates and rollbacks at {RATE}/s");
    report.at_most(&what, outcome.failed as f64, 0.0, "");
    if outcome.failed > 0 {
        report.state("such a failure", outcome.examples.join("; "));
    }
    report.state("p99 meanwhile", format!("{:.2} ms", outcome.quantile(0.99).as_secs_f64() * 1e3));
}
