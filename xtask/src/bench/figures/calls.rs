//! Calls over links within a host, as the calling guest itself sees them: of components, of the key-value store, and a long stream.

use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel_testkit::guest;
use umbel_testkit::platform::Platform;

/// Calls of one measurement.
const CALLS: usize = 20_000;
/// Callers that write to the store at the same time, and writes of each.
const WRITERS: usize = 32;
const WRITES: usize = 1_000;
/// Bytes of the stream.
const STREAM: u64 = 1 << 30;

/// A server of `umbel:tiny/ops` without anything that it does not need.
const TINY: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "swap") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 1))
            (i32.store (i32.const 20) (local.get 0))
            (i32.const 16)))
    (core instance $i (instantiate $m))
    (alias core export $i "memory" (core memory $memory))
    (func $swap (param "p" (tuple u32 u32)) (result (tuple u32 u32))
        (canon lift (core func $i "swap") (memory $memory)))
    (instance $ops (export "swap" (func $swap)))
    (export "umbel:tiny/ops@0.1.0" (instance $ops)))"#;

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    let tiny = platform.folder().join("tiny.wasm");
    std::fs::write(&tiny, wat::parse_str(TINY)?)?;
    for (mode, is, rust_most, tiny_most) in [("fresh", "fresh", 15.0, 8.0), ("reuse", "kept", 2.0, 2.0)] {
        platform.deploy(&manifest(mode, &tiny))?;
        platform.wait_for_answer("bench")?;
        let rust = figures(bench, &platform, &format!("/turn?calls={CALLS}"))?;
        let tiny = figures(bench, &platform, &format!("/swap?calls={CALLS}"))?;
        report.at_most(&format!("call of a Rust component, {is}, p50"), rust[0] / 1e3, rust_most, " µs");
        report.at_most(&format!("call of a tiny component, {is}, p50"), tiny[0] / 1e3, tiny_most, " µs");
        let p99 = format!("{:.1}, {:.1} µs", rust[1] / 1e3, tiny[1] / 1e3);
        report.state(&format!("their p99, {is}"), p99);
    }
    let length = figures(bench, &platform, "/length?calls=300&size=1048576")?;
    let what = "call with a list of 1 MiB ÷ one copy of it by the guest";
    report.at_most(what, length[0] / length[2], 3.0, "");
    let both = format!("{:.0}, {:.0} µs", length[0] / 1e3, length[2] / 1e3);
    report.state("such a call, such a copy", both);
    writes(&platform, report)?;
    reads(bench, &platform, report)?;
    stream(bench, report)
}

/// The application of the calling guest and its servers.
fn manifest(mode: &str, tiny: &Path) -> String {
    let (caller, server) = (guest("bench-caller"), guest("bench-server"));
    let (caller, server, tiny) = (caller.display(), server.display(), tiny.display());
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: bench, annotations: {{version: {mode}}}}}
spec:
  components:
    - name: caller
      type: component
      properties: {{image: {caller}, limits: {{call_time: 5m}}}}
      traits:
        - type: link
          properties: {{target: {{name: server}}, namespace: umbel, package: bench, interfaces: [ops]}}
        - type: link
          properties: {{target: {{name: tiny}}, namespace: umbel, package: tiny, interfaces: [ops]}}
        - type: link
          properties: {{target: {{name: keyvalue}}, namespace: wasi, package: keyvalue, interfaces: [store]}}
    - {{name: server, type: component, properties: {{image: {server}, instance: {mode}}}}}
    - {{name: tiny, type: component, properties: {{image: {tiny}, instance: {mode}}}}}
    - {{name: keyvalue, type: capability, properties: {{image: 'builtin:keyvalue'}}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: caller}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
"
    )
}

/// What the guest says, the medians of some rounds.
fn figures(bench: &Bench, platform: &Platform, path: &str) -> Result<Vec<f64>> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(numbers(platform, path)?);
    }
    let count = rounds.iter().map(Vec::len).min().unwrap_or_default();
    Ok((0..count).map(|at| median(rounds.iter().map(|round| round[at]).collect())).collect())
}

fn numbers(platform: &Platform, path: &str) -> Result<Vec<f64>> {
    let answer = platform.get("bench", path)?;
    let text = answer.text();
    ensure!(answer.status == 200, "{path}: {text}");
    text.split_whitespace().map(|number| number.parse().with_context(|| text.clone())).collect()
}

/// Reads of a key from a provider of each kind: the same application, in which one takes the place of another.
fn reads(bench: &Bench, platform: &Platform, report: &mut Report) -> Result<()> {
    let component = guest("keyvalue-component").display().to_string();
    let kinds: [(&str, &[&str], f64); 3] = [
        ("read of a key, p50", &[], 5.0),
        ("the same, of a provider that is a component", &[&component], 10.0),
        ("the same, of a provider that is a process", &["builtin:keyvalue", "--isolation", "process"], 60.0),
    ];
    for (what, provider, most) in kinds {
        if !provider.is_empty() {
            platform.succeed(&[&["provider", "swap", "bench-keyvalue"], provider].concat())?;
        }
        numbers(platform, "/set?calls=1")?;
        let read = figures(bench, platform, &format!("/get?calls={CALLS}"))?;
        report.at_most(what, read[0] / 1e3, most, " µs");
        report.state("its p99", format!("{:.1} µs", read[1] / 1e3));
    }
    Ok(())
}

/// Writes that are durable when they return, by many at once.
fn writes(platform: &Platform, report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    let all: Result<Vec<Vec<f64>>> = std::thread::scope(|scope| {
        let write = |writer| move || numbers(platform, &format!("/set?calls={WRITES}&key=k{writer}"));
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect()
    });
    let p50 = median(all?.iter().map(|took| took[0]).collect());
    let rate = (WRITERS * WRITES) as f64 / begun.elapsed().as_secs_f64();
    report.at_most(&format!("time for 5,000 durable writes of {WRITERS} writers"), 5_000.0 / rate, 1.0, " s");
    report.state("that is", format!("{rate:.0} writes/s, {:.2} ms each", p50 / 1e6));
    Ok(())
}

/// A gigabyte from one component to another, as a stream of WASI 0.3.
fn stream(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    let (user, server) = (guest("pipe-user"), guest("pipe-server"));
    platform.deploy(&format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: pipe}}
spec:
  components:
    - name: user
      type: component
      properties: {{image: {}, limits: {{call_time: 10m}}}}
      traits:
        - type: link
          properties: {{target: {{name: server}}, namespace: umbel, package: test, interfaces: [pipe]}}
    - {{name: server, type: component, properties: {{image: {}, limits: {{call_time: 10m}}}}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: user}}, namespace: wasi, package: http, interfaces: [handler]}}
",
        user.display(),
        server.display()
    ))?;
    let mib = 1024.0 * 1024.0;
    platform.get("pipe", "/give?bytes=1000000")?;
    let before = cpu::resident_bytes(platform.pid)?;
    let over = AtomicBool::new(false);
    let (answer, most, took) = std::thread::scope(|scope| -> Result<_> {
        let watched = scope.spawn(|| {
            let mut most = before;
            while !over.load(Ordering::Relaxed) {
                most = most.max(cpu::resident_bytes(platform.pid).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let begun = Instant::now();
        let answer = platform.get("pipe", &format!("/give?bytes={STREAM}"));
        let took = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        Ok((answer?, watched.join().expect("watching does not panic"), took))
    })?;
    if answer.text() != format!("{STREAM} bytes, 0 of them wrong") {
        bail!("the stream came as: {}", answer.text());
    }
    let more = most.saturating_sub(before) as f64 / mib;
    report.at_most("memory that a stream of 1 GiB adds while it runs", more, 16.0, " MiB");
    report.state("such a stream", format!("{:.0} MiB/s", STREAM as f64 / mib / took.as_secs_f64()));
    Ok(())
}
