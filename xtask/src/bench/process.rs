//! A server that runs as long as its value lives.

use crate::run::command;
use anyhow::{Context, Result, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use umbel_testkit::http;

/// Compiling a component may take its time on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A server process of ours.
pub struct Process {
    child: Child,
    pub port: u16,
}

impl Process {
    /// Starts it and waits until it answers.
    pub fn start(program: &Path, arguments: &[String], port: u16) -> Result<Process> {
        let mut command = command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{} cannot be run", program.display()))?;
        let mut process = Process { child, port };
        let start = Instant::now();
        while !answers(port, "localhost") {
            if let Some(status) = process.child.try_wait()? {
                bail!("{} ended ({status})", program.display());
            }
            if start.elapsed() > START_MAX {
                bail!("{} does not answer", program.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether there is a server that says 200.
pub fn answers(port: u16, host: &str) -> bool {
    http::get(address(port), host, "/").is_ok_and(|answer| answer.status == 200)
}

pub fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
