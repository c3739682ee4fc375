//! What `cargo metadata` says: packages, and who depends on whom.

use crate::run;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The packages of the workspace and the crates that they are built with.
#[derive(Debug, Default)]
pub struct Metadata {
    /// Packages of the workspace, by name, with their folder from the root.
    pub members: BTreeMap<String, String>,
    /// Direct dependencies that are built into something, by package name: dependent → dependencies.
    pub edges: BTreeMap<String, BTreeSet<String>>,
    /// The same for tests alone.
    pub test_edges: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Raw {
    packages: Vec<RawPackage>,
    workspace_members: Vec<String>,
    workspace_root: String,
    resolve: RawResolve,
}

#[derive(Deserialize)]
struct RawPackage {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct RawResolve {
    nodes: Vec<RawNode>,
}

#[derive(Deserialize)]
struct RawNode {
    id: String,
    deps: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawDependency {
    pkg: String,
    dep_kinds: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    kind: Option<String>,
}

/// Asks cargo.
pub fn read(root: &Path) -> Result<Metadata> {
    let mut cargo = run::command("cargo");
    cargo.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let json = run::output(cargo.current_dir(root))?;
    parse(&json)
}

fn parse(json: &str) -> Result<Metadata> {
    let raw: Raw = serde_json::from_str(json).context("cargo metadata")?;
    let names: BTreeMap<&str, &str> = raw.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let mut metadata = Metadata::default();
    for package in raw.packages.iter().filter(|package| raw.workspace_members.contains(&package.id)) {
        let manifest =
            package.manifest_path.strip_prefix(&raw.workspace_root).unwrap_or(&package.manifest_path);
        let folder = manifest.trim_start_matches('/').trim_end_matches("/Cargo.toml");
        metadata.members.insert(package.name.clone(), folder.to_owned());
    }
    for node in &raw.resolve.nodes {
        let from = names[node.id.as_str()].to_owned();
        for dependency in &node.deps {
            let to = names[dependency.pkg.as_str()].to_owned();
            let built = dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            let edges = if built { &mut metadata.edges } else { &mut metadata.test_edges };
            edges.entry(from.clone()).or_default().insert(to);
        }
    }
    Ok(metadata)
}
