use super::*;
use crate::{Backoff, Env, Intensity, State, Strategy, Supervisor, SupervisorSpec};
use std::sync::atomic::{AtomicU32, Ordering};

#[tokio::test]
async fn a_ticker_ticks_until_it_is_stopped() {
    let ticks = Arc::new(AtomicU32::new(0));
    let counter = ticks.clone();
    let (told, mut seen) = tokio::sync::mpsc::channel(1);
    let thread = Thread::start("test-ticker", move |stop| {
        while !stop.wait(Duration::from_millis(1)) {
            if counter.fetch_add(1, Ordering::SeqCst) == 3 {
                let _ = told.blocking_send(());
            }
        }
    });
    seen.recv().await.unwrap();
    assert!(thread.unwrap().stop(Duration::from_secs(5)).await);
    assert!(ticks.load(Ordering::SeqCst) >= 4);
}

#[tokio::test]
async fn a_panic_is_a_problem() {
    let mut thread = Thread::start("test-panic", |_| panic!("expected by a test")).unwrap();
    let problem = thread.ended().await.unwrap_err();
    assert_eq!((problem.code, problem.message.as_str()), (code::CHILD_PANICKED, "expected by a test"));
}

#[tokio::test]
async fn a_thread_that_does_not_listen_is_not_waited_for() {
    let release = Stop::new();
    let own = release.clone();
    let thread = Thread::start("test-deaf", move |_| {
        own.wait(Duration::from_secs(30));
    });
    let thread = thread.unwrap();
    assert!(!thread.stop(Duration::from_millis(10)).await);
    release.request();
}

#[tokio::test]
async fn a_thread_child_is_restarted() {
    let runs = Arc::new(AtomicU32::new(0));
    let child = ChildSpec::thread("ticker", move |cx| {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("expected by a test");
        }
        cx.ready.notify();
        while !cx.stop.wait(Duration::from_millis(1)) {}
        Ok(())
    });
    let child = child.backoff(Backoff::NONE).intensity(Intensity::new(1, Duration::from_secs(60)));
    let tree =
        Supervisor::start("test", SupervisorSpec::new(Strategy::OneForOne).child(child), Env::system());
    tree.ready().await.unwrap();
    let snapshot =
        tree.wait_for(|tree| tree.find(&["ticker"]).is_some_and(|child| child.state == State::Running)).await;
    let child = snapshot.unwrap().find(&["ticker"]).unwrap().clone();
    assert_eq!((child.restarts, child.kind.as_str()), (1, "thread"));
    tree.shutdown().await;
    assert!(tree.ended().await.is_ok());
}
