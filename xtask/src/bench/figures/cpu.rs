//! Processor time per request of a hello, of all processes of a server.
//!
//! It is measured twice. On one core for each server, beside hyper on one thread: then nothing but the server's own work is in it. And
//! on all cores, as servers come: then what their threads cost each other is in it as well.

use crate::bench::peers::{self, Instances};
use crate::bench::pin::Pinned;
use crate::bench::process::Process;
use crate::bench::report::Report;
use crate::bench::{Bench, cpu, median, wrk};
use anyhow::{Result, bail};
use std::time::Instant;
use umbel_testkit::platform::{Platform, application};

/// Our rows: name, application, example, instances.
const OURS: [(&str, &str, &str, &str); 4] = [
    ("umbel P2 fresh", "p2-fresh", "hello", "fresh"),
    ("umbel P2 reuse", "p2-reuse", "hello", "reuse"),
    ("umbel P3 fresh", "p3-fresh", "hello-p3", "fresh"),
    ("umbel P3 reuse", "p3-reuse", "hello-p3", "reuse"),
];

/// Ratios that are promised, of servers on one core each.
const ON_ONE_CORE: &[(&str, &str, f64)] = &[
    ("umbel P2 fresh", "hyper", 4.0),
    ("umbel P2 reuse", "hyper", 2.4),
    ("umbel P3 fresh", "hyper", 7.0),
    ("umbel P3 fresh", "wasmtime P3 fresh", 0.9),
    ("umbel P3 reuse", "wasmtime P3 reuse", 0.9),
];

/// Ratios that are promised, of servers as they come.
const ON_ALL_CORES: &[(&str, &str, f64)] = &[
    ("umbel P2 fresh", "wasmtime P2 fresh", 0.35),
    ("umbel P3 fresh", "wasmtime P3 fresh", 0.9),
    ("umbel P3 reuse", "wasmtime P3 reuse", 0.9),
];

/// A server at work on less than this share of the core that it was given was kept from it by others.
const SHARE_MIN: f64 = 0.8;

/// A server that takes its turn in every round.
struct Server {
    name: &'static str,
    pid: u32,
    port: u16,
    host: String,
    measured: Vec<Measured>,
}

/// One server's load in one round.
struct Measured {
    /// Processor time for each request, in µs.
    us: f64,
    per_second: f64,
    /// Cores that the server kept busy.
    share: f64,
}

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    {
        let pinned = Pinned::server()?;
        let servers = Servers::start(bench)?;
        pinned.load()?;
        let servers = servers.measure(bench)?;
        say("one core", &servers, ON_ONE_CORE, report);
        let least = servers.iter().map(|server| server.median(|m| m.share)).fold(1.0, f64::min);
        report.at_most(
            "share of their core that servers did not get (other work?)",
            1.0 - least,
            1.0 - SHARE_MIN,
            "",
        );
    }
    let servers = Servers::start(bench)?.measure(bench)?;
    say("all cores", &servers, ON_ALL_CORES, report);
    Ok(())
}

/// All servers; they end with their value.
struct Servers {
    platform: Platform,
    peers: Vec<(&'static str, Process)>,
}

impl Servers {
    fn start(bench: &Bench) -> Result<Servers> {
        let platform = Platform::up(&bench.umbel)?;
        for (_, app, example, instances) in OURS {
            let instances = format!("instance: {instances}");
            platform.deploy(&application(app, "v1", &umbel_testkit::example(example), &[&instances]))?;
            platform.wait_for_answer(app)?;
        }
        let peers = vec![
            ("hyper", peers::hyper()?),
            ("wasmtime P2 fresh", peers::wasmtime("hello", Instances::Fresh)?),
            ("wasmtime P2 reuse", peers::wasmtime("hello", Instances::Reused)?),
            ("wasmtime P3 fresh", peers::wasmtime("hello-p3", Instances::Fresh)?),
            ("wasmtime P3 reuse", peers::wasmtime("hello-p3", Instances::Reused)?),
        ];
        Ok(Servers { platform, peers })
    }

    /// Measures them in turns.
    fn measure(self, bench: &Bench) -> Result<Vec<Server>> {
        let server = |name, pid, port, host| Server { name, pid, port, host, measured: Vec::new() };
        let peers = self
            .peers
            .iter()
            .map(|(name, process)| server(*name, process.pid(), process.port, "localhost".to_owned()));
        let (pid, port) = (self.platform.pid, self.platform.address.port());
        let ours = OURS.iter().map(|(name, app, ..)| server(*name, pid, port, format!("{app}.localhost")));
        let mut servers: Vec<Server> = peers.chain(ours).collect();
        // The first round warms up and does not count.
        for round in 0..=bench.rounds {
            for server in &mut servers {
                let measured = server.load(if round == 0 { 1 } else { bench.seconds })?;
                if round > 0 {
                    server.measured.push(measured);
                }
            }
        }
        Ok(servers)
    }
}

impl Server {
    fn load(&self, seconds: u32) -> Result<Measured> {
        let (start, before) = (Instant::now(), cpu::seconds(self.pid));
        let counted = wrk::run(self.port, &self.host, seconds)?;
        let (took, used) = (start.elapsed().as_secs_f64(), cpu::seconds(self.pid) - before);
        let share = used / took;
        let cores = std::thread::available_parallelism()?.get() as f64;
        // More time than there was cannot have been used: what counts it is broken then.
        if share > 1.02 * cores.max(1.0) {
            bail!("{} used {used:.2} s of processor time within {took:.2} s on {cores} cores", self.name);
        }
        Ok(Measured { us: used * 1e6 / counted.requests, per_second: counted.per_second, share })
    }

    fn median(&self, of: fn(&Measured) -> f64) -> f64 {
        median(self.measured.iter().map(of).collect())
    }
}

fn say(cores: &str, servers: &[Server], promised: &[(&str, &str, f64)], report: &mut Report) {
    for server in servers {
        let figure = format!(
            "{:.1} µs; {:.0} requests/s with {:.2} cores",
            server.median(|m| m.us),
            server.median(|m| m.per_second),
            server.median(|m| m.share)
        );
        report.state(&format!("CPU per request on {cores}, {}", server.name), figure);
    }
    let of = |name: &str| {
        servers.iter().find(|server| server.name == name).expect("it is in the list").median(|m| m.us)
    };
    for (ours, peer, most) in promised {
        report.at_most(&format!("CPU on {cores}, {ours} ÷ {peer}"), of(ours) / of(peer), *most, "");
    }
}
