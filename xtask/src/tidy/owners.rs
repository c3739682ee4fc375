//! Each heavy external crate has one owner: the `wrappers` of deny.toml, checked here so that they hold without `cargo-deny`.

use super::Finding;
use super::metadata::Metadata;
use anyhow::{Context, Result};
use serde::Deserialize;

pub const PATH: &str = "deny.toml";

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

pub fn check(deny: &str, metadata: &Metadata) -> Result<Vec<Finding>> {
    let deny_file: Deny = toml::from_str(deny).context(PATH)?;
    let mut findings = Vec::new();
    for ban in &deny_file.bans.deny {
        for (dependent, _) in
            metadata.edges.iter().filter(|(_, dependencies)| dependencies.contains(&ban.name))
        {
            if !ban.wrappers.contains(dependent) {
                let file = match metadata.members.get(dependent) {
                    Some(folder) => format!("{folder}/Cargo.toml"),
                    None => PATH.to_owned(),
                };
                let owners = ban.wrappers.join(", ");
                let message =
                    format!("`{dependent}` may not depend on `{}`; its owners are: {owners}", ban.name);
                findings.push(Finding::new(file, 0, message));
            }
        }
    }
    Ok(findings)
}
