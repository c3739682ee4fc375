//! Processor time per request of a hello, of all processes of a server.

use crate::bench::peers::{self, Instances};
use crate::bench::process::Process;
use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median, wrk};
use anyhow::Result;
use umbel_testkit::platform::{Platform, application};

/// A server that takes its turn in every round.
struct Server<'a> {
    name: &'static str,
    pid: u32,
    port: u16,
    host: &'a str,
    /// Microseconds per request, one for each round.
    measured: Vec<f64>,
}

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let platform = Platform::up(&bench.umbel)?;
    let ours = [
        ("umbel P2 fresh", "p2-fresh", "hello", "fresh"),
        ("umbel P2 reuse", "p2-reuse", "hello", "reuse"),
        ("umbel P3 fresh", "p3-fresh", "hello-p3", "fresh"),
        ("umbel P3 reuse", "p3-reuse", "hello-p3", "reuse"),
    ];
    for (_, app, example, instances) in ours {
        let instances = format!("instance: {instances}");
        platform.deploy(&application(app, "v1", &umbel_testkit::example(example), &[&instances]))?;
        platform.wait_for_answer(app)?;
    }
    let others = [
        ("hyper", peers::hyper()?),
        ("wasmtime P2 fresh", peers::wasmtime("hello", Instances::Fresh)?),
        ("wasmtime P2 reuse", peers::wasmtime("hello", Instances::Reused)?),
        ("wasmtime P3 fresh", peers::wasmtime("hello-p3", Instances::Fresh)?),
        ("wasmtime P3 reuse", peers::wasmtime("hello-p3", Instances::Reused)?),
    ];
    let hosts: Vec<String> = ours.iter().map(|(_, app, ..)| format!("{app}.localhost")).collect();
    let server = |name, pid, port, host| Server { name, pid, port, host, measured: Vec::new() };
    let peer =
        |(name, process): &(&'static str, Process)| server(name, process.pid(), process.port, "localhost");
    let mut servers: Vec<Server> = others.iter().map(peer).collect();
    servers.extend(
        ours.iter()
            .zip(&hosts)
            .map(|((name, ..), host)| server(name, platform.pid, platform.address.port(), host)),
    );

    // The first round warms up and does not count.
    for round in 0..=bench.rounds {
        for server in &mut servers {
            let before = cpu::seconds(server.pid);
            let counted = wrk::run(server.port, server.host, if round == 0 { 1 } else { bench.seconds })?;
            let used = cpu::seconds(server.pid) - before;
            if round > 0 {
                server.measured.push(used * 1e6 / counted.requests);
            }
        }
    }
    say(&servers, report);
    Ok(())
}

fn say(servers: &[Server], report: &mut Report) {
    let of = |name: &str| {
        let server = servers.iter().find(|server| server.name == name).expect("it is in the list");
        median(server.measured.clone())
    };
    for server in servers {
        report.state(&format!("CPU per request, {}", server.name), format!("{:.1} µs", of(server.name)));
    }
    for (ours, peer, most) in [
        ("umbel P2 fresh", "wasmtime P2 fresh", 0.35),
        ("umbel P2 fresh", "hyper", 4.0),
        ("umbel P2 reuse", "hyper", 2.4),
        ("umbel P3 fresh", "wasmtime P3 fresh", 0.9),
        ("umbel P3 reuse", "wasmtime P3 reuse", 0.9),
        ("umbel P3 fresh", "hyper", 7.0),
    ] {
        report.at_most(&format!("CPU, {ours} ÷ {peer}"), of(ours) / of(peer), most, "");
    }
}
