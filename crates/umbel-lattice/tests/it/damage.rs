//! State files that cannot be used: a coded error, and the file as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use umbel_core::code::{Code, lattice as code};
use umbel_core::id::LatticeName;
use umbel_core::{Coded, Problem};
use umbel_lattice::{InProcess, Lattice, LatticeError};

type Contents = BTreeMap<String, Vec<u8>>;

async fn open(path: &Path) -> Result<InProcess, LatticeError> {
    InProcess::open(path, LatticeName::new("default").expect("a name")).await
}

async fn contents(lattice: &InProcess) -> Contents {
    let bucket = lattice.bucket("b").await.expect("bucket");
    let entries = bucket.entries("").await.expect("entries");
    entries.into_iter().map(|e| (e.key, e.value.to_vec())).collect()
}

/// A state file: its bytes when it was closed, its bytes as `kill -9` would have left it, and what is in it.
async fn sample(folder: &Path) -> (Vec<u8>, Vec<u8>, Contents) {
    let path = folder.join("sample.redb");
    let lattice = open(&path).await.expect("open");
    let bucket = lattice.bucket("b").await.expect("bucket");
    for i in 0..40 {
        bucket
            .put(&format!("k{i}"), vec![u8::try_from(i).expect("small"); 50 * i].into())
            .await
            .expect("put");
    }
    bucket.delete("k5", None).await.expect("delete");
    let expect = contents(&lattice).await;
    let killed = std::fs::read(&path).expect("read");
    lattice.close().await;
    (std::fs::read(&path).expect("read"), killed, expect)
}

/// Opens these bytes. An error must be of the codes given and leave the file as it was; without one, everything must be there.
async fn judge(
    path: &Path,
    bytes: &[u8],
    expect: &Contents,
    codes: &[Code],
    what: &str,
) -> Option<LatticeError> {
    std::fs::write(path, bytes).expect("write");
    match open(path).await {
        Ok(lattice) => {
            assert_eq!(&contents(&lattice).await, expect, "{what}: damage was not noticed");
            lattice.close().await;
            None
        }
        Err(error) => {
            assert!(codes.contains(&error.code()), "{what}: {error:?}");
            assert!(std::fs::read(path).expect("read") == bytes, "{what}: the file was changed");
            Some(error)
        }
    }
}

#[tokio::test]
async fn what_is_no_state_file_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    let zeros = vec![0; 100_000];
    for (what, bytes, code) in [
        ("empty", &b""[..], code::STATE_DAMAGED),
        ("zeros", &zeros, code::STATE_DAMAGED),
        ("three letters of ours", b"red", code::STATE_DAMAGED),
        ("the beginning only", b"redb\x1A\x0A\xA9\x0D\x0A", code::STATE_DAMAGED),
        ("the beginning and rubbish", b"redb\x1A\x0A\xA9\x0D\x0Athe rest is rubbish", code::STATE_DAMAGED),
        ("JSON", br#"{"hello":"world"}"#, code::STATE_FOREIGN),
        ("SQLite", b"SQLite format 3\0rest", code::STATE_FOREIGN),
        ("one letter", b"x", code::STATE_FOREIGN),
    ] {
        let error = judge(&path, bytes, &Contents::new(), &[code], what).await;
        let problem = Problem::from(&error.unwrap_or_else(|| panic!("{what}: it was opened")));
        assert!(problem.message.contains("state.redb"), "{problem:?}");
        assert!(!problem.help.is_empty());
    }
    std::fs::remove_file(&path).expect("remove");
    std::fs::create_dir(&path).expect("a folder in its place");
    assert_eq!(open(&path).await.expect_err("a folder").code(), code::STATE_FOREIGN);
    assert_eq!(open(Path::new("/dev/null")).await.expect_err("a device").code(), code::STATE_FOREIGN);
}

#[tokio::test]
async fn a_file_that_was_cut_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (closed, killed, expect) = sample(folder.path()).await;
    let path = folder.path().join("state.redb");
    for (state, bytes) in [("closed", &closed), ("killed", &killed)] {
        let mut noticed = 0;
        for part in 1..16 {
            let length = bytes.len() * part / 16 + part;
            let what = format!("{state}, cut to {length} of {}", bytes.len());
            noticed += usize::from(
                judge(&path, &bytes[..length], &expect, &[code::STATE_DAMAGED], &what).await.is_some(),
            );
        }
        assert!(noticed > 0, "{state}: no cut was noticed");
    }
}

#[tokio::test]
async fn a_changed_byte_is_noticed_or_does_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (closed, killed, expect) = sample(folder.path()).await;
    let path = folder.path().join("state.redb");
    let codes = [code::STATE_DAMAGED, code::STATE_FOREIGN, code::STATE_VERSION];
    for (state, bytes) in [("closed", &closed), ("killed", &killed)] {
        // One in three bytes of the header, and one in a while of the rest that is in use.
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("not all zeros") + 1;
        let places = (0..320).step_by(3).chain((400..used).step_by((used / 100).max(1) | 1));
        let mut noticed = 0;
        for place in places {
            let mut changed = bytes.clone();
            changed[place] ^= 0x55;
            let what = format!("{state}, byte {place} changed");
            noticed += usize::from(judge(&path, &changed, &expect, &codes, &what).await.is_some());
        }
        assert!(noticed > 30, "{state}: only {noticed} changes were noticed");
    }
}

#[tokio::test]
async fn files_of_the_same_engine_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("foreign.redb");
    write_table(&foreign, "somebody.elses", &[("format", 1)]);
    assert_eq!(open(&foreign).await.expect_err("foreign").code(), code::STATE_FOREIGN);
    for version in [0, 2, 900] {
        let path = folder.path().join(format!("version{version}.redb"));
        write_table(&path, "umbel.meta", &[("format", version)]);
        let before = std::fs::read(&path).expect("read");
        let error = open(&path).await.expect_err("another version");
        assert_eq!(error.code(), code::STATE_VERSION);
        assert!(std::fs::read(&path).expect("read") == before, "version {version}: the file was changed");
        assert!(error.to_string().contains(&version.to_string()), "{error}");
    }
    let incomplete = folder.path().join("incomplete.redb");
    write_table(&incomplete, "umbel.meta", &[("format", 1), ("revision", 3)]);
    assert_eq!(open(&incomplete).await.expect_err("incomplete").code(), code::STATE_DAMAGED);
}

/// The bytes of format 1, as the first version wrote them: whatever later versions write, they read this.
#[tokio::test]
async fn a_file_of_the_first_format_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lattice.redb");
    let meta = [
        ("format", 1),
        ("revision", 4),
        ("count", 2),
        ("checksum", 0x8281_2d01_eb13_5dcf),
        ("bytes", 0x22),
        ("check", 0x76f6_b3a9_e914_1a07),
    ];
    write_table(&path, "umbel.meta", &meta);
    let rows: [(&str, &str, &[u8]); 2] = [
        ("b", "a", b"\x02\0\0\0\0\0\0\0\xf0\x36\x4d\xfc\x2e\x05\x4f\x33one"),
        ("umbel_applications", "app.hello", b"\x04\0\0\0\0\0\0\0\xdf\x26\xc6\xee\xd2\x27\x32\x4f{}"),
    ];
    let db = redb::Database::open(&path).expect("a database");
    let transaction = db.begin_write().expect("a transaction");
    {
        let entries = redb::TableDefinition::<(&str, &str), &[u8]>::new("umbel.entries");
        let mut entries = transaction.open_table(entries).expect("a table");
        for (bucket, key, row) in rows {
            entries.insert((bucket, key), row).expect("insert");
        }
    }
    transaction.commit().expect("commit");
    drop(db);

    let lattice = open(&path).await.expect("it is read");
    for (bucket, key, row) in rows {
        let bucket = lattice.bucket(bucket).await.expect("bucket");
        let entry = bucket.get(key).await.expect("get").expect("it is there");
        assert_eq!((&entry.value[..], entry.revision), (&row[16..], u64::from(row[0])));
    }
    let bucket = lattice.bucket("b").await.expect("bucket");
    assert_eq!(bucket.put("a", "two".into()).await.expect("put"), 5, "revisions go on");
    lattice.close().await;
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
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    let first = open(&path).await.expect("open");
    for _ in 0..3 {
        assert_eq!(open(&path).await.expect_err("locked").code(), code::STATE_LOCKED);
    }
    first.bucket("b").await.expect("bucket").put("k", "v".into()).await.expect("the first one still writes");
    drop(first);
    let second = open(&path).await.expect("a dropped lattice has closed its file");
    assert_eq!(contents(&second).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_is_being_made_is_locked_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    let making = std::fs::File::create(folder.path().join("state.redb.new")).expect("a file");
    making.lock().expect("lock");
    assert_eq!(open(&path).await.expect_err("somebody makes it").code(), code::STATE_LOCKED);
    // What a crash has left of it is no obstacle.
    drop(making);
    std::fs::write(folder.path().join("state.redb.new"), "rubbish of a crash").expect("write");
    open(&path).await.expect("open").close().await;
    let names: Vec<PathBuf> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(names, [path], "nothing is left behind");
}

#[tokio::test]
async fn folders_that_cannot_be_written() {
    // Nobody can make files there, not even root.
    let error = open(Path::new("/sys/umbel-test.redb")).await.expect_err("not writable");
    assert_eq!(error.code(), code::STATE_READ_ONLY, "{error:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let error = open(&folder.path().join("missing/state.redb")).await.expect_err("no folder");
    assert_eq!(error.code(), code::STATE_IO, "{error:?}");
    assert!(!Problem::from(&error).causes.is_empty(), "the cause is named");
}

#[tokio::test]
async fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.redb");
    open(&path).await.expect("open").close().await;
    let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
