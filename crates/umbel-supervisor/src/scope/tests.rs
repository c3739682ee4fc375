use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts how many of it are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_quick_and_aborts_the_slow() {
    let scope = Scope::new("test");
    for seconds in [1, 2, 100] {
        assert!(scope.spawn(tokio::time::sleep(Duration::from_secs(seconds))));
    }
    assert_eq!(scope.len(), 3);
    assert_eq!(scope.drain(Duration::from_secs(10)).await, 1);
    assert!(scope.is_empty());
    assert!(!scope.spawn(async {}), "a drained scope starts nothing");
}

#[tokio::test]
async fn dropping_a_scope_aborts_its_tasks_even_if_they_hold_a_spawner() {
    let count = Arc::new(AtomicUsize::new(0));
    let scope = Scope::new("test");
    for _ in 0..10 {
        let (alive, spawner) = (Alive::new(&count), scope.spawner());
        scope.spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
            drop(spawner);
        });
    }
    tokio::task::yield_now().await;
    let spawner = scope.spawner();
    drop(scope);
    spawner.ended().await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert!(!spawner.spawn(async {}));
}

#[tokio::test]
async fn a_panic_ends_one_task_only() {
    let scope = Scope::new("test");
    scope.spawn(async { panic!("expected by a test") });
    scope.spawn(async { tokio::task::yield_now().await });
    assert_eq!(scope.drain(Duration::from_secs(5)).await, 0);
}

#[test]
fn a_runtime_that_ends_first_does_no_harm() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let scope = runtime.block_on(async {
        let scope = Scope::new("test");
        scope.spawn(std::future::pending());
        scope
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    assert!(scope.is_empty());
    let _entered = handle.enter();
    scope.spawn(std::future::pending());
    assert!(scope.is_empty(), "the task is dropped at once, and signs off");
}
