//! `umbel doctor`: what this machine lacks, one named check after the other, each with its fix. It needs no platform.

use crate::background;
use crate::cmd::up::HTTP_PORT_DEFAULT;
use crate::context::Context;
use crate::fail::Failure;
use crate::files;
use crate::render::table::{Cell, cell, render as table, toned};
use crate::render::{Style, Tone};
use crate::text;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use umbel_api::Token;
use umbel_api::document::Document;
use umbel_api::folder::Running;
use umbel_builtin::http_server::Limits;
use umbel_core::code::api;
use umbel_core::{Clock, Problem, SystemClock};

/// Below this much free disk a check warns, and below a tenth of it it fails, bytes.
const DISK_FREE_WANTED: u64 = 1 << 30;
/// Memory maps that the pool of instances may need; the usual default of Linux.
const MAPS_WANTED: u64 = 65_530;
/// No build of this program is older: 2026-01-01, in seconds since 1970.
const EARLIEST_CLOCK: Duration = Duration::from_secs(1_767_225_600);
/// Until a name has to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel doctor
  umbel doctor -o json
  umbel doctor --http-port 9000     for a platform on another port")]
pub(crate) struct Args {
    /// The port on which applications are to answer
    #[arg(long, value_name = "PORT", default_value_t = HTTP_PORT_DEFAULT, env = "UMBEL_HTTP_PORT", hide_env_values = true)]
    http_port: u16,
}

/// All checks.
#[derive(Debug, Serialize, Deserialize)]
struct Diagnosis {
    /// In the order in which they were made.
    checks: Vec<Check>,
}

impl Document for Diagnosis {
    const TYPE: &'static str = "doctor/v1";
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Check {
    name: String,
    /// `ok`, `warning` or `failed`.
    status: String,
    /// What was found.
    message: String,
    /// What to do, unless it is ok.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn new(name: &str, status: &str, message: impl Into<String>, fix: Option<String>) -> Check {
        Check { name: name.into(), status: status.into(), message: message.into(), fix }
    }

    fn ok(name: &str, message: impl Into<String>) -> Check {
        Check::new(name, "ok", message, None)
    }

    fn warning(name: &str, message: impl Into<String>, fix: impl Into<String>) -> Check {
        Check::new(name, "warning", message, Some(fix.into()))
    }

    fn failed(name: &str, message: impl Into<String>, fix: impl Into<String>) -> Check {
        Check::new(name, "failed", message, Some(fix.into()))
    }

    fn of_problem(name: &str, problem: &Problem) -> Check {
        let causes = problem.causes.iter().map(|cause| format!(": {cause}")).collect::<String>();
        Check::failed(name, format!("{problem}{causes}"), problem.help.clone())
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut checks = vec![state_folder(context), disk(context.folder.root())];
    let (platform, running) = platform(context).await;
    checks.push(platform);
    checks.push(http_port(running.as_ref(), args.http_port));
    checks.push(token(context));
    checks.push(address_space());
    checks.push(memory_maps());
    checks.push(open_files());
    checks.push(context.progress.spin("resolving a name", localhost_names()).await);
    checks.push(clock());
    let failed = checks.iter().filter(|check| check.status == "failed").count();
    let diagnosis = Diagnosis { checks };
    context.show(&diagnosis, render, |diagnosis| {
        diagnosis.checks.iter().filter(|check| check.status != "ok").map(|check| check.name.clone()).collect()
    })?;
    if failed > 0 {
        let message = if failed == 1 { "a check failed".into() } else { format!("{failed} checks failed") };
        return Err(Problem::new(api::CHECKS_FAILED, message).into());
    }
    Ok(())
}

fn state_folder(context: &Context) -> Check {
    let name = "state-folder";
    let root = context.folder.root();
    if let Err(problem) = context.folder.prepare() {
        return Check::of_problem(name, &problem);
    }
    let probe = root.join(format!("doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, b"umbel").and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => Check::ok(name, format!("{} can be written", root.display())),
        Err(error) => Check::failed(
            name,
            format!("{} cannot be written: {error}", root.display()),
            "make room on its disk, change its owner, or choose another with `--state DIR`",
        ),
    }
}

fn disk(root: &Path) -> Check {
    let name = "disk";
    let fix = "make room on that disk, or choose a state folder on another with `--state DIR`";
    match rustix::fs::statvfs(root) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let message = format!("{} free for the state folder", text::bytes(free));
            match free {
                free if free < DISK_FREE_WANTED / 10 => Check::failed(name, message, fix),
                free if free < DISK_FREE_WANTED => Check::warning(name, message, fix),
                _ => Check::ok(name, message),
            }
        }
        Err(error) => Check::warning(name, format!("the free space cannot be read: {error}"), fix),
    }
}

async fn platform(context: &Context) -> (Check, Option<Running>) {
    let name = "platform";
    match background::running(context).await {
        Ok(Some(running)) => {
            let ours = env!("CARGO_PKG_VERSION");
            let check = if running.version == ours {
                Check::ok(name, format!("runs (pid {}, version {ours})", running.pid))
            } else {
                let fix = format!("{} && {}", context.command("down"), context.command("up --detach"));
                Check::warning(
                    name,
                    format!("runs version {}, and this command is {ours}", running.version),
                    fix,
                )
            };
            (check, Some(running))
        }
        Ok(None) => {
            (Check::ok(name, format!("is not running; `{}` starts it", context.command("up --detach"))), None)
        }
        Err(Failure::Problems { problems, .. }) => (Check::of_problem(name, &problems.first), None),
        Err(Failure::ReaderGone | Failure::Stopped) => (Check::ok(name, "is not running"), None),
    }
}

fn http_port(running: Option<&Running>, port: u16) -> Check {
    let name = "http-port";
    if let Some(url) = running.and_then(|running| running.http_url.as_ref()) {
        return Check::ok(name, format!("applications answer at {url}"));
    }
    match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(_) => Check::ok(name, format!("port {port} is free")),
        Err(error) => Check::failed(
            name,
            format!("port {port} cannot be used: {error}"),
            "end the program that uses it, or choose another with `--http-port PORT` or UMBEL_HTTP_PORT",
        ),
    }
}

fn token(context: &Context) -> Check {
    match Token::read(&context.folder) {
        Ok(Some(_)) => Check::ok("api-token", "only this user can read it"),
        Ok(None) => Check::ok("api-token", "is made at the first start"),
        Err(problem) => Check::of_problem("api-token", &problem),
    }
}

/// Instances are laid out in a large stretch of address space of which little is ever used.
fn address_space() -> Check {
    let name = "address-space";
    let fix = "lift the limit with `ulimit -v unlimited`; until then instances are allocated one by one, which is slower";
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::As).current {
        return Check::warning(name, format!("is limited to {}", text::bytes(limit)), fix);
    }
    if number_in("/proc/sys/vm/overcommit_memory") == Some(2) {
        let fix = "set `vm.overcommit_memory` to 0 or 1; until then instances are allocated one by one, which is slower";
        return Check::warning(name, "the kernel refuses to reserve more than it has", fix);
    }
    Check::ok(name, "is not limited")
}

fn memory_maps() -> Check {
    let name = "memory-maps";
    match number_in("/proc/sys/vm/max_map_count") {
        None => Check::ok(name, "this system has no such limit"),
        Some(maps) if maps >= MAPS_WANTED => Check::ok(name, format!("a process may have {maps}")),
        Some(maps) => Check::warning(
            name,
            format!("a process may have only {maps}"),
            format!("`sysctl -w vm.max_map_count={MAPS_WANTED}`, for more instances at the same moment"),
        ),
    }
}

/// One for each connection, and some for the platform itself, which raises its limit as far as it may.
fn open_files() -> Check {
    let (name, files) = ("open-files", files::attainable());
    match Limits::default().fit_files(files) {
        Some(problem) => Check::warning(name, problem.message, problem.help),
        None => Check::ok(name, format!("a process may have {files}")),
    }
}

fn number_in(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Browsers and curl take `*.localhost` for this machine by themselves; other programs ask the system.
async fn localhost_names() -> Check {
    let name = "localhost-names";
    let fix = "curl and browsers do without; for other programs add `127.0.0.1 APP.localhost` to /etc/hosts";
    let resolve = || {
        ("hello.localhost", 80)
            .to_socket_addrs()
            .map(|found| found.map(|address| address.ip()).collect::<Vec<_>>())
    };
    let resolving = tokio::task::spawn_blocking(resolve);
    match tokio::time::timeout(RESOLVE_TIMEOUT, resolving).await {
        Ok(Ok(Ok(found))) if !found.is_empty() && found.iter().all(std::net::IpAddr::is_loopback) => {
            Check::ok(name, "hello.localhost is this machine")
        }
        Ok(Ok(Ok(found))) if !found.is_empty() => {
            Check::failed(name, format!("hello.localhost is {}, not this machine", found[0]), fix)
        }
        _ => Check::warning(name, "the system does not resolve hello.localhost", fix),
    }
}

fn clock() -> Check {
    let name = "clock";
    let now = SystemClock.unix_time();
    let message = text::time(u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    if now < EARLIEST_CLOCK {
        let fix = "set the clock: claims and certificates are not valid yet for this one";
        return Check::failed(name, format!("{message} is before this program was built"), fix);
    }
    Check::ok(name, message)
}

fn render(diagnosis: &Diagnosis, style: Style) -> String {
    let rows: Vec<Vec<Cell>> = diagnosis
        .checks
        .iter()
        .map(|check| {
            let tone = match check.status.as_str() {
                "ok" => Tone::Good,
                "warning" => Tone::Busy,
                _ => Tone::Bad,
            };
            vec![toned(&check.status, tone), cell(&check.name), cell(&check.message)]
        })
        .collect();
    let mut text = table(&["STATUS", "CHECK", "FOUND"], &rows, style);
    for check in &diagnosis.checks {
        if let Some(fix) = &check.fix {
            text.push_str(&format!(
                "\n{} {}: {}\n",
                style.paint(Tone::Good, "fix"),
                check.name,
                text::neutral(fix)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_failed_check_shows_its_fix() {
        golden::check("doctor.txt", &render(&golden::input("doctor.json"), Style::PLAIN));
    }

    #[test]
    fn a_port_in_use_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(http_port(None, port).status, "failed");
        drop(listener);
        assert_eq!(http_port(None, 0).status, "ok");
    }
}
