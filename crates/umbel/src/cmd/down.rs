//! `umbel down`: stop the platform and wait until it is gone.

use crate::context::Context;
use crate::fail::Failure;
use crate::text::parse_duration;
use rustix::process::Pid;
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::document::Done;
use umbel_api::folder::StateFolder;
use umbel_core::Problem;
use umbel_core::code::api;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
#[command(after_help = "Applications stay deployed: they run again after the next `umbel up`.

Examples:
  umbel down
  umbel down --timeout 2m           leave more time to calls that are under way")]
pub(crate) struct Args {
    /// How long to wait until it has stopped
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let pid = match client.health().await {
        Ok(health) => health.pid,
        Err(problems) if problems.first.code == api::NOT_RUNNING => match holder(&context.folder) {
            Some(pid) => pid.as_raw_nonzero().get().unsigned_abs(),
            None => {
                let message = format!("no platform is running in {}", context.folder.root().display());
                return show(context, message);
            }
        },
        Err(problems) => return Err(problems.into()),
    };
    match client.shutdown("umbel down").await {
        Ok(_) => {}
        // It ended before it could answer: that is what was wanted.
        Err(problems) if problems.first.code == api::CONNECTION_LOST => {}
        // Another `down` was faster, or it holds the folder without serving its API: it may still be starting.
        Err(problems) if problems.first.code == api::NOT_RUNNING => {
            if let Some(pid) = holder(&context.folder) {
                // A process that has just ended need not be asked.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        Err(problems) => return Err(problems.into()),
    }
    let stopping = tokio::time::timeout(args.timeout, gone(&client, pid));
    if context.progress.spin("stopping the platform", stopping).await.is_err() {
        let seconds = args.timeout.as_secs();
        return Err(Problem::new(
            api::STOP_TIMEOUT,
            format!("the platform (pid {pid}) still runs after {seconds} s"),
        )
        .into());
    }
    show(context, format!("the platform (pid {pid}) has stopped"))
}

/// The process that holds the lock of the state folder: the one that the lock names, if it has the lock open.
fn holder(folder: &StateFolder) -> Option<Pid> {
    let lock = folder.root().join("lock");
    let pid = std::fs::read_to_string(&lock).ok()?.trim().parse().ok().and_then(Pid::from_raw)?;
    let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).ok()?;
    let lock = lock.canonicalize().ok()?;
    open.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == lock)).then_some(pid)
}

/// Waits until nothing answers and the process is gone.
async fn gone(client: &Client, pid: u32) {
    loop {
        let answers =
            !matches!(client.version().await, Err(problems) if problems.first.code == api::NOT_RUNNING);
        if !answers && !is_process(pid) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a process of that id exists. It may be another one by now; then it is waited for no longer than the deadline.
fn is_process(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| {
        rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH) && !is_zombie(pid)
    })
}

/// Whether it has ended and its parent has not taken notice yet: it holds nothing any more.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn show(context: &Context, message: String) -> Result<(), Failure> {
    context.show(&Done::new(message), |done, _| format!("{}\n", done.message), |_| Vec::new())
}
