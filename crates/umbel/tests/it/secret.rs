//! Secrets: they come in unseen, and nothing tells them again.

use crate::umbel;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use umbel_testkit::Platform;
use umbel_testkit::platform::Ran;

const CANARY: &str = "hunter2-canary-5f1d";

/// Runs a command with something piped in.
fn piped(platform: &Platform, words: &[&str], input: &[u8]) -> Ran {
    let mut child = platform
        .command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses does not read.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_secret_is_put_listed_without_its_value_and_deleted() {
    let mut platform = Platform::up(umbel()).unwrap();
    let put = ["secret", "put", "db-password", "--application", "shop"];
    for version in ["version 1", "version 2"] {
        let ran = piped(&platform, &put, format!("{CANARY}\n").as_bytes());
        assert!(ran.code == 0 && ran.stdout.contains(version), "{ran:?}");
    }
    std::fs::write(platform.folder().join("key.der"), [0, 255, 1]).unwrap();
    platform.succeed(&["secret", "put", "tls/key", "--shared", "--from-file", "key.der"]).unwrap();
    let listed = platform.json(&["secret", "list"]).unwrap();
    assert_eq!(listed["$type"], "secret.list/v1");
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["db-password", "tls/key"]);
    assert_eq!(
        (&listed["items"][0]["version"], listed["items"][0]["owner"].as_str()),
        (&2.into(), Some("shop"))
    );
    assert!(listed["items"][0]["put_unix_ms"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000));

    // It survives a restart, and then goes.
    platform.down().unwrap();
    platform.start().unwrap();
    assert_eq!(platform.json(&["secret", "list"]).unwrap()["items"], listed["items"]);
    platform.succeed(&["secret", "del", "db-password", "--application", "shop"]).unwrap();
    let again = platform.run(&["secret", "del", "db-password", "--application", "shop"]).unwrap();
    assert!(again.code == 3 && again.stderr.contains("UM1173"), "{again:?}");
    assert_eq!(platform.succeed(&["secret", "list", "-o", "name"]).unwrap(), "tls/key\n");
}

#[test]
fn a_value_leaves_no_trace() {
    let platform = Platform::up(umbel()).unwrap();
    let put = |words: &[&str], value: &[u8]| piped(&platform, &[&["secret", "put"], words].concat(), value);
    // One is taken, the others are refused for every reason there is.
    let large = CANARY.repeat(10_000);
    let mut said = vec![
        put(&["a", "--shared"], CANARY.as_bytes()),
        put(&["", "--shared"], CANARY.as_bytes()),
        put(&["bad\u{1}name", "--shared"], CANARY.as_bytes()),
        put(&["large", "--shared"], large.as_bytes()),
        put(&["nobody's"], CANARY.as_bytes()),
    ];
    assert_eq!(said.iter().map(|ran| ran.code).collect::<Vec<_>>(), [0, 1, 1, 1, 2], "{said:?}");
    for words in [&["events"][..], &["logs"], &["secret", "list"], &["tree"], &["inspect", "a"]] {
        said.push(platform.run(words).unwrap());
    }
    for ran in &said {
        assert!(!ran.stdout.contains(CANARY) && !ran.stderr.contains(CANARY), "{ran:?}");
    }
    holds_no_canary(&platform.state());
}

/// No file of the state folder has it: not the sealed one, no log, no event, no table.
fn holds_no_canary(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match std::fs::metadata(&path) {
            Ok(of) if of.is_dir() => holds_no_canary(&path),
            Ok(of) if of.is_file() => {
                let bytes = std::fs::read(&path).unwrap();
                let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
                assert!(!found, "it is in {}", path.display());
            }
            _ => {}
        }
    }
}

#[test]
fn the_platform_leaves_no_core_and_lets_nobody_read_its_memory() {
    let platform = Platform::up(umbel()).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", platform.pid)).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // What cannot be dumped belongs to root under /proc, whoever runs it: only as another user can this be seen.
    use std::os::unix::fs::MetadataExt;
    let owner = |path: String| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(format!("/proc/{}/environ", platform.pid)), 0);
    assert_eq!(platform.run(&["ps"]).unwrap().code, 0);
}
