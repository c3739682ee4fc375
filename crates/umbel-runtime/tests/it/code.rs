//! Compiled code on the disk: what stays, what goes, and what is not compiled twice.

use crate::rig::{Here, load};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime};
use umbel_core::Coded;
use umbel_runtime::cache::Trimmed;
use umbel_runtime::{Config, Engine, Images};
use umbel_testkit::{example, guest};

/// Images whose compilations are counted.
struct Bed {
    folder: tempfile::TempDir,
    images: Images,
    compiler: Arc<Here>,
}

impl Bed {
    fn new(change: impl FnOnce(&mut Config)) -> Bed {
        let folder = tempfile::tempdir().expect("a temp folder");
        let mut config = Config { instances_max: 4, ..Config::new(folder.path().join("code")) };
        change(&mut config);
        let engine = Engine::new(&config).expect("an engine");
        let compiler = Arc::<Here>::default();
        let images = Images::new(engine, &config, compiler.clone()).expect("a cache");
        Bed { folder, images, compiler }
    }

    fn code(&self) -> PathBuf {
        self.folder.path().join("code")
    }

    /// The files of compiled code.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.code()).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("readable").path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect()
    }

    async fn compilations_of(&self, path: &Path) -> usize {
        let before = self.compiler.runs.load(SeqCst);
        load(&self.images, path).await.expect("it loads");
        self.compiler.runs.load(SeqCst) - before
    }
}

#[tokio::test]
async fn code_beyond_the_limit_goes_the_least_recently_used_first_and_what_runs_stays() {
    let bed = Bed::new(|config| config.code_bytes_max = 0);
    let [first, second, third] = [example("hello"), guest("hello-v2"), guest("config")];
    let in_use = load(&bed.images, &first).await.expect("it loads");
    for path in [&second, &third] {
        assert_eq!(bed.compilations_of(path).await, 1);
    }
    let size = |path: &PathBuf| std::fs::metadata(path).expect("there").len();
    let all: u64 = bed.files().iter().map(size).sum();
    let trimmed = bed.images.trim_code().expect("trims");
    assert_eq!(trimmed.components, 2);
    let left = bed.files();
    assert_eq!((left.len(), size(&left[0]) + trimmed.bytes), (1, all), "what is in use is left");
    drop(in_use);
    assert_eq!(bed.images.trim_code().expect("trims").components, 1);
    // Only the secret is left.
    assert_eq!(std::fs::read_dir(bed.code()).expect("there").count(), 1);
    assert_eq!(bed.compilations_of(&first).await, 1, "it is compiled again");
}

#[tokio::test]
async fn a_use_makes_code_young_again() {
    let bed = Bed::new(|config| config.code_bytes_max = 0);
    let [first, second] = [example("hello"), guest("hello-v2")];
    bed.compilations_of(&first).await;
    bed.compilations_of(&second).await;
    #[expect(clippy::disallowed_methods, reason = "how old a file is, the system's clock says")]
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    for file in bed.files() {
        let file = std::fs::File::options().append(true).open(file).expect("ours");
        file.set_modified(long_ago).expect("ours");
    }
    assert_eq!(bed.compilations_of(&first).await, 0, "it was there");
    let is_old =
        |path: &&PathBuf| std::fs::metadata(path).expect("there").modified().expect("known") == long_ago;
    assert_eq!(bed.files().iter().filter(is_old).count(), 1);

    let enough = Bed::new(|config| config.code_bytes_max = u64::MAX);
    enough.compilations_of(&first).await;
    assert_eq!(enough.images.trim_code().expect("trims"), Trimmed::default(), "there is no need");
}

#[tokio::test]
async fn the_folder_may_be_deleted_while_it_is_used() {
    let bed = Bed::new(|_| ());
    let hello = load(&bed.images, &example("hello")).await.expect("it loads");
    std::fs::remove_dir_all(bed.code()).expect("deletes");
    assert_eq!(bed.images.trim_code().expect("nothing to trim"), Trimmed::default());
    assert_eq!(bed.compilations_of(&guest("hello-v2")).await, 1, "what comes next is compiled");
    drop(hello);
    assert_eq!(bed.compilations_of(&example("hello")).await, 1, "and what was there, when it is needed");
    assert_eq!(bed.files().len(), 2);
}

#[tokio::test]
async fn what_cannot_compile_is_found_out_once() {
    let bed = Bed::new(|_| ());
    let file =
        crate::rig::file(&wat::parse_str("(component (core module (func (result i32))))").expect("wasm"));
    let mut told = Vec::new();
    for _ in 0..5 {
        let error = load(&bed.images, file.path()).await.expect_err("it does not compile");
        told.push((error.code().to_string(), error.to_string()));
    }
    assert_eq!(bed.compiler.runs.load(SeqCst), 1, "trying again costs as much as the first time");
    assert!(told.iter().all(|said| *said == told[0] && said.0 == "UM0407"), "{told:?}");
}
