//! The memory of a process that streams large objects. It is a process of its own, so that other tests do not count.

use super::contract::{bytes, link};
use super::guest::Guest;
use super::serving;
use bytes::Bytes;
use futures::StreamExt;
use std::path::Path;

const FOLDER: &str = "UMBEL_TEST_BLOB_LARGE";
const PIECE: usize = 64 << 10;
const PIECES: u64 = 4096;
/// Of 256 MiB that are written and read.
const GROWTH_KIB_MAX: u64 = 24 << 10;

/// The most memory that this process ever had.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("there is a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn child_streams_a_large_object() {
    // Without this it is an ordinary run of all tests, and there is nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let guest = Guest::new(serving(Path::new(&folder)).await, link("app"));
        let container = guest.create_container("box").await.expect("a container");
        // What any use costs once.
        container.put("small", &bytes(2_000_000, 1)).await.expect("put");
        container.get("small").await.expect("get");
        let before = peak_kib();

        let piece = Bytes::from(bytes(PIECE, 2));
        let value = guest.outgoing().await;
        let mut stream = value.write_body().await.expect("a stream");
        container.write_data("large", &value).await.expect("a name");
        for _ in 0..PIECES {
            assert!(stream.send(Bytes::copy_from_slice(&piece)).await);
        }
        drop(stream);
        value.finish().await.expect("stored");
        guest.copy_object(("box", "large"), ("box", "copy")).await.expect("copied");

        let mut stream =
            container.get_data("copy", 0, u64::MAX).await.expect("a value").stream().await.expect("a stream");
        let mut count = 0;
        while let Some(bytes) = stream.next().await {
            count += bytes.expect("bytes").len() as u64;
        }
        assert_eq!(count, PIECES * PIECE as u64);
        let growth = peak_kib() - before;
        assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");
    });
}

#[test]
fn large_objects_are_streamed_in_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    #[expect(clippy::disallowed_methods, reason = "a process whose memory is nobody else's")]
    let child = std::process::Command::new(std::env::current_exe().expect("the test binary"))
        .args(["--exact", "blobstore::memory::child_streams_a_large_object"])
        .env(FOLDER, folder.path())
        .output()
        .expect("a child");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
