//! `umbel push`: from a file into a registry, as `wash push` does. No platform is needed.

use crate::cmd::registry::{self, Access};
use crate::context::Context;
use crate::fail::Failure;
use crate::render::Style;
use crate::text::{self, bad_argument};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use umbel_api::document::Document;
use umbel_artifact::oci::{Kind, Said, World};
use umbel_core::{Clock, Problem, SystemClock};
use umbel_runtime::inspect;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel push ghcr.io/team/hello:1.0 ./hello.wasm
  umbel push ghcr.io/team/acme-kv:0.1 ./acme-kv.par.gz --annotation org.opencontainers.image.licenses=MIT
  umbel push localhost:5000/hello:1.0 ./hello.wasm --insecure")]
pub(crate) struct Args {
    /// The image: HOST/NAME:TAG
    #[arg(value_name = "IMAGE")]
    image: String,
    /// A component or a provider archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What is said of it; may be given several times
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    #[command(flatten)]
    access: Access,
}

/// What was pushed.
#[derive(Debug, Serialize, Deserialize)]
struct Pushed {
    /// `HOST/NAME:TAG`.
    image: String,
    /// The image that means this for ever: `HOST/NAME@sha256:…`.
    pinned: String,
    kind: Kind,
    media_type: String,
    /// Of the artifact.
    digest: String,
    /// Of the artifact, bytes.
    size: u64,
}

impl Document for Pushed {
    const TYPE: &'static str = "image.pushed/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let image = registry::image(&args.image)?;
    if image.digest.is_some() {
        let message = format!("`{}` names a digest, and what is pushed gets its own", args.image);
        return Err(bad_argument(message).into());
    }
    let mut annotations = BTreeMap::new();
    for annotation in &args.annotations {
        let Some((key, value)) = annotation.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(bad_argument(format!("`{}` is not KEY=VALUE", annotation.escape_debug())).into());
        };
        annotations.insert(key.to_string(), value.to_string());
    }
    if let Some(note) = registry::note_latest(&image) {
        context.progress.note(&note);
    }
    let note = |problem: &Problem| context.progress.note(&format!("note: {problem}"));
    let (client, credentials) = args.access.open(&image, None, note)?;
    let said = Said { annotations, world: world(&args.file), unix_time: SystemClock.unix_time() };
    let pushing = client.push(&image, credentials.as_ref(), &args.file, said);
    let pushed = context.progress.spin("pushing", pushing).await.map_err(Problem::from)?;
    let name = pushed.image.rsplit_once(':').map_or(pushed.image.as_str(), |(name, _)| name);
    let shown = Pushed {
        pinned: format!("{name}@{}", pushed.manifest),
        image: pushed.image.clone(),
        kind: pushed.kind,
        media_type: pushed.layer.media_type,
        digest: pushed.layer.digest.to_string(),
        size: pushed.layer.size,
    };
    context.show(&shown, render, |shown| vec![shown.pinned.clone()])
}

/// What the component imports and exports, for whoever looks at the image; what is wrong with the file is told by the push.
fn world(path: &Path) -> Option<World> {
    let (imports, exports) = inspect::names(&std::fs::read(path).ok()?)?;
    Some(World { imports, exports, target: None })
}

fn render(pushed: &Pushed, _: Style) -> String {
    let what = if pushed.kind == Kind::Component { "component" } else { "provider archive" };
    format!(
        "Pushed the {what} ({}) as {}\n  pinned  {}\n",
        text::bytes(pushed.size),
        text::neutral(&pushed.image),
        text::neutral(&pushed.pinned)
    )
}
