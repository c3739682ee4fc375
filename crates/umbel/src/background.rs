//! Starting the platform in the background: this very program again, as `umbel up`, in a session of its own.
//!
//! It is ready when its announcement names its process id and its API answers; that is looked at again and again until a
//! deadline, so no signal can be missed.

use crate::cmd::up::Up;
use crate::context::Context;
use crate::fail::Failure;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::folder::{Running, StateFolder};
use umbel_api::problem::{PROBLEM_TYPE, Problems};
use umbel_core::Problem;
use umbel_core::code::{api, host, lattice};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often a platform that breaks the connection is looked at again.
const ENDING_LOOKS_MAX: usize = 200;
/// Bytes of its log that are searched for the last words of a platform that did not start.
const LAST_WORDS_BYTES_MAX: u64 = 64 << 10;
/// The log of a platform begins anew at its start when it is longer, bytes.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// Lines of the log that are shown when there are no better last words.
const LAST_WORDS_LINES: usize = 5;

/// The platform, and whether it ran already.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) running: Running,
    pub(crate) was_running: bool,
}

/// The platform of the state folder, if it runs.
pub(crate) async fn running(context: &Context) -> Result<Option<Running>, Failure> {
    let client = context.client()?;
    let mut health = client.health().await;
    // One that is ending just now may still be reached, and not answer any more.
    for _ in 0..ENDING_LOOKS_MAX {
        if !matches!(&health, Err(problems) if problems.first.code == api::CONNECTION_LOST) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        health = client.health().await;
    }
    match health {
        Ok(health) => Ok(Some(describe(&context.folder, &client, health.pid).await?)),
        Err(problems) if problems.first.code == api::NOT_RUNNING => Ok(None),
        Err(problems) => Err(problems.into()),
    }
}

/// What it announced; if that is missing or of another, what the API itself says.
async fn describe(folder: &StateFolder, client: &Client, pid: u32) -> Result<Running, Failure> {
    if let Ok(Some(running)) = folder.running()
        && running.pid == pid
    {
        return Ok(running);
    }
    let version = client.version().await?.version;
    Ok(Running { pid, api_socket: folder.socket(), api_url: None, http_url: None, version })
}

/// The platform of the state folder, started if none runs.
pub(crate) async fn ensure(context: &Context, up: &Up, timeout: Duration) -> Result<Found, Failure> {
    if let Some(running) = running(context).await? {
        return Ok(Found { running, was_running: true });
    }
    context.folder.prepare()?;
    let log = Log::open(&context.folder)?;
    let mut child = spawn(&context.folder, up, &log)?;
    let started = async {
        loop {
            if let Some(running) = announced(&context.folder, child.id()).await {
                return Ok(Found { running, was_running: false });
            }
            if let Some(failure) = ended(&mut child, &log)? {
                // Somebody else may have started one at the same moment; then ours gave way, and theirs is as good.
                return match running_soon(context, &failure).await? {
                    Some(running) => Ok(Found { running, was_running: true }),
                    None => Err(failure.into()),
                };
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(timeout, started).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let seconds = timeout.as_secs();
            let message = format!("the platform (pid {}) is not ready after {seconds} s", child.id());
            let help = format!(
                "its log is {}; stop it with `{}`",
                context.folder.log_file().display(),
                context.command("down")
            );
            let problem = Problem::new(api::START_TIMEOUT, message).with_help(help);
            let words = log.since_begin();
            Err(last_lines(&words).fold(problem, |problem, line| problem.with_cause(line)).into())
        }
    }
}

/// The announcement of the process, once its API answers.
async fn announced(folder: &StateFolder, pid: u32) -> Option<Running> {
    let running = folder.running().ok()??;
    if running.pid != pid {
        return None;
    }
    let health = Client::unix(folder).ok()?.health().await.ok()?;
    (health.pid == pid).then_some(running)
}

/// The platform that made ours give way, as soon as it answers.
async fn running_soon(context: &Context, failure: &Problems) -> Result<Option<Running>, Failure> {
    if ![host::STATE_LOCKED, lattice::STATE_LOCKED].contains(&failure.first.code) {
        return Ok(None);
    }
    let look = async {
        loop {
            if let Some(running) = running(context).await? {
                return Ok::<_, Failure>(running);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(5), look).await {
        Ok(running) => running.map(Some),
        Err(_) => Ok(None),
    }
}

/// The log of background platforms, and where the part of this one begins.
struct Log {
    file: std::fs::File,
    begin: u64,
}

impl Log {
    fn open(folder: &StateFolder) -> Result<Log, Failure> {
        let path = folder.log_file();
        let open = || {
            keep_short(&path)?;
            let file =
                std::fs::OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path)?;
            let begin = file.metadata()?.len();
            Ok(Log { file, begin })
        };
        open().map_err(|error| unusable(&path, &error).into())
    }

    fn writer(&self) -> Result<Stdio, Problem> {
        let clone = self.file.try_clone();
        clone.map(Stdio::from).map_err(|error| {
            Problem::new(api::START_FAILED, "no file can be opened").with_cause(error.to_string())
        })
    }

    /// What was written since the platform was started, at most the end of it.
    fn since_begin(&self) -> String {
        let mut file = &self.file;
        let mut bytes = Vec::new();
        let read = file.metadata().and_then(|metadata| {
            let begin = self.begin.max(metadata.len().saturating_sub(LAST_WORDS_BYTES_MAX));
            file.seek(SeekFrom::Start(begin))?;
            file.take(LAST_WORDS_BYTES_MAX).read_to_end(&mut bytes)
        });
        // Without last words the failure is told without them.
        drop(read);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Begins another log where the present one is long enough; the one before it stays, and the one before that goes.
fn keep_short(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > LOG_BYTES_MAX => std::fs::rename(path, path.with_extension("log.1")),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(api::STATE_FOLDER, format!("`{}` cannot be written", path.display()))
        .with_cause(error.to_string())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the platform outlives this command, so no supervisor of this command may hold it"
)]
fn spawn(folder: &StateFolder, up: &Up, log: &Log) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| {
        Problem::new(api::START_FAILED, "the platform cannot be started").with_cause(error.to_string())
    };
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = std::process::Command::new(program);
    for (name, value) in up.on.variables() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let child = command
        .args(up.arguments(folder))
        .stdin(Stdio::null())
        .stdout(log.writer()?)
        .stderr(log.writer()?)
        .current_dir(folder.root())
        .spawn();
    child.map_err(failed).map_err(Failure::from)
}

/// Why the platform ended, if it has ended.
fn ended(child: &mut Child, log: &Log) -> Result<Option<Problems>, Failure> {
    let status = child.try_wait().map_err(|error| {
        Problem::new(api::START_FAILED, "the platform cannot be watched").with_cause(error.to_string())
    })?;
    let Some(status) = status else { return Ok(None) };
    let words = log.since_begin();
    Ok(Some(last_words(&words).unwrap_or_else(|| {
        let problem =
            Problem::new(api::START_FAILED, format!("the platform ended while it was starting: {status}"));
        last_lines(&words).fold(problem, |problem, line| problem.with_cause(line)).into()
    })))
}

fn last_lines(words: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(LAST_WORDS_LINES);
    lines.into_iter().skip(skipped)
}

/// The failure that the platform wrote as JSON before it ended.
fn last_words(log: &str) -> Option<Problems> {
    let begin = format!("{{\"$type\":\"{PROBLEM_TYPE}\"");
    let line = log.lines().rev().find(|line| line.starts_with(&begin))?;
    Problems::from_json(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_makes_room_for_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(dir.path());
        folder.prepare().unwrap();
        let path = folder.log_file();
        for (length, is_kept) in [(LOG_BYTES_MAX, true), (LOG_BYTES_MAX + 1, false), (7, true)] {
            std::fs::write(&path, "").unwrap();
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
            let log = Log::open(&folder).unwrap();
            assert_eq!(log.begin, if is_kept { length } else { 0 });
            assert_eq!(std::fs::metadata(&path).unwrap().len(), log.begin);
        }
        let older = std::fs::metadata(path.with_extension("log.1")).unwrap();
        assert_eq!(older.len(), LOG_BYTES_MAX + 1, "the last words before are still there");
    }

    #[tokio::test]
    async fn a_platform_that_is_ending_is_one_that_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::for_tests(dir.path().into());
        context.folder.prepare().unwrap();
        let socket = context.folder.socket();
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let ending = async {
            for _ in 0..3 {
                drop(listener.accept().await.unwrap());
            }
            drop(listener);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            found = running(&context) => assert!(found.unwrap().is_none()),
            () = ending => {}
        }
    }
}
