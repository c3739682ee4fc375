//! Budgets: each limit is enforced, is named when it is hit, and harms no neighbour.

use crate::commands::command;
use crate::rig::{Rig, Subject, any, get, subject, text};
use futures::FutureExt;
use umbel_core::Coded;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::CallError;
use umbel_runtime::calls::Stream;
use umbel_testkit::wait_for;

const PAGE: u64 = 64 << 10;

#[tokio::test]
async fn a_guest_that_computes_for_ever_is_ended_in_time() {
    let rig = Rig::shared();
    let subject = subject(&rig, "spin", Limits { call_ms_max: 50, ..Limits::default() }).await;
    assert_eq!(subject.code("/").await, "UM0552");
    assert_eq!(subject.usage().traps, 1);
    assert!(subject.outside.said(Stream::Host).contains("50 ms"));
    subject.at_rest().await;
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_is_ended_in_time() {
    let rig = Rig::shared();
    for name in ["slow", "slow-p3"] {
        let subject = subject(&rig, name, Limits { call_ms_max: 50, ..Limits::default() }).await;
        assert_eq!(subject.code("/?ms=3600000").await, "UM0552", "{name}");
        assert_eq!(subject.usage().traps, 1, "{name}");
        subject.at_rest().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_neighbour_on_the_same_thread_answers_while_one_computes_for_ever() {
    let rig = Rig::shared();
    let spinning = subject(&rig, "spin", Limits { call_ms_max: 0, ..Limits::default() }).await;
    let neighbour = subject(&rig, "hello", Limits::default()).await;
    let spin = spinning.get("/");
    tokio::pin!(spin);
    tokio::select! {
        biased;
        answer = &mut spin => panic!("it ended: {answer:?}"),
        () = async {
            wait_for("it computes", || spinning.usage().cpu_us > 5_000).await;
            for _ in 0..3 {
                assert_eq!(neighbour.get("/").await.expect("it answers"), "Hello from Umbel!\n");
            }
        } => {}
    }
    assert_eq!(spinning.usage().calls_in_flight, 1, "it still computes");
}

#[tokio::test]
async fn a_recursion_without_end_is_named() {
    let rig = Rig::shared();
    let subject = subject(&rig, "recurse", Limits::default()).await;
    for _ in 0..2 {
        assert_eq!(subject.code("/").await, "UM0554");
    }
    subject.at_rest().await;
    assert_eq!(subject.usage().traps, 2);
}

#[tokio::test]
async fn memory_grows_to_its_limit_and_is_given_back() {
    let rig = Rig::shared();
    for pages in [40, 64, 200] {
        let memory_bytes_max = pages * PAGE;
        let limits = Limits { memory_bytes_max, ..Limits::default() };
        let subject = rig.subject(&any("grow"), InstanceMode::Reuse, limits).await;
        let answer = subject.get("/?touch=1").await.expect("it answers");
        let grown: u64 = answer.trim_end_matches(" pages\n").parse().expect("a number");
        assert!(grown > 0 && grown < pages, "{grown} of {pages}");
        let seen = subject.usage().memory_bytes_max_seen;
        assert!(seen <= memory_bytes_max && seen > grown * PAGE, "{seen} of {memory_bytes_max}");
        // An instance that was refused memory is not kept, whatever the mode.
        subject.at_rest().await;
    }
}

#[tokio::test]
async fn two_instances_are_held_to_their_limit_each() {
    let rig = Rig::shared();
    let limits = Limits { memory_bytes_max: 100 * PAGE, ..Limits::default() };
    let subject = subject(&rig, "grow", limits).await;
    let (one, other) = tokio::join!(subject.get("/"), subject.get("/"));
    assert_eq!(one.expect("it answers"), other.expect("it answers"));
    subject.at_rest().await;
}

#[tokio::test]
async fn a_guest_that_fails_for_want_of_memory_is_told_so() {
    let rig = Rig::shared();
    let limits = Limits { memory_bytes_max: 4 * PAGE, ..Limits::default() };
    let grows = "(memory 1) (func (export \"run\") (result i32)
        (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)";
    let needs = "(memory 5) (func (export \"run\") (result i32) i32.const 0)";
    for text in [grows, needs] {
        let subject = rig.wat(&command(text), limits.clone()).await;
        let error = subject.component.run().await.expect_err("it needs more");
        assert_eq!(error.code().to_string(), "UM0553", "{error}");
        assert!(error.to_string().contains("262144"), "{error}");
        assert!(subject.usage().memory_bytes_max_seen <= 4 * PAGE);
        subject.at_rest().await;
    }
}

#[tokio::test]
async fn only_memory_that_was_given_is_booked() {
    let rig = Rig::shared();
    // It may have two pages by its own declaration, and asks 10,000 times for more.
    let text = "(memory 1 2) (func (export \"run\") (result i32) (local i32)
        (loop
            (drop (memory.grow (i32.const 1)))
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get 0) (i32.const 10000))))
        i32.const 0)";
    let subject = rig.wat(&command(text), Limits::default()).await;
    subject.component.run().await.expect("it ends well");
    assert_eq!(subject.usage().memory_bytes_max_seen, 2 * PAGE);
    subject.at_rest().await;
}

#[tokio::test]
async fn calls_beyond_instances_and_waiting_are_refused_at_once() {
    let rig = Rig::shared();
    let limits = Limits { instances_max: 2, waiting_max: 1, call_ms_max: 0, ..Limits::default() };
    let subject = subject(&rig, "slow", limits).await;
    let mut calls: Vec<_> = (0..3).map(|_| subject.get("/?ms=3600000").boxed()).collect();
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending());
    }
    let usage = subject.usage();
    assert_eq!((usage.calls_in_flight, usage.calls_waiting, usage.refused), (2, 1, 0));
    let error = subject.get("/").await.expect_err("no place is left");
    assert_eq!(error.code().to_string(), "UM0556");
    assert!(matches!(error, CallError::Busy { instances: 2, waiting: 1, .. }), "{error}");
    assert_eq!(subject.usage().refused, 1);
    // A place that is given back is the waiting call's.
    drop(calls.remove(0));
    wait_for("the waiting call begins", || {
        drop(futures::future::poll_immediate(&mut calls[1]).now_or_never());
        let usage = subject.usage();
        (usage.calls_in_flight, usage.calls_waiting) == (2, 0)
    })
    .await;
    drop(calls);
    subject.at_rest().await;
    assert_eq!(subject.usage().calls, 4);
}

#[tokio::test]
async fn a_call_waits_for_its_turn_no_longer_than_it_may_take() {
    let rig = Rig::shared();
    let limits = Limits { instances_max: 1, call_ms_max: 40, ..Limits::default() };
    let subject = subject(&rig, "spin", limits).await;
    let (first, second) = tokio::join!(subject.get("/"), subject.get("/"));
    let mut codes =
        [first.expect_err("late").code(), second.expect_err("late").code()].map(|c| c.to_string());
    codes.sort();
    // The second waited as long as the first ran; whether it still got its turn is a matter of a tick.
    assert_eq!(codes[0], "UM0552");
    assert!(["UM0552", "UM0556"].contains(&codes[1].as_str()), "{codes:?}");
    subject.at_rest().await;
}

#[tokio::test]
async fn a_pool_without_a_free_slot_says_so_and_recovers() {
    let rig = Rig::new(|config| config.instances_max = 1);
    let limits = Limits { call_ms_max: 0, ..Limits::default() };
    let subject = subject(&rig, "slow", limits).await;
    {
        let running = subject.get("/?ms=3600000");
        tokio::pin!(running);
        tokio::select! {
            biased;
            _ = &mut running => panic!("it ended"),
            () = wait_for("it runs", || subject.usage().memory_bytes > 0) => {}
        }
        assert_eq!(subject.code("/?ms=1").await, "UM0557");
    }
    subject.at_rest().await;
    assert_eq!(subject.get("/?ms=1").await.expect("the slot is free again"), "slept 1 ms\n");
    assert_eq!(subject.usage().traps, 0, "a full pool is no fault of the component");
}

#[tokio::test]
async fn kept_instances_hold_half_of_the_pool_at_most() {
    let rig = Rig::new(|config| config.instances_max = 8);
    let (keeping, each) = keeping(&rig, 1).await;
    all_at_once(&keeping, 8).await;
    wait_for("half is kept", || keeping.usage().memory_bytes == 4 * each).await;
}

#[tokio::test]
async fn a_full_pool_takes_back_what_was_used_least_recently() {
    let rig = Rig::new(|config| config.instances_max = 8);
    let (older, each) = keeping(&rig, 2).await;
    let (newer, _) = keeping(&rig, 2).await;
    let other = subject(&rig, "slow", Limits::default()).await;
    all_at_once(&other, 5).await;
    assert_eq!((older.usage().memory_bytes, newer.usage().memory_bytes), (each, 2 * each));
    all_at_once(&other, 8).await;
    assert_eq!((older.usage().memory_bytes, newer.usage().memory_bytes), (0, 0));
}

/// A component that keeps so many instances, and the memory of each.
async fn keeping(rig: &Rig, count: usize) -> (Subject, u64) {
    let keeping = rig.subject(&any("slow"), InstanceMode::Reuse, Limits::default()).await;
    all_at_once(&keeping, count).await;
    let each = keeping.usage().memory_bytes / count as u64;
    (keeping, each)
}

async fn all_at_once(subject: &Subject, count: usize) {
    let calls = (0..count).map(|_| subject.get("/?ms=20"));
    for answer in futures::future::join_all(calls).await {
        answer.expect("there is room");
    }
    wait_for("the calls are over", || subject.usage().calls_in_flight == 0).await;
}

#[tokio::test]
async fn a_share_of_a_core_is_kept() {
    let rig = Rig::shared();
    let limits = Limits { cpu_percent_max: 10, call_ms_max: 200, ..Limits::default() };
    let subject = subject(&rig, "spin", limits).await;
    assert_eq!(subject.code("/").await, "UM0552");
    let usage = subject.usage();
    assert!(usage.cpu_throttled > 0);
    // 20 ms are its share of 200 ms, and 10 ms it may take at once; the rest is room for a busy machine.
    assert!(usage.cpu_us < 120_000, "{usage:?}");
}

#[tokio::test]
async fn a_flood_of_log_is_held_to_its_rate_and_cannot_act_on_a_terminal() {
    let rig = Rig::shared();
    let limits = Limits { log_bytes_per_s_max: 1_000, ..Limits::default() };
    let subject = subject(&rig, "logflood", limits).await;
    assert_eq!(subject.get("/?lines=500&size=100").await.expect("it answers"), "500 lines\n");
    let usage = subject.usage();
    assert!(usage.log_bytes_dropped > 50_000, "{usage:?}");
    let lines = subject.outside.lines();
    let taken: usize = lines.iter().map(|l| l.message.len()).sum();
    assert!(!lines.is_empty() && taken < 100_000, "{taken} bytes");
    for stream in [Stream::Logging, Stream::Stdout, Stream::Stderr] {
        assert!(lines.iter().any(|l| l.stream == stream), "{stream:?}");
    }
    for line in lines {
        assert!(!line.message.contains(|c: char| c.is_control()), "{line:?}");
        assert!(line.message.contains("\\u{1b}[2J"), "what it wrote is shown: {line:?}");
        assert!(line.stream != Stream::Logging || line.context == "flood");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_split() {
    let rig = Rig::shared();
    let subject =
        subject(&rig, "logflood", Limits { log_bytes_per_s_max: 10 << 20, ..Limits::default() }).await;
    let answer = subject.component.http(get("/?lines=1&size=20000")).await.expect("it answers");
    assert_eq!(text(answer).await, "1 lines\n");
    let lines = subject.outside.lines();
    let longest = lines.iter().map(|l| l.message.len()).max().expect("lines");
    // Escapes are longer than what they stand for.
    assert!(longest < 4096 + 64, "{longest}");
    let out: Vec<_> = lines.iter().filter(|l| l.stream == Stream::Stdout).collect();
    assert_eq!(out.len(), 5);
    assert_eq!(subject.usage().log_bytes_dropped, 0);
}

#[tokio::test]
async fn limits_may_be_as_large_or_small_as_their_type() {
    let rig = Rig::shared();
    let largest = Limits {
        memory_bytes_max: u64::MAX,
        cpu_percent_max: u32::MAX,
        call_ms_max: u64::MAX,
        instances_max: u32::MAX,
        waiting_max: u32::MAX,
        log_bytes_per_s_max: u64::MAX,
        outbound_hosts: vec!["*".into()],
    };
    for name in ["hello", "hello-p3", "slow"] {
        let subject = subject(&rig, name, largest.clone()).await;
        subject.get("/?ms=5").await.expect("it answers");
        subject.at_rest().await;
    }
    let smallest = Limits {
        memory_bytes_max: 0,
        cpu_percent_max: 1,
        call_ms_max: 1,
        instances_max: 0,
        waiting_max: 0,
        log_bytes_per_s_max: 0,
        outbound_hosts: Vec::new(),
    };
    let subject = subject(&rig, "hello", smallest).await;
    assert_eq!(subject.code("/").await, "UM0553");
    subject.at_rest().await;
    assert!(subject.outside.lines().is_empty() && subject.usage().log_bytes_dropped > 0);
}

#[tokio::test]
async fn one_component_holds_half_of_the_memory_of_all_at_most() {
    let rig = Rig::new(|config| config.guest_memory_bytes_max = 64 << 20);
    let limits = Limits { memory_bytes_max: 1 << 30, ..Limits::default() };
    // What the first one gave back is there again for the second.
    for _ in 0..2 {
        let subject = subject(&rig, "grow", limits.clone()).await;
        // It is told that there is no more, or ends for want of it.
        if let Err(error) = subject.get("/?touch=1").await {
            assert_eq!(error.code().to_string(), "UM0575", "{error}");
        }
        let most = subject.usage().memory_bytes_max_seen;
        assert!((16 << 20..=32 << 20).contains(&most), "{most} bytes");
        subject.at_rest().await;
    }
}

#[tokio::test]
async fn a_call_that_computes_goes_on_in_the_background() {
    let rig = Rig::new(|_| ());
    let background =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread");
    rig.images.engine().move_long_calls_to(background.handle().clone());
    let limits = Limits { call_ms_max: 1_000, ..Limits::default() };
    let subject = subject(&rig, "spin", limits).await;
    assert_eq!(subject.get("/?quick=1").await.expect("it answers"), "quick\n");
    assert_eq!(background.metrics().num_alive_tasks(), 0, "a short call stays where it came in");
    let (code, ()) = tokio::join!(
        subject.code("/"),
        wait_for("the long one has moved", || background.metrics().num_alive_tasks() == 1)
    );
    assert_eq!(code, "UM0552", "its deadline holds there too");
    subject.at_rest().await;
    background.shutdown_background();
}
