//! A platform that is killed and started again takes over the provider processes of the one before, if that is its policy.

use crate::processes::{archive, count, counter, guards, is_running, kill, process, with_argument};
use crate::{folder, umbel};
use std::time::{Duration, Instant};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// Starts a platform whose processes outlive it.
fn start(platform: &mut Platform, more: &[&str]) {
    let arguments = [&["up", "--detach", "--processes", "adopt"], more].concat();
    platform.succeed(&arguments).unwrap();
    platform.read_endpoint().unwrap();
}

/// Kills it, and waits until it is gone.
fn end(platform: &Platform) {
    platform.signal("KILL").unwrap();
    block_until("the platform is gone", || !platform.is_alive());
}

/// The processes of all providers of the platform: whatever was started with its words.
fn providers(platform: &Platform) -> usize {
    let list = platform.json(&["provider", "list"]).unwrap();
    list["items"].as_array().unwrap().iter().filter(|item| item["process"]["pid"].is_u64()).count()
}

fn records(platform: &Platform) -> usize {
    let folder = std::fs::read_dir(platform.state().join("processes/records")).into_iter().flatten();
    folder.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
}

#[test]
fn the_next_platform_takes_over_what_runs() {
    let mut platform = folder();
    start(&mut platform, &[]);
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let mut counted = count(&platform);
    let (pid, _) = process(&platform).expect("it is a process");
    let state = platform.state().display().to_string();
    for _ in 0..2 {
        end(&platform);
        assert!(is_running(pid), "it goes on without a platform");
        start(&mut platform, &[]);
        platform.wait_for_answer("counter").unwrap();
        let now = count(&platform);
        assert!(now > counted, "the count goes on: {now} after {counted}");
        counted = now;
        let (again, shown) = process(&platform).expect("it is a process");
        assert_eq!((again, &shown["state"]), (pid, &"running".into()), "{shown}");
        assert_eq!((providers(&platform), records(&platform)), (1, 1), "there is no second one");
        let guardians = || with_argument("__guardian").into_iter().filter(|pid| guards(*pid, &state)).count();
        block_until("one guardian is left", || guardians() == 1);
    }
    // It is driven as if it had been started here: started anew when it ends, with its links.
    kill(pid);
    block_until("another one runs", || process(&platform).is_some_and(|(now, _)| now != pid));
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > counted, "what was counted is kept");
    // Whatever the policy, a platform that is stopped leaves nothing.
    let (pid, _) = process(&platform).expect("it is a process");
    platform.down().unwrap();
    block_until("all of it has ended", || !is_running(pid) && with_argument(&state).is_empty());
    assert_eq!(records(&platform), 0);
}

#[test]
fn what_nobody_takes_over_ends_when_its_time_is_over() {
    let mut platform = folder();
    start(&mut platform, &["--adopt-grace", "2s"]);
    platform.deploy(&counter("v1", "builtin:keyvalue", ", isolation: process")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let (pid, _) = process(&platform).expect("it is a process");
    let state = platform.state().display().to_string();
    end(&platform);
    let killed = Instant::now();
    assert!(is_running(pid), "it goes on for a while");
    while is_running(pid) || !with_argument(&state).is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(6), "left: {pid}, {:?}", with_argument(&state));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(records(&platform), 0);
}

#[test]
fn what_is_ordered_otherwise_or_not_at_all_is_ended() {
    let mut platform = folder();
    let serve = format!("exec {} provider run keyvalue", umbel().display());
    let file = archive(&platform, "keys", &serve);
    start(&mut platform, &[]);
    platform.deploy(&counter("v1", &file, "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let counted = count(&platform);
    let (first, _) = process(&platform).expect("it is a process");

    // The same archive: it is taken over.
    end(&platform);
    start(&mut platform, &[]);
    platform.wait_for_answer("counter").unwrap();
    assert_eq!(process(&platform).expect("it is a process").0, first);

    // Another program under the same name.
    end(&platform);
    std::fs::remove_file(&file).unwrap();
    archive(&platform, "keys", &format!("# another one\n{serve}"));
    start(&mut platform, &[]);
    platform.wait_for_answer("counter").unwrap();
    let (second, _) = process(&platform).expect("it is a process");
    assert!(second != first && !is_running(first), "the old one is ended before the new one is started");
    assert!(count(&platform) > counted, "what was counted is kept");

    // The other policy.
    end(&platform);
    assert!(is_running(second));
    platform.start().unwrap();
    platform.wait_for_answer("counter").unwrap();
    let (third, _) = process(&platform).expect("it is a process");
    assert!(third != second && !is_running(second));
    platform.down().unwrap();

    // Nobody orders it any more.
    start(&mut platform, &[]);
    platform.wait_for_answer("counter").unwrap();
    let (fourth, _) = process(&platform).expect("it is a process");
    end(&platform);
    std::fs::remove_file(platform.state().join("lattice.redb")).unwrap();
    start(&mut platform, &[]);
    block_until("what nobody orders is ended", || !is_running(fourth) && records(&platform) == 0);
    assert!(process(&platform).is_none());
}

#[test]
fn a_process_is_held_by_what_its_manifest_says() {
    let platform = crate::up();
    let held = ", isolation: process, sandbox: strict, limits: {memory: 300MiB, pids: 48}";
    platform.deploy(&counter("v1", "builtin:keyvalue", held)).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let counted = count(&platform);
    let (pid, _) = process(&platform).expect("it is a process");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let limit = |controller: &str, file: [&str; 2]| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let legacy = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers
                .split(',')
                .any(|name| name == controller)
                .then(|| format!("{controller}{path}/{}", file[0]))
        });
        let unified =
            || groups.lines().find_map(|line| Some(format!("{}/{}", line.strip_prefix("0::/")?, file[1])));
        let path = legacy.or_else(unified).expect("it is in a cgroup");
        let text = std::fs::read_to_string(format!("/sys/fs/cgroup/{path}"));
        text.unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_string()
    };
    assert_eq!(limit("memory", ["memory.limit_in_bytes", "memory.max"]), (300 << 20).to_string());
    assert_eq!(limit("pids", ["pids.max", "pids.max"]), "48");
    // Other limits are another process, which takes its place.
    let other = ", isolation: process, limits: {memory: 200MiB}";
    platform.deploy(&counter("v2", "builtin:keyvalue", other)).unwrap();
    block_until("another one runs", || process(&platform).is_some_and(|(now, _)| now != pid));
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > counted, "what was counted is kept");
    let refused = |version: &str, image: &str, properties: &str, named: &str| {
        std::fs::write(platform.folder().join("manifest.yaml"), counter(version, image, properties)).unwrap();
        let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "8s"]).unwrap();
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stderr.contains("UM0823") && ran.stderr.contains(named), "{named}: {}", ran.stderr);
    };
    refused("v3", "builtin:keyvalue", ", isolation: process, limits: {call_time: 5s}", "call_time");
    refused("v4", "builtin:keyvalue", ", sandbox: strict", "sandbox");
    let file = archive(&platform, "sleeps", "sleep 1000");
    refused("v5", &file, ", limits: {memory: 64MiB, instances: 3}", "limits.instances");
    refused("v6", &file, ", grants: {env: {A: b}}", "grants");
}
