//! A core for the server, and the others for who loads it.
//!
//! On a machine of two cores a server with a thread per core and its load would take each other's turns: what is measured then is
//! the scheduler. Pinned, every server has the same one core, and the load never takes it.

use crate::run::{command, output};
use anyhow::{Context, Result};

/// While this lives, what is started runs on the cores last chosen. Children inherit the cores of who starts them.
pub struct Pinned {
    all: String,
}

impl Pinned {
    /// Begins with the server's core. On a machine with a single core nothing is pinned.
    pub fn server() -> Result<Pinned> {
        let pinned = Pinned { all: format!("0-{}", cores() - 1) };
        pinned.run_on("0")?;
        Ok(pinned)
    }

    /// From now on what is started, and this process, runs beside the server.
    pub fn load(&self) -> Result<()> {
        self.run_on(&format!("1-{}", (cores() - 1).max(1)))
    }

    fn run_on(&self, list: &str) -> Result<()> {
        if cores() > 1 {
            let own = std::process::id().to_string();
            output(command("taskset").args(["--cpu-list", "--pid", list, &own])).context("pinning")?;
        }
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // What is measured next says itself on which cores.
        let _ = self.run_on(&self.all);
    }
}

/// How many cores the machine has, whichever of them this process may use now.
fn cores() -> usize {
    let online = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    online.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count().max(1)
}
