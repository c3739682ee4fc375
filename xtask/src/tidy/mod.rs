//! The rules of the house that no compiler checks. Each rule is a function from what it reads to findings; each has a test that breaks it.

mod house;
mod layout;
mod metadata;
mod owners;
mod sizes;
mod text;

use crate::{fixtures, run};
use anyhow::{Result, bail};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One broken rule, printed the way compilers do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    pub line: usize,
    pub message: String,
}

impl Finding {
    pub fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Finding {
        Finding { file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

pub fn main(options: &[String]) -> Result<()> {
    let mut with_cargo = true;
    for option in options {
        match option.as_str() {
            "--fast" => with_cargo = false,
            _ => bail!("there is no option `{option}`"),
        }
    }
    let root = run::root();
    if with_cargo {
        run::step("format", run::command("cargo").args(["fmt", "--all", "--check"]).current_dir(&root))?;
    }
    let findings = check(&root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} of the rules in STYLE.md are broken", findings.len());
    }
    if with_cargo {
        let mut clippy = run::command("cargo");
        clippy.args([
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--keep-going",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]);
        run::step("clippy", clippy.current_dir(&root))?;
    }
    eprintln!("tidy");
    Ok(())
}

/// Everything that is wrong, sorted by place.
fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = metadata::read(root)?;
    let sources = sources(root)?;
    let allowed = fs::read_to_string(root.join(sizes::ALLOWED))?;

    let mut findings = house::check(&metadata);
    findings.extend(owners::check(&fs::read_to_string(root.join(owners::PATH))?, &metadata)?);
    findings.extend(sizes::check(&sources, &allowed));
    findings.extend(layout::check(&sources));
    findings.extend(text::check(root, &sources));
    findings.extend(fixtures::check(root)?.into_iter().map(|problem| {
        let (file, message) = problem.split_once(": ").unwrap_or(("guests", &problem));
        Finding::new(file, 0, message)
    }));
    findings.sort();
    Ok(findings)
}

/// A file of the repository.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path from the root.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl Source {
    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Its text, if it is Rust.
    pub fn rust(&self) -> Option<&str> {
        if self.path.ends_with(".rs") { self.text() } else { None }
    }
}

/// What git tracks or would track.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut git = run::command("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let list = run::output(&mut git)?;
    let mut sources = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let file: PathBuf = root.join(path);
        // A file that was deleted and not yet committed is listed, too.
        if file.is_file() {
            sources.push(Source { path: path.to_owned(), bytes: fs::read(&file)? });
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}

#[cfg(test)]
mod tests;
