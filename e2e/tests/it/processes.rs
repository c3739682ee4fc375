//! Providers that are processes: they serve as others do, come back when they are killed, and never outlive their platform.

use crate::{umbel, up};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// The counter with its store behind `image`, with further properties of the provider.
pub(crate) fn counter(version: &str, image: &str, properties: &str) -> String {
    let component = umbel_testkit::example("counter");
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: counter, annotations: {{version: {version}}}}}
spec:
  components:
    - name: counter
      type: component
      properties: {{image: {component}}}
      traits:
        - type: link
          properties:
            target: {{name: keyvalue}}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: keyvalue
      type: capability
      properties: {{image: '{image}'{properties}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: counter}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
",
        component = component.display()
    )
}

/// The provider that is a process, as it is listed.
pub(crate) fn process(platform: &Platform) -> Option<(u32, Value)> {
    let list = platform.json(&["provider", "list"]).unwrap();
    let of_kind = |item: &&Value| item["kind"] == "process";
    let found = list["items"].as_array().unwrap().iter().find(of_kind)?.clone();
    let pid = found["process"]["pid"].as_u64()?;
    Some((u32::try_from(pid).unwrap(), found))
}

pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[expect(clippy::disallowed_methods, reason = "the standard library sends no signals")]
pub(crate) fn kill(pid: u32) {
    let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// The pids of everything whose command line has the text: what is left of a platform is found by its folder and its guardian's.
pub(crate) fn with_argument(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(text) && is_running(pid) {
            found.push(pid);
        }
    }
    found
}

/// Whether the process guards the platform of that state folder.
pub(crate) fn guards(pid: u32, state: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(state)
}

pub(crate) fn count(platform: &Platform) -> u64 {
    let answer = platform.get("counter", "/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn a_builtin_apart_serves_as_one_in_the_host_does() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let before = count(&platform);
    assert_eq!(count(&platform), before + 1);
    let (pid, shown) = process(&platform).expect("it is a process");
    assert!(is_running(pid) && shown["state"] == "running", "{shown}");
    assert!(shown["process"]["memory_bytes"].as_u64().unwrap() > 1 << 20, "{shown}");
    let explained = platform.json(&["link", "explain", "counter-counter"]).unwrap();
    assert!(explained.to_string().contains("process"), "{explained}");
}

#[test]
fn a_provider_that_is_killed_comes_back_with_its_links_and_its_callers_are_told() {
    let platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let mut last = count(&platform);
    for _ in 0..3 {
        let (pid, _) = process(&platform).expect("it is a process");
        kill(pid);
        let killed = Instant::now();
        // Callers get an answer in any case, and soon.
        let back = loop {
            let asked = Instant::now();
            let answer = platform.get("counter", "/").unwrap();
            assert!(asked.elapsed() < Duration::from_secs(10), "a caller hung");
            match answer.status {
                200 => break killed.elapsed(),
                // Also when it ended under a call that was under way.
                503 => {}
                status => panic!("{status}: {}", answer.text()),
            }
            assert!(killed.elapsed() < Duration::from_secs(20), "it did not come back: {}", answer.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        let now = count(&platform);
        assert!(now > last, "what was counted is kept: {now} after {last}, back after {back:?}");
        last = now;
        let (again, _) = process(&platform).expect("it is a process");
        assert_ne!(pid, again);
    }
    let tree = platform.succeed(&["tree"]).unwrap();
    assert!(tree.contains("counter-keyvalue"), "{tree}");
}

#[test]
fn a_platform_that_is_killed_leaves_no_process() {
    let mut platform = up();
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let counted = count(&platform);
    let (pid, _) = process(&platform).expect("it is a process");
    let state = platform.state().display().to_string();
    assert!(with_argument(&state).len() >= 2, "the platform and its guardian");
    platform.signal("KILL").unwrap();
    let killed = Instant::now();
    while is_running(pid) || !with_argument(&state).is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(2), "left: {pid}, {:?}", with_argument(&state));
        std::thread::sleep(Duration::from_millis(10));
    }
    platform.start().unwrap();
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > counted, "what was counted is kept");
    // What was started after a kill is guarded as what was started first.
    let (pid, _) = process(&platform).expect("it is a process again");
    let guardians = || with_argument("__guardian").into_iter().filter(|pid| guards(*pid, &state)).count();
    assert_eq!(guardians(), 1);
    platform.signal("KILL").unwrap();
    block_until("nothing is left again", || !is_running(pid) && with_argument(&state).is_empty());
    platform.start().unwrap();
    platform.wait_for_answer("counter").unwrap();
    let (pid, _) = process(&platform).expect("it is a process again");
    platform.down().unwrap();
    block_until("all of it has ended", || !is_running(pid) && with_argument(&state).is_empty());
}

/// An archive whose executable is a script.
pub(crate) fn archive(platform: &Platform, name: &str, script: &str) -> String {
    let program = platform.folder().join(format!("{name}.sh"));
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    let file = platform.folder().join(format!("{name}.par.gz"));
    let (file, program) = (file.display().to_string(), program.display().to_string());
    platform.succeed(&["par", "create", &file, "--binary", &program]).unwrap();
    file
}

#[test]
fn an_archive_is_made_signed_looked_into_and_run() {
    let platform = up();
    let serve = format!("exec {} provider run keyvalue", umbel().display());
    let file = archive(&platform, "keys", &serve);
    let shown = platform.json(&["par", "inspect", &file]).unwrap();
    assert!(shown["claims"].is_null() && shown["executables"].as_array().unwrap().len() == 1, "{shown}");
    let keys = ["--account", "account.nk", "--provider", "keys.nk", "--name", "Keys", "--vendor", "Acme"];
    platform.succeed(&[&["par", "sign", &file], &keys[..]].concat()).unwrap();
    let shown = platform.json(&["par", "inspect", &file]).unwrap();
    assert_eq!((&shown["claims"]["name"], &shown["claims"]["vendor"]), (&"Keys".into(), &"Acme".into()));
    assert!(shown["claims"]["subject"].as_str().unwrap().starts_with('V'), "{shown}");
    let signed = std::fs::read(&file).unwrap();
    assert_eq!(
        platform.run(&[&["par", "sign", &file], &keys[..], &["--days", "0"]].concat()).unwrap().code,
        2
    );
    assert_eq!(std::fs::read(&file).unwrap(), signed, "what cannot be done changes nothing");
    let zeros = platform.folder().join("zeros");
    std::fs::write(&zeros, "no executable").unwrap();
    std::fs::File::options().write(true).open(&zeros).unwrap().set_len(64 << 20).unwrap();
    let (bomb, zeros) = (platform.folder().join("bomb.par.gz"), zeros.display().to_string());
    let bomb_file = bomb.display().to_string();
    let ran = platform.run(&["par", "create", &bomb_file, "--binary", &zeros]).unwrap();
    assert!(ran.stderr.contains("UM0332") && ran.stderr.contains("zeros"), "{}", ran.stderr);
    std::fs::write(Path::new(&zeros), "#!/bin/sh\n").unwrap();
    std::fs::File::options().write(true).open(&zeros).unwrap().set_len(64 << 20).unwrap();
    let ran = platform.run(&["par", "create", &bomb_file, "--binary", &zeros]).unwrap();
    assert!(ran.code != 0 && ran.stderr.contains("UM0326") && !bomb.exists(), "{}", ran.stderr);
    let twice = ["par", "create", &bomb_file, "--binary", "keys.sh", "--binary", "keys.sh"];
    assert!(platform.run(&twice).unwrap().stderr.contains("two executables") && !bomb.exists());

    platform.deploy(&counter("v1", &file, "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let first = count(&platform);
    assert_eq!(count(&platform), first + 1);
    let (_, shown) = process(&platform).expect("it is a process");
    assert_eq!(shown["name"], "Keys", "{shown}");
}

#[test]
fn archives_that_cannot_serve_are_told_with_a_code_and_hurt_nobody() {
    let platform = up();
    let hello = umbel_testkit::platform::application("hello", "v1", &umbel_testkit::example("hello"), &[]);
    platform.deploy(&hello).unwrap();
    platform.wait_for_answer("hello").unwrap();
    let refused = |file: &str, code: &str| {
        std::fs::write(platform.folder().join("manifest.yaml"), counter("v1", file, "")).unwrap();
        let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "8s"]).unwrap();
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stderr.contains(code), "{code}: {}", ran.stderr);
        platform.succeed(&["undeploy", "counter", "--delete", "--yes"]).unwrap();
        assert_eq!(platform.get("hello", "/").unwrap().status, 200);
    };
    refused(&archive(&platform, "ends", "echo I cannot go on; exit 3"), "UM0821");
    refused("/nowhere/kv.par", "UM0820");
    let rubbish = platform.folder().join("rubbish.par.gz");
    std::fs::write(&rubbish, "no archive").unwrap();
    refused(&rubbish.display().to_string(), "UM03");
    let other = platform.folder().join("other.par");
    let binary = format!("aarch64-plan9={}", Path::new("/bin/sh").display());
    let other = other.display().to_string();
    platform.succeed(&["par", "create", &other, "--binary", &binary]).unwrap();
    refused(&other, "UM03");
}
