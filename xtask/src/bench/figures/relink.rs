//! A link that changes its target under load: how many requests fail, and how long they take meanwhile.

use crate::bench::Bench;
use crate::bench::report::Report;
use anyhow::{Result, bail};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_testkit::guest;
use umbel_testkit::load::Load;
use umbel_testkit::platform::Platform;

const RATE: f64 = 500.0;
/// Between two changes.
const EVERY: Duration = Duration::from_millis(50);

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    // By hand and not by the manifest, whose links the manager would put back.
    platform.deploy(&manifest())?;
    let put = |target: &str| -> Result<()> {
        platform.succeed(&["link", "put", "relink-caller", target, "umbel:bench/ops"])?;
        Ok(())
    };
    put("relink-one")?;
    platform.wait_for_answer("relink")?;
    let load = Load {
        address: platform.address,
        host: "relink.localhost".to_owned(),
        path: "/turn?calls=1".to_owned(),
        rate: RATE,
        connections: 16,
        duration: Duration::from_secs_f64(bench.requests as f64 / RATE),
    };
    let over = AtomicBool::new(false);
    let (outcome, changes) = std::thread::scope(|scope| {
        let changes = scope.spawn(|| -> Result<usize> {
            let mut changes = 0;
            while !over.load(Ordering::Relaxed) {
                put(["relink-two", "relink-one"][changes % 2])?;
                changes += 1;
                std::thread::sleep(EVERY);
            }
            Ok(changes)
        });
        let outcome = load.run(&AtomicBool::new(false));
        over.store(true, Ordering::Relaxed);
        (outcome, changes.join().expect("changing does not panic"))
    });
    let changes = changes?;
    if changes < 2 {
        bail!("the load was over before anything changed");
    }
    let sent = outcome.succeeded + outcome.failed;
    let what = format!("failed of {sent} requests during {changes} changes of a link at {RATE}/s");
    report.at_most(&what, outcome.failed as f64, 0.0, "");
    if outcome.failed > 0 {
        report.state("such a failure", outcome.examples.join("; "));
    }
    let p99 = outcome.quantile(0.99).as_secs_f64() * 1e3;
    report.at_most("p99 while a link changes", p99, 100.0, " ms");
    Ok(())
}

fn manifest() -> String {
    let (caller, server) = (guest("bench-caller"), guest("bench-server"));
    let (caller, server) = (caller.display(), server.display());
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: relink}}
spec:
  components:
    - {{name: caller, type: component, properties: {{image: {caller}}}}}
    - {{name: one, type: component, properties: {{image: {server}}}}}
    - {{name: two, type: component, properties: {{image: {server}}}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: caller}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
"
    )
}
