//! `wasi:cli/run`: components that run once from beginning to end.

use crate::rig::{Rig, get, subject};
use umbel_core::Coded;
use umbel_core::limits::Limits;
use umbel_runtime::calls::{Level, Stream};
use umbel_runtime::{CallError, World};
use umbel_testkit::wait_for;

/// A command whose module is the given text and whose `run` is what that exports.
pub(crate) fn command(module: &str) -> String {
    format!(
        "(component
            (core module $m {module})
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i \"run\")))
            (instance $r (export \"run\" (func $run)))
            (export \"wasi:cli/run@0.2.0\" (instance $r)))"
    )
}

/// The shortest command that succeeds.
pub(crate) const OK: &str = "(component
    (core module $m (func (export \"run\") (result i32) i32.const 0))
    (core instance $i (instantiate $m))
    (func $run (result (result)) (canon lift (core func $i \"run\")))
    (instance $r (export \"run\" (func $run)))
    (export \"wasi:cli/run@0.2.0\" (instance $r)))";

#[tokio::test]
async fn a_command_runs_to_its_end_and_what_it_prints_is_logged() {
    let rig = Rig::shared();
    let subject = subject(&rig, "command", Limits::default()).await;
    assert_eq!(subject.component.image().world(), World::CommandP2);
    subject.component.run().await.expect("it succeeds");
    assert!(subject.outside.said(Stream::Stdout).starts_with("command ran:"));
    subject.at_rest().await;
    assert_eq!((subject.usage().calls, subject.usage().traps), (1, 0));
    assert!(subject.usage().cpu_us > 0);
}

#[tokio::test]
async fn a_command_s_failure_is_its_status() {
    let rig = Rig::shared();
    let failing = subject(&rig, "command-fail", Limits::default()).await;
    let error = failing.component.run().await.expect_err("it fails");
    assert!(matches!(error, CallError::Command { status: 3, .. }), "{error}");
    assert_eq!(error.code().to_string(), "UM0562");
    let lines = failing.outside.lines();
    assert!(lines.iter().any(|l| l.level == Level::Warn && l.message == "this command always fails"));

    let error = command("(func (export \"run\") (result i32) i32.const 1)");
    let error = rig.wat(&error, Limits::default()).await.component.run().await.expect_err("an error");
    assert!(matches!(error, CallError::Command { status: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_command_that_traps_says_where() {
    let rig = Rig::shared();
    let cases = [
        "(func $boom (export \"run\") (result i32) unreachable)",
        "(func (export \"run\") (result i32) i32.const 0) (func $boom unreachable) (start $boom)",
    ];
    for text in cases {
        let subject = rig.wat(&command(text), Limits::default()).await;
        let error = subject.component.run().await.expect_err("it traps");
        assert_eq!(error.code().to_string(), "UM0551", "{error}");
        assert!(error.to_string().contains("boom"), "{error}");
        assert_eq!(subject.usage().traps, 1);
        assert!(subject.outside.said(Stream::Host).contains("unreachable"));
        subject.at_rest().await;
    }
}

#[tokio::test]
async fn a_command_has_no_time_limit_and_ends_when_nobody_waits_for_it() {
    let rig = Rig::shared();
    let limits = Limits { call_ms_max: 1, ..Limits::default() };
    let endless = command("(func (export \"run\") (result i32) (loop br 0) unreachable)");
    let endless = rig.wat(&endless, limits.clone()).await;
    {
        let run = endless.component.run();
        tokio::pin!(run);
        let other = rig.wat(OK, limits).await;
        tokio::select! {
            biased;
            result = &mut run => panic!("it ended: {result:?}"),
            () = async {
                wait_for("it has had far more than its time", || endless.usage().cpu_us > 20_000).await;
                other.component.run().await.expect("a neighbour on the same thread goes on");
            } => {}
        }
        assert_eq!(endless.usage().calls_in_flight, 1);
    }
    endless.at_rest().await;
}

#[tokio::test]
async fn a_call_of_the_wrong_kind_is_refused() {
    let rig = Rig::shared();
    let command = rig.wat(OK, Limits::default()).await;
    let error = command.component.http(get("/")).await.expect_err("no HTTP");
    assert_eq!(error.code().to_string(), "UM0564");
    command.at_rest().await;
    let service = subject(&rig, "hello", Limits::default()).await;
    let error = service.component.run().await.expect_err("no command");
    assert!(error.to_string().contains("wasi:cli/run"), "{error}");
    service.at_rest().await;
}
