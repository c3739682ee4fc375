//! Calls that end well or by the guest's own fault, with fresh and with kept instances, in both generations of WASI.

use crate::rig::{Rig, Subject, any, get, subject, text};
use futures::FutureExt;
use umbel_core::Coded;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_runtime::calls::{Level, Stream};
use umbel_runtime::{CallError, World};
use umbel_testkit::wait_for;

const HELLO: &str = "Hello from Umbel!\n";

#[tokio::test]
async fn hello_in_both_generations_and_both_modes() {
    let rig = Rig::shared();
    for (name, world) in [("hello", World::HttpP2), ("hello-p3", World::HttpP3)] {
        for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
            let subject = rig.subject(&any(name), mode, Limits::default()).await;
            assert_eq!(subject.component.image().world(), world);
            assert!(subject.component.image().needs_link().is_empty());
            for _ in 0..5 {
                let response = subject.component.http(get("/")).await.expect("it answers");
                assert_eq!(response.status(), 200);
                assert_eq!(response.headers()["content-type"], "text/plain");
                assert_eq!(text(response).await, HELLO);
                wait_for("the call is over", || subject.usage().calls_in_flight == 0).await;
            }
            let usage = subject.usage();
            assert_eq!((usage.calls, usage.traps, usage.refused), (5, 0, 0), "{name} {mode:?}");
            assert!(usage.cpu_us > 0 && usage.memory_bytes_max_seen > 0);
            assert_eq!(usage.memory_bytes > 0, mode == InstanceMode::Reuse, "{name} {mode:?}");
            let Subject { component, outside } = subject;
            assert!(outside.lines().is_empty(), "{:?}", outside.lines());
            drop(component);
            wait_for("kept instances go with their component", || {
                std::sync::Arc::strong_count(&outside) == 1
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_short_answer_is_whole_and_its_instance_free_before_anybody_reads_it() {
    let rig = Rig::shared();
    for name in ["hello", "hello-p3"] {
        for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
            let subject = rig.subject(&any(name), mode, Limits::default()).await;
            let response = subject.component.http(get("/")).await.expect("it answers");
            let length = http_body::Body::size_hint(response.body()).exact();
            assert_eq!(length, Some(HELLO.len() as u64), "{name} {mode:?}");
            wait_for("the call is over", || subject.usage().calls_in_flight == 0).await;
            assert_eq!(text(response).await, HELLO);
        }
    }
}

#[tokio::test]
async fn a_fresh_instance_knows_nothing_of_others_and_a_kept_one_goes_on() {
    let rig = Rig::shared();
    for (mode, counts) in [
        (InstanceMode::Fresh, ["1\n", "1\n", "1\n", "1\n"]),
        (InstanceMode::Reuse, ["1\n", "2\n", "3\n", "4\n"]),
    ] {
        let subject = rig.subject(&any("counter"), mode, Limits::default()).await;
        for expected in counts {
            assert_eq!(subject.get("/").await.expect("it answers"), expected);
            wait_for("the call is over", || subject.usage().calls_in_flight == 0).await;
        }
    }
}

#[tokio::test]
async fn an_instance_serves_one_call_at_a_time_even_when_kept() {
    let rig = Rig::shared();
    let subject = rig.subject(&any("slow"), InstanceMode::Reuse, Limits::default()).await;
    let mut calls: Vec<_> = (0..4).map(|_| subject.get("/?ms=20").boxed()).collect();
    for call in &mut calls {
        drop(futures::poll!(call));
    }
    assert_eq!(subject.usage().calls_in_flight, 4);
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.expect("it answers"), "slept 20 ms\n");
    }
}

#[tokio::test]
async fn a_trap_is_an_answer_of_its_own_and_its_instance_is_gone() {
    let rig = Rig::shared();
    for name in ["trap", "trap-p3"] {
        for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
            let subject = rig.subject(&any(name), mode, Limits::default()).await;
            for traps in 1..=3 {
                let error = subject.get("/").await.expect_err("it traps");
                assert_eq!(error.code().to_string(), "UM0551", "{error}");
                assert!(error.to_string().contains("unreachable"), "{error}");
                assert_eq!(subject.usage().traps, traps);
                subject.at_rest().await;
            }
            let lines = subject.outside.lines();
            let told = |l: &&crate::rig::Line| l.stream == Stream::Host && l.level == Level::Error;
            assert!(lines.iter().filter(told).count() >= 3, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_handler_without_an_answer_is_named() {
    let rig = Rig::shared();
    let subject = subject(&rig, "noanswer", Limits::default()).await;
    assert_eq!(subject.code("/").await, "UM0555");
    assert_eq!(subject.usage().traps, 1);
    subject.at_rest().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_guest() {
    let rig = Rig::shared();
    let limits = Limits { call_ms_max: 0, ..Limits::default() };
    for name in ["slow", "slow-p3", "spin"] {
        for mode in [InstanceMode::Fresh, InstanceMode::Reuse] {
            let subject = rig.subject(&any(name), mode, limits.clone()).await;
            {
                let call = subject.get("/?ms=3600000");
                tokio::pin!(call);
                tokio::select! {
                    biased;
                    answer = &mut call => panic!("{name} answered: {answer:?}"),
                    () = wait_for("it runs", || subject.usage().memory_bytes > 0) => {}
                }
                assert_eq!(subject.usage().calls_in_flight, 1);
            }
            subject.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_stopped_budget_refuses_calls_and_lets_those_in_flight_end() {
    let rig = Rig::shared();
    let image = rig.image(&any("slow")).await;
    let budget = umbel_runtime::Budget::new("subject", Limits::default());
    let outside = std::sync::Arc::<crate::rig::Outside>::default();
    let component = umbel_runtime::Component::new(
        rig.images.engine(),
        "subject",
        image,
        InstanceMode::Fresh,
        budget.clone(),
        outside,
        umbel_runtime::Granted::default(),
    );
    let mut running = component.http(get("/?ms=50")).boxed();
    drop(futures::poll!(&mut running));
    budget.stop();
    assert!(!budget.is_idle());
    let refused = component.http(get("/")).await.expect_err("it is stopping");
    assert_eq!(refused.code().to_string(), "UM0559");
    assert_eq!(text(running.await.expect("it ends")).await, "slept 50 ms\n");
    wait_for("the last call is over", || budget.is_idle()).await;
}

#[tokio::test]
async fn the_errors_of_a_spinning_guest_leave_its_kept_neighbours_alone() {
    let rig = Rig::shared();
    let limits = Limits { call_ms_max: 60, ..Limits::default() };
    let subject = rig.subject(&any("spin"), InstanceMode::Reuse, limits).await;
    assert_eq!(subject.get("/?quick=1").await.expect("it answers"), "quick\n");
    wait_for("it is kept", || subject.usage().calls_in_flight == 0 && subject.usage().memory_bytes > 0).await;
    let error = subject.get("/").await.expect_err("it is late");
    assert!(matches!(error, CallError::Timeout { limit_ms: 60, .. }), "{error}");
    // It was the kept instance that spun: nothing is left of it.
    subject.at_rest().await;
    assert_eq!(subject.get("/?quick=1").await.expect("a fresh one answers"), "quick\n");
}
