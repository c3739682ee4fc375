//! Commands with a platform: from nothing to a URL and back to nothing.

use crate::{nothing_runs, umbel};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use umbel_testkit::http::Answer;
use umbel_testkit::platform::application;
use umbel_testkit::wait::block_until;
use umbel_testkit::{Platform, example, guest};

#[test]
fn launch_makes_a_url_out_of_nothing() {
    let mut platform = nothing_runs();
    let ran = platform.run(&["launch"]).unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    platform.read_endpoint().unwrap();
    for (text, wanted) in [
        (&ran.stderr, "$ umbel up --detach"),
        (&ran.stderr, "$ umbel deploy -f "),
        (&ran.stdout, "hello answers at http://hello.localhost:"),
        (&ran.stdout, "try    curl http://hello.localhost:"),
        (&ran.stdout, "umbel down"),
    ] {
        assert!(text.contains(wanted), "{wanted}: {ran:?}");
    }
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);

    // Once more: the platform and the application are there already.
    let again = platform.json(&["launch", "hello"]).unwrap();
    assert_eq!(again["was_running"], true);
    assert_eq!(again["pid"], platform.pid);
    let versions = platform.json(&["inspect", "hello"]).unwrap();
    assert_eq!(
        versions["versions"].as_array().map(Vec::len),
        Some(1),
        "the same is no new version: {versions}"
    );

    let ps = platform.json(&["ps"]).unwrap();
    assert_eq!(ps["applications"][0]["status"], "deployed");
    assert_eq!(platform.succeed(&["ps", "-o", "name"]).unwrap(), "hello\n");
    assert!(platform.succeed(&["tree"]).unwrap().contains("hello"));
    assert!(platform.succeed(&["open", "hel", "--print"]).unwrap().starts_with("http://hello.localhost:"));
    assert!(platform.succeed(&["events"]).unwrap().contains("component_scaled"));
    assert!(platform.succeed(&["link", "list"]).unwrap().contains("wasi:http/incoming-handler"));

    assert_eq!(platform.run(&["inspect", "nothing"]).unwrap().code, 3);
    let unsure = platform.run(&["undeploy", "hello", "--delete"]).unwrap();
    assert_eq!(unsure.code, 9, "{unsure:?}");
    let begun = platform.run(&["undeploy", "hel"]).unwrap();
    assert_eq!(begun.code, 3, "a beginning is no name for what changes something: {begun:?}");
    platform.succeed(&["undeploy", "hello"]).unwrap();
    block_until("it is gone", || platform.get("hello", "/").is_ok_and(|answer| answer.status != 200));
    platform.succeed(&["undeploy", "hello", "--delete", "--yes"]).unwrap();
    assert_eq!(platform.run(&["deploy", "hello"]).unwrap().code, 3);

    platform.succeed(&["down"]).unwrap();
    assert!(!platform.is_alive());
    assert!(platform.succeed(&["down"]).unwrap().contains("no platform is running"));
}

/// A free port that no connection takes for its own end: who asks one of those again and again while nobody listens meets itself.
fn quiet_port() -> String {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..32_000).find(is_free).unwrap().to_string()
}

#[test]
fn whoever_asks_while_the_platform_restarts_is_told_that_it_starts() {
    let mut platform = nothing_runs();
    let port = quiet_port();
    let up = ["up", "--detach", "--http-port", &port];
    platform.succeed(&up).unwrap();
    platform.read_endpoint().unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.deploy(&application("other", "v1", &guest("hello-v2"), &[])).unwrap();
    for _ in 0..3 {
        platform.signal("KILL").unwrap();
        block_until("it is gone", || !platform.is_alive());
        let is_up = AtomicBool::new(false);
        let (up, first, answers) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut answers: Vec<Answer> = Vec::new();
                while !is_up.load(Relaxed) {
                    // While nothing listens, connections are refused.
                    answers.extend(platform.get("hello", "/"));
                    std::thread::yield_now();
                }
                answers
            });
            let up = platform.run(&up);
            let first = platform.get("other", "/");
            is_up.store(true, Relaxed);
            (up, first, asking.join().unwrap())
        });
        assert_eq!(up.as_ref().map(|ran| ran.code).ok(), Some(0), "{up:?}");
        let first = first.unwrap();
        assert!(!first.text().contains("UM0517"), "a platform that is ready knows its routes: {first:?}");
        for answer in answers {
            let text = answer.text();
            let starts = text.contains("starting") || text.contains("compiling");
            let waits = answer.status == 503 && answer.header("retry-after") == Some("1") && starts;
            assert!(answer.status == 200 || waits, "{answer:?}");
        }
        platform.read_endpoint().unwrap();
        assert_eq!(platform.wait_for_answer("hello").unwrap().status, 200);
    }
}

#[test]
fn a_second_signal_ends_a_stop_at_once_and_says_so() {
    let mut platform = nothing_runs();
    let up = platform.command(&["up"]).stderr(Stdio::piped()).spawn().unwrap();
    block_until("it is ready", || platform.read_endpoint().is_ok());
    platform.deploy(&application("slow", "v1", &guest("slow"), &[])).unwrap();
    platform.wait_for_answer("slow").unwrap();
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| platform.get("slow", "/?ms=25000"));
        block_until("the call runs", || {
            platform.json(&["ps"]).unwrap()["components"][0]["usage"]["calls_in_flight"] == 1
        });
        let begun = Instant::now();
        platform.signal("TERM").unwrap();
        block_until("it stops", || TcpStream::connect(platform.address).is_err());
        platform.signal("TERM").unwrap();
        let ran = up.wait_with_output().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "it waited for the call");
        ran
    });
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(stderr.contains("error[UM1038]") && stderr.contains("second signal"), "{stderr}");
    assert!(!platform.state().join("run/endpoint.json").exists(), "nothing points at what is gone");
}

#[test]
fn two_who_start_at_the_same_moment_get_one_platform() {
    let mut platform = nothing_runs();
    let starts: Vec<_> = (0..3)
        .map(|_| {
            platform
                .command(&["up", "--detach", "-o", "json"])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut pids: Vec<_> = starts
        .into_iter()
        .map(|start| {
            let output = start.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let platform: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            platform["pid"].as_u64()
        })
        .collect();
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
    platform.read_endpoint().unwrap();
}

#[test]
fn a_wrong_manifest_is_shown_with_its_lines() {
    let platform = Platform::up(umbel()).unwrap();
    let manifest = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: Hello\nspec:\n  components: 3\n";
    std::fs::write(platform.folder().join("umbel.yaml"), manifest).unwrap();
    for arguments in [&["deploy"][..], &["deploy", "--dry-run"]] {
        let ran = platform.run(arguments).unwrap();
        assert_eq!(ran.code, 1, "{ran:?}");
        for wanted in ["umbel.yaml:4:9", "4 |   name: Hello", "|         ^", "umbel.yaml:6:15", "help:"] {
            assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_cannot_be_launched_fails_with_its_reason() {
    let mut platform = nothing_runs();
    std::fs::write(platform.folder().join("not.wasm"), b"this is not wasm").unwrap();
    let ran = platform.run(&["launch", "not.wasm"]).unwrap();
    platform.read_endpoint().unwrap();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("error[UM04"), "{ran:?}");
}

#[test]
fn a_port_in_use_is_told_by_whoever_started_it() {
    let platform = nothing_runs();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ran = platform.run(&["up", "--detach", "--http-port", &port]).unwrap();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains(&port) && ran.stderr.contains("help:"), "{ran:?}");
}
