//! Providers under the hand of their user: swapped under load, stopped, started, restarted, and given up.

use crate::processes::{archive, counter, process};
use crate::{umbel, up};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_testkit::Platform;
use umbel_testkit::load::{Load, Outcome};
use umbel_testkit::wait::block_until;

const KEYVALUE: &str = "counter-keyvalue";

fn kind(platform: &Platform) -> String {
    let shown = platform.json(&["provider", "show", KEYVALUE]).unwrap();
    shown["provider"]["kind"].as_str().unwrap().to_owned()
}

fn ask(platform: &Platform) -> (u16, String) {
    let answer = platform.get("counter", "/").unwrap();
    (answer.status, answer.text())
}

/// What a load on the counter comes to while that is done to its store.
fn under_load(platform: &Platform, doing: impl FnOnce()) -> Outcome {
    let load = Load {
        address: platform.address,
        host: "counter.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 100.0,
        connections: 8,
        duration: Duration::from_secs(300),
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load.run(&over));
        doing();
        over.store(true, Ordering::Relaxed);
        load.join().unwrap()
    })
}

/// Every answer counted one, whoever served it.
fn is_counted(platform: &Platform, outcome: &Outcome) {
    assert_eq!(outcome.failed, 0, "{:?}", outcome.examples);
    let (_, text) = ask(platform);
    let counted: u64 = text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
    assert!(counted > outcome.succeeded, "{counted} after {}", outcome.succeeded);
}

#[test]
fn a_swap_under_load_fails_no_request_and_loses_no_count() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let outcome = under_load(&platform, || {
        for round in 0..6 {
            let to: &[&str] = if round % 2 == 0 { &["--isolation", "process"] } else { &[] };
            let swap = [&["provider", "swap", KEYVALUE, "builtin:keyvalue"], to].concat();
            platform.succeed(&swap).unwrap();
            assert_eq!(kind(&platform), ["process", "builtin"][round % 2]);
        }
    });
    is_counted(&platform, &outcome);
}

#[test]
fn a_component_that_is_restarted_and_replaced_under_load_fails_no_request() {
    let platform = up();
    let image = umbel_testkit::guest("keyvalue-component").display().to_string();
    platform.deploy(&counter("v1", &image, "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let outcome = under_load(&platform, || {
        for round in 0..4 {
            platform.succeed(&["provider", "restart", KEYVALUE]).unwrap();
            let limits = format!(", limits: {{memory: {}MiB}}", 64 + round);
            // It is deployed when the new one serves, and not before.
            platform.deploy(&counter(&format!("v{}", round + 2), &image, &limits)).unwrap();
            let shown = platform.json(&["provider", "show", KEYVALUE]).unwrap();
            assert!(shown["provider"]["coming"].is_null(), "{shown}");
        }
    });
    is_counted(&platform, &outcome);
}

#[test]
fn a_manifest_with_another_isolation_swaps_and_what_is_swapped_by_hand_is_kept_until_then() {
    let mut platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let shown = platform
        .json(&["provider", "swap", KEYVALUE, "builtin:keyvalue", "--isolation", "process", "--dry-run"])
        .unwrap();
    let item = &shown["items"][0];
    assert_eq!((&item["manner"], &item["to"]["kind"]), (&"in-turn".into(), &"process".into()), "{shown}");
    assert_eq!(item["links"][0]["compared"], true, "{shown}");
    assert_eq!(kind(&platform), "builtin");
    platform.succeed(&["provider", "swap", KEYVALUE, "builtin:keyvalue", "--isolation", "process"]).unwrap();
    platform.signal("KILL").unwrap();
    platform.start().unwrap();
    platform.wait_for_answer("counter").unwrap();
    assert_eq!(kind(&platform), "process");
    let inspected = platform.succeed(&["inspect", "counter"]).unwrap();
    assert!(inspected.contains("swapped by hand"), "{inspected}");
    platform.deploy(&counter("v2", "builtin:keyvalue", "")).unwrap();
    block_until("the deploy wins", || kind(&platform) == "builtin");
    platform.deploy(&counter("v3", "builtin:keyvalue", ", isolation: process")).unwrap();
    block_until("the manifest is followed", || process(&platform).is_some());
    assert_eq!(ask(&platform).0, 200);
}

#[test]
fn a_swap_that_cannot_be_leaves_the_old_one_serving() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let ends = archive(&platform, "ends", "echo I cannot go on; exit 3");
    for (to, code) in [
        ("builtin:blobstore", "UM0570"),
        ("builtin:nothing", "UM0807"),
        ("/nowhere/kv.par", "UM0832"),
        (ends.as_str(), "UM0832"),
        ("builtin:keyvalue", "UM0832"),
    ] {
        let ran = platform.run(&["provider", "swap", KEYVALUE, to]).unwrap();
        assert!(ran.code != 0 && ran.stderr.contains(code), "{to}: {}", ran.stderr);
        assert_eq!(ask(&platform).0, 200, "after {to}");
    }
    // What it said while it was tried is not taken for what the one that serves has said.
    block_until("the log tells of whom it is", || {
        platform.succeed(&["provider", "logs", KEYVALUE]).unwrap().contains("[candidate]  I cannot go on")
    });
    let ran = platform.run(&["provider", "swap", KEYVALUE, "builtin:blobstore", "--dry-run"]).unwrap();
    assert!(
        ran.code != 0 && ran.stderr.contains("UM0570") && ran.stdout.contains("would be swapped"),
        "{ran:?}"
    );
    assert_eq!(kind(&platform), "builtin");
}

#[test]
fn what_is_done_by_hand_after_a_deploy_that_changed_nothing_is_kept() {
    let platform = up();
    let manifest = counter("v1", "builtin:keyvalue", "");
    platform.deploy(&manifest).unwrap();
    platform.wait_for_answer("counter").unwrap();
    platform.deploy(&manifest).unwrap();
    platform.succeed(&["provider", "swap", KEYVALUE, "builtin:keyvalue", "--isolation", "process"]).unwrap();
    platform.succeed(&["provider", "stop", "counter-http"]).unwrap();
    // The manager looks at what runs all the while; this is more than it takes to undo something.
    for _ in 0..20 {
        let shown = platform.json(&["provider", "show", KEYVALUE]).unwrap();
        assert_eq!(
            (kind(&platform).as_str(), shown["provider"]["state"].as_str()),
            ("process", Some("running"))
        );
        let http = platform.json(&["provider", "show", "counter-http"]).unwrap();
        assert_eq!(http["provider"]["state"], "stopped", "{http}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    platform.succeed(&["provider", "start", "counter-http"]).unwrap();
    platform.wait_for_answer("counter").unwrap();
}

#[test]
fn a_process_of_an_archive_takes_over_from_a_process_of_the_same_id() {
    let platform = up();
    let serve =
        |name: &str| format!("echo {name} is here; exec {} provider run messaging", umbel().display());
    let (one, two) = (archive(&platform, "one", &serve("one")), archive(&platform, "two", &serve("two")));
    platform.deploy(&counter("v1", "builtin:keyvalue", "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    // Nothing is linked to it: what matters is that two processes of one id do not take one another's messages.
    let manifest = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: pair, annotations: {{version: v1}}}}
spec:
  components:
    - {{name: client, type: capability, properties: {{image: '{one}'}}}}
"
    );
    platform.deploy(&manifest).unwrap();
    let pid = |platform: &Platform| {
        let shown = platform.json(&["provider", "show", "pair-client"]).unwrap();
        shown["provider"]["process"]["pid"].as_u64()
    };
    block_until("it runs", || pid(&platform).is_some());
    let mut last = pid(&platform);
    for to in [&two, &one, &two] {
        platform.succeed(&["provider", "swap", "pair-client", to]).unwrap();
        let now = pid(&platform);
        assert!(now.is_some() && now != last, "{now:?} after {last:?}");
        last = now;
    }
    let logs = || platform.succeed(&["provider", "logs", "pair-client"]).unwrap();
    block_until("both have said so", || logs().contains("one is here") && logs().contains("two is here"));
}

#[test]
fn a_provider_is_stopped_started_and_restarted() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    platform.succeed(&["provider", "stop", KEYVALUE]).unwrap();
    let (status, text) = ask(&platform);
    assert!(status == 503 && text.contains("UM0830"), "{status} {text}");
    assert!(text.contains("umbel provider start counter-keyvalue"), "{text}");
    let ps = platform.succeed(&["ps"]).unwrap();
    assert!(ps.contains("stopped") && ps.contains("umbel provider start counter-keyvalue"), "{ps}");
    platform.succeed(&["provider", "start", KEYVALUE]).unwrap();
    assert_eq!(ask(&platform).0, 200);
    let (before, _) = process(&platform).expect("it is a process");
    platform.succeed(&["provider", "restart", KEYVALUE]).unwrap();
    let (after, _) = process(&platform).expect("it is a process");
    assert_ne!(before, after);
    assert_eq!(ask(&platform).0, 200);
    let ran = platform.run(&["provider", "restart", "counter-keyvalu"]).unwrap();
    assert!(ran.stderr.contains("did you mean `counter-keyvalue`?"), "{}", ran.stderr);
}

#[test]
fn a_provider_that_ends_again_and_again_is_given_up_with_the_reason() {
    let platform = up();
    let ends = archive(&platform, "ends", "echo I cannot go on; exit 3");
    std::fs::write(platform.folder().join("manifest.yaml"), counter("v1", &ends, "")).unwrap();
    let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "60s"]).unwrap();
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    let state = || {
        let shown = platform.json(&["provider", "show", KEYVALUE]).unwrap();
        shown["provider"]["state"].as_str().unwrap().to_owned()
    };
    block_until("it is given up", || state() == "crash-loop");
    let tree = platform.succeed(&["tree"]).unwrap();
    let line = tree.lines().find(|line| line.contains(KEYVALUE)).unwrap();
    assert!(line.contains("crash-loop") && line.contains("restarts"), "{line}");
    let list = platform.succeed(&["provider", "list"]).unwrap();
    let ps = platform.succeed(&["ps"]).unwrap();
    for shown in [line, &list, &ps] {
        let is_told = shown.contains("status 3") && shown.contains("its last line was `I cannot go on`");
        assert!(shown.contains("crash-loop") && is_told, "{shown}");
    }
    block_until("the events tell it", || {
        let events = platform.succeed(&["events", "-o", "jsonl"]).unwrap();
        events.contains("UM0834") && events.contains("status 3")
    });
    let logs = platform.succeed(&["provider", "logs", KEYVALUE]).unwrap();
    assert!(logs.contains("I cannot go on"), "{logs}");
}
