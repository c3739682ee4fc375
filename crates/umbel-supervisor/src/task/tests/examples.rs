use crate::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use umbel_core::code::supervisor as code;
use umbel_core::{Coded, Problem};

fn boom() -> Problem {
    Problem::new(code::PROCESS_FAILED, "boom").with_help("look at the moon")
}

fn one_for_one() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne)
}

fn start(spec: SupervisorSpec) -> Handle {
    Supervisor::start("root", spec, Env { seed: 1, ..Env::system() })
}

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

fn entries(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

/// A child that is ready after a while, serves until it is asked to stop, and drains for as long.
fn server(id: &str, log: &Log, millis: u64) -> ChildSpec {
    let log = log.clone();
    ChildSpec::task(id, move |cx| {
        let log = log.clone();
        async move {
            let note = |word: &str| log.lock().unwrap().push(format!("{word} {}", cx.id));
            note("start");
            tokio::time::sleep(Duration::from_millis(millis)).await;
            note("ready");
            cx.ready.notify();
            cx.stop.requested().await;
            note("stop");
            tokio::time::sleep(Duration::from_millis(millis)).await;
            note("end");
            Ok(())
        }
    })
}

/// A child that fails on its first `failures` runs.
fn flaky(id: &str, failures: u32) -> ChildSpec {
    let runs = Arc::new(AtomicU32::new(0));
    ChildSpec::task(id, move |cx| {
        let fails = runs.fetch_add(1, Ordering::SeqCst) < failures;
        async move {
            if fails {
                return Err(boom());
            }
            cx.ready.notify();
            cx.stop.requested().await;
            Ok(())
        }
    })
}

fn state(tree: &Tree, path: &[&str]) -> Option<State> {
    tree.find(path).map(|node| node.state)
}

#[tokio::test(start_paused = true)]
async fn a_tree_starts_in_order_and_stops_in_reverse() {
    let log = Log::default();
    let inner = one_for_one().child(server("b1", &log, 5)).child(server("b2", &log, 5));
    let spec = one_for_one()
        .child(server("a", &log, 50))
        .child(ChildSpec::supervisor("b", inner))
        .child(server("c", &log, 1));
    let tree = start(spec);
    tree.ready().await.unwrap();
    let expect = ["start a", "ready a", "start b1", "ready b1", "start b2", "ready b2", "start c", "ready c"];
    assert_eq!(entries(&log), expect);
    let snapshot = tree.wait_for(|tree| tree.is_healthy() && tree.children.len() == 3).await.unwrap();
    let expect = "\
root (supervisor)  running
├─ a (task)  running
├─ b (supervisor)  running
│  ├─ b1 (task)  running
│  └─ b2 (task)  running
└─ c (task)  running";
    assert_eq!(snapshot.to_string(), expect);
    tree.shutdown().await;
    assert_eq!(
        entries(&log),
        ["stop c", "end c", "stop b2", "end b2", "stop b1", "end b1", "stop a", "end a"]
    );
    assert_eq!(tree.ended().await, Ok(()));
    assert!(matches!(tree.start_child(server("d", &log, 1)).await, Err(SupervisorError::NotRunning { .. })));
    assert_eq!(tree.tree().state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_exit_with_a_problem() {
    let panics = ChildSpec::task("panics", |cx| async move {
        cx.ready.notify();
        cx.stop.requested().await;
        if cx.stop.is_requested() {
            panic!("expected by a test");
        }
        Ok(())
    });
    let at_once =
        ChildSpec::task("at-once", |_| -> std::future::Ready<Result<(), Problem>> { panic!("expected too") });
    let at_once = at_once.intensity(Intensity::new(0, Duration::from_secs(1)));
    let tree = start(one_for_one().child(panics).child(at_once));
    tree.ready().await.unwrap();
    let snapshot = tree.wait_for(|tree| state(tree, &["at-once"]) == Some(State::CrashLoop)).await.unwrap();
    let problem = snapshot.find(&["at-once"]).unwrap().last_exit.clone().unwrap();
    assert_eq!((problem.code, problem.message.as_str()), (code::CHILD_PANICKED, "expected too"));
    tree.stop_child("panics").await.unwrap();
    let snapshot = tree.wait_for(|tree| state(tree, &["panics"]) == Some(State::Stopped)).await.unwrap();
    assert_eq!(snapshot.find(&["panics"]).unwrap().last_exit.as_ref().unwrap().code, code::CHILD_PANICKED);
    tree.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_keeps_its_reason_and_ends_by_hand() {
    let tree = start(one_for_one());
    let intensity = Intensity::new(2, Duration::from_secs(60));
    let error = tree.start_child(flaky("f", 4).intensity(intensity)).await.unwrap_err();
    assert_eq!((error.code(), error.help().as_str()), (code::PROCESS_FAILED, "look at the moon"));
    assert_eq!(error.to_string(), "`f` failed to start: UM0721: boom");
    let snapshot = tree.wait_for(|tree| state(tree, &["f"]) == Some(State::CrashLoop)).await.unwrap();
    let text = "f (task)  crash loop  restarts 2  more than 2 restarts in 60 s  UM0721: boom";
    assert!(snapshot.to_string().ends_with(text), "{snapshot}");
    // The fourth run fails too, at once after the request; then it comes up by its policy.
    assert!(matches!(tree.restart_child("f").await, Err(SupervisorError::Failed { .. })));
    tree.wait_for(|tree| state(tree, &["f"]) == Some(State::Running)).await.unwrap();
    tree.revive_child("f").await.unwrap();
    assert_eq!(state(&tree.tree(), &["f"]), Some(State::Running), "what runs is left alone");
    // Another specification is another way.
    let broken = flaky("f", u32::MAX).intensity(Intensity::new(0, Duration::from_secs(1)));
    assert!(tree.replace_child(broken).await.is_err());
    tree.wait_for(|tree| state(tree, &["f"]) == Some(State::CrashLoop)).await.unwrap();
    tree.replace_child(flaky("f", 0)).await.unwrap();
    // And asking that it runs is a third.
    let broken = flaky("f", 1).intensity(Intensity::new(0, Duration::from_secs(1)));
    assert!(tree.replace_child(broken).await.is_err());
    tree.revive_child("f").await.unwrap();
    tree.wait_for(|tree| state(tree, &["f"]) == Some(State::Running)).await.unwrap();
    assert!(matches!(tree.revive_child("nobody").await, Err(SupervisorError::Unknown { .. })));
    tree.remove_child("f").await.unwrap();
    tree.wait_for(|tree| tree.children.is_empty()).await.unwrap();
    tree.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_escalation_reaches_the_parent_and_then_whoever_waits() {
    let starts = Arc::new(AtomicU32::new(0));
    let count = starts.clone();
    let sibling = ChildSpec::task("sibling", move |cx| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            cx.ready.notify();
            cx.stop.requested().await;
            Ok(())
        }
    });
    let once = Intensity::new(1, Duration::from_secs(3600));
    let inner = one_for_one().intensity(once).escalate().child(sibling).child(flaky("bad", u32::MAX));
    let spec = one_for_one().intensity(once).escalate().child(ChildSpec::supervisor("inner", inner));
    let tree = start(spec);
    let problem = tree.ended().await.unwrap_err();
    assert_eq!(problem.code, code::INTENSITY_EXCEEDED);
    assert!(problem.causes.iter().any(|cause| cause.contains("boom")), "{problem:?}");
    // Each run of `inner` starts it anew, and the root restarts `inner` once.
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    assert!(matches!(tree.ready().await, Err(SupervisorError::Failed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_is_aborted_with_all_its_tasks() {
    let dropped = Arc::new(AtomicU32::new(0));
    struct Count(Arc<AtomicU32>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counter = dropped.clone();
    let deaf = ChildSpec::task("deaf", move |cx| {
        let (own, helper) = (Count(counter.clone()), Count(counter.clone()));
        async move {
            cx.scope.spawn(async move {
                let _helper = helper;
                std::future::pending::<()>().await;
            });
            cx.ready.notify();
            let _own = own;
            std::future::pending().await
        }
    });
    let tree = start(one_for_one().child(deaf.shutdown(Duration::from_secs(7))));
    tree.ready().await.unwrap();
    let began = Instant::now();
    tree.shutdown().await;
    assert_eq!(began.elapsed().as_secs(), 7);
    let problem = tree.tree().find(&["deaf"]).unwrap().last_exit.clone().unwrap();
    assert_eq!(
        (problem.code, problem.message.as_str()),
        (code::CHILD_KILLED, "it did not stop within 7 s and was killed")
    );
    tokio::task::yield_now().await;
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_task_that_never_yields_does_not_hold_the_tree() {
    let release = Stop::new();
    let blocked = release.clone();
    let deaf = ChildSpec::task("deaf", move |cx| {
        let blocked = blocked.clone();
        async move {
            cx.ready.notify();
            // On a blocking thread, because this test has only one for tasks; the abort cannot reach it either.
            let scope = cx.scope.spawner();
            scope.spawn(std::future::pending());
            let _ = tokio::task::spawn_blocking(move || blocked.wait(Duration::from_secs(60))).await;
            Ok(())
        }
    });
    let tree = start(one_for_one().child(deaf.shutdown(Duration::from_millis(20))));
    tree.ready().await.unwrap();
    tree.shutdown().await;
    release.request();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_never_is_ready_fails_at_its_start_deadline() {
    let never = ChildSpec::task("never", |cx| async move {
        cx.stop.requested().await;
        Ok(())
    });
    let tree = start(one_for_one());
    let error = tree.start_child(never.start_deadline(Duration::from_secs(3))).await.unwrap_err();
    assert_eq!(error.code(), code::START_TIMEOUT);
    let at_once = ChildSpec::task("at-once", |cx| async move {
        cx.stop.requested().await;
        Ok(())
    });
    tree.start_child(at_once.ready_at_once()).await.unwrap();
    tree.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_coded_errors() {
    let log = Log::default();
    let tree = start(one_for_one().child(server("a", &log, 1)));
    assert_eq!(tree.start_child(server("a", &log, 1)).await.unwrap_err().code(), code::CHILD_EXISTS);
    for result in [tree.stop_child("b").await, tree.restart_child("b").await, tree.remove_child("b").await] {
        assert_eq!(result.unwrap_err().to_string(), "`root` has no child `b`");
    }
    assert_eq!(tree.replace_child(server("b", &log, 1)).await.unwrap_err().code(), code::CHILD_UNKNOWN);
    assert!(tree.child("a").is_none());
    // Stopped while somebody waits for it to come up.
    let slow = server("slow", &log, 1_000);
    let (started, stopped) = tokio::join!(tree.start_child(slow), async {
        tree.wait_for(|tree| state(tree, &["slow"]) == Some(State::Starting)).await;
        tree.stop_child("slow").await
    });
    assert_eq!(started.unwrap_err().code(), code::CHILD_STOPPED);
    stopped.unwrap();
    tree.shutdown().await;
    let twice = start(one_for_one().child(server("a", &log, 1)).child(server("a", &log, 1)));
    assert_eq!(twice.ended().await.unwrap_err().code, code::CHILD_EXISTS);
}

#[tokio::test(start_paused = true)]
async fn a_handle_to_a_sub_supervisor_survives_its_restart() {
    let log = Log::default();
    let fail = Stop::new();
    let watched = fail.clone();
    let fails_once = ChildSpec::task("fails", move |cx| {
        let watched = watched.clone();
        async move {
            cx.ready.notify();
            tokio::select! {
                () = cx.stop.requested() => Ok(()),
                () = watched.requested(), if !watched.is_requested() => Err(boom()),
            }
        }
    });
    let inner =
        one_for_one().intensity(Intensity::new(0, Duration::from_secs(1))).escalate().child(fails_once);
    let spec = one_for_one()
        .child(ChildSpec::supervisor("inner", inner).backoff(Backoff::constant(Duration::from_secs(1))));
    let tree = start(spec);
    tree.ready().await.unwrap();
    let inner = tree.child("inner").unwrap();
    inner.start_child(server("dynamic", &log, 1)).await.unwrap();
    fail.request();
    tree.wait_for(|tree| matches!(state(tree, &["inner"]), Some(State::BackingOff { .. }))).await.unwrap();
    assert!(matches!(inner.start_child(server("x", &log, 1)).await, Err(SupervisorError::NotRunning { .. })));
    tree.wait_for(|tree| {
        tree.find(&["inner"]).is_some_and(|inner| inner.restarts == 1 && inner.state == State::Running)
    })
    .await
    .unwrap();
    inner.start_child(server("x", &log, 1)).await.unwrap();
    // As in OTP, children that were added while it ran are not started again.
    let snapshot = tree.wait_for(|tree| state(tree, &["inner", "x"]) == Some(State::Running)).await.unwrap();
    assert!(snapshot.find(&["inner", "dynamic"]).is_none());
    tree.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn children_see_their_siblings_and_show_details() {
    let child = ChildSpec::task("a", |cx| async move {
        cx.detail.set("serves nothing");
        cx.ready.notify();
        let sibling = ChildSpec::task("b", |cx| async move {
            cx.ready.notify();
            cx.stop.requested().await;
            Ok(())
        });
        let started = cx.supervisor.start_child(sibling.kind("sibling")).await;
        cx.detail.set(format!("{started:?}"));
        cx.stop.requested().await;
        Ok(())
    });
    let tree = start(one_for_one().child(child));
    let has_detail = |tree: &Tree| tree.find(&["a"]).is_some_and(|a| a.detail.as_deref() == Some("Ok(())"));
    let snapshot = tree.wait_for(has_detail).await.unwrap();
    assert_eq!(snapshot.find(&["b"]).unwrap().kind, "sibling");
    let mut watch = tree.watch();
    // The last handle is gone: the tree stops, although a child holds a handle of its own.
    drop(tree);
    watch.wait_for(|tree| tree.state == State::Stopped).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_ending_starts_nothing_and_answers_at_once() {
    let log = Log::default();
    let early = ChildSpec::supervisor("early", one_for_one().child(server("e", &log, 1)));
    let tree = start(one_for_one().child(early).child(server("late", &log, 3_000)));
    tree.ready().await.unwrap();
    let early = tree.child("early").unwrap();
    let began = Instant::now();
    let refused = async {
        tree.wait_for(|tree| state(tree, &["late"]) == Some(State::Stopping)).await.unwrap();
        let results = [early.start_child(server("x", &log, 1)).await, early.restart_child("e").await];
        (results, began.elapsed())
    };
    let ((results, taken), ()) = tokio::join!(refused, tree.shutdown());
    assert!(
        results.iter().all(|result| matches!(result, Err(SupervisorError::NotRunning { .. }))),
        "{results:?}"
    );
    // `early` is not asked to stop before `late` is down, but it knows already.
    assert!(taken < Duration::from_millis(100) && began.elapsed() >= Duration::from_secs(3), "{taken:?}");
}

#[tokio::test]
async fn two_thousand_children_are_cheap() {
    const COUNT: usize = 2_000;
    let tree = start(one_for_one().together());
    let mut watch = tree.watch();
    let snapshots = Arc::new(AtomicU32::new(0));
    let counter = snapshots.clone();
    let scope = Scope::new("test");
    scope.spawn(async move {
        while watch.changed().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let began = Instant::now();
    for n in 0..COUNT {
        let child = ChildSpec::task(format!("child-{n}"), |cx| async move {
            cx.ready.notify();
            cx.stop.requested().await;
            Ok(())
        });
        tree.start_child(child).await.unwrap();
    }
    let snapshot = tree.wait_for(|tree| tree.children.len() == COUNT && tree.is_healthy()).await.unwrap();
    assert_eq!(snapshot.children[COUNT - 1].id, format!("child-{}", COUNT - 1));
    let taken = began.elapsed();
    // A snapshot is at most every 5 ms, and rarer when there are many children, instead of twice per child.
    assert!(u128::from(snapshots.load(Ordering::SeqCst)) <= taken.as_millis() / 5 + 2);
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    tree.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(20));
}
