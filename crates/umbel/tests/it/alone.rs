//! Commands without a platform.

use crate::{nothing_runs, umbel};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use umbel_testkit::Platform;

#[track_caller]
fn check(platform: &Platform, arguments: &[&str], code: i32, stderr: &str) {
    let ran = platform.run(arguments).unwrap();
    assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    assert!(ran.stderr.contains(stderr), "{arguments:?}: {ran:?}");
    assert!(code == 0 || ran.stdout.is_empty(), "a failure prints no result: {arguments:?}: {ran:?}");
    assert!(!ran.stderr.contains('\x1b'), "no colours without a terminal: {arguments:?}: {ran:?}");
}

#[test]
fn exit_codes_are_as_documented() {
    let platform = nothing_runs();
    let check = |arguments: &[&str], code, stderr| check(&platform, arguments, code, stderr);
    check(&[], 2, "Usage: umbel");
    check(&[], 2, "Every day:\n  launch");
    check(&["help", "nonsens"], 3, "error[UM1031]");
    check(&["help", "lauch"], 3, "did you mean `launch`?");
    check(&["help", "link", "nothing"], 3, "error[UM1031]");
    check(&["nonsense"], 2, "unrecognized subcommand");
    check(&["logs", "--since", "tomorrow"], 2, "is not a duration");
    check(&["--help"], 0, "");
    for command in
        ["ps", "tree", "logs", "events", "open", "link list", "deploy hello", "undeploy hello", "inspect x"]
    {
        let words: Vec<&str> = command.split(' ').collect();
        check(&words, 69, "error[UM1002]: nothing listens on the socket");
        check(&words, 69, "help: start it with `umbel up --detach`");
    }
    check(&["explain", "UM9999"], 3, "error[UM1031]");
    check(&["explain", "um1002"], 0, "");
    check(&["deploy", "-f", "missing.yaml"], 3, "error[UM1022]");
    check(&["deploy"], 3, "there is no umbel.yaml or wadm.yaml in this folder");
    check(&["launch", "nothing-of-that-name"], 3, "error[UM1025]");
    check(&["launch", "missing.wasm"], 3, "error[UM1022]");
    check(&["up", "--detach", "--label", "novalue"], 1, "error[UM1035]");
    check(&["down"], 0, "");
    check(&["version"], 0, "");
    let long = format!("/tmp/{}", "x".repeat(120));
    check(&["ps", "--state", &long], 1, "error[UM1003]");
    assert!(!platform.state().join("run/api.sock").exists(), "nothing was started");
}

#[test]
fn help_is_a_verb_too() {
    let platform = nothing_runs();
    let help = |words: &[&str]| platform.succeed(&[&["help"], words].concat()).unwrap();
    assert_eq!(help(&[]), platform.succeed(&["-h"]).unwrap());
    assert_eq!(help(&["deploy"]), platform.succeed(&["deploy", "--help"]).unwrap());
    assert_eq!(help(&["link", "put"]), platform.succeed(&["link", "put", "--help"]).unwrap());
    assert_eq!(help(&["exit-codes"]), platform.succeed(&["explain", "exit-codes"]).unwrap());
    assert!(help(&["UM1002"]).contains("no platform is running"));
}

#[test]
fn failures_are_documents_too() {
    let ran = nothing_runs().run(&["ps", "-o", "json"]).unwrap();
    let problem: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((problem["$type"].as_str(), problem["code"].as_str()), (Some("problem/v1"), Some("UM1002")));
    assert_eq!(problem["kind"], "unavailable");
    assert_eq!(ran.code, 69);
}

#[test]
fn every_form_of_a_result_has_its_type() {
    let platform = nothing_runs();
    assert_eq!(platform.json(&["version"]).unwrap()["$type"], "versions/v1");
    assert!(platform.succeed(&["version", "-o", "yaml"]).unwrap().starts_with("$type: versions/v1\n"));
    let lines = platform.succeed(&["explain", "-o", "jsonl"]).unwrap();
    assert!(lines.lines().all(|line| line.starts_with("{\"$type\":\"explanation/v1\"")));
    let names = platform.succeed(&["explain", "-o", "name"]).unwrap();
    assert_eq!(names.lines().count(), lines.lines().count());
    assert!(names.lines().any(|name| name == "UM1002"));
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let platform = nothing_runs();
    let mut child =
        platform.command(&["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn completion_scripts_are_made_for_every_shell() {
    let platform = nothing_runs();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = platform.succeed(&["completion", shell]).unwrap();
        assert!(script.contains("umbel") && script.contains("rollback"), "{shell}");
    }
}

#[test]
fn doctor_needs_no_platform() {
    let platform = nothing_runs();
    let diagnosis = platform.json(&["doctor", "--http-port", "0"]).unwrap();
    let names: Vec<&str> =
        diagnosis["checks"].as_array().unwrap().iter().filter_map(|check| check["name"].as_str()).collect();
    assert!(names.len() >= 9, "{names:?}");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ran = platform.run(&["doctor", "--http-port", &port]).unwrap();
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(ran.stdout.contains("fix http-port:") && ran.stderr.contains("error[UM1028]"), "{ran:?}");
    assert!(umbel().exists());
}
