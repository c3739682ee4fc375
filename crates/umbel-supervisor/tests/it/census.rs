//! The census: a host that is killed at any moment leaves nothing, or nothing but what another host takes over.
//!
//! `UMBEL_CENSUS_ROUNDS` is the number of rounds, 50 unless it is set; the kinds of rounds take turns. `UMBEL_CENSUS_SEED` repeats a run.

use crate::leftovers;
use crate::programs::{Host, Kind, ask, program};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use umbel_supervisor::process::{self, Capture, CgroupLimits, Cgroups, Home, Policy};
use umbel_supervisor::{Scope, Stop};

/// Within which nothing is left: a promise.
const PROMISE: Duration = Duration::from_secs(2);

/// A host that runs as a program of its own.
struct Running {
    pid: u32,
    /// What it has said.
    lines: Arc<Mutex<Vec<String>>>,
    scope: Scope,
}

impl Running {
    async fn start(host: &Host) -> Running {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        let tell = Arc::new(move |line: &str| told.lock().unwrap().push(line.to_owned()));
        let (pid_told, mut pid) = tokio::sync::mpsc::channel(1);
        let spec = program("host")
            .env("UMBEL_TEST_HOST", serde_json::to_string(host).unwrap())
            .stdout(Capture::Lines { tell, tail: 0 })
            .stderr(Capture::Tail(4096))
            .on_start(move |pid| pid_told.try_send(pid).unwrap());
        let scope = Scope::new("host");
        scope.spawn(async move {
            let output = process::run(&spec, &Stop::new()).await.unwrap();
            assert_eq!(output.status, process::Status::Signaled(9), "{}", output.stderr.text());
        });
        Running { pid: pid.recv().await.unwrap(), lines, scope }
    }

    fn has_said(&self, line: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|said| said.starts_with(line))
    }

    async fn wait_for(&self, line: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.has_said(line) {
            assert!(Instant::now() < end, "it never said `{line}`: {:?}", self.lines.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The services that it says have started, with their pids.
    fn started(&self) -> BTreeMap<String, u32> {
        let lines = self.lines.lock().unwrap();
        let started = lines.iter().filter_map(|line| line.strip_prefix("started ")?.split_once(" pid "));
        started
            .map(|(name, pid)| (name.to_owned(), pid.parse().unwrap()))
            .filter(|(name, _)| name != "guardian")
            .collect()
    }

    async fn kill(self) {
        signal(self.pid, Signal::KILL);
        assert_eq!(self.scope.drain(Duration::from_secs(10)).await, 0);
    }
}

fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), signal);
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn host(folder: &Path, tag: &str, cgroups: bool, kinds: &[Kind]) -> Host {
    let services = kinds.iter().enumerate().map(|(number, kind)| (format!("s{number}"), *kind)).collect();
    Host { tag: tag.to_owned(), folder: folder.to_owned(), cgroups, adopt_grace_ms: 20_000, services }
}

/// Policy `end`: the host alone is killed, at a random point from its first line on.
async fn host_killed(tag: &str, random: &mut StdRng, cgroups: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut kinds = vec![Kind::Stubborn, Kind::Daemon, Kind::Port(port), Kind::Gone, Kind::Mount];
    if cgroups {
        // What only a cgroup holds.
        kinds.extend([Kind::Stranger, Kind::Escapist, Kind::Bomb]);
    }
    let rotate = random.random_range(0..kinds.len());
    kinds.rotate_left(rotate);
    let running = Running::start(&host(folder.path(), tag, cgroups, &kinds)).await;
    if random.random_bool(0.8) {
        running.wait_for("open").await;
    }
    if !cgroups {
        // Descent is looked for every 100 ms; what the promise is about has been seen once.
        running.wait_for("started s4").await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
    let started = running.started().len();
    running.kill().await;
    let took = leftovers::none(tag, folder.path(), PROMISE).await;
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let contained = if cgroups { "" } else { " without cgroups" };
    format!("host killed{contained} after {started} of {} starts: nothing left after {took:?}", kinds.len())
}

/// Policy `adopt`, and nobody adopts: when the grace is over, nothing is left either.
async fn nobody_adopts(tag: &str, random: &mut StdRng) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [Kind::Echo, Kind::Daemon, Kind::Echo];
    let grace = random.random_range(50..300);
    let host = Host { adopt_grace_ms: grace, ..host(folder.path(), tag, true, &kinds) };
    let running = Running::start(&host).await;
    running.wait_for("started s0").await;
    let socket = folder.path().join("run/s0/sock");
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.kill().await;
    let took = leftovers::none(tag, folder.path(), PROMISE + Duration::from_millis(grace)).await;
    format!("host killed and nobody adopts within {grace} ms: nothing left after {took:?}")
}

/// Policy `end`: the guardian is killed first, so that nobody is left to end anything; the next host's sweep does it.
async fn host_and_guardian_killed(tag: &str, random: &mut StdRng) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [Kind::Daemon, Kind::Stranger, Kind::Bomb, Kind::Mount];
    let running = Running::start(&host(folder.path(), tag, true, &kinds)).await;
    running.wait_for("started s1").await;
    tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
    // So that it does not start its guardian again.
    signal(running.pid, Signal::STOP);
    signal(leftovers::guardian(tag).expect("a guardian"), Signal::KILL);
    running.kill().await;
    let left = leftovers::find(tag, folder.path());
    assert!(left.iter().any(|line| line.starts_with("process ")), "the census sees what is left: {left:#?}");
    let home = Home::open(folder.path(), tag, Cgroups::detect()).unwrap();
    let swept = home.sweep(true).await;
    assert!(swept.problems.is_empty() && swept.adoptable.is_empty(), "{swept:?}");
    assert!(swept.ended.len() >= 2, "{swept:?}");
    drop(home);
    leftovers::none(tag, folder.path(), PROMISE).await;
    format!(
        "host and guardian killed: {} things left, {} processes ended by the next start",
        left.len(),
        swept.ended.len()
    )
}

/// Policy `adopt`: what ran goes on answering, and the next host has it; all else is gone. Now and then the guardian is killed too: then
/// nobody reads what they print until the next host does.
async fn adopted(tag: &str, random: &mut StdRng) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [Kind::Echo, Kind::Daemon, Kind::Echo, Kind::Stubborn, Kind::Echo];
    let running = Running::start(&host(folder.path(), tag, true, &kinds)).await;
    running.wait_for("started s0").await;
    let socket = folder.path().join("run/s0/sock");
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
    let started = running.started();
    // Asked all the time, while there is no host and while it changes: no answer is missing.
    let stop = Stop::new();
    let (asked, stopped) = (socket.clone(), stop.clone());
    let asking = tokio::task::spawn_blocking(move || {
        let mut count = 0;
        while !stopped.is_requested() {
            ask(&asked).unwrap();
            count += 1;
        }
        count
    });
    let alone = random.random_bool(0.3);
    if alone {
        signal(running.pid, Signal::STOP);
        signal(leftovers::guardian(tag).expect("a guardian"), Signal::KILL);
    }
    running.kill().await;
    tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
    let home = Home::open(folder.path(), tag, Cgroups::detect()).unwrap();
    let swept = home.sweep(true).await;
    assert!(swept.problems.is_empty(), "{swept:?}");
    let mut all = BTreeMap::new();
    for record in swept.adoptable {
        let lines = Arc::new(Mutex::new(0));
        let told = lines.clone();
        let name = record.name.clone();
        assert_eq!(record.policy, Policy::Adopt);
        let adopted = home.adopt(record, Arc::new(move |_, _| *told.lock().unwrap() += 1)).await.unwrap();
        all.insert(name, (adopted, lines));
    }
    for (name, pid) in started.iter().filter(|(name, _)| ["s0", "s2", "s4"].contains(&name.as_str())) {
        let (adopted, lines) =
            all.get(name).unwrap_or_else(|| panic!("`{name}` was started and not adopted"));
        assert_eq!(adopted.pid(), *pid);
        let sock = adopted.run_folder().join("sock");
        while !sock.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let answer = tokio::task::spawn_blocking(move || ask(&sock)).await.unwrap();
        assert_eq!(answer.unwrap(), *pid);
        let end = Instant::now() + Duration::from_secs(10);
        while *lines.lock().unwrap() < 100 {
            assert!(Instant::now() < end, "the lines of `{name}` do not come");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    stop.request();
    let (answers, count) = (asking.await.unwrap(), all.len());
    assert!(answers > 0);
    for (name, (adopted, _)) in all {
        let stopped = adopted.stop(Duration::from_secs(5)).await.unwrap();
        assert!(!stopped.killed, "`{name}` ends when it is asked to");
    }
    drop(home);
    leftovers::none(tag, folder.path(), PROMISE).await;
    let killed = if alone { "host and guardian" } else { "host" };
    format!("{killed} killed and {count} processes adopted, {answers} questions answered meanwhile")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_host_leaves_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let rounds = number("UMBEL_CENSUS_ROUNDS").unwrap_or(50);
    let seed = number("UMBEL_CENSUS_SEED").unwrap_or_else(rand::random);
    println!("UMBEL_CENSUS_SEED={seed} UMBEL_CENSUS_ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let cgroups = Cgroups::detect();
    let contained = cgroups.missing(&CgroupLimits { pids: Some(1), ..CgroupLimits::default() }).is_empty();
    if !contained {
        println!("skipped: rounds with cgroups, which cannot limit pids here: {cgroups}");
    }
    for round in 0..rounds {
        let tag = format!("census-{}-{round}", std::process::id());
        let _broom = leftovers::Broom(tag.clone());
        let what = match round % 6 {
            _ if !contained => host_killed(&tag, &mut random, false).await,
            0 | 2 => host_killed(&tag, &mut random, true).await,
            1 => adopted(&tag, &mut random).await,
            4 => nobody_adopts(&tag, &mut random).await,
            3 => host_and_guardian_killed(&tag, &mut random).await,
            _ => host_killed(&tag, &mut random, false).await,
        };
        println!("round {round}: {what}");
    }
}
