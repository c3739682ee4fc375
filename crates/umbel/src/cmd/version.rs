//! `umbel version`: of this command, and of the platform if one runs.

use crate::context::Context;
use crate::fail::Failure;
use serde::{Deserialize, Serialize};
use umbel_api::document::{self, Document};
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel version
  umbel version -o json")]
pub(crate) struct Args {}

/// Both versions.
#[derive(Debug, Serialize, Deserialize)]
struct Versions {
    /// Of this command.
    command: String,
    /// Of the platform that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<document::Version>,
}

impl Document for Versions {
    const TYPE: &'static str = "versions/v1";
}

pub(crate) async fn run(context: &Context, _: Args) -> Result<(), Failure> {
    let platform = match context.client()?.version().await {
        Ok(version) => Some(version),
        Err(problems) if problems.first.code == api::NOT_RUNNING => None,
        Err(problems) => return Err(problems.into()),
    };
    let versions = Versions { command: env!("CARGO_PKG_VERSION").into(), platform };
    context.show(
        &versions,
        |versions, _| {
            let platform = match &versions.platform {
                Some(platform) => format!("{} ({}, {})", platform.version, platform.os, platform.arch),
                None => "not running".into(),
            };
            format!("umbel     {}\nplatform  {platform}\n", versions.command)
        },
        |versions| vec![versions.command.clone()],
    )
}
