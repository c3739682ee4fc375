//! `umbel spy`: what passes over the lattice is told, and nothing secret of it.

use crate::processes::counter;
use crate::up;
use serde_json::Value;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use umbel_testkit::Platform;

/// A command that listens; it ends with the test.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(platform: &Platform, arguments: &[&str]) -> Listening {
        let words = [&["spy", "-o", "jsonl", "--for", "2min"], arguments].concat();
        let mut child =
            platform.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.starts_with("listening"), "{told}");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Listening { child, lines }
    }

    /// All that is told up to what is looked for.
    fn until(&mut self, found: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        for line in self.lines.by_ref() {
            let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_eq!(entry["$type"], "spy/v1", "{entry}");
            let is_last = found(&entry);
            all.push(entry);
            if is_last {
                return all;
            }
        }
        panic!("it ended without what is looked for: {all:#?}")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn calls_of_a_process_are_seen_with_their_hops_and_times() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let mut calls = Listening::start(&platform, &["--only", "calls", "--component", "counter-keyvalue"]);
    assert_eq!(platform.get("counter", "/").unwrap().status, 200);
    let seen = calls.until(|entry| entry["hop"] == "result");
    let (request, result) = (&seen[0], seen.last().unwrap());
    assert_eq!(
        (&request["hop"], &request["from"]),
        (&"request".into(), &"counter-counter".into()),
        "{request}"
    );
    assert!(request["what"].as_str().unwrap().starts_with("wasi:keyvalue/"), "{request}");
    assert_eq!((&result["from"], &result["to"]), (&"counter-keyvalue".into(), &"counter-counter".into()));
    assert!(result["took_us"].as_u64().is_some(), "{result}");
    assert!(seen.iter().all(|entry| entry["kind"] == "calls" && entry["hex"].is_null()), "{seen:#?}");
}

#[test]
fn secrets_pass_unseen_and_a_limit_ends_it() {
    let platform = up();
    let mut control = Listening::start(&platform, &["--only", "control,secrets,other", "--bytes", "4096"]);
    std::fs::write(platform.folder().join("value"), "hunter2").unwrap();
    platform.succeed(&["secret", "put", "password", "--shared", "--from-file", "value"]).unwrap();
    let seen = control.until(|entry| entry["what"] == "secret.put" && entry["hop"] == "answer");
    let told = format!("{seen:?}");
    assert!(!told.contains("hunter2") && !told.contains("68756e74657232"), "{told}");
    assert!(told.contains("secret.put"), "{told}");

    let mut limited = Listening::start(&platform, &["--only", "control", "--limit", "2"]);
    platform.succeed(&["ps"]).unwrap();
    assert_eq!(limited.lines.by_ref().count(), 2);
    assert!(limited.child.wait().unwrap().success());
}
