//! Provider processes that do what they should not: they are told with a code, hurt nobody, and go with their platform.
//!
//! `UMBEL_CENSUS_ROUNDS` is how often a platform is killed at a random moment, 10 unless it is set.

use crate::processes::{archive, count, counter, is_running};
use crate::{umbel, up};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// Within which nothing is left: a promise.
const PROMISE: Duration = Duration::from_secs(2);

/// What the provider of the rounds does before it serves: descendants in sessions of their own that ignore requests to end, hold its
/// pipes, and have no parent.
fn wild(mark: &str) -> String {
    let sleeper = format!("trap '' TERM HUP INT; while :; do sleep {mark}; done");
    format!(
        "trap '' TERM HUP\n\
         (setsid sh -c \"{sleeper}\" &)\n\
         sh -c \"{sleeper}\" &\n\
         exec {} provider run keyvalue",
        umbel().display()
    )
}

/// What is left of a platform: processes, cgroups, sockets and mounts, one line each.
fn left(mark: &str, state: &Path, cgroup: Option<&str>) -> BTreeSet<String> {
    let state = state.display().to_string();
    let mut left = BTreeSet::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if (line.contains(mark) || line.contains(&state)) && is_running(pid) {
            left.insert(format!("process {pid}: {line}"));
        }
    }
    for file in ["/proc/net/unix", "/proc/self/mountinfo"] {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        left.extend(text.lines().filter(|line| line.contains(&state)).map(|line| format!("{file}: {line}")));
    }
    if let Some(name) = cgroup {
        left.extend(
            folders(Path::new("/sys/fs/cgroup"), name).into_iter().map(|path| path.display().to_string()),
        );
    }
    left
}

/// The folders of that name below.
fn folders(below: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_str() == Some(name) {
            found.push(entry.path());
        }
        found.extend(folders(&entry.path(), name));
    }
    found
}

/// The name of the cgroup of all processes of the platform, if it has any: the folder above that of its provider.
fn cgroup_of(platform: &Platform) -> Option<String> {
    let list = platform.json(&["provider", "list"]).unwrap();
    let pid = list["items"].as_array().unwrap().iter().find_map(|item| item["process"]["pid"].as_u64())?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path =
        groups.lines().find_map(|line| line.split(':').nth(2).filter(|path| path.contains("/umbel-")))?;
    let name = path.split('/').find(|part| part.starts_with("umbel-") && *part != "umbel-host")?;
    Some(name.to_string())
}

fn random_ms(below: u64) -> u64 {
    RandomState::new().hash_one(Instant::now()) % below
}

#[test]
fn a_platform_that_is_killed_at_any_moment_leaves_nothing() {
    let rounds: u32 = std::env::var("UMBEL_CENSUS_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let mut platform = up();
    // As a time to sleep, which no other test sleeps.
    let mark = format!("98765.{}", random_ms(1 << 40));
    let file = archive(&platform, "wild", &wild(&mark));
    platform.deploy(&counter("v1", &file, "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let cgroup = cgroup_of(&platform);
    let mut counted = count(&platform);
    for round in 0..rounds {
        // Some are killed while their provider starts, some while it serves.
        let wait = Duration::from_millis(random_ms(700));
        if round % 2 == 0 {
            platform.wait_for_answer("counter").unwrap();
            counted = count(&platform);
        }
        std::thread::sleep(wait);
        platform.signal("KILL").unwrap();
        let killed = Instant::now();
        loop {
            let left = left(&mark, &platform.state(), cgroup.as_deref());
            if left.is_empty() {
                break;
            }
            let at = format!("round {round}, killed {wait:?} after its start");
            assert!(killed.elapsed() < PROMISE, "{at}: left after {PROMISE:?}: {left:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        platform.start().unwrap();
    }
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > counted, "what was counted is kept");
    platform.down().unwrap();
    block_until("all of it has ended", || left(&mark, &platform.state(), cgroup.as_deref()).is_empty());
}

#[test]
fn a_provider_that_floods_its_log_serves_and_its_flood_is_counted() {
    let platform = up();
    let script = format!("yes it goes on and on &\nexec {} provider run keyvalue", umbel().display());
    platform.deploy(&counter("v1", &archive(&platform, "flood", &script), "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let first = count(&platform);
    assert_eq!(count(&platform), first + 1);
    block_until("what was dropped of its log is told", || {
        let log = platform.succeed(&["provider", "logs", "counter-keyvalue"]).unwrap();
        log.contains("of its log came in a second: the rest is dropped")
    });
    platform.succeed(&["undeploy", "counter", "--yes"]).unwrap();
}

#[test]
fn a_provider_that_never_serves_is_given_up_and_hurts_nobody() {
    let platform = up();
    let hello = umbel_testkit::platform::application("hello", "v1", &umbel_testkit::example("hello"), &[]);
    platform.deploy(&hello).unwrap();
    platform.wait_for_answer("hello").unwrap();
    // It never reads what it is told, nor says a word.
    let file = archive(&platform, "mute", "trap '' TERM; while :; do sleep 1; done");
    std::fs::write(platform.folder().join("manifest.yaml"), counter("v1", &file, "")).unwrap();
    let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "40s"]).unwrap();
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stderr.contains("UM0646"), "{}", ran.stderr);
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
    platform.succeed(&["undeploy", "counter", "--delete", "--yes"]).unwrap();
    let state = platform.state().display().to_string();
    let is_mute = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&format!("{state}/programs"))
    };
    block_until("its process has gone", || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        !pids.into_iter().any(|pid| is_mute(&pid) && is_running(pid))
    });
}

/// A program that lies, behind an archive; `lie` says how.
fn liar(platform: &Platform, lie: &str) -> String {
    let program = umbel().parent().unwrap().join("examples/liar");
    assert!(program.is_file(), "{}: `cargo build --workspace --all-targets` makes it", program.display());
    let file = archive(platform, lie, &format!("exec {}", program.display()));
    counter("v1", &file, &format!(", config: [{{name: lie, properties: {{lie: {lie}}}}}]"))
}

#[test]
fn a_provider_that_lies_about_its_id_is_not_heard_and_given_up() {
    let platform = up();
    let hello = umbel_testkit::platform::application("hello", "v1", &umbel_testkit::example("hello"), &[]);
    platform.deploy(&hello).unwrap();
    std::fs::write(platform.folder().join("manifest.yaml"), liar(&platform, "id")).unwrap();
    let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "8s"]).unwrap();
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    // What the host told it is its last line.
    assert!(ran.stderr.contains("UM0821") && ran.stderr.contains("UM0638"), "{}", ran.stderr);
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
    let listed = platform.json(&["provider", "list"]).unwrap();
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item["id"] != "somebody-else"), "{listed}");
}

#[test]
fn a_provider_that_speaks_as_a_host_is_not_heard() {
    let platform = up();
    let hello = umbel_testkit::platform::application("hello", "v1", &umbel_testkit::example("hello"), &[]);
    platform.deploy(&hello).unwrap();
    std::fs::write(platform.folder().join("manifest.yaml"), liar(&platform, "calls")).unwrap();
    platform.succeed(&["deploy", "-f", "manifest.yaml"]).unwrap();
    block_until("what it may not say is told", || {
        let log = std::fs::read_to_string(platform.state().join("log/host.log")).unwrap_or_default();
        log.lines().any(|line| line.contains("a provider process may not do that") && line.contains("UM06"))
    });
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
}

#[test]
fn rubbish_about_health_is_told_with_a_code() {
    let platform = up();
    let hello = umbel_testkit::platform::application("hello", "v1", &umbel_testkit::example("hello"), &[]);
    platform.deploy(&hello).unwrap();
    std::fs::write(platform.folder().join("manifest.yaml"), liar(&platform, "health")).unwrap();
    drop(platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "4s"]).unwrap());
    block_until("it is told that its answers cannot be read", || {
        let shown = platform.run(&["provider", "show", "counter-keyvalue", "-o", "json"]).unwrap();
        shown.stdout.contains("UM0630")
    });
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
}
