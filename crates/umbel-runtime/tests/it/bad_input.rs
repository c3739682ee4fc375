//! What cannot become an image, each with its code, in bounded time, without a panic.

use crate::rig::{Here, Rig, file, load, wat};
use async_trait::async_trait;
use proptest::prelude::*;
use std::sync::Arc;
use umbel_core::{Coded, Problem};
use umbel_runtime::compile::{Exit, Job, Worker};
use umbel_runtime::{Config, Engine, Images, LoadError, inspect};
use umbel_testkit::example;

/// The code and the text that loading these bytes ends with.
async fn refused(images: &Images, bytes: &[u8]) -> (String, String) {
    let file = file(bytes);
    let error = load(images, file.path()).await.expect_err("it is refused");
    let problem = Problem::from(&error as &dyn Coded);
    assert!(!problem.help.is_empty());
    (problem.code.to_string(), format!("{problem} {:?}", problem.causes))
}

#[tokio::test]
async fn bytes_that_are_no_component_are_refused_by_name() {
    let cases: [(&str, &[u8], &str, &str); 6] = [
        ("nothing", b"", "UM0401", "empty"),
        ("text", b"#!/bin/sh\necho hello\n", "UM0401", "23 21 2f 62"),
        ("one byte of the header", b"\0", "UM0402", "cut off"),
        ("half a header", b"\0asm\x0d", "UM0402", "cut off"),
        ("an unknown version", b"\0asm\x7f\0\x01\0", "UM0402", "byte"),
        ("a section that is longer than the file", b"\0asm\x0d\0\x01\0\x01\xff\x7f", "UM0402", "byte"),
    ];
    let rig = Rig::shared();
    for (what, bytes, code, says) in cases {
        let (found, text) = refused(&rig.images, bytes).await;
        assert_eq!(found, code, "{what}: {text}");
        assert!(text.contains(says), "{what}: {text}");
    }
}

#[tokio::test]
async fn components_and_modules_that_cannot_run_here_are_refused_by_name() {
    let cases = [
        ("a core module", "(module (func (export \"run\")))", "UM0403", "core module"),
        (
            "an actor",
            "(module (import \"wasmbus\" \"__guest_request\" (func (param i32 i32))))",
            "UM0404",
            "waPC",
        ),
        ("no export", "(component)", "UM0405", "nothing"),
        (
            "a WASI import that does not exist",
            "(component (import \"wasi:cli/nonsense@0.2.0\" (instance (export \"f\" (func)))))",
            "UM0406",
            "wasi:cli/nonsense@0.2.0",
        ),
        (
            "a WASI import of another type",
            "(component (import \"wasi:cli/exit@0.2.0\" (instance (export \"exit\" (func (param \"x\" string))))))",
            "UM0406",
            "wasi:cli/exit@0.2.0",
        ),
        (
            "a module as an import",
            "(component (import \"acme:demo/code\" (core module)))",
            "UM0406",
            "acme:demo/code",
        ),
        (
            "code that is not valid",
            "(component (core module (func (result i32))))",
            "UM0407",
            "type mismatch",
        ),
    ];
    let rig = Rig::shared();
    for (what, text, code, says) in cases {
        let bytes = wat::parse_str(text).expect("text that is wasm");
        let (found, message) = refused(&rig.images, &bytes).await;
        assert_eq!(found, code, "{what}: {message}");
        assert!(message.contains(says), "{what}: {message}");
    }
}

#[tokio::test]
async fn a_file_that_was_cut_off_anywhere_is_refused() {
    let rig = Rig::shared();
    let whole = std::fs::read(example("hello")).expect("it is there");
    // Every part of the header, and places all over the file. Between two sections the rest may be a component, only not a whole one.
    let places = (0..16).chain((16..whole.len()).step_by(whole.len() / 48)).chain([whole.len() - 1]);
    for at in places {
        let (code, message) = refused(&rig.images, &whole[..at]).await;
        let expected: &[&str] = match at {
            0 => &["UM0401"],
            1..8 => &["UM0402"],
            _ => &["UM0402", "UM0405", "UM0407"],
        };
        assert!(expected.contains(&code.as_str()), "cut off at {at}: {message}");
    }
}

/// Ends as it is told, after writing what it is told.
struct Fake(Result<Exit, String>, Option<&'static [u8]>);

#[async_trait]
impl Worker for Fake {
    async fn run(&self, job: &Job) -> Result<Exit, String> {
        if let Some(output) = self.1 {
            std::fs::write(&job.output, output).map_err(|e| e.to_string())?;
        }
        self.0.clone()
    }
}

#[tokio::test]
async fn a_compile_process_that_fails_is_told_apart() {
    let told = Problem::new(umbel_core::code::runtime::COMPILE_FAILED, "no");
    let told = serde_json::to_vec(&told).expect("a problem is JSON");
    let cases = [
        ("it tells why", Fake(Ok(Exit::Failed(told)), None), "UM0407", "no"),
        ("it prints rubbish", Fake(Ok(Exit::Failed(b"\xff\x1b[31m oops".to_vec())), None), "UM0409", "oops"),
        ("it prints nothing", Fake(Ok(Exit::Failed(Vec::new())), None), "UM0409", ""),
        (
            "it exceeds a limit",
            Fake(Ok(Exit::Limit("memory of 1 MiB".into())), None),
            "UM0408",
            "memory of 1 MiB",
        ),
        ("it does not start", Fake(Err("no such file".into()), None), "UM0409", "no such file"),
        (
            "it writes rubbish",
            Fake(Ok(Exit::Done), Some(b"\x7fELF and nothing more")),
            "UM0409",
            "not authentic",
        ),
        ("it writes nothing", Fake(Ok(Exit::Done), None), "UM0409", "not there"),
    ];
    for (what, worker, code, says) in cases {
        let folder = tempfile::tempdir().expect("a temp folder");
        let config = Config { instances_max: 1, ..Config::new(folder.path()) };
        let engine = Engine::new(&config).expect("an engine");
        let images = Images::new(engine, &config, Arc::new(worker)).expect("a cache");
        let bytes = std::fs::read(example("hello")).expect("it is there");
        let (found, message) = refused(&images, &bytes).await;
        assert_eq!(found, code, "{what}: {message}");
        assert!(message.contains(says), "{what}: {message}");
        assert!(!message.contains('\x1b'), "{what}: {message:?}");
        let left = std::fs::read_dir(folder.path()).expect("there").filter(|entry| {
            entry.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|e| e == "tmp" || e == "cwasm"))
        });
        assert_eq!(left.count(), 0, "{what}: nothing is left in the cache");
    }
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let rig = Rig::new(|_| ());
    let path = wat("(component)");
    for _ in 0..2 {
        assert!(matches!(load(&rig.images, path.path()).await, Err(LoadError::World { .. })));
    }
    // The same digest, and this time a file that can be read.
    let good = wat(crate::commands::OK);
    let digest = umbel_core::digest::Digest::of(&std::fs::read(good.path()).expect("there")).to_string();
    let missing = rig.images.load(&digest, std::path::Path::new("/nowhere/x.wasm"), "x").await;
    assert_eq!(missing.expect_err("there is no such file").code().to_string(), "UM0410");
    rig.images.load(&digest, good.path(), "x").await.expect("it loads");
}

#[test]
fn a_compile_process_without_its_arguments_says_so_by_its_status() {
    let mut answer = Vec::new();
    assert_eq!(umbel_runtime::compile::work(["pool".into()], &mut answer), 2);
    assert!(answer.is_empty());
    let _ = Here::default();
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = inspect::check("it", &bytes);
        let mut headed = b"\0asm\x0d\0\x01\0".to_vec();
        headed.extend(&bytes);
        let _ = inspect::check("it", &headed);
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend(&bytes);
        prop_assert!(inspect::check("it", &module).is_err(), "a module is no component");
    }

    #[test]
    fn mutations_of_a_component_are_looked_at_without_a_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = std::fs::read(example("hello")).expect("it is there");
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = inspect::check("it", &bytes);
        let _ = inspect::check("it", &bytes[..cut.index(bytes.len())]);
    }
}
