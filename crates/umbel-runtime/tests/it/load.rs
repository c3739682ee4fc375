//! From bytes to images: compiled once, kept, and trusted only when authentic.

use crate::rig::{Here, load};
use async_trait::async_trait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::sync::Notify;
use umbel_core::digest::Digest;
use umbel_runtime::compile::{Exit, Job, Worker};
use umbel_runtime::{Config, Engine, Images};
use umbel_testkit::{example, guest, wait_for};

/// A cache folder that outlives the images of one process after another.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temp folder"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("code")
    }

    fn config(&self) -> Config {
        Config { instances_max: 4, ..Config::new(self.path()) }
    }

    /// What a new process finds in the folder.
    fn images(&self) -> (Images, Arc<Here>) {
        let worker = Arc::<Here>::default();
        (self.images_by(worker.clone()), worker)
    }

    fn images_by(&self, worker: Arc<dyn Worker>) -> Images {
        let config = self.config();
        Images::new(Engine::new(&config).expect("an engine"), &config, worker).expect("a cache")
    }

    /// Loads the example in a new process; how often that compiled.
    async fn compilations(&self) -> usize {
        let (images, worker) = self.images();
        load(&images, &example("hello")).await.expect("it loads");
        worker.runs.load(SeqCst)
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    }

    fn only(&self, extension: &str) -> PathBuf {
        let files = self.files(extension);
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

#[tokio::test]
async fn identical_bytes_are_compiled_once_however_many_ask_at_once() {
    let folder = Folder::new();
    let (images, worker) = folder.images();
    let path = example("hello");
    let all = futures::future::join_all((0..20).map(|_| load(&images, &path))).await;
    let first = all[0].as_ref().expect("it loads");
    assert!(all.iter().all(|image| Arc::ptr_eq(image.as_ref().expect("it loads"), first)));
    assert_eq!(worker.runs.load(SeqCst), 1);
    assert!(images.is_compiled(first.digest()));
    let copy = folder.0.path().join("copy.wasm");
    fs::copy(&path, &copy).expect("a copy");
    let copied = load(&images, &copy).await.expect("it loads");
    assert!(Arc::ptr_eq(&copied, first), "the name of the file does not matter");
}

#[tokio::test]
async fn a_new_process_finds_what_an_earlier_one_compiled() {
    let folder = Folder::new();
    let found: Vec<usize> = [folder.compilations().await, folder.compilations().await].into();
    assert_eq!(found, [1, 0]);
    let (images, _) = folder.images();
    assert!(images.is_compiled(&digest_of(&example("hello"))));
    assert!(!images.is_compiled(&digest_of(&guest("hello-v2"))));
}

#[tokio::test]
async fn only_the_user_can_read_the_folder_and_its_secret() {
    let folder = Folder::new();
    drop(folder.images());
    for (path, mode) in [(folder.path(), 0o700), (folder.path().join("secret"), 0o600)] {
        let found = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
}

#[tokio::test]
async fn what_is_not_authentic_is_compiled_again_and_never_loaded() {
    fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).expect("it is there");
        edit(&mut bytes);
        fs::write(path, bytes).expect("writable");
    }
    type Damage = fn(&Folder);
    let damages: [(&str, Damage); 9] = [
        ("the first byte of the code", |f| change(&f.only("cwasm"), |b| b[0] ^= 1)),
        ("a byte amid the code", |f| {
            change(&f.only("cwasm"), |b| {
                let middle = b.len() / 2;
                b[middle] ^= 0x80;
            })
        }),
        ("the last byte of the code", |f| change(&f.only("cwasm"), |b| *b.last_mut().expect("bytes") ^= 1)),
        ("code that is cut off", |f| change(&f.only("cwasm"), |b| b.truncate(b.len() / 2))),
        ("code that is empty", |f| change(&f.only("cwasm"), Vec::clear)),
        ("a byte of the keyed hash", |f| change(&f.only("mac"), |b| b[7] ^= 1)),
        ("a keyed hash that is cut off", |f| change(&f.only("mac"), |b| b.truncate(31))),
        ("a missing keyed hash", |f| fs::remove_file(f.only("mac")).expect("it was there")),
        ("another secret", |f| change(&f.path().join("secret"), |b| b[0] ^= 1)),
    ];
    let folder = Folder::new();
    assert_eq!(folder.compilations().await, 1);
    for (what, damage) in damages {
        damage(&folder);
        assert_eq!(folder.compilations().await, 1, "{what}");
        assert_eq!(folder.compilations().await, 0, "{what}: it is whole again");
    }
    fs::write(folder.path().join("secret"), "cut off").expect("writable");
    assert_eq!(folder.compilations().await, 1, "a secret that was cut off is made anew");
}

#[tokio::test]
async fn code_of_one_component_does_not_pass_for_that_of_another() {
    let folder = Folder::new();
    let (images, _) = folder.images();
    load(&images, &example("hello")).await.expect("it loads");
    let (code, mac) = (folder.only("cwasm"), folder.only("mac"));
    let first = (fs::read(&code).expect("there"), fs::read(&mac).expect("there"));
    load(&images, &guest("hello-v2")).await.expect("it loads");
    drop(images);
    let second = folder.files("cwasm").into_iter().find(|path| *path != code).expect("there are two");
    fs::write(&second, first.0).expect("writable");
    fs::write(second.with_extension("mac"), first.1).expect("writable");
    let (images, worker) = folder.images();
    load(&images, &guest("hello-v2")).await.expect("it loads");
    assert_eq!(worker.runs.load(SeqCst), 1);
}

#[tokio::test]
async fn what_an_earlier_process_left_unfinished_is_removed() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path()).expect("writable");
    let left = folder.path().join("0123.77-0.tmp");
    fs::write(&left, "half").expect("writable");
    drop(folder.images());
    assert!(!left.exists());
    folder.compilations().await;
    assert!(folder.files("tmp").is_empty(), "nothing is left of a compilation");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    fs::write(folder.path(), "a file in its place").expect("writable");
    let config = folder.config();
    let made = Images::new(Engine::new(&config).expect("an engine"), &config, Arc::<Here>::default());
    let error = made.err().expect("a file is no folder");
    assert_eq!(umbel_core::Coded::code(&error).to_string(), "UM0410");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

/// Counts who waits in it, and never ends.
#[derive(Default)]
struct Stuck {
    inside: Arc<AtomicUsize>,
    never: Notify,
}

#[async_trait]
impl Worker for Stuck {
    async fn run(&self, _: &Job) -> Result<Exit, String> {
        struct Inside(Arc<AtomicUsize>);
        impl Drop for Inside {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.inside.fetch_add(1, SeqCst);
        let _inside = Inside(self.inside.clone());
        self.never.notified().await;
        Ok(Exit::Done)
    }
}

#[tokio::test]
async fn a_compilation_that_nobody_waits_for_any_more_is_ended() {
    let folder = Folder::new();
    let worker = Arc::<Stuck>::default();
    let images = folder.images_by(worker.clone());
    let path = example("hello");
    let mut first = Box::pin(load(&images, &path));
    let mut second = Box::pin(load(&images, &path));
    for load in [&mut first, &mut second] {
        drop(futures::poll!(load));
    }
    wait_for("the worker runs", || {
        let waker = futures::task::noop_waker();
        let mut cx = std::task::Context::from_waker(&waker);
        drop(std::future::Future::poll(first.as_mut(), &mut cx));
        worker.inside.load(SeqCst) == 1
    })
    .await;
    drop(first);
    assert_eq!(worker.inside.load(SeqCst), 1, "the second still waits for it");
    drop(second);
    assert_eq!(worker.inside.load(SeqCst), 0, "it holds no place among the compile processes");
}

#[tokio::test]
async fn an_image_that_nobody_holds_is_given_up_and_loads_again() {
    let folder = Folder::new();
    let (images, worker) = folder.images();
    let image = load(&images, &example("hello")).await.expect("it loads");
    let weak = Arc::downgrade(&image);
    drop(image);
    assert!(weak.upgrade().is_none());
    load(&images, &example("hello")).await.expect("it loads");
    assert_eq!(worker.runs.load(SeqCst), 1);
}

fn digest_of(path: &Path) -> String {
    Digest::of(&fs::read(path).expect("a file")).to_string()
}
