use super::*;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Waits until the core has nothing to do.
async fn idle(cores: &Cores, core: usize) {
    let idle = async {
        while cores.tasks(core) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), idle).await.expect("the core has nothing to do any more");
}

#[tokio::test]
async fn work_runs_on_its_core_and_need_not_be_send() {
    let cores = Cores::start(3, "test-core").unwrap();
    assert_eq!(Cores::current(), None);
    for core in 0..7 {
        let work = move || async move {
            let local = Rc::new(core);
            tokio::task::yield_now().await;
            (Cores::current(), *local, std::thread::current().name().map(str::to_string))
        };
        let (current, local, thread) = cores.run(core, work).await.unwrap();
        assert_eq!((current, local), (Some(core % 3), core));
        assert_eq!(thread, Some(format!("test-core-{}", core % 3)));
    }
    assert!(cores.shutdown(Duration::from_secs(5)).await);
    assert_eq!(cores.spawn(0, || async {}), Err(CoreError::Ended { core: 0 }));
    assert_eq!(cores.run(2, || async {}).await, Err(CoreError::Ended { core: 2 }));
}

#[tokio::test]
async fn a_panic_does_not_end_the_core() {
    let cores = Cores::start(1, "test-core").unwrap();
    let result: Result<(), _> = cores.run(0, || async { panic!("expected by a test") }).await;
    assert_eq!(result, Err(CoreError::Ended { core: 0 }));
    // Also when there is no future yet.
    fn boom() -> std::future::Ready<()> {
        panic!("expected by a test")
    }
    assert_eq!(cores.run(0, boom).await, Err(CoreError::Ended { core: 0 }));
    assert_eq!(cores.run(0, || async { 1 }).await, Ok(1));
    assert!(cores.shutdown(Duration::from_secs(5)).await);
    assert_eq!(cores.tasks(0), 0);
}

#[tokio::test]
async fn a_shutdown_waits_for_tasks_and_aborts_at_the_deadline() {
    let cores = Cores::start(2, "test-core").unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    for core in 0..2 {
        let done = done.clone();
        let work = move || async move {
            // A task may start others beside it.
            let also_done = done.clone();
            assert!(Cores::spawn_here(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                also_done.fetch_add(1, Ordering::SeqCst);
            }));
            done.fetch_add(1, Ordering::SeqCst);
        };
        cores.spawn(core, work).unwrap();
    }
    cores.spawn(0, std::future::pending::<()>).unwrap();
    assert!(cores.shutdown(Duration::from_millis(500)).await, "the endless task is aborted");
    assert_eq!(done.load(Ordering::SeqCst), 4);
    assert_eq!((cores.tasks(0), cores.tasks(1)), (0, 0));
    assert!(!Cores::spawn_here(async {}), "not outside the cores");
}

#[tokio::test]
async fn a_core_that_never_yields_is_reported_and_not_waited_for() {
    let cores = Cores::start(1, "test-core").unwrap();
    let release = Stop::new();
    let blocked = release.clone();
    let work = move || async move {
        blocked.wait(Duration::from_secs(30));
    };
    cores.spawn(0, work).unwrap();
    assert!(!cores.shutdown(Duration::ZERO).await);
    release.request();
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_ended_on_its_core() {
    let cores = Cores::start(2, "test-core").unwrap();
    assert_eq!(cores.quietest(), 0);
    {
        let endless = cores.run(0, std::future::pending::<()>);
        tokio::select! {
            biased;
            _ = endless => panic!("it has no end"),
            () = std::future::ready(()) => assert_eq!((cores.tasks(0), cores.quietest()), (1, 1)),
        }
    }
    idle(&cores, 0).await;
    assert!(cores.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_core_that_is_far_behind_takes_nothing_more() {
    let cores = Cores::start(1, "test-core").unwrap();
    let release = Stop::new();
    let (blocked, (begun, begins)) = (release.clone(), oneshot::channel());
    let work = move || async move {
        begun.send(()).unwrap();
        blocked.wait(Duration::from_secs(30));
    };
    cores.spawn(0, work).unwrap();
    begins.await.unwrap();
    for _ in 0..QUEUE_MAX {
        cores.spawn(0, || async {}).unwrap();
    }
    let error = cores.run(0, || async {}).await.unwrap_err();
    assert_eq!(error, CoreError::Full { core: 0, waiting_max: QUEUE_MAX });
    assert_eq!(error.code(), code::CORE_FULL);
    assert_eq!(cores.tasks(0), QUEUE_MAX + 1, "what was refused is not counted");
    release.request();
    idle(&cores, 0).await;
    assert_eq!(cores.run(0, || async { 1 }).await, Ok(1));
}
