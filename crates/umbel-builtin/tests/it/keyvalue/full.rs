//! A disk that is full: the write is refused with words, what was acknowledged is there, and reads go on.
//!
//! The child is this test binary itself, with a limit on the size of its files, which the system reports as it does a full disk.

use super::{Bed, code, text};
use std::path::Path;
use std::process::Stdio;

const FOLDER: &str = "UMBEL_TEST_KEYVALUE_FULL";
const VALUE_BYTES: usize = 60_000;

fn value(n: u32) -> Vec<u8> {
    format!("{n:0>VALUE_BYTES$}").into()
}

#[test]
fn child_writes_until_its_disk_is_full() {
    // Without this it is an ordinary run of all tests, and there is nothing to do.
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let bed = Bed::open(Path::new(&folder), &[]).await;
        let bucket = bed.bucket("app", "full").await;
        let mut acked = 0;
        let refused = loop {
            match bucket.set(&acked.to_string(), value(acked)).await {
                Ok(()) => acked += 1,
                refused => break refused,
            }
            assert!(acked < 10_000, "there is no limit");
        };
        assert_eq!(code(refused), "UM1115");
        // It was opened again: what was acknowledged is read, and the next write fails as the first did, until there is room.
        for n in 0..acked {
            assert_eq!(
                bucket.get(&n.to_string()).await.expect("get").expect("acknowledged"),
                value(n),
                "{n}"
            );
        }
        assert_eq!(code(bucket.set("more", value(0)).await), "UM1115");
        bucket.delete("0").await.expect("a delete needs little");
        bucket.set("small", "x").await.expect("a small value too");
        assert!(matches!(bed.provider.health(), umbel_provider::Health::Healthy));
        println!("acked {acked}");
    });
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a process with a limit of its own; the test must not depend on the supervisor"
)]
async fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 8192; exec "$0" --exact "$1" --nocapture"#])
        .arg(std::env::current_exe().expect("the test binary"))
        .arg("keyvalue::full::child_writes_until_its_disk_is_full")
        .env(FOLDER, folder.path())
        .stderr(Stdio::piped())
        .output()
        .expect("a child");
    let (said, failed) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{said}\n{failed}");
    let acked = said.lines().find_map(|line| line.split("acked ").nth(1)).expect("the child says it");
    let acked: u32 = acked.trim().parse().expect("a number");
    assert!(acked > 5, "{acked} values fit");

    let bed = Bed::open(folder.path(), &[]).await;
    let bucket = bed.bucket("app", "full").await;
    assert_eq!(bucket.keys().await.len() as u32, acked, "all but the deleted one, and the small one");
    for n in 1..acked {
        assert_eq!(text(bucket.get(&n.to_string()).await).map(Vec::from), Some(value(n)), "{n}");
    }
    assert_eq!(text(bucket.get("small").await).as_deref(), Some("x"));
    bed.stop().await;
}
