//! Restarts against shutdowns: random trees, random failures, a shutdown at a random time, in simulated time.

use crate::machine::KILL_GRACE;
use crate::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use umbel_core::Problem;
use umbel_core::code::supervisor as code;

const SEEDS: u64 = 800;

/// What the children of one tree leave behind.
#[derive(Default)]
struct Trace {
    alive: AtomicUsize,
    starts: AtomicUsize,
    last_start: Mutex<Option<Instant>>,
    /// How long everything may take to stop, one after the other, in the worst case.
    bound: Mutex<Duration>,
}

struct Alive(Arc<Trace>);

impl Alive {
    fn new(trace: &Arc<Trace>) -> Alive {
        trace.alive.fetch_add(1, Ordering::SeqCst);
        trace.starts.fetch_add(1, Ordering::SeqCst);
        *trace.last_start.lock().unwrap() = Some(Instant::now());
        Alive(trace.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn millis(rng: &mut SmallRng, max: u64) -> Duration {
    Duration::from_millis(rng.random_range(0..max))
}

fn pick<T: Copy>(rng: &mut SmallRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}

/// One run: it starts tasks, becomes ready or not, lives or fails, listens to the stop or does not.
async fn live(cx: ChildContext, trace: Arc<Trace>, seed: u64) -> Result<(), Problem> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let _alive = Alive::new(&trace);
    for _ in 0..rng.random_range(0..3) {
        let (alive, life) = (Alive::new(&trace), millis(&mut rng, 5_000));
        cx.scope.spawn(async move {
            let _alive = alive;
            sleep(life).await;
        });
    }
    sleep(millis(&mut rng, 300)).await;
    if rng.random_bool(0.9) {
        cx.ready.notify();
    }
    let life = millis(&mut rng, 4_000);
    if rng.random_bool(0.2) {
        // Deaf: only a kill ends it before its time.
        sleep(life * 3).await;
    } else {
        tokio::select! {
            () = cx.stop.requested() => sleep(millis(&mut rng, 1_500)).await,
            () = sleep(life) => {}
        }
    }
    match rng.random_range(0..4) {
        0 => Ok(()),
        1 => panic!("expected by a test"),
        _ => Err(Problem::new(code::PROCESS_FAILED, "boom")),
    }
}

fn child(rng: &mut SmallRng, id: String, trace: &Arc<Trace>) -> ChildSpec {
    let (seed, runs, trace_of_runs) = (rng.random::<u64>(), AtomicUsize::new(0), trace.clone());
    let shutdown = millis(rng, 1_000);
    *trace.bound.lock().unwrap() += shutdown + KILL_GRACE;
    let child = ChildSpec::task(id, move |cx| {
        let run = runs.fetch_add(1, Ordering::SeqCst) as u64;
        live(cx, trace_of_runs.clone(), seed.wrapping_add(run))
    });
    let backoff = Backoff { first: millis(rng, 500), max: millis(rng, 2_000), ..Backoff::default() };
    let child = child
        .restart(pick(rng, &[Restart::Permanent, Restart::Permanent, Restart::Transient, Restart::Temporary]))
        .shutdown(shutdown)
        .start_deadline(Duration::from_millis(400))
        .backoff(if rng.random_bool(0.5) { Backoff::NONE } else { backoff });
    if rng.random_bool(0.5) { child.intensity(Intensity::new(20, Duration::from_secs(5))) } else { child }
}

fn supervisor(rng: &mut SmallRng, depth: u32, trace: &Arc<Trace>) -> SupervisorSpec {
    let mut spec =
        SupervisorSpec::new(pick(rng, &[Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne]))
            .intensity(Intensity::new(30, Duration::from_secs(5)));
    if rng.random_bool(0.3) {
        spec = spec.together();
    }
    if rng.random_bool(0.3) {
        spec = spec.escalate();
    }
    for n in 0..rng.random_range(1..4) {
        let id = format!("{depth}-{n}");
        let child = match depth > 0 && rng.random_bool(0.4) {
            true => ChildSpec::supervisor(id, supervisor(rng, depth - 1, trace)),
            false => child(rng, id, trace),
        };
        spec = spec.child(child);
    }
    spec
}

async fn simulate(seed: u64) -> usize {
    let mut rng = SmallRng::seed_from_u64(seed);
    let trace = Arc::new(Trace::default());
    let spec = supervisor(&mut rng, 2, &trace);
    let tree = Supervisor::start("root", spec, Env { seed, ..Env::system() });
    // Meanwhile somebody adds, stops and restarts children.
    for n in 0..rng.random_range(0..6) {
        sleep(millis(&mut rng, 1_500)).await;
        let child = child(&mut rng, format!("dynamic-{n}"), &trace);
        // The tree may have given up already, and the child may have failed or been named before.
        let _ = tree.add_child(child).await;
        let other = format!("dynamic-{}", rng.random_range(0..=n));
        let hurry = Duration::from_millis(rng.random_range(0..100));
        let request = async {
            let _ = match rng.random_range(0..3) {
                0 => tree.stop_child(&other).await,
                1 => tree.restart_child(&other).await,
                _ => tree.remove_child(&other).await,
            };
        };
        let _ = tokio::time::timeout(hurry, request).await;
    }
    sleep(millis(&mut rng, 3_000)).await;
    let began = Instant::now();
    tree.shutdown().await;
    let (took, bound) = (began.elapsed(), *trace.bound.lock().unwrap() + KILL_GRACE);
    assert!(took <= bound, "seed {seed}: {took:?}, at most {bound:?}");
    let last = trace.last_start.lock().unwrap().expect("something was started");
    assert!(last <= began, "seed {seed}: a start {:?} after the shutdown began", last - began);
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0, "seed {seed}: something lives on");
    // Nothing is left that could start something later.
    sleep(Duration::from_secs(100)).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "seed {seed}");
    trace.starts.load(Ordering::SeqCst)
}

#[test]
fn nothing_starts_after_a_shutdown_and_all_ends_in_time() {
    let mut starts = 0;
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        starts += runtime.block_on(simulate(seed));
    }
    // The simulation is worth something only if much happens in it.
    assert!(starts > 10 * SEEDS as usize, "{starts}");
}
