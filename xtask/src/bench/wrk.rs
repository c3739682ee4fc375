//! Load as fast as it goes: `wrk -t1 -c32`.

use crate::run::{command, has, output};
use anyhow::{Context, Result, bail};

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    pub requests: f64,
    pub per_second: f64,
}

pub fn run(port: u16, host: &str, seconds: u32) -> Result<Counted> {
    if !has("wrk") {
        bail!("wrk is not installed; `apt-get install wrk`");
    }
    let mut wrk = command("wrk");
    wrk.args(["-t1", "-c32", &format!("-d{seconds}"), "-H", &format!("Host: {host}")]);
    let text = output(wrk.arg(format!("http://127.0.0.1:{port}/")))?;
    parse(&text).with_context(|| format!("wrk printed\n{text}"))
}

/// Reads wrk's output. An answer that is no success makes every figure worthless.
pub fn parse(text: &str) -> Result<Counted> {
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        bail!("not every request succeeded: {}", line.trim());
    }
    let requests =
        text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no requests")?.0;
    let per_second = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("no rate")?;
    Ok(Counted { requests: requests.parse()?, per_second: per_second.trim().parse()? })
}
