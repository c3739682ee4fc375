//! Budgets that can be seen: what is shown adds up to what the system says of the process.

use crate::umbel;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use umbel_testkit::platform::application;
use umbel_testkit::wait::block_until;
use umbel_testkit::{Platform, example, guest};

/// The counters, as the API has them.
fn usage(platform: &Platform) -> Value {
    let endpoint: Value =
        serde_json::from_slice(&std::fs::read(platform.state().join("run/endpoint.json")).unwrap()).unwrap();
    let address = endpoint["api_url"].as_str().unwrap().strip_prefix("http://").unwrap().to_string();
    let token = std::fs::read_to_string(platform.state().join("api.token")).unwrap();
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!(
        "GET /v1/usage HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let list: Value = serde_json::from_str(body).unwrap();
    list["items"][0].clone()
}

/// Processor time of a process, in µs, as the system has it: in ticks of 10 ms.
fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000
}

/// Resident memory, from the kernel's own sum where it may be read.
fn resident(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let (text, name) = match rollup {
        Ok(text) => (text, "Rss:"),
        Err(_) => (std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), "VmRSS:"),
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Whether two figures are the same but for 5 %, and for what happens between reading one and the other.
#[track_caller]
fn alike(what: &str, shown: f64, system: f64, moment: f64) {
    assert!(
        (shown - system).abs() <= system * 0.05 + moment,
        "{what}: {shown} shown, the system says {system}"
    );
}

#[test]
fn the_sum_of_what_is_shown_is_the_process() {
    let platform = Platform::up(umbel()).unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.deploy(&application("echo", "v1", &guest("counter"), &["instance: reuse"])).unwrap();
    platform.wait_for_answer("hello").unwrap();
    platform.wait_for_answer("echo").unwrap();
    let stop = AtomicBool::new(false);
    let top = std::thread::scope(|scope| {
        for name in ["hello", "hello", "echo"] {
            let (platform, stop) = (&platform, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    assert_eq!(platform.get(name, "/").unwrap().status, 200);
                }
            });
        }
        block_until("it has worked a while", || cpu_us(platform.pid) > 1_000_000);
        let (before, memory_before) = (cpu_us(platform.pid), resident(platform.pid));
        let usage = usage(&platform);
        let (after, memory_after) = (cpu_us(platform.pid), resident(platform.pid));
        let top = platform.json(&["top", "--once"]).unwrap();
        stop.store(true, Relaxed);

        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{usage}"));
        let threads: u64 =
            usage["threads"].as_array().unwrap().iter().map(|group| number(&group["cpu_us"])).sum();
        let system = (before + after) as f64 / 2.0;
        let between = (after - before) as f64 / 2.0 + 20_000.0;
        alike("processor time", number(&usage["cpu_us"]) as f64, system, between);
        alike("its sum by threads", threads as f64, system, between);
        let memory = &usage["memory"];
        let parts = ["instances_bytes", "code_bytes", "rest_bytes"].map(|part| number(&memory[part]));
        assert_eq!(parts.iter().sum::<u64>(), number(&memory["resident_bytes"]), "{memory}");
        assert!(parts.iter().all(|bytes| *bytes > 0), "{memory}");
        let moment = memory_after.abs_diff(memory_before) as f64;
        alike(
            "memory",
            parts.iter().sum::<u64>() as f64,
            (memory_before + memory_after) as f64 / 2.0,
            moment,
        );
        top
    });
    assert_eq!(top["$type"], "top/v1");
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{top}"));
    let parts: f64 = top["cpu"].as_array().unwrap().iter().map(|part| number(&part["percent"])).sum();
    alike("the rows of the processor", parts, number(&top["cpu_percent"]), 0.1);
    let components = top["components"].as_array().unwrap();
    let booked: f64 = components.iter().map(|row| number(&row["cpu_percent"])).sum();
    alike("the row of all components", number(&top["cpu"][0]["percent"]), booked, 0.1);
    assert!(components.iter().all(|row| number(&row["calls_per_s"]) > 1.0), "{top}");
}

#[test]
fn what_holds_a_component_back_is_named() {
    let platform = Platform::up(umbel()).unwrap();
    platform
        .deploy(&application("slow", "v1", &guest("slow"), &["limits: {instances: 1, waiting: 1}"]))
        .unwrap();
    let limits = ["limits: {log_rate: 1KiB/s}"];
    platform.deploy(&application("logflood", "v1", &guest("logflood"), &limits)).unwrap();
    platform.deploy(&application("grow", "v1", &guest("grow"), &["limits: {memory: 16MiB}"])).unwrap();
    platform.wait_for_answer("slow").unwrap();
    platform.wait_for_answer("grow").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (name, path) in [
            ("slow", "/?ms=200"),
            ("slow", "/?ms=200"),
            ("logflood", "/?lines=200&size=200"),
            ("grow", "/?touch=1"),
        ] {
            let (platform, stop) = (&platform, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    drop(platform.get(name, path));
                }
            });
        }
        let held_back = |id: &str, why: &str| {
            let top = platform.json(&["top", "--once", "--interval", "500ms"]).unwrap();
            let row = top["components"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
            row["held_back_by"].as_array().unwrap().iter().any(|named| named == why)
        };
        let named = [
            ("slow-slow", "all instances busy"),
            ("logflood-logflood", "log lines dropped"),
            ("grow-grow", "memory refused"),
        ];
        for (id, why) in named {
            block_until(why, || held_back(id, why));
        }
        stop.store(true, Relaxed);
    });
}
