//! The binary: one file, its size, and what it needs of the system.

use crate::bench::Bench;
use crate::bench::report::Report;
use crate::run::{command, output};
use anyhow::Result;

/// What a program may need of the system: libc, and what belongs to it.
const OF_LIBC: &[&str] =
    &["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux", "linux-vdso"];

pub fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let bytes = std::fs::metadata(&bench.umbel)?.len();
    report.state("size of the binary", format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    // ldd fails for a static program, which is what we say then.
    let libraries = output(command("ldd").arg(&bench.umbel)).unwrap_or_default();
    let others = libraries.lines().filter(|line| !OF_LIBC.iter().any(|name| line.contains(name))).count();
    report.at_most("libraries that the binary needs beside libc", others as f64, 0.0, "");
    Ok(())
}
