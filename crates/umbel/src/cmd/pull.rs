//! `umbel pull`: from a registry into a file. No platform is needed.

use crate::cmd::registry::{self, Access, Shown};
use crate::context::{Context, absolute};
use crate::fail::Failure;
use std::path::{Path, PathBuf};
use umbel_artifact::oci::{Kind, Platform};
use umbel_artifact::{ARTIFACT_BYTES_MAX, Incoming};
use umbel_core::Problem;
use umbel_core::code::api;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel pull ghcr.io/team/hello:1.0                     into ./hello.wasm
  umbel pull ghcr.io/team/acme-kv:0.1 --file kv.par.gz  a provider archive, into a file of another name
  umbel pull localhost:5000/hello:1.0 --insecure        from a registry without TLS")]
pub(crate) struct Args {
    /// The image: HOST/NAME:TAG or HOST/NAME@sha256:…
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The file to write; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which image of an index, if it is not for this machine: OS/ARCHITECTURE
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    #[command(flatten)]
    access: Access,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let image = registry::image(&args.image)?;
    if let Some(note) = registry::note_latest(&image) {
        context.progress.note(&note);
    }
    let note = |problem: &Problem| context.progress.note(&format!("note: {problem}"));
    let (client, credentials) = args.access.open(&image, args.platform, note)?;
    let finding = client.find(&image, credentials.as_ref());
    let found = context.progress.spin("asking the registry", finding).await.map_err(Problem::from)?;
    let path = match &args.file {
        Some(path) => absolute(path)?,
        None => free(&absolute(Path::new(&default_name(image.name(), found.described.kind)))?)?,
    };
    let incoming = Incoming::beside(&path, ARTIFACT_BYTES_MAX).map_err(Problem::from)?;
    let layer = &found.described.layer;
    let fetching = client.fetch(&image, credentials.as_ref(), &layer.digest, Some(layer.size), incoming);
    let incoming = context.progress.spin("pulling", fetching).await.map_err(Problem::from)?;
    incoming.name(&path).map_err(Problem::from)?;
    let shown = Shown { file: Some(path.display().to_string()), ..Shown::of(&found) };
    context.show(&shown, registry::render, |shown| shown.file.clone().into_iter().collect())
}

fn default_name(name: &str, kind: Kind) -> String {
    format!("{name}{}", if kind == Kind::Component { ".wasm" } else { ".par.gz" })
}

/// A name that nobody typed replaces nothing.
fn free(path: &Path) -> Result<PathBuf, Problem> {
    if !path.exists() {
        return Ok(path.to_path_buf());
    }
    let file = crate::text::shell_word(&path.display().to_string());
    let message = format!("`{}` is there already", path.display());
    Err(Problem::new(api::BAD_REQUEST, message).with_help(format!("`--file {file}` replaces it")))
}
