//! `kill -9` at random times: every object that was acknowledged is there and whole, and nothing else is.
//!
//! The child is this test binary itself. It writes, copies and moves, and says what was acknowledged on its standard output, a file;
//! the parent kills it at a random moment, opens the folder and compares.

use super::contract::{bytes, link, longest};
use super::guest::{Container, Guest};
use super::{files, serving};
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const TASKS: u64 = 8;
const ROUNDS: u32 = 20;
const ACKED_MIN: usize = 30;
const FOLDER: &str = "UMBEL_TEST_BLOB_FOLDER";
const FIRST: &str = "UMBEL_TEST_BLOB_FIRST";

/// What write number `n` of a task leaves.
fn content(task: u64, n: u64) -> Vec<u8> {
    // From nothing to many pieces.
    bytes([0, 100, 5_000, 300_000, 2_000_000][(n % 5) as usize], task << 32 | n)
}

/// One name for each task that is written again and again, and every tenth under a long name.
fn name(task: u64, n: u64) -> String {
    let last = char::from(b'a' + u8::try_from(task).expect("few tasks"));
    if n.is_multiple_of(10) { longest(last) } else { format!("object {last}") }
}

#[test]
fn child_writes_until_it_is_killed() {
    // Without this it is an ordinary run of all tests, and there is nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).expect("a number").parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let guest = Guest::new(serving(Path::new(&folder)).await, link("app"));
        let container = guest.create_container("crash").await.expect("a container");
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (guest, container) = (guest.clone(), container.clone());
            tasks.spawn(async move {
                for n in first.. {
                    write(&guest, &container, task, n).await;
                    let line = format!("ack {task} {n}\n");
                    std::io::stdout().write_all(line.as_bytes()).expect("the parent lives");
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Writes an object: itself, or by a move or a copy of what was written under another name.
async fn write(guest: &Guest, container: &Container, task: u64, n: u64) {
    let name = name(task, n);
    let draft = format!("draft {task}");
    match n % 3 {
        0 => container.put(&name, &content(task, n)).await.expect("put"),
        1 => {
            container.put(&draft, &content(task, n)).await.expect("put");
            guest.move_object(("crash", &draft), ("crash", &name)).await.expect("move");
        }
        _ => {
            container.put(&draft, &content(task, n)).await.expect("put");
            guest.copy_object(("crash", &draft), ("crash", &name)).await.expect("copy");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process to kill; the test must not depend on the supervisor"
)]
fn start_child(folder: &Path, acks: &Path, first: u64) -> Child {
    std::process::Command::new(std::env::current_exe().expect("the test binary"))
        .args(["--exact", "blobstore::crash::child_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(File::create(acks).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

/// The acknowledged writes in their order.
fn acked(acks: &Path) -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string(acks).expect("the acks");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let (task, n) = line.strip_prefix("ack ")?.split_once(' ')?;
        Some((task.parse().ok()?, n.parse().ok()?))
    };
    whole.lines().filter_map(line).collect()
}

#[tokio::test]
async fn every_acknowledged_object_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, acks) = (folder.path().join("root"), folder.path().join("acks"));
    // Which write each name has.
    let mut known: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let (mut first, mut total) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = start_child(&root, &acks, first);
        let began = Instant::now();
        while acked(&acks).len() < ACKED_MIN {
            assert!(began.elapsed() < Duration::from_secs(60), "round {round}: the child does not write");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(RandomState::new().hash_one(round) % 50_000)).await;
        child.kill().expect("kill");
        child.wait().expect("wait");

        let acked = acked(&acks);
        total += acked.len();
        let mut next: BTreeMap<u64, u64> = (0..TASKS).map(|task| (task, first)).collect();
        for (task, n) in acked {
            known.insert(name(task, n), (task, n));
            next.insert(task, n + 1);
        }
        let guest = Guest::new(serving(&root).await, link("app"));
        let container = guest.get_container("crash").await.expect("the container");
        for (task, n) in &next {
            // One more write of each task may have become durable before it was acknowledged.
            if container.get(&name(*task, *n)).await.is_ok_and(|found| found == content(*task, *n)) {
                known.insert(name(*task, *n), (*task, *n));
            }
        }
        for (name, (task, n)) in &known {
            let found = container.get(name).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
            assert!(
                found == content(*task, *n),
                "round {round}: write {n} of task {task} is not what is there"
            );
        }
        let mut listed = container.all_names().await;
        listed.retain(|name| !name.starts_with("draft "));
        assert_eq!(listed, known.keys().cloned().collect::<Vec<_>>(), "round {round}: nothing else is there");
        let left = files(&root.join("partial"));
        assert!(left.is_empty(), "round {round}: leftovers are removed: {left:?}");
        first = next.values().max().expect("there are tasks") + 1;
    }
    println!("{total} acknowledged objects, {ROUNDS} kills, 0 lost");
}
