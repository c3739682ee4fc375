//! The figures of SPECIFICATION.md, measured: peers beside ours, in rounds that take turns, medians of them.
//!
//! What is compared is a ratio within one run, because a machine differs from the next and from itself an hour later.
//!
//! ```text
//! peers ── hyper (static answer), wasmtime serve ─┐
//!                                                 ├─ rounds of wrk ─▶ CPU per request ─▶ ratios ─▶ report
//! umbel ── one host, an application per row ──────┘
//! ```

mod cpu;
mod figures;
pub use figures::neighbours::{NOISE_TASK, make_noise};
mod peers;
mod pin;
mod process;
mod report;
mod wrk;

use crate::run;
use anyhow::{Context, Result, bail};
use report::Report;
use std::path::PathBuf;

/// Which figures there are, in the order in which they are measured.
const FIGURES: &[(&str, Figure)] = &[
    ("binary", figures::binary::measure),
    ("cpu", figures::cpu::measure),
    ("latency", figures::latency::measure),
    ("neighbours", figures::neighbours::measure),
    ("launch", figures::launch::measure),
    ("scale", figures::scale::measure),
    ("update", figures::update::measure),
    ("calls", figures::calls::measure),
    ("relink", figures::relink::measure),
    ("swap", figures::swap::measure),
    ("many", figures::many::measure),
    ("lattice", figures::lattice::measure),
];

type Figure = fn(&Bench, &mut Report) -> Result<()>;

/// What a measurement is given.
pub struct Bench {
    /// The program under test.
    pub umbel: PathBuf,
    /// Rounds of which the median counts.
    pub rounds: usize,
    /// Length of one load in a round, in seconds.
    pub seconds: u32,
    /// Requests of the update figure.
    pub requests: u64,
}

pub fn main(options: &[String]) -> Result<()> {
    let mut bench = Bench { umbel: PathBuf::new(), rounds: 3, seconds: 4, requests: 100_000 };
    let mut profile = "dist".to_owned();
    let mut wanted = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().with_context(|| format!("{option} needs a value"));
        match option.as_str() {
            "--rounds" => bench.rounds = value()?.parse()?,
            "--seconds" => bench.seconds = value()?.parse()?,
            "--requests" => bench.requests = value()?.parse()?,
            "--profile" => profile = value()?.clone(),
            "--umbel" => bench.umbel = value()?.into(),
            "--peers" => peers::install()?,
            name if FIGURES.iter().any(|(figure, _)| *figure == name) => wanted.push(name.to_owned()),
            _ => bail!("there is neither a figure nor an option `{option}`"),
        }
    }
    if bench.umbel.as_os_str().is_empty() {
        bench.umbel = build(&profile)?;
    }
    let mut report = Report::default();
    report.state("machine", machine());
    for (name, measure) in FIGURES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("==> {name}");
            // A figure that cannot be measured does not hide the others.
            if let Err(error) = measure(&bench, &mut report) {
                report.failure(name, &format!("{error:#}"));
            }
        }
    }
    print!("{}", report.markdown());
    let json = target_folder().join("bench.json");
    std::fs::write(&json, report.json()?).with_context(|| json.display().to_string())?;
    eprintln!("also in {}", json.display());
    if report.missed() > 0 {
        bail!("{} figures are not reached", report.missed());
    }
    Ok(())
}

fn build(profile: &str) -> Result<PathBuf> {
    let mut cargo = run::command("cargo");
    cargo.args(["build", "--profile", profile, "--package", "umbel"]).current_dir(run::root());
    run::step(&format!("build umbel ({profile})"), &mut cargo)?;
    Ok(target_folder().join(profile).join("umbel"))
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), PathBuf::from)
}

/// Where this was measured, and how busy it was before: other work on the machine makes every figure worthless.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} × {}, load {load} at the start", model.trim_start_matches([' ', '\t', ':']))
}

/// The middle of some measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests;
