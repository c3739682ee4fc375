//! What was acknowledged survives, and nothing is left over.

use crate::{folder, up};
use serde_json::Value;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_testkit::load::Load;
use umbel_testkit::platform::application;
use umbel_testkit::wait::block_until;
use umbel_testkit::{example, guest};

/// Processes whose command line or environment names the text.
fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let of = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let both = [of("cmdline"), of("environ")].concat();
        if both.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn what_was_desired_runs_again_after_kill_9() {
    let mut platform = up();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.deploy(&application("other", "v1", &guest("hello-v2"), &["instance: reuse"])).unwrap();
    platform.deploy(&application("gone", "v1", &guest("counter"), &[])).unwrap();
    platform.succeed(&["undeploy", "gone"]).unwrap();
    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());

    let state = platform.state().display().to_string();
    block_until("nothing of it is left", || processes_with(&state).is_empty());
    platform.start().unwrap();
    assert_eq!(platform.wait_for_answer("hello").unwrap().text(), "Hello from Umbel!\n");
    assert_eq!(platform.wait_for_answer("other").unwrap().text(), "Hello again from Umbel!\n");
    assert_eq!(platform.get("gone", "/").unwrap().status, 404);
}

#[test]
fn every_acknowledged_version_survives_kill_9() {
    let mut platform = up();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        for number in 0..4 {
            let version = format!("v{round}-{number}");
            let manifest = application("hello", &version, &example("hello"), &[]);
            std::fs::write(platform.folder().join("manifest.yaml"), manifest).unwrap();
            platform.succeed(&["deploy", "-f", "manifest.yaml", "--no-wait"]).unwrap();
            acknowledged.push(version);
        }
        platform.signal("KILL").unwrap();
        block_until("it is gone", || !platform.is_alive());
        platform.start().unwrap();
        let shown = platform.json(&["inspect", "hello"]).unwrap().to_string();
        for version in &acknowledged {
            assert!(shown.contains(&format!("\"{version}\"")), "{version} is in {shown}");
        }
    }
    platform.wait_for_answer("hello").unwrap();
}

#[test]
fn kill_9_under_load_harms_nothing_that_lasts() {
    let mut platform = up();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    let load = Load {
        address: platform.address,
        host: "hello.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 2_000.0,
        connections: 8,
        duration: Duration::from_secs(30),
    };
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| load.run(&enough));
        block_until("calls arrive", || platform.get("hello", "/").is_ok_and(|answer| answer.status == 200));
        platform.signal("KILL").unwrap();
        enough.store(true, Ordering::Relaxed);
    });
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    assert_eq!(platform.wait_for_answer("hello").unwrap().status, 200);
}

#[test]
fn a_stop_lets_calls_finish() {
    for signal in ["TERM", "INT"] {
        let mut platform = up();
        platform.deploy(&application("slow", "v1", &guest("slow"), &[])).unwrap();
        platform.wait_for_answer("slow").unwrap();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| platform.get("slow", "/?ms=1500"));
            block_until("the call runs", || {
                let ps = platform.json(&["ps"]).unwrap();
                ps["components"].as_array().unwrap().iter().any(|c| c["usage"]["calls_in_flight"] == 1)
            });
            platform.signal(signal).unwrap();
            let answer = call.join().unwrap().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "slept 1500 ms\n"), "SIG{signal}");
        });
        block_until("it is gone", || !platform.is_alive());
        platform.pid = 0;
        platform.start().unwrap();
        assert_eq!(platform.wait_for_answer("slow").unwrap().status, 200, "it runs again");
    }
}

#[test]
fn a_stop_under_load_cuts_no_request() {
    const CALLS: usize = 40;
    let mut platform = folder();
    let mut process = platform.command(&["up", "--quiet"]).stderr(Stdio::null()).spawn().unwrap();
    block_until("it runs", || platform.read_endpoint().is_ok());
    platform.deploy(&application("slow", "v1", &guest("slow"), &[])).unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.wait_for_answer("slow").unwrap();
    let load = Load {
        address: platform.address,
        host: "hello.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 2_000.0,
        connections: 8,
        duration: Duration::from_secs(60),
    };
    let enough = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(&enough));
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(|| platform.get("slow", "/?ms=3000"))).collect();
        block_until("all calls run", || {
            let ps = platform.json(&["ps"]).unwrap();
            let of = |component: &Value| component["usage"]["calls_in_flight"].as_u64();
            ps["components"].as_array().unwrap().iter().filter_map(of).max() >= Some(CALLS as u64)
        });
        platform.signal("TERM").unwrap();
        for call in calls {
            let answer = call.join().unwrap().unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "slept 3000 ms\n"));
        }
        assert_eq!(process.wait().unwrap().code(), Some(0));
        enough.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    assert!(outcome.succeeded > 0);
    // Whoever is still sending finds nobody who listens. An answer that has begun is never cut, and none is a failure.
    assert_eq!((outcome.cut, outcome.failed), (0, outcome.unanswered), "{:?}", outcome.examples);
}

#[test]
fn a_state_file_of_another_version_is_told_and_kept() {
    let mut platform = up();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.down().unwrap();
    let file = platform.state().join("lattice.redb");
    let db = redb::Database::open(&file).unwrap();
    let transaction = db.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("umbel.meta");
    assert_eq!(transaction.open_table(meta).unwrap().insert("format", 99).unwrap().unwrap().value(), 1);
    transaction.commit().unwrap();
    drop(db);
    let bytes = std::fs::read(&file).unwrap();
    let ran = platform.run(&["up", "--detach"]).unwrap();
    assert_eq!(ran.code, 10, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("UM0614") && ran.stderr.contains("help:"), "{}", ran.stderr);
    assert!(std::fs::read(&file).unwrap() == bytes, "it is left as it is");
}

#[test]
fn a_second_host_on_the_same_folder_is_refused() {
    let first = up();
    let second = first.run(&["up"]).unwrap();
    assert_eq!(second.code, 4, "{}", second.stderr);
    assert!(second.stderr.contains("UM0"), "{}", second.stderr);
    let again = first.json(&["up", "--detach"]).unwrap();
    assert_eq!(again["was_running"], true);
    assert!(first.is_alive());
}

#[test]
fn a_port_in_use_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let platform = folder();
    let ran = platform.run(&["up", "--detach", "--http-port", &port]).unwrap();
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("UM0500") && ran.stderr.contains(&port), "{}", ran.stderr);
}

#[test]
fn a_state_folder_that_cannot_be_used_is_told() {
    let platform = folder();
    for state in ["/proc/umbel", "/dev/null/umbel"] {
        let ran = platform.run(&["up", "--detach", "--state", state]).unwrap();
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains("UM1017") && ran.stderr.contains(state), "{}", ran.stderr);
    }
}

#[test]
fn a_damaged_state_file_is_told_and_kept() {
    let mut platform = up();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    platform.down().unwrap();
    let files: Vec<_> =
        std::fs::read_dir(platform.state()).unwrap().flatten().map(|entry| entry.path()).collect();
    let redb = files.iter().find(|path| path.extension().is_some_and(|extension| extension == "redb"));
    let file = redb.unwrap_or_else(|| panic!("there is a state file among {files:?}"));
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[..middle].fill(0x5a);
    std::fs::write(file, &bytes).unwrap();
    let ran = platform.run(&["up", "--detach"]).unwrap();
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stderr.contains("UM06"), "{}", ran.stderr);
    assert!(std::fs::read(file).unwrap() == bytes, "the evidence is not touched");
}
