//! Files that cannot be used: a coded error, and the file as it was.

use super::Bed;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use umbel_core::Problem;

type Contents = BTreeMap<String, Vec<u8>>;

async fn contents(bed: &Bed) -> Contents {
    let bucket = bed.bucket("app", "b").await;
    let mut contents = Contents::new();
    for key in bucket.keys().await {
        let value =
            bucket.get(&key).await.expect("get").unwrap_or_else(|| panic!("{key} is listed and missing"));
        contents.insert(key, value.to_vec());
    }
    contents
}

fn file(folder: &Path) -> PathBuf {
    folder.join("keyvalue/keyvalue.redb")
}

/// A store: its bytes when it was closed, its bytes as `kill -9` would have left it, and what is in it.
async fn sample(folder: &Path) -> (Vec<u8>, Vec<u8>, Contents) {
    let bed = Bed::open(folder, &[]).await;
    let bucket = bed.bucket("app", "b").await;
    for i in 0..40 {
        bucket.set(&format!("k{i}"), vec![u8::try_from(i).expect("small"); 50 * i]).await.expect("set");
    }
    bucket.delete("k5").await.expect("delete");
    let expect = contents(&bed).await;
    let killed = std::fs::read(file(folder)).expect("read");
    bed.stop().await;
    (std::fs::read(file(folder)).expect("read"), killed, expect)
}

/// Opens these bytes. An error must be of the codes given and leave the file as it was; without one, everything must be there.
async fn judge(
    folder: &Path,
    bytes: &[u8],
    expect: &Contents,
    codes: &[&str],
    what: &str,
) -> Option<Problem> {
    std::fs::write(file(folder), bytes).expect("write");
    match Bed::try_open(folder, &[]).await {
        Ok(bed) => {
            assert_eq!(&contents(&bed).await, expect, "{what}: damage was not noticed");
            bed.stop().await;
            None
        }
        Err(problem) => {
            assert!(codes.contains(&problem.code.to_string().as_str()), "{what}: {problem:?}");
            assert!(std::fs::read(file(folder)).expect("read") == bytes, "{what}: the file was changed");
            Some(problem)
        }
    }
}

const DAMAGED: &str = "UM1111";
const FOREIGN: &str = "UM1112";
const VERSION: &str = "UM1113";

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::create_dir(folder.join("keyvalue")).expect("a folder");
    let zeros = vec![0; 100_000];
    for (what, bytes, code) in [
        ("empty", &b""[..], DAMAGED),
        ("zeros", &zeros, DAMAGED),
        ("three letters of ours", b"red", DAMAGED),
        ("the beginning only", b"redb\x1A\x0A\xA9\x0D\x0A", DAMAGED),
        ("the beginning and rubbish", b"redb\x1A\x0A\xA9\x0D\x0Athe rest is rubbish", DAMAGED),
        ("JSON", br#"{"hello":"world"}"#, FOREIGN),
        ("SQLite", b"SQLite format 3\0rest", FOREIGN),
    ] {
        let problem = judge(folder, bytes, &Contents::new(), &[code], what).await;
        let problem = problem.unwrap_or_else(|| panic!("{what}: it was opened"));
        assert!(problem.message.contains("keyvalue.redb") && !problem.help.is_empty(), "{problem:?}");
    }
    std::fs::remove_file(file(folder)).expect("remove");
    std::fs::create_dir(file(folder)).expect("a folder in its place");
    let problem = Bed::try_open(folder, &[]).await.err().expect("a folder");
    assert_eq!(problem.code.to_string(), FOREIGN);
}

#[tokio::test]
async fn a_file_that_was_cut_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (closed, killed, expect) = sample(folder.path()).await;
    for (state, bytes) in [("closed", &closed), ("killed", &killed)] {
        let mut noticed = 0;
        for part in 1..16 {
            let length = bytes.len() * part / 16 + part;
            let what = format!("{state}, cut to {length} of {}", bytes.len());
            let problem = judge(folder.path(), &bytes[..length], &expect, &[DAMAGED], &what).await;
            noticed += usize::from(problem.is_some());
        }
        assert!(noticed > 0, "{state}: no cut was noticed");
    }
}

#[tokio::test]
async fn a_changed_byte_is_noticed_or_does_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (closed, killed, expect) = sample(folder.path()).await;
    let codes = [DAMAGED, FOREIGN, VERSION];
    for (state, bytes) in [("closed", &closed), ("killed", &killed)] {
        // One in three bytes of the header, and one in a while of the rest that is in use.
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("not all zeros") + 1;
        let places = (0..320).step_by(3).chain((400..used).step_by((used / 100).max(1) | 1));
        let mut noticed = 0;
        for place in places {
            let mut changed = bytes.clone();
            changed[place] ^= 0x55;
            let what = format!("{state}, byte {place} changed");
            noticed += usize::from(judge(folder.path(), &changed, &expect, &codes, &what).await.is_some());
        }
        assert!(noticed > 30, "{state}: only {noticed} changes were noticed");
    }
}

#[tokio::test]
async fn files_of_the_same_engine_are_told_apart() {
    for (table, rows, code) in [
        ("somebody.elses", &[("format", 1)][..], FOREIGN),
        ("umbel.keyvalue.meta", &[("format", 0)], VERSION),
        ("umbel.keyvalue.meta", &[("format", 900)], VERSION),
        ("umbel.keyvalue.meta", &[("format", 1), ("last", 3)], DAMAGED),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("keyvalue")).expect("a folder");
        write_table(&file(folder.path()), table, rows);
        let bytes = std::fs::read(file(folder.path())).expect("read");
        judge(folder.path(), &bytes, &Contents::new(), &[code], table).await.expect("it is refused");
    }
}

fn write_table(path: &Path, table: &str, rows: &[(&str, u64)]) {
    let db = redb::Database::create(path).expect("a database");
    let transaction = db.begin_write().expect("a transaction");
    {
        let mut table =
            transaction.open_table(redb::TableDefinition::<&str, u64>::new(table)).expect("a table");
        for (key, value) in rows {
            table.insert(key, value).expect("insert");
        }
    }
    transaction.commit().expect("commit");
}

#[tokio::test]
async fn one_owner_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Bed::open(folder.path(), &[]).await;
    for _ in 0..3 {
        let problem = Bed::try_open(folder.path(), &[]).await.err().expect("locked");
        assert_eq!(problem.code.to_string(), "UM1110");
    }
    first.bucket("app", "b").await.set("k", "v").await.expect("the first one still writes");
    first.stop().await;
    let second = Bed::open(folder.path(), &[]).await;
    assert_eq!(contents(&second).await.len(), 1);
    second.stop().await;
}

#[tokio::test]
async fn what_a_crash_left_of_a_new_file_is_no_obstacle() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("keyvalue")).expect("a folder");
    std::fs::write(folder.path().join("keyvalue/keyvalue.redb.new"), "rubbish of a crash").expect("write");
    Bed::open(folder.path(), &[]).await.stop().await;
    let names: Vec<PathBuf> = std::fs::read_dir(folder.path().join("keyvalue"))
        .expect("a folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    assert_eq!(names, [file(folder.path())], "nothing is left behind");
}

#[tokio::test]
async fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    Bed::open(folder.path(), &[]).await.stop().await;
    for path in [folder.path().join("keyvalue"), file(folder.path())] {
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written() {
    // Nobody can make files there, not even root.
    let problem = Bed::try_open(Path::new("/sys"), &[]).await.err().expect("not writable");
    assert_eq!(problem.code.to_string(), "UM1114", "{problem:?}");
}
