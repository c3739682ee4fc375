use super::*;
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use umbel_core::{Coded, Problem};

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a folder");
    let store = Store::open(dir.path().join("state/artifacts")).expect("opens");
    (dir, store)
}

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writes");
    path
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::write(path, bytes).expect("writes");
}

fn code_of<T: std::fmt::Debug>(result: Result<T, ArtifactError>) -> String {
    result.expect_err("refused").code().to_string()
}

fn anything(_: &mut File) -> Result<(), ArtifactError> {
    Ok(())
}

impl Store {
    fn keep(&self, path: &Path) -> Result<Artifact, ArtifactError> {
        self.put_file(path, anything).map(|(artifact, ())| artifact)
    }

    fn put(&self, bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("writes");
        self.keep(file.path())
    }

    fn read(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        let read = |file: &mut File| -> Result<Vec<u8>, ArtifactError> {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).expect("reads");
            Ok(bytes)
        };
        self.check(digest, read).map(|(_, bytes)| bytes)
    }
}

fn partials(store: &Store) -> usize {
    fs::read_dir(store.partial()).expect("a folder").count()
}

#[test]
fn what_is_put_is_found_under_its_digest() {
    let (dir, store) = store();
    let artifact = store.put(b"hello").expect("stores");
    assert_eq!((artifact.digest, artifact.size), (Digest::of(b"hello"), 5));
    assert_eq!(fs::read(&artifact.path).expect("reads"), b"hello");
    assert_eq!(store.read(&artifact.digest).expect("reads"), b"hello");
    let path = file(&dir, "hello.wasm", b"hello");
    assert_eq!(store.keep(&path).expect("stores"), artifact);
    let empty = store.put(b"").expect("stores");
    assert_eq!(store.read(&empty.digest).expect("reads"), b"");

    let references =
        [path.display().to_string(), format!("file://{}", path.display()), artifact.digest.to_string()];
    for text in references {
        let reference = Reference::new(&text).expect("a reference");
        assert_eq!(store.resolve(&reference, anything).expect("resolves").0, artifact, "{text}");
    }
    let mut all = [empty, artifact];
    all.sort_by_key(|artifact| artifact.digest);
    assert_eq!(store.list().expect("lists"), all);
    assert_eq!(partials(&store), 0);
}

#[test]
fn the_source_may_go_and_the_process_may_end() {
    let (dir, store) = store();
    let path = file(&dir, "hello.wasm", b"hello");
    let artifact = store.keep(&path).expect("stores");
    fs::remove_file(path).expect("removes");
    let folder = store.folder().to_path_buf();
    drop(store);
    let store = Store::open(folder).expect("opens again");
    assert_eq!(store.find(&artifact.digest).expect("is there"), artifact);
    assert_eq!(store.read(&artifact.digest).expect("reads"), b"hello");
}

#[test]
fn what_is_stored_already_is_not_written_again() {
    let (dir, store) = store();
    let path = file(&dir, "hello.wasm", b"hello");
    let artifact = store.keep(&path).expect("stores");
    let inode = || fs::metadata(&artifact.path).expect("is there").ino();
    let before = inode();
    store.keep(&path).expect("stores");
    store.put(b"hello").expect("stores");
    assert_eq!(inode(), before);
}

#[test]
fn a_store_whose_folders_were_removed_takes_what_comes_next() {
    let (_dir, store) = store();
    let artifact = store.put(b"hello").expect("stores");
    fs::remove_dir_all(store.folder()).expect("removes");
    assert_eq!(code_of(store.find(&artifact.digest)), "UM0307");
    assert_eq!(store.put(b"hello").expect("stores"), artifact);
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let (dir, store) = store();
    let at = |name: &str| dir.path().join(name);
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    let _socket = UnixListener::bind(at("socket")).expect("a socket");
    symlink(at("pipe"), at("to-pipe")).expect("a link");
    symlink(at("nowhere"), at("to-nowhere")).expect("a link");
    symlink(at("loop"), at("loop")).expect("a link");
    file(&dir, "plain", b"x");
    let cases = [
        (at("missing"), "UM0301", "there is no file"),
        (at("to-nowhere"), "UM0301", "there is no file"),
        (at("plain/child"), "UM0301", "there is no file"),
        (dir.path().into(), "UM0302", "is a folder"),
        (at("pipe"), "UM0302", "is a pipe"),
        (at("to-pipe"), "UM0302", "is a pipe"),
        (at("socket"), "UM0302", "is a socket"),
        ("/dev/zero".into(), "UM0302", "is a device"),
        (at("loop"), "UM0304", "cannot be read"),
        // A file that can be opened and not read, even by root.
        ("/proc/self/mem".into(), "UM0304", "cannot be read"),
        (at(&"x".repeat(300)), "UM0304", "cannot be read"),
        ("no\0name".into(), "UM0304", "cannot be read"),
    ];
    for (path, code, message) in cases {
        let error = store.keep(&path).expect_err("refused");
        assert_eq!(error.code().to_string(), code, "{error}");
        assert!(error.to_string().contains(message) && !error.to_string().contains('\0'), "{error}");
    }
    assert_eq!((partials(&store), store.list().expect("lists").len()), (0, 0));
}

#[test]
fn a_message_names_a_relative_path_from_the_root_on_and_escapes_what_a_terminal_obeys() {
    let (_dir, store) = store();
    let error = store.keep(Path::new("missing\x1b[2J.wasm")).expect_err("missing");
    let here = std::env::current_dir().expect("a folder");
    assert!(error.to_string().contains(&*here.to_string_lossy()), "{error}");
    assert!(!format!("{error}{}", error.help()).contains('\x1b'), "{error}");
}

#[test]
fn images_and_builtins_are_refused_with_what_to_do() {
    let (_dir, store) = store();
    for (text, code) in
        [("registry.test/hello:1", "UM0308"), ("hello", "UM0308"), ("builtin:http-server", "UM0309")]
    {
        let error = store.resolve(&Reference::new(text).expect(text), anything).expect_err("refused");
        assert_eq!(error.code().to_string(), code);
        assert!(error.to_string().contains(text) && error.help().contains("image: ./"), "{error}");
    }
    let unknown = Digest::of(b"never stored");
    assert_eq!(code_of(store.find(&unknown)), "UM0307");
    assert_eq!(code_of(store.read(&unknown)), "UM0307");
}

#[test]
fn the_limit_of_size_holds_for_files_bytes_and_what_grows() {
    let (dir, store) = store();
    let store = store.with_bytes_max(1_000);
    let exact = file(&dir, "exact", &[7; 1_000]);
    assert_eq!(store.keep(&exact).expect("fits").size, 1_000);
    let larger = file(&dir, "larger", &[7; 1_001]);
    let error = store.keep(&larger).expect_err("too large");
    assert!(error.to_string().contains("larger has more than 1000 bytes"), "{error}");
    assert_eq!(error.code().to_string(), "UM0303");
    assert_eq!(code_of(store.put(&[7; 1_001])), "UM0303");
    // A hole of a terabyte costs nothing to refuse.
    File::options().write(true).open(&larger).expect("ours").set_len(1 << 40).expect("a hole");
    assert_eq!(code_of(store.keep(&larger)), "UM0303");
    // What is not as long as it said is read no further than to the limit.
    let endless = store.copy(&mut io::repeat(1), &mut io::sink(), Some(&exact));
    assert_eq!(code_of(endless), "UM0303");
}

#[test]
fn a_file_that_changes_while_it_is_read_gives_the_digest_of_what_was_stored() {
    let (dir, store) = store();
    let path = file(&dir, "changing", &vec![0; 300_000]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0u8;
            while !stop.load(Ordering::Relaxed) {
                round = round.wrapping_add(1);
                fs::write(&path, vec![round; 200_000 + usize::from(round) * 1_000]).expect("writes");
            }
        });
        for _ in 0..30 {
            let artifact = store.keep(&path).expect("stores");
            let bytes = store.read(&artifact.digest).expect("is what its digest says");
            assert_eq!(bytes.len() as u64, artifact.size);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Refuses everything that does not begin with `good`, and says so by an error of its own.
fn good(file: &mut File) -> Result<u64, ArtifactError> {
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head).expect("reads");
    let wrong = ArtifactError::NotAnArtifact { reference: String::from_utf8_lossy(&head).into_owned() };
    if head == b"good" { Ok(4) } else { Err(wrong) }
}

#[test]
fn what_is_refused_is_not_read_to_its_end_and_not_stored() {
    let (dir, store) = store();
    let store = store.with_bytes_max(u64::MAX);
    let path = file(&dir, "bad", b"bad!");
    // Reading a terabyte, if only of a hole, would take longer than any test may.
    File::options().write(true).open(&path).expect("ours").set_len(1 << 40).expect("a hole");
    assert_eq!(code_of(store.put_file(&path, good)), "UM0309");
    assert_eq!((partials(&store), store.list().expect("lists").len()), (0, 0));

    let (artifact, told) = store.put_file(&file(&dir, "good", b"good!"), good).expect("accepted");
    assert_eq!((told, artifact.size), (4, 5));
    assert_eq!(store.check(&artifact.digest, good).expect("accepted"), (artifact.clone(), 4));
    // What is stored may be good for one and not for another; it stays.
    let never =
        |_: &mut File| -> Result<(), _> { Err(ArtifactError::NotAnArtifact { reference: "never".into() }) };
    assert_eq!(code_of(store.check(&artifact.digest, never)), "UM0309");
    assert_eq!(store.list().expect("lists"), [artifact]);
}

#[test]
fn the_bytes_that_are_stored_are_accepted_and_not_those_that_were_there_before() {
    let (dir, store) = store();
    let path = file(&dir, "changing", b"good");
    let looks = AtomicU64::new(0);
    // The file changes right after it was looked at for the first time.
    let accept = |file: &mut File| {
        let result = good(file);
        if looks.fetch_add(1, Ordering::Relaxed) == 0 {
            fs::write(&path, b"evil").expect("writes");
        }
        result
    };
    assert_eq!(code_of(store.put_file(&path, accept)), "UM0309");
    assert_eq!((partials(&store), store.list().expect("lists").len()), (0, 0));
}

#[test]
fn damage_is_noticed_put_aside_and_healed() {
    let (dir, store) = store();
    let path = file(&dir, "hello.wasm", b"hello");
    let artifact = store.keep(&path).expect("stores");
    for damage in [&b"hellO"[..], b"", b"hello and more"] {
        overwrite(&artifact.path, damage);
        let error = store.read(&artifact.digest).expect_err("damaged");
        assert_eq!(error.code().to_string(), "UM0306", "{error}");
        assert!(error.to_string().contains(&artifact.digest.to_string()), "{error}");
        assert_eq!(code_of(store.find(&artifact.digest)), "UM0307");
        let aside = store.damaged().join(artifact.digest.hex());
        assert!(aside.exists(), "the damaged bytes are kept for whoever wants to know");

        assert_eq!(store.keep(&path).expect("stores anew"), artifact);
        assert_eq!(store.read(&artifact.digest).expect("healed"), b"hello");
    }
    // A blob that is cut off is noticed by its length already when the file is resolved.
    overwrite(&artifact.path, b"hel");
    store.keep(&path).expect("stores anew");
    assert_eq!(store.read(&artifact.digest).expect("healed"), b"hello");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = TempDir::new().expect("a folder");
    let plain = file(&dir, "plain", b"x");
    for folder in [plain.clone(), plain.join("below"), "/proc/umbel".into(), "/dev/null/x".into()] {
        let error = Store::open(&folder).expect_err("cannot be used");
        assert_eq!(error.code().to_string(), "UM0305", "{error}");
        let problem = Problem::from(&error);
        let name = folder.display().to_string();
        assert!(problem.message.contains(&name) && problem.help.contains(&name), "{problem:?}");
        assert!(!problem.causes.is_empty(), "the cause of the system is shown");
    }
    let (_dir, store) = store();
    fs::remove_dir_all(store.folder()).expect("gone");
    assert_eq!(code_of(store.list()), "UM0305");
}

#[test]
fn a_full_disk_is_the_stores_error_and_leaves_nothing_behind() {
    let (dir, store) = store();
    let path = file(&dir, "hello.wasm", &[1; 10_000]);
    let mut full = File::options().write(true).open("/dev/full").expect("linux has it");
    let error = store.copy(&mut &[1u8; 10_000][..], &mut full, Some(&path)).expect_err("full");
    let problem = Problem::from(&error);
    assert_eq!(problem.code.to_string(), "UM0305");
    assert!(problem.message.contains(&store.folder().display().to_string()), "{problem:?}");
    assert!(problem.causes[0].to_lowercase().contains("no space"), "{problem:?}");

    // A partial file whose writing fails is removed.
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the share is gone"))
        }
    }
    assert_eq!(
        code_of(store.store(&mut (&b"some"[..]).chain(Broken), Some(&path), |file, _| anything(file))),
        "UM0304"
    );
    assert_eq!((partials(&store), store.list().expect("lists").len()), (0, 0));
}

#[test]
fn opening_removes_what_was_half_written_and_nothing_else() {
    let (dir, store) = store();
    let artifact = store.put(b"hello").expect("stores");
    fs::write(store.partial().join("77"), b"half").expect("writes");
    fs::write(store.blobs().join("README"), b"not ours").expect("writes");
    let folder = store.folder().to_path_buf();
    drop(store);
    let store = Store::open(&folder).expect("opens");
    assert_eq!(partials(&store), 0);
    assert_eq!(store.list().expect("lists"), [artifact]);
    store.collect(&HashSet::new()).expect("collects");
    assert!(store.blobs().join("README").exists());
    drop(dir);
}

#[test]
fn collection_spares_what_is_kept_and_what_is_recent() {
    let (_dir, store) = store();
    let [kept, recent, found] =
        [&b"kept"[..], b"recent", b"found"].map(|bytes| store.put(bytes).expect("stores"));
    let keep = HashSet::from([kept.digest]);
    let digests = || store.list().expect("lists").iter().map(|a| a.digest).collect::<HashSet<_>>();

    // Nothing goes at first: all of it was put since the last collection, of which there was none.
    assert_eq!(store.collect(&keep).expect("collects"), Collected::default());
    // Being found is as good as being put.
    store.find(&found.digest).expect("is there");
    assert_eq!(store.collect(&keep).expect("collects"), Collected { blobs: 1, bytes: 6 });
    assert_eq!(digests(), HashSet::from([kept.digest, found.digest]));
    assert_eq!(code_of(store.find(&recent.digest)), "UM0307");
    assert_eq!(store.collect(&keep).expect("collects"), Collected { blobs: 1, bytes: 5 });
    assert_eq!(digests(), keep);
    // A process that has just started knows of nothing recent.
    let store = Store::open(store.folder()).expect("opens");
    assert_eq!(store.collect(&HashSet::new()).expect("collects").blobs, 1);
}

#[test]
fn many_threads_may_put_find_and_collect_the_same_bytes() {
    let (_dir, store) = store();
    let keep = HashSet::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let artifact = store.put(b"the same").expect("stores");
                    // One collection may have passed since, and only one: nothing that a put promised is gone.
                    assert_eq!(artifact.digest, Digest::of(b"the same"));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                store.collect(&keep).expect("collects");
            }
        });
    });
    let artifact = store.put(b"the same").expect("stores");
    assert_eq!(store.read(&artifact.digest).expect("whole"), b"the same");
    assert_eq!((partials(&store), store.list().expect("lists").len()), (0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn bytes_come_back_as_they_were(bytes in proptest::collection::vec(any::<u8>(), 0..5_000)) {
        let (dir, store) = store();
        let path = file(&dir, "any", &bytes);
        let artifact = store.keep(&path).expect("stores");
        prop_assert_eq!(&artifact, &store.put(&bytes).expect("stores"));
        prop_assert_eq!(artifact.digest, Digest::of(&bytes));
        prop_assert_eq!(store.read(&artifact.digest).expect("reads"), bytes);
    }
}

#[test]
fn a_file_is_stored_as_a_digest_only_while_it_has_it() {
    let (folder, store) = store();
    let file = folder.path().join("it.wasm");
    fs::write(&file, "what was deployed").expect("it is written");
    let digest = Digest::of(b"what was deployed");
    let (artifact, ()) = store.put_as(&file, &digest, anything).expect("it is the same");
    assert_eq!((artifact.digest, artifact.size), (digest, 17));
    assert_eq!(store.read(&digest).expect("it is stored"), b"what was deployed");

    fs::write(&file, "what it is now").expect("it is written");
    fs::remove_file(&artifact.path).expect("it goes");
    let never =
        |_: &mut File| -> Result<(), ArtifactError> { panic!("other bytes are not shown to anybody") };
    let error = store.put_as(&file, &digest, never).expect_err("it is another");
    let ArtifactError::FileChanged { found, .. } = &error else { panic!("{error}") };
    assert_eq!(*found, Digest::of(b"what it is now"));
    assert_eq!(error.code(), umbel_core::code::artifact::FILE_CHANGED);
    assert!(store.list().expect("a list").is_empty());
}

#[test]
fn pieces_put_together_are_the_whole() {
    let (_folder, store) = store();
    let mut incoming = store.begin().expect("it begins");
    incoming.write(b"0123456789").expect("it is written");
    let digest = incoming.digest();
    store.complete(incoming, |_| Ok::<_, ArtifactError>(())).expect("it is stored");
    let pieces = [0, 4, 8, 12].map(|offset| store.piece(&digest, offset, 4).expect("it is stored"));
    assert_eq!(pieces, [&b"0123"[..], b"4567", b"89", b""]);
    let unknown = store.piece(&Digest::of(b"x"), 0, 4).expect_err("it is not stored");
    assert!(matches!(unknown, ArtifactError::UnknownDigest { .. }));
}
