//! `umbel deploy`: an application from its manifest.

use super::wait;
use crate::context::{Context, absolute};
use crate::fail::{Failure, Source};
use crate::names;
use crate::render::{Style, Tone};
use crate::text::{bad_argument, neutral, parse_duration};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_api::client::{Client, ManifestFormat};
use umbel_api::document::{Document, Preview, Put};
use umbel_core::Problem;
use umbel_core::code::{api, manifest};

/// The largest manifest that is read; the API takes as much, and the parser less.
const MANIFEST_BYTES_MAX: u64 = 2 << 20;
/// Manifests that are looked for in a folder, in this order.
pub(super) const MANIFEST_NAMES: [&str; 4] = ["umbel.yaml", "umbel.yml", "wadm.yaml", "wadm.yml"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel deploy                      umbel.yaml or wadm.yaml of this folder
  umbel deploy app/umbel.yaml       the same as -f app/umbel.yaml
  umbel deploy umbel.yaml --dry-run
  umbel deploy hello                the newest version that is kept of an application
  umbel deploy hello --version v2
  cat umbel.yaml | umbel deploy -")]
pub(crate) struct Args {
    /// A manifest (what has a dot or a slash, or - for stdin), or an application whose versions are kept
    #[arg(value_name = "FILE|APP", conflicts_with = "file")]
    what: Option<String>,
    /// The manifest, or - for stdin [default: umbel.yaml or wadm.yaml in this folder]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The version to deploy; the newest when left out
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Only show what would change
    #[arg(long, conflicts_with = "version")]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
}

/// Whether to wait for the application.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Wait {
    /// Wait until it is done (the default)
    #[arg(long, overrides_with = "no_wait")]
    wait: bool,
    /// Return as soon as it is accepted
    #[arg(long)]
    pub(super) no_wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) timeout: Duration,
}

/// What was deployed.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    application: String,
    version: String,
    /// In the words of the API, or `accepted` when it was not waited for.
    status: String,
    urls: Vec<String>,
}

impl Document for Outcome {
    const TYPE: &'static str = "deploy/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.client()?;
    let is_file = args.what.as_deref().is_some_and(is_manifest);
    let (name, version) = match args.what.as_deref().filter(|_| !is_file) {
        Some(typed) if args.dry_run => {
            let help = format!(
                "name its manifest: `umbel deploy FILE --dry-run`; `umbel inspect {typed}` shows what is kept"
            );
            return Err(bad_argument("a dry run compares a manifest with what is deployed")
                .with_help(help)
                .into());
        }
        Some(typed) => (names::exact_application(&client, typed).await?, args.version),
        None => {
            let typed = args.what.map(PathBuf::from).or(args.file);
            let manifest = Manifest::read(typed.as_deref())?;
            if args.dry_run {
                let preview = manifest.preview(&client).await?;
                return context.show(&preview, render_preview, |preview| {
                    preview.changes.iter().map(|change| change.path.clone()).collect()
                });
            }
            let put = manifest.put(&client).await?;
            (put.name, Some(args.version.unwrap_or(put.version)))
        }
    };
    let deployed = client.deploy(&name, version.as_deref()).await?;
    let version = deployed.version.or(version).unwrap_or_default();
    finish(context, &client, &name, version, &args.wait).await
}

/// Whether it can only be a manifest: names of applications have neither dots nor slashes.
fn is_manifest(typed: &str) -> bool {
    typed == "-" || typed.contains(['.', '/'])
}

/// Waits, if that is wanted, and shows how it is.
pub(super) async fn finish(
    context: &Context,
    client: &Client,
    name: &str,
    version: String,
    wait: &Wait,
) -> Result<(), Failure> {
    let mut outcome =
        Outcome { application: name.into(), version, status: "accepted".into(), urls: Vec::new() };
    if !wait.no_wait {
        let waiting = wait::deployed(context, client, name, wait.timeout);
        let status = context.progress.spin(&format!("deploying {name}"), waiting).await?;
        outcome.status = status.status;
        outcome.urls = status.urls;
    }
    context.show(
        &outcome,
        |outcome, style| {
            let status = style.paint(crate::render::tone_of(&outcome.status), &neutral(&outcome.status));
            let mut text =
                format!("{} {}  {status}\n", neutral(&outcome.application), neutral(&outcome.version));
            for url in &outcome.urls {
                text.push_str(&format!("  {}\n", neutral(url)));
            }
            text
        },
        |outcome| vec![outcome.application.clone()],
    )
}

/// A manifest as it was read.
pub(super) struct Manifest {
    /// Its name is an absolute path: images beside the manifest are found by it.
    source: Source,
    format: ManifestFormat,
}

impl Manifest {
    /// Reads the file, `-` for stdin, or the manifest of this folder.
    pub(super) fn read(file: Option<&Path>) -> Result<Manifest, Failure> {
        match file {
            Some(path) if path == Path::new("-") => {
                let bytes =
                    read_limited(std::io::stdin().lock()).map_err(|error| unreadable(path, &error))?;
                // Images beside the manifest are looked for here.
                let file = absolute(Path::new("stdin.yaml"))?.display().to_string();
                Ok(Manifest::new(bytes, file, "stdin"))
            }
            Some(path) => Manifest::read_file(path),
            None => match in_folder(Path::new(".")) {
                Some(path) => Manifest::read_file(&path),
                None => Err(Problem::new(
                    api::FILE_UNREADABLE,
                    "there is no umbel.yaml or wadm.yaml in this folder",
                )
                .with_help("name the manifest: `umbel deploy FILE`, or the application to deploy again")
                .into()),
            },
        }
    }

    /// Reads a file. A FIFO or a device is refused: it could block for ever.
    pub(super) fn read_file(path: &Path) -> Result<Manifest, Failure> {
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() {
            let inside = in_folder(path).map(|file| Manifest::read_file(&file));
            return inside.unwrap_or_else(|| {
                let message = format!("there is no umbel.yaml or wadm.yaml in `{}`", path.display());
                Err(Problem::new(api::FILE_UNREADABLE, message).with_help("name the manifest itself").into())
            });
        }
        if !metadata.is_file() {
            let problem = Problem::new(api::FILE_UNREADABLE, format!("`{}` is not a file", path.display()));
            return Err(problem.into());
        }
        let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
        let bytes = read_limited(file).map_err(|error| unreadable(path, &error))?;
        let full = absolute(path)?.display().to_string();
        Ok(Manifest::new(bytes, full, &path.display().to_string()))
    }

    fn new(bytes: Vec<u8>, file: String, shown: &str) -> Manifest {
        // What is not text is sent as it is; the parser says where it is not.
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let format = ManifestFormat::of(shown);
        Manifest { source: Source { file, shown: shown.into(), text }, format }
    }

    /// A manifest that was just made.
    pub(super) fn made(text: String, file: String) -> Manifest {
        Manifest { source: Source { shown: file.clone(), file, text }, format: ManifestFormat::Yaml }
    }

    /// Its absolute path.
    pub(super) fn file(&self) -> &str {
        &self.source.file
    }

    pub(super) async fn put(&self, client: &Client) -> Result<Put, Failure> {
        let sent =
            client.put_application(self.source.text.clone().into(), self.format, &self.source.file).await;
        sent.map_err(|problems| Failure::from(problems).in_source(self.source.clone()))
    }

    async fn preview(&self, client: &Client) -> Result<Preview, Failure> {
        let sent =
            client.preview_application(self.source.text.clone().into(), self.format, &self.source.file).await;
        sent.map_err(|problems| Failure::from(problems).in_source(self.source.clone()))
    }
}

/// The manifest of a folder.
pub(super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    MANIFEST_NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn read_limited(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it has more than 2 MiB"));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        let message = format!("`{}` has more than 2 MiB", path.display());
        return Problem::new(manifest::TOO_LARGE, message).into();
    }
    Problem::new(api::FILE_UNREADABLE, format!("`{}` cannot be read", path.display()))
        .with_cause(error.to_string())
        .into()
}

fn render_preview(preview: &Preview, style: Style) -> String {
    let against = match &preview.against {
        Some(version) => format!("compared with version {}", neutral(version)),
        None => "a new application".into(),
    };
    let mut text = format!("{}: {against}\n", neutral(&preview.name));
    if preview.changes.is_empty() {
        text.push_str("  nothing would change\n");
    }
    for undone in &preview.undone {
        text.push_str(&format!("  {} {}\n", style.paint(Tone::Busy, "undoes:"), neutral(undone)));
    }
    let shown = |value: &serde_json::Value| neutral(&crate::text::json_line(value));
    for change in &preview.changes {
        let path = if change.path.is_empty() { "everything" } else { &change.path };
        text.push_str(&format!("  {}\n", style.paint(Tone::Strong, &neutral(path))));
        if let Some(old) = &change.old {
            text.push_str(&format!("    {}\n", style.paint(Tone::Bad, &format!("- {}", shown(old)))));
        }
        if let Some(new) = &change.new {
            text.push_str(&format!("    {}\n", style.paint(Tone::Good, &format!("+ {}", shown(new)))));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn a_preview_shows_what_would_change() {
        golden::check(
            "deploy-dry-run.txt",
            &render_preview(&golden::input("deploy-dry-run.json"), Style::PLAIN),
        );
    }

    #[test]
    fn what_has_a_dot_or_a_slash_is_a_manifest() {
        for typed in ["umbel.yaml", "./app", "app/", "-", "../x"] {
            assert!(is_manifest(typed), "{typed}");
        }
        for typed in ["hello", "hello-2", "umbel"] {
            assert!(!is_manifest(typed), "{typed}");
        }
    }

    #[test]
    fn only_files_of_some_size_are_manifests() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("umbel.yaml");
        std::fs::File::create(&large).unwrap().set_len(100 << 20).unwrap();
        let code = |path: &Path| Manifest::read_file(path).err().and_then(|failure| failure.code());
        assert_eq!(code(&large), Some(manifest::TOO_LARGE));
        assert_eq!(code(dir.path()), Some(manifest::TOO_LARGE), "the manifest of a folder is meant");
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        for path in [&*dir.path().join("empty"), Path::new("/dev/zero"), &dir.path().join("missing.yaml")] {
            assert_eq!(code(path), Some(api::FILE_UNREADABLE), "{}", path.display());
        }
        assert_eq!(in_folder(dir.path()), Some(large));
    }
}
