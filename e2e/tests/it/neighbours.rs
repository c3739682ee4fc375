//! Components that misbehave: each call ends with a code, and the neighbour does not notice.

use crate::{folder, up};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use umbel_testkit::platform::application;
use umbel_testkit::{Platform, example, guest, http};

/// A platform with a good neighbour, and the guest under its budget.
fn with_neighbour(name: &str, properties: &[&str]) -> Platform {
    let platform = up();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.deploy(&application(name, "v1", &guest(name), properties)).unwrap();
    platform.wait_for_answer("hello").unwrap();
    platform
}

fn neighbour_is_well(platform: &Platform) {
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello from Umbel!\n");
        assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    }
}

#[test]
fn every_failure_of_a_guest_has_a_code() {
    for (name, status, code) in [
        ("trap", 502, "UM0551"),
        ("trap-p3", 502, "UM0551"),
        ("recurse", 502, "UM0554"),
        ("noanswer", 502, "UM0555"),
    ] {
        let platform = with_neighbour(name, &[]);
        for _ in 0..20 {
            let answer = platform.get(name, "/").unwrap();
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
            assert!(answer.text().contains(code), "{name} ends with {code}: {}", answer.text());
        }
        neighbour_is_well(&platform);
    }
}

#[test]
fn a_guest_that_never_ends_is_ended() {
    let platform = with_neighbour("spin", &["limits: {call_time: 1s}"]);
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let start = Instant::now();
                    (platform.get("spin", "/").unwrap(), start.elapsed())
                })
            })
            .collect();
        // While all cores spin, the neighbour gets its turns.
        neighbour_is_well(&platform);
        for call in calls {
            let (answer, took) = call.join().unwrap();
            assert_eq!(answer.status, 504, "{}", answer.text());
            assert!(answer.text().contains("UM0552"), "{}", answer.text());
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
    });
    assert_eq!(platform.get("spin", "/?quick=1").unwrap().text(), "quick\n");
}

#[test]
fn memory_has_a_limit() {
    let platform = with_neighbour("grow", &["limits: {memory: 16MiB}"]);
    let answer = platform.get("grow", "/?touch=1").unwrap();
    // Either the guest is told that there is no more, or the call ends with the limit's name.
    match answer.status {
        200 => {
            let pages: u32 = answer.text().split(' ').next().unwrap().parse().unwrap();
            assert!((200..=256).contains(&pages), "{pages} pages of 64 KiB");
        }
        _ => assert!(answer.text().contains("UM0553"), "{}", answer.text()),
    }
    neighbour_is_well(&platform);
}

#[test]
fn a_flood_of_logs_is_bounded_and_harmless_to_terminals() {
    let platform = with_neighbour("logflood", &["limits: {log_rate: 16KiB/s}"]);
    assert_eq!(platform.get("logflood", "/?lines=20000&size=200").unwrap().status, 200);
    let logs = platform.succeed(&["logs", "logflood"]).unwrap();
    assert!(logs.contains("line "), "some of it is there: {}", &logs[..logs.len().min(500)]);
    assert!(!logs.contains('\u{1b}') && !logs.contains('\u{7}'), "no escapes reach a terminal");
    assert!(logs.len() < 2 << 20, "{} bytes", logs.len());
    let ps = platform.json(&["ps"]).unwrap();
    let mut components = ps["components"].as_array().unwrap().iter();
    let usage = &components.find(|c| c["id"].as_str().unwrap().contains("logflood")).unwrap()["usage"];
    assert!(usage["log_bytes_dropped"].as_u64().unwrap() > 1 << 20, "what is dropped is counted: {usage}");
    neighbour_is_well(&platform);
}

#[test]
fn a_body_that_nobody_reads_is_no_burden() {
    let platform = with_neighbour("unread", &[]);
    for _ in 0..5 {
        // The answer may come before all of the body was sent; then sending the rest may fail.
        if let Ok(answer) = http::post(platform.address, "unread.localhost", "/", &vec![b'x'; 4 << 20]) {
            assert!(answer.status == 200 || answer.status == 413, "{}", answer.text());
        }
    }
    neighbour_is_well(&platform);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a shell sets the limit, and becomes the program")]
fn connections_leave_the_platform_files_to_work_with() {
    let mut platform = folder();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec \"$0\" up --detach"]).arg(crate::umbel());
    shell.env("UMBEL_STATE", platform.state()).env("UMBEL_HTTP_PORT", "0");
    assert!(shell.status().unwrap().success());
    platform.read_endpoint().unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    let mut held: Vec<_> = (0..400).map(|_| TcpStream::connect(platform.address).unwrap()).collect();
    let last = held.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut said = String::new();
    // A reset is a way to be closed; to be left waiting is not.
    let ending = last.read_to_string(&mut said).map_err(|error| error.kind());
    assert!(ending.is_ok() || ending == Err(ErrorKind::ConnectionReset), "{ending:?} {said}");
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 503"), "{said}");
    let ps = platform.succeed(&["ps"]).unwrap();
    assert!(ps.contains("hello"), "{ps}");
    drop(held);
    assert_eq!(platform.wait_for_answer("hello").unwrap().status, 200);
    let log = std::fs::read_to_string(platform.state().join("log/host.log")).unwrap();
    assert!(log.contains("UM0817") && log.lines().count() < 20, "{log}");
}

#[test]
fn an_unlinked_import_fails_the_call_and_says_what_helps() {
    let platform = with_neighbour("custom-import", &[]);
    assert_eq!(platform.get("custom-import", "/").unwrap().text(), "not called\n", "it starts all the same");
    let answer = platform.get("custom-import", "/call").unwrap();
    assert!(answer.status >= 500, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains("UM0550") && text.contains("acme:demo"), "{text}");
    assert!(text.contains("umbel link"), "it names the command that adds the link: {text}");
    neighbour_is_well(&platform);
}

#[test]
fn what_is_not_granted_is_denied_at_use() {
    let platform = with_neighbour("wasi-user", &[]);
    let text = platform.get("wasi-user", "/").unwrap().text();
    for line in ["read /etc/passwd: denied", "write /tmp/umbel: denied", "socket: denied", "resolve: denied"]
    {
        assert!(text.contains(line), "{line} is in\n{text}");
    }
    let outgoing = with_neighbour("outgoing", &[]);
    let text = outgoing.get("outgoing", "/?url=http://127.0.0.1:1/").unwrap().text();
    assert!(text.contains("UM0550") || text.contains("error"), "{text}");
}

#[test]
fn instances_have_a_limit() {
    let platform = with_neighbour("slow", &["limits: {instances: 2, waiting: 2}"]);
    let answers: Vec<http::Answer> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..12).map(|_| scope.spawn(|| platform.get("slow", "/?ms=700").unwrap())).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(served >= 2 && refused >= 1 && served + refused == 12, "{served} served, {refused} refused");
    let refusal = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert!(refusal.text().contains("UM0556"), "{}", refusal.text());
}
