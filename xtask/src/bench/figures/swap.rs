//! A provider that is swapped for another kind under load: how many requests fail, and how long they wait meanwhile.

use crate::bench::Bench;
use crate::bench::report::Report;
use anyhow::{Result, bail};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel_testkit::load::Load;
use umbel_testkit::platform::Platform;

const RATE: f64 = 500.0;
/// Between two swaps: requests that waited for one are answered before the next.
const EVERY: Duration = Duration::from_secs(2);
const PROVIDER: &str = "swap-keyvalue";

/// What is swapped for what, one after another and from the beginning again: a provider of each kind, and how it is kept apart.
fn kinds() -> [Vec<String>; 3] {
    let component = umbel_testkit::guest("keyvalue-component").display().to_string();
    let process = ["builtin:keyvalue", "--isolation", "process"].map(String::from);
    [process.into(), vec!["builtin:keyvalue".into()], vec![component]]
}

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    platform.deploy(&manifest())?;
    platform.wait_for_answer("swap")?;
    let load = Load {
        address: platform.address,
        host: "swap.localhost".to_owned(),
        path: "/".to_owned(),
        rate: RATE,
        connections: 64,
        duration: Duration::from_secs_f64(bench.requests as f64 / RATE),
    };
    let (over, kinds) = (AtomicBool::new(false), kinds());
    let (outcome, swaps) = std::thread::scope(|scope| {
        let swaps = scope.spawn(|| -> Result<Vec<f64>> {
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let to = kinds[took.len() % kinds.len()].iter().map(String::as_str);
                let swap: Vec<&str> = ["provider", "swap", PROVIDER].into_iter().chain(to).collect();
                let begun = Instant::now();
                platform.succeed(&swap)?;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(EVERY);
            }
            Ok(took)
        });
        let outcome = load.run(&AtomicBool::new(false));
        over.store(true, Ordering::Relaxed);
        (outcome, swaps.join().expect("swapping does not panic"))
    });
    let swaps = swaps?;
    if swaps.len() < 2 {
        bail!("the load was over before anything was swapped");
    }
    let sent = outcome.succeeded + outcome.failed;
    let what = format!("failed of {sent} requests during {} swaps of a provider at {RATE}/s", swaps.len());
    report.at_most(&what, outcome.failed as f64, 0.0, "");
    if outcome.failed > 0 {
        report.state("such a failure", outcome.examples.join("; "));
    }
    // Most requests meet no swap: the pauses are the longest latencies, as many as came while one went on.
    let per_swap = pauses(&outcome.latencies, swaps.len());
    report.at_most("pause while a provider is swapped, p99", per_swap.0, 100.0, " ms");
    report.state("the longest wait of a request", format!("{:.0} ms", per_swap.1));
    report.state("a swap as its user sees it, median", format!("{:.0} ms", super::super::median(swaps)));
    Ok(())
}

/// The p99 and the longest of the pauses, from above: as many of the longest waits as there were swaps. Several of them may be of one
/// pause, which a request every 2 ms meets more than once, so that no pause is made shorter than it was.
fn pauses(sorted: &[Duration], swaps: usize) -> (f64, f64) {
    let longest: Vec<f64> = sorted.iter().rev().take(swaps.max(1)).map(|l| l.as_secs_f64() * 1e3).collect();
    let p99 = longest.get(longest.len() / 100).copied().unwrap_or_default();
    (p99, longest.first().copied().unwrap_or_default())
}

fn manifest() -> String {
    let counter = umbel_testkit::example("counter");
    let counter = counter.display();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: swap}}
spec:
  components:
    - name: counter
      type: component
      properties: {{image: {counter}}}
      traits:
        - type: link
          properties: {{target: {{name: keyvalue}}, namespace: wasi, package: keyvalue, interfaces: [store, atomics]}}
    - {{name: keyvalue, type: capability, properties: {{image: 'builtin:keyvalue'}}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: counter}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
"
    )
}
