//! `kill -9` at random times: what was acknowledged is there.
//!
//! The child is this test binary itself. It writes, and says on its standard output, a file, what was acknowledged; the parent
//! kills it at a random moment, opens the store and compares.

use super::{Bed, text};
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const TASKS: u64 = 32;
const KEYS_PER_TASK: u64 = 20;
const ROUNDS: u32 = 30;
const ACKED_MIN: u64 = 10_000;
const FOLDER: &str = "UMBEL_TEST_KEYVALUE_CRASH";
const FIRST: &str = "UMBEL_TEST_KEYVALUE_CRASH_FIRST";

fn key(task: u64, n: u64) -> String {
    format!("t{task}/{}", n % KEYS_PER_TASK)
}

/// What write number `n` of a task leaves at its key.
fn expected(n: u64) -> Option<String> {
    (n % 7 != 3).then(|| n.to_string())
}

#[test]
fn child_writes_until_it_is_killed() {
    // Without this it is an ordinary run of all tests, and there is nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).expect("a number").parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let bed = Bed::open(Path::new(&folder), &[]).await;
        let bucket = bed.bucket("app", "crash").await;
        let writers = (0..TASKS).map(|task| {
            let bucket = bucket.clone();
            async move {
                for n in first.. {
                    match expected(n) {
                        Some(value) => bucket.set(&key(task, n), value).await.expect("set"),
                        None => bucket.delete(&key(task, n)).await.expect("delete"),
                    }
                    bucket.increment("counter", 1).await.expect("increment");
                    let line = format!("ack {task} {n}\n");
                    std::io::stdout().write_all(line.as_bytes()).expect("the parent lives");
                }
            }
        });
        futures::future::join_all(writers).await;
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process to kill; the test must not depend on the supervisor"
)]
fn start_child(folder: &Path, acks: &Path, first: u64) -> Child {
    std::process::Command::new(std::env::current_exe().expect("the test binary"))
        .args(["--exact", "keyvalue::crash::child_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(File::create(acks).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

/// The last acknowledged write of each task.
fn acked(acks: &Path) -> BTreeMap<u64, u64> {
    let text = std::fs::read_to_string(acks).expect("the acks");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut last = BTreeMap::new();
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ack", task, n] = words[..] {
            last.insert(task.parse().expect("a number"), n.parse().expect("a number"));
        }
    }
    last
}

fn count(last: &BTreeMap<u64, u64>, first: u64) -> u64 {
    last.values().map(|n| n + 1 - first).sum()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let acks = folder.path().join("acks");
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let (mut first, mut total) = (0, 0);
    for round in 0..ROUNDS {
        let seed = RandomState::new().hash_one(round);
        let mut child = start_child(folder.path(), &acks, first);
        let began = Instant::now();
        while count(&acked(&acks), first) < ACKED_MIN / u64::from(ROUNDS) + 1 {
            assert!(began.elapsed() < Duration::from_secs(20), "the child does not write");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(seed % 30_000)).await;
        child.kill().expect("kill");
        child.wait().expect("wait");

        let last = acked(&acks);
        total += count(&last, first);
        let bed = Bed::open(folder.path(), &[]).await;
        let bucket = bed.bucket("app", "crash").await;
        for task in 0..TASKS {
            if let Some(last) = last.get(&task) {
                known.extend((first..=*last).map(|n| (key(task, n), expected(n))));
            }
            // One more write of each task may have become durable before it was acknowledged.
            let next = last.get(&task).map_or(first, |last| last + 1);
            let found = text(bucket.get(&key(task, next)).await);
            if found == expected(next) {
                known.insert(key(task, next), found);
            }
        }
        let expect: BTreeMap<&String, &String> =
            known.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let keys = bucket.keys().await;
        assert_eq!(keys.len(), expect.len() + 1, "round {round}: as many keys, and the counter");
        for (key, value) in expect {
            assert_eq!(text(bucket.get(key).await).as_ref(), Some(value), "round {round}: {key}");
        }
        let counted: u64 = text(bucket.get("counter").await).expect("counted").parse().expect("a number");
        assert!(counted >= total, "round {round}: {counted} counted, {total} acknowledged");
        bed.stop().await;
        first = last.values().max().map_or(first, |max| max + 2);
    }
    assert!(total >= ACKED_MIN, "only {total} writes were acknowledged in {ROUNDS} rounds");
    println!("{total} acknowledged writes, {ROUNDS} kills, 0 lost");
}
