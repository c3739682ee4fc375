//! A lattice of many hosts, and a host of many components: what being there costs when nothing is asked. Twice as many cost twice as much.

use crate::bench::report::Report;
use crate::bench::{Bench, cpu};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use umbel_testkit::platform::many;
use umbel_testkit::{NatsServer, Platform, http};

const FEW: usize = 5;
const MIDDLE: usize = 25;
const MANY: usize = 50;

/// How long messages are counted: the slow timer of a manager rings twice, and each host beats once.
const QUIET: Duration = Duration::from_secs(30);
/// Hosts beat every 30 s.
const BEAT_MAX: Duration = Duration::from_secs(45);
/// Until the lattice is as it stays.
const SETTLE: Duration = Duration::from_secs(10);

/// Hosts of a lattice, then components of a host.
pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let few = hosts(bench, FEW)?;
    let middle = hosts(bench, MIDDLE)?;
    let many = hosts(bench, MANY)?;
    for (count, cost) in [(FEW, &few), (MIDDLE, &middle), (MANY, &many)] {
        report.state(
            &format!("a quiet lattice of {count} hosts"),
            format!(
                "{:.0} messages/s, {:.1} KiB/s; each host {:.1} MiB and {:.2} % of a core; the server {:.1} % of one",
                cost.messages, cost.kib, cost.mib, cost.host_percent, cost.server_percent
            ),
        );
    }
    let each = |cost: &Cost, count: usize| cost.messages / count as f64;
    report.at_most("messages of each of 50 hosts ÷ each of 5", each(&many, MANY) / each(&few, FEW), 1.5, "");
    report.at_most(
        "messages of each of 50 hosts ÷ each of 25",
        each(&many, MANY) / each(&middle, MIDDLE),
        1.3,
        "",
    );
    report.at_most("memory of each of 50 hosts ÷ each of 5", many.mib / few.mib, 1.3, "");
    let (hundred, thousand) = (components(bench, 100)?, components(bench, 1_000)?);
    report.state("heartbeat of a host with 100 components", format!("{hundred:.1} KiB every 30 s"));
    report.state("heartbeat of a host with 1,000 components", format!("{thousand:.1} KiB every 30 s"));
    report.at_most(
        "heartbeat for each of 1,000 components ÷ each of 100",
        thousand / 10.0 / hundred,
        1.1,
        "",
    );
    Ok(())
}

/// What hosts cost that do nothing.
struct Cost {
    /// Messages in a second, those that the server takes and those that it gives.
    messages: f64,
    kib: f64,
    /// Of each host.
    mib: f64,
    host_percent: f64,
    server_percent: f64,
}

fn hosts(bench: &Bench, count: usize) -> Result<Cost> {
    let port = umbel_testkit::nats::free_address()?.port();
    let server = NatsServer::start(&format!("http: \"127.0.0.1:{port}\""))?;
    let mut hosts = Vec::with_capacity(count);
    for number in 0..count {
        let mut host = Platform::new(&bench.umbel)?;
        host.start_with(&["--nats", &server.url(), "--name", &format!("h{number}")])?;
        hosts.push(host);
    }
    let there = hosts[0].json(&["ps"])?["hosts"].as_array().map_or(0, Vec::len);
    if there != count {
        bail!("{there} of {count} hosts see one another");
    }
    std::thread::sleep(SETTLE);
    let monitor = SocketAddr::from(([127, 0, 0, 1], port));
    let pids: Vec<u32> = hosts.iter().map(|host| host.pid).collect();
    let server_pid = server.pid().context("the server runs")?;
    let spent = || -> f64 { pids.iter().map(|pid| cpu::seconds(*pid)).sum() };
    let (host_before, server_before) = (spent(), cpu::seconds(server_pid));
    let (before, begun) = (varz(monitor)?, Instant::now());
    std::thread::sleep(QUIET);
    let (after, seconds) = (varz(monitor)?, begun.elapsed().as_secs_f64());
    let grown = |fields: [&str; 2]| -> Result<f64> {
        let sum =
            |varz: &Value| Ok::<f64, anyhow::Error>(number(varz, fields[0])? + number(varz, fields[1])?);
        Ok((sum(&after)? - sum(&before)?) / seconds)
    };
    let bytes: Vec<u64> = pids.iter().map(|pid| cpu::resident_bytes(*pid)).collect::<Result<_>>()?;
    Ok(Cost {
        messages: grown(["in_msgs", "out_msgs"])?,
        kib: grown(["in_bytes", "out_bytes"])? / 1024.0,
        mib: bytes.iter().sum::<u64>() as f64 / 1024.0 / 1024.0 / count as f64,
        host_percent: (spent() - host_before) / seconds / count as f64 * 100.0,
        server_percent: (cpu::seconds(server_pid) - server_before) / seconds * 100.0,
    })
}

/// The heartbeat of a host with so many components, in KiB.
fn components(bench: &Bench, count: usize) -> Result<f64> {
    let server = NatsServer::start("")?;
    let mut host = Platform::new(&bench.umbel)?;
    host.start_with(&["--nats", &server.url()])?;
    host.deploy(&many("many", count, &umbel_testkit::example("hello")))?;
    Ok(heartbeat_bytes(server.address())? as f64 / 1024.0)
}

/// The length of the next heartbeat, as a subscriber gets it.
fn heartbeat_bytes(server: SocketAddr) -> Result<usize> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(BEAT_MAX))?;
    let mut writer = stream.try_clone()?;
    writer.write_all(
        b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB wasmbus.evt.default.host_heartbeat 1\r\n",
    )?;
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the server has closed the connection");
        }
        if line.starts_with("PING") {
            writer.write_all(b"PONG\r\n")?;
        }
        if line.starts_with("MSG ") {
            let bytes: usize = line.trim().rsplit(' ').next().context("a length")?.parse()?;
            reader.by_ref().take(bytes as u64).read_to_end(&mut Vec::new())?;
            return Ok(bytes);
        }
    }
}

fn varz(monitor: SocketAddr) -> Result<Value> {
    Ok(serde_json::from_slice(&http::get(monitor, "localhost", "/varz")?.body)?)
}

fn number(varz: &Value, field: &str) -> Result<f64> {
    varz[field].as_f64().with_context(|| format!("the server tells no {field}"))
}
