//! A lattice of 100 hosts in one process, where time is virtual and a seed decides what goes wrong: hosts are cut off, in both directions or in one,
//! messages are lost and late, hosts are killed and started again, those that lead among them. Meanwhile somebody deploys, undeploys, and puts
//! configs and links.
//!
//! Whenever all is healed, within 30 s every part runs as often as wanted and where it may, and whatever was acknowledged is there. A local link
//! is never torn apart.
//!
//! `UMBEL_SIMULATIONS=1000` runs so many seeds, `UMBEL_SIMULATION_SEED=7` one of them.

mod apps;
mod wire;
mod world;

use apps::APPS;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;
use world::World;

const SEEDS: u64 = 20;
const HOSTS: usize = 100;
/// Those that have a manager.
const MANAGERS: usize = 5;
const ROUNDS: usize = 3;
/// From healing until all is as wanted.
const CONVERGED: Duration = Duration::from_secs(30);
/// How often the world is looked at.
const STEP: Duration = Duration::from_millis(500);

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn a_hundred_hosts_converge_whatever_goes_wrong() {
    let one = number_of("UMBEL_SIMULATION_SEED");
    let seeds = one.map_or(0..number_of("UMBEL_SIMULATIONS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(4) {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, SeqCst)).filter(|seed| *seed < seeds.end) {
                    let _told = Told(seed);
                    simulate(seed);
                }
            });
        }
    });
}

/// Tells which seed it was when a simulation fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was seed {0}; run it alone with UMBEL_SIMULATION_SEED={0}", self.0);
        }
    }
}

fn simulate(seed: u64) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::start(seed).await;
        for app in 0..APPS {
            world.deploy(app);
        }
        let mut took = vec![settle(&mut world, "at the beginning").await];
        for round in 0..ROUNDS {
            let faults = strike(&mut world, &mut dice);
            let lasts = Duration::from_millis(dice.random_range(1_000..20_000));
            let until = Instant::now() + lasts;
            while Instant::now() < until {
                operate(&mut world, &mut dice);
                tokio::time::sleep(STEP).await;
                world.look();
            }
            world.heal().await;
            took.push(settle(&mut world, &format!("in round {round} after {lasts:?} of {faults:?}")).await);
        }
        // Seen with `--nocapture`: what a seed was about.
        println!("seed {seed}: {}, converged in {took:?}", world.summary());
        world.stop().await;
    });
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Partition,
    OnlyUp,
    OnlyDown,
    Loss,
    Delay,
    Kill,
}

/// One to three things go wrong, each for some hosts.
fn strike(world: &mut World, dice: &mut StdRng) -> BTreeSet<Fault> {
    const ALL: [Fault; 6] =
        [Fault::Partition, Fault::OnlyUp, Fault::OnlyDown, Fault::Loss, Fault::Delay, Fault::Kill];
    let count = dice.random_range(1..=3);
    let faults: BTreeSet<Fault> = (0..count).map(|_| ALL[dice.random_range(0..ALL.len())]).collect();
    for fault in &faults {
        let share = dice.random_range(0.01..0.4);
        // Now and then those that have managers above all.
        let leaders = dice.random_bool(0.3);
        for host in 0..HOSTS {
            let is_hit = dice.random_bool(share) || (leaders && host < MANAGERS - 1);
            // The operator's way is the last one.
            match fault {
                Fault::Loss => world
                    .change(host, |way| (way.up, way.down) = (0.1_f64.max(way.up), 0.1_f64.max(way.down))),
                Fault::Delay => world.change(host, |way| way.delay_ms_max = 300),
                _ if !is_hit => {}
                Fault::Partition => world.change(host, |way| (way.up, way.down) = (1.0, 1.0)),
                Fault::OnlyUp => world.change(host, |way| way.down = 1.0),
                Fault::OnlyDown => world.change(host, |way| way.up = 1.0),
                Fault::Kill => world.kill(host),
            }
        }
    }
    faults
}

/// Somebody does something, now and then.
fn operate(world: &mut World, dice: &mut StdRng) {
    match dice.random_range(0..6) {
        0 => world.deploy(dice.random_range(0..APPS)),
        1 if dice.random_bool(0.3) => world.undeploy(dice.random_range(0..APPS)),
        2 => world.put_config(),
        3 => world.put_link(),
        _ => {}
    }
}

/// Waits until all is as wanted; how long that took.
async fn settle(world: &mut World, when: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let wrong = world.wrong().await;
        if wrong.is_empty() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < CONVERGED, "{when}, after {CONVERGED:?}: {wrong:#?}");
        tokio::time::sleep(STEP).await;
        world.look();
    }
}
