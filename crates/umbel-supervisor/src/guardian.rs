//! The guardian: a small program that outlives its host and ends what the host can no longer end.
//!
//! It is a child of the host's tree with a session of its own and no death signal, and watches the host by pidfd. It has one thread and
//! no runtime. It stays in the host's own cgroup: whoever ends that as a whole, such as systemd or a container's end, means all of it.
//!
//! ```text
//! host runs ── waits for its end; without cgroups it looks for descendants meanwhile
//!     │ the host has ended
//!     ▼
//! takes the lock ─── a new host has it ──▶ goes: all is the new host's
//!     │
//!     ▼
//! ends all of policy `end`; nothing else is there ──▶ removes the group of the host, goes
//!     │ something of policy `adopt` runs
//!     ▼
//! releases the lock; drains what they print, so that they do not wait ─── a new host takes the lock ──▶ goes
//!     │ the grace is over
//!     ▼
//! takes the lock, ends all of them, goes
//! ```
//!
//! What is printed while there is no host is lost.

use crate::process::capture::Sink;
use crate::process::family::{self, Seen};
use crate::process::ground::Ground;
use crate::process::group::Group;
use crate::process::record::{Record, try_lock};
use crate::process::{Capture, Home, Identity, Policy, ProcessError, Spec, boot_id, fifos};
use crate::spec::ChildSpec;
use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use umbel_core::code::supervisor as code;
use umbel_core::{Coded, Problem};

/// What it prints once it watches.
const WATCHING: &str = "watching";
/// How long a host that has just been killed may still hold the lock; a new host holds it longer.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often it looks for a new host.
const TICK: Duration = Duration::from_millis(50);
/// How long it has to end when it is told to go.
const GRACE: Duration = Duration::from_secs(2);

/// What a guardian is told: one argument, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Watch {
    folder: PathBuf,
    host: String,
    process: Identity,
    boot_id: String,
    adopt_grace_ms: u64,
    /// Whether descendants have to be looked for.
    look: bool,
}

/// The child of the host's tree that is its guardian; start it before anything that it is to guard. `program` with `args` and one more
/// argument has to call [`main`] with that argument; `/proc/self/exe` is the program of this process, even if its file has been
/// replaced. It is started again whenever it ends, and is ready when it watches.
///
/// `adopt_grace` is how long processes of policy `adopt` go on without a host. When the host stops in order and has left nothing, the
/// guardian is told to go; when it has left something, the guardian stays for it.
pub fn child_spec(
    home: &Home,
    program: impl Into<PathBuf>,
    args: Vec<OsString>,
    adopt_grace: Duration,
) -> ChildSpec {
    let (home, program) = (home.clone(), program.into());
    let child = ChildSpec::task("guardian", move |cx| {
        let (home, spec) = (home.clone(), Spec::new(&program).args(&args));
        async move {
            let watch = watch(&home, adopt_grace);
            let ready = cx.ready.clone();
            let tell = move |line: &str| {
                if line == WATCHING {
                    ready.notify();
                }
            };
            let lines = Capture::Lines { tell: Arc::new(tell), tail: 0 };
            let spec = spec
                .arg(watch?)
                .session(true)
                .death_signal(false)
                .stdout(lines.clone())
                .stderr(Capture::Null);
            let mut group = Group::spawn(&spec).await.map_err(|error| Problem::from(&error))?;
            cx.detail.set(format!("pid {}", group.pid()));
            let stdout = group.take_pipes().stdout;
            cx.scope.spawn(async move { Sink::new(&lines).read(stdout).await });
            let asked = tokio::select! {
                _ = group.exited() => false,
                () = cx.stop.requested() => true,
            };
            cx.detail.clear();
            if asked && !home.records().is_empty() {
                // What is left behind is not left alone.
                group.leave();
                return Ok(());
            }
            group.terminate();
            let _ = tokio::time::timeout(GRACE, group.exited()).await;
            group.kill();
            let failed = |source| ProcessError::Io { program: "guardian".to_owned(), source };
            group
                .exited()
                .await
                .and_then(|()| group.reap())
                .map_err(|source| Problem::from(&failed(source)))?;
            if asked { Ok(()) } else { Err(Problem::new(code::CHILD_ENDED, "the guardian has ended")) }
        }
    });
    child.kind("process").shutdown(GRACE * 2)
}

/// The argument of a guardian of this process.
fn watch(home: &Home, adopt_grace: Duration) -> Result<String, Problem> {
    let failed = |what: &str| Problem::new(code::PROCESS_NOT_STARTED, format!("the guardian: {what}"));
    let watch = Watch {
        folder: home.folder().to_owned(),
        host: home.host().to_owned(),
        process: Identity::own().ok_or_else(|| failed("/proc is not there"))?,
        boot_id: boot_id(),
        adopt_grace_ms: u64::try_from(adopt_grace.as_millis()).unwrap_or(u64::MAX),
        look: home.cgroups().is_none(),
    };
    serde_json::to_string(&watch).map_err(|error| failed(&error.to_string()))
}

/// The program of the guardian. `argument` is what [`child_spec`] has added to the arguments. Returns when nothing is left to guard.
pub fn main(argument: &str) -> ExitCode {
    // When memory is short, it is the last to go.
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
    let watch: Watch = match serde_json::from_str(argument) {
        Ok(watch) => watch,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "this is started by a host, not by hand: {error}");
            return ExitCode::from(2);
        }
    };
    match guard(&watch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There may be nobody who reads it.
            let _ = writeln!(std::io::stderr(), "{} {error}", error.code());
            ExitCode::FAILURE
        }
    }
}

fn guard(watch: &Watch) -> Result<(), ProcessError> {
    let ground = Ground::new(&watch.folder, &watch.host)?;
    let mut seen = Seen::default();
    await_end_of_host(watch, &ground, &mut seen);
    let Some(locked) = lock(&ground, LOCK_WAIT) else { return Ok(()) };
    let mut left =
        end(&ground, &seen, |record| record.policy == Policy::Adopt && record.running().is_some())?;
    drop(locked);
    let deadline = Instant::now() + Duration::from_millis(watch.adopt_grace_ms);
    let mut outputs = Outputs::default();
    while !left.is_empty() && Instant::now() < deadline {
        outputs.drain(&ground, &left);
        seen.look(ground.tag(), &left);
        let Some(_locked) = lock(&ground, Duration::ZERO) else { return Ok(()) };
        left = end(&ground, &seen, |record| record.running().is_some())?;
    }
    let Some(_locked) = lock(&ground, LOCK_WAIT) else { return Ok(()) };
    end(&ground, &seen, |_| false)?;
    ground.remove_parents();
    Ok(())
}

/// Returns when the host has ended, however that happened.
fn await_end_of_host(watch: &Watch, ground: &Ground, seen: &mut Seen) {
    let host = Some(watch.process).filter(|_| watch.boot_id == boot_id()).and_then(Identity::open);
    let _ = writeln!(std::io::stdout(), "{WATCHING}").and_then(|()| std::io::stdout().flush());
    let Some(host) = host else { return };
    let timeout = watch.look.then_some(family::LOOK);
    while !is_ready(&host, timeout) {
        if watch.look {
            let records: Vec<Record> =
                ground.records().into_iter().filter_map(|(_, record)| record.ok()).collect();
            seen.look(ground.tag(), &records);
        }
    }
}

/// Waits until a descriptor is readable; without a timeout, however long that takes.
fn is_ready(fd: &OwnedFd, timeout: Option<Duration>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    rustix::event::poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// The lock of the home, if nobody keeps it.
fn lock(ground: &Ground, wait: Duration) -> Option<File> {
    let end = Instant::now() + wait;
    loop {
        // A folder that is gone has nothing in it.
        let locked = try_lock(&ground.lock_path()).ok()?;
        if locked.is_some() || Instant::now() >= end {
            return locked;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends everything but what `stays`, which is returned. One that cannot be ended does not keep the others from it.
fn end(ground: &Ground, seen: &Seen, stays: impl Fn(&Record) -> bool) -> Result<Vec<Record>, ProcessError> {
    let (mut left, mut ending, mut result) = (Vec::new(), Vec::new(), Ok(()));
    for (name, record) in ground.records() {
        match record {
            Ok(record) if stays(&record) => left.push(record),
            Ok(record) => ending.push(record),
            Err(_) => result = result.and(ground.end_unreadable(&name)),
        }
    }
    // All are killed before the first one is waited for.
    for record in &ending {
        ground.kill(record, None, &seen.of(&record.name));
    }
    for record in &ending {
        result = result.and(ground.end(record, None, &seen.of(&record.name)).map(|_| ()));
    }
    result.and(ground.clear_strays()).map(|()| left)
}

/// What processes print while there is no host.
#[derive(Default)]
struct Outputs(HashMap<PathBuf, File>);

impl Outputs {
    /// Reads for one tick what these processes print, and drops it.
    fn drain(&mut self, ground: &Ground, records: &[Record]) {
        for (_, path) in records.iter().flat_map(|record| fifos(&ground.run_folder(&record.name))) {
            if !self.0.contains_key(&path) {
                let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
                self.0.extend(open.ok().map(|fifo| (path, fifo)));
            }
        }
        let end = Instant::now() + TICK;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let mut fds: Vec<PollFd<'_>> =
                self.0.values().map(|fifo| PollFd::new(fifo, PollFlags::IN)).collect();
            let timeout = Timespec::try_from(rest).ok();
            let ready = rustix::event::poll(&mut fds, timeout.as_ref());
            if rest.is_zero() || !ready.is_ok_and(|ready| ready > 0) {
                return;
            }
            // One that nobody writes to any more is at its end for ever.
            self.0.retain(|_, fifo| match fifo.read(&mut buffer) {
                Ok(length) => length > 0,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
        }
    }
}

#[cfg(test)]
mod tests;
