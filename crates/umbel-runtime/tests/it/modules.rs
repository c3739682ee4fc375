//! Core modules of WASI preview 1, which are adapted, and those that cannot be.

use crate::rig::{Rig, load, wat};
use umbel_core::Coded;
use umbel_core::limits::Limits;
use umbel_runtime::calls::Stream;

/// A program that prints and exits with the status.
fn program(status: u32) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "said by a module\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 17))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $exit (i32.const {status}))))"#
    )
}

#[tokio::test]
async fn a_program_of_preview_1_runs_as_a_command() {
    let rig = Rig::shared();
    let subject = rig.wat(&program(0), Limits::default()).await;
    assert!(subject.component.image().world().is_command());
    subject.component.run().await.expect("it exits with 0");
    assert_eq!(subject.outside.said(Stream::Stdout), "said by a module\n");
    let failing = rig.wat(&program(3), Limits::default()).await;
    let error = failing.component.run().await.expect_err("it fails");
    assert_eq!(error.code().to_string(), "UM0562");
    // WASI 0.2 knows success and failure only.
    assert!(error.to_string().contains("status 1"), "{error}");
}

#[tokio::test]
async fn a_program_without_imports_is_one() {
    let rig = Rig::shared();
    let text = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    let subject = rig.wat(text, Limits::default()).await;
    subject.component.run().await.expect("it ends");
}

#[tokio::test]
async fn a_module_that_cannot_be_adapted_says_why() {
    let rig = Rig::shared();
    for (text, code, reason) in [
        (r#"(module)"#, "UM0403", "neither imports WASI preview 1"),
        (r#"(module (func (export "add") (result i32) (i32.const 1)))"#, "UM0403", "neither imports"),
        (
            r#"(module (import "env" "print" (func)) (func (export "_start")))"#,
            "UM0403",
            "imports from `env`",
        ),
        (
            r#"(module (import "wasi_unstable" "x" (func)) (func (export "_start")))"#,
            "UM0403",
            "`wasi_unstable`",
        ),
        (
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64))) (func (export "_start")))"#,
            "UM0403",
            "proc_exit",
        ),
        (r#"(module (import "wasmbus" "__host_call" (func)) (func (export "_start")))"#, "UM0404", "waPC"),
        (r#"(module (import "wapc" "__host_call" (func)) (func (export "_start")))"#, "UM0404", "waPC"),
    ] {
        let file = wat(text);
        let error = load(&rig.images, file.path()).await.expect_err(text);
        assert_eq!(error.code().to_string(), code, "{text}: {error}");
        assert!(error.to_string().contains(reason), "{text}: {error}");
    }
}
