//! Machines that are short of something: no network, no space on the disk, a read-only folder. Each is a namespace of its own, in which a script runs
//! the program and asks it.

use crate::{skip, umbel};
use std::process::Command;

/// What every script begins with: `$umbel`, a folder `$dir` of its own, and `ask HOST`.
const PRELUDE: &str = r#"
set -u
export UMBEL_STATE="$dir/state" UMBEL_HTTP_PORT=0
ask() {
  local port
  port=$(sed -n 's/.*"http_url": "http:\/\/127.0.0.1:\([0-9]*\)".*/\1/p' "$UMBEL_STATE/run/endpoint.json")
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.1\r\nhost: %s.localhost\r\nconnection: close\r\n\r\n' "$1" >&3
  cat <&3
}
"#;

#[expect(clippy::disallowed_methods, reason = "a test runs programs as a user does, without a supervisor")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs the script in new namespaces and gives what it said; `None`, with a word to the reader, where this machine has none. In CI
/// that is a failure.
fn run(namespaces: &str, script: &str) -> Option<String> {
    let possible = command("unshare").args([namespaces, "bash", "-c", "ip link set lo up"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        skip(&format!("`unshare {namespaces}` or `ip` does not work here"));
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut bash = command("unshare");
    bash.args([namespaces, "bash", "-c", &format!("{PRELUDE}{script}")])
        .env("umbel", umbel())
        .env("dir", dir.path());
    bash.env("other", umbel_testkit::guest("hello-v2"));
    let output = bash.output().unwrap();
    Some([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

#[test]
fn without_a_network_everything_works() {
    let script = r#"
        ip link set lo up
        "$umbel" launch && ask hello
        "$umbel" down
    "#;
    let Some(said) = run("-rn", script) else { return };
    assert!(said.contains("Hello from Umbel!"), "{said}");
}

#[test]
fn a_full_disk_is_told_and_harms_nothing_that_runs() {
    let script = r#"
        mount -t tmpfs -o size=8m tmpfs "$dir"
        "$umbel" launch >/dev/null 2>&1 || echo "launch failed"
        head -c 100M /dev/zero > "$dir/fill" 2>/dev/null
        "$umbel" launch "$other" || echo "refused with $?"
        ask hello
        rm "$dir/fill"
        "$umbel" launch "$other" >/dev/null 2>&1 && ask hello-v2
        "$umbel" down
    "#;
    let Some(said) = run("-rmn", &format!("ip link set lo up\n{script}")) else { return };
    assert!(!said.contains("launch failed"), "{said}");
    assert!(said.contains("error[UM") && said.contains("No space left"), "{said}");
    assert!(said.contains("refused with"), "{said}");
    assert!(said.contains("Hello from Umbel!"), "what ran goes on: {said}");
    assert!(said.contains("Hello again from Umbel!"), "with space it works again: {said}");
}

#[test]
fn a_read_only_folder_is_told() {
    let script = r#"
        mount -t tmpfs -o size=8m tmpfs "$dir"
        mkdir -m 700 "$UMBEL_STATE"
        mount -o remount,ro "$dir"
        "$umbel" up --detach || echo "refused with $?"
    "#;
    let Some(said) = run("-rmn", script) else { return };
    assert!(said.contains("error[UM") && said.contains("refused with"), "{said}");
    assert!(said.contains("help:"), "{said}");
}
