//! `umbel launch`: from nothing to a URL. Every step is a command of its own, and is printed as that.

use super::deploy::{Manifest, in_folder};
use super::up::{HTTP_PORT_DEFAULT, Up, note_other_port, with_free_port};
use super::wait;
use crate::background::{self, Found};
use crate::context::{Context, absolute};
use crate::fail::Failure;
use crate::render::{Style, Tone};
use crate::text::{neutral, parse_duration, shell_word};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_api::client::Client;
use umbel_api::document::{ApplicationStatus, Document, Inspection};
use umbel_core::Problem;
use umbel_core::code::{api, artifact};
use umbel_core::id::AppName;
use umbel_core::reference::{Image, Location, Reference};
use umbel_manifest::Application;

/// The bundled examples: components that answer HTTP. `cargo xtask fixtures` builds them from `guests/`.
const BUNDLED: &[(&str, &[u8])] = &[("hello", include_bytes!("../../assets/hello.wasm"))];
/// What is launched when nothing is named.
const BUNDLED_DEFAULT: &str = "hello";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  umbel launch                      the bundled hello
  umbel launch ./hello.wasm         a component file
  umbel launch ./shop               a folder with umbel.yaml or wadm.yaml
  umbel launch app.yaml             a manifest
  umbel launch a.wasm --name shop   under another name
  umbel launch ghcr.io/team/app:1   a component in a registry")]
pub(crate) struct Args {
    /// A component file, a manifest, a folder with umbel.yaml or wadm.yaml, an image in a registry, or a bundled example (hello)
    #[arg(value_name = "PATH|NAME", default_value = BUNDLED_DEFAULT)]
    what: PathBuf,
    /// The name of the application that is made of a component file
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The port on which applications answer, if the platform is started [default: 8000]
    #[arg(long, value_name = "PORT", env = "UMBEL_HTTP_PORT", hide_env_values = true)]
    http_port: Option<u16>,
    /// How long to wait for the platform and the application
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

/// What is to be launched.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A manifest.
    Manifest(PathBuf),
    /// A component file, for which a manifest is made.
    Component(PathBuf),
    /// A component in a registry, and the name of its image.
    Image(String, String),
    /// An example that this program carries.
    Bundled(&'static str, &'static [u8]),
}

/// What was launched.
#[derive(Debug, Serialize, Deserialize)]
struct Launched {
    application: String,
    version: String,
    status: String,
    urls: Vec<String>,
    /// The platform's process.
    pid: u32,
    /// Its state folder.
    state: String,
    /// Whether it ran before this command.
    was_running: bool,
}

impl Document for Launched {
    const TYPE: &'static str = "launch/v1";
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    // What cannot be launched is known before anything is started.
    let target = Target::find(&args.what)?;
    let name = args.name.as_ref().map(AppName::new).transpose().map_err(|error| Problem::from(&error))?;
    let found = platform(context, &args).await?;
    let client = context.client()?;
    let manifest = manifest(context, &client, &target, name, args.timeout).await?;
    let (application, version, status) = deploy(context, &client, &manifest, args.timeout).await?;
    let launched = Launched {
        application,
        version,
        status: status.status,
        urls: status.urls,
        pid: found.running.pid,
        state: context.folder.root().display().to_string(),
        was_running: found.was_running,
    };
    context.show(
        &launched,
        |launched, style| render(context, launched, style),
        |launched| vec![launched.application.clone()],
    )
}

async fn platform(context: &Context, args: &Args) -> Result<Found, Failure> {
    let up = Up::with_http_port(args.http_port.unwrap_or(HTTP_PORT_DEFAULT))?;
    let words = match args.http_port {
        None | Some(HTTP_PORT_DEFAULT) => "up --detach".to_string(),
        Some(port) => format!("up --detach --http-port {port}"),
    };
    let command = context.command(&words);
    let starting = background::ensure(context, &up, args.timeout);
    let done = |found: &Found| {
        let verb = if found.was_running { "the platform runs already" } else { "the platform runs" };
        format!("{verb} (pid {})", found.running.pid)
    };
    let started = context.progress.step("starting the platform", Some(&command), starting, done).await;
    let what = shell_word(&args.what.display().to_string());
    let again = |port| context.command(&format!("launch {what} --http-port {port}"));
    let found = started.map_err(|failure| failure.map(|problem| with_free_port(problem, up.http, again)))?;
    note_other_port(context, &found, args.http_port);
    let ours = env!("CARGO_PKG_VERSION");
    if found.running.version != ours {
        let text =
            format!("note: this command is {ours} and the platform {}", neutral(&found.running.version));
        context.progress.note(&text);
    }
    Ok(found)
}

impl Target {
    /// A path that exists is what it is; anything else is the name of an example.
    fn find(what: &Path) -> Result<Target, Failure> {
        let shown = what.display();
        let typed = what.to_string_lossy();
        if let Some(problem) = on_the_network(&typed) {
            return Err(problem.into());
        }
        if let Some(image) = image(&typed) {
            return Ok(Target::Image(typed.into(), image.name().into()));
        }
        let nothing = |why: String| Failure::from(Problem::new(api::NOTHING_TO_LAUNCH, why));
        let is_name =
            what.components().count() == 1 && what.extension().is_none() && !what.as_os_str().is_empty();
        if is_name && let Some((name, bytes)) = BUNDLED.iter().find(|(name, _)| what.as_os_str() == *name) {
            // A folder of that name is reached as `./hello`.
            return Ok(Target::Bundled(name, bytes));
        }
        let metadata = match std::fs::metadata(what) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && is_name => {
                let names: Vec<&str> = BUNDLED.iter().map(|(name, _)| *name).collect();
                let message = format!(
                    "`{shown}` is no file, no folder and none of the bundled examples ({})",
                    names.join(", ")
                );
                let problem = Problem::new(api::NOTHING_TO_LAUNCH, message);
                return Err(crate::names::suggest(problem, &what.to_string_lossy(), names).into());
            }
            Err(error) => {
                let problem = Problem::new(api::FILE_UNREADABLE, format!("`{shown}` cannot be read"));
                return Err(problem.with_cause(error.to_string()).into());
            }
        };
        if metadata.is_dir() {
            return in_folder(what)
                .map(Target::Manifest)
                .ok_or_else(|| nothing(format!("the folder `{shown}` has no umbel.yaml and no wadm.yaml")));
        }
        if !metadata.is_file() {
            return Err(nothing(format!("`{shown}` is neither a file nor a folder")));
        }
        // Whether it is a component is the host's to say: it has a code for everything that a file can be.
        Ok(if is_manifest(what) { Target::Manifest(what.into()) } else { Target::Component(what.into()) })
    }
}

/// Whether the name is that of a manifest.
fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    matches!(extension.as_deref(), Some("yaml" | "yml" | "json"))
}

/// The image that is meant, if it is one that names its registry. What is a file here, is that.
fn image(what: &str) -> Option<Image> {
    let reference = Reference::new(what).ok()?;
    let Location::Oci(image) = reference.location() else { return None };
    let is_said = what.starts_with("oci://");
    let is_here = Path::new(what).exists() || is_manifest(Path::new(what));
    (is_said || (image.registry.is_some() && !is_here)).then(|| image.clone())
}

/// A URL is told as that, and not as a file that is missing.
fn on_the_network(what: &str) -> Option<Problem> {
    if !["http://", "https://"].iter().any(|scheme| what.starts_with(scheme)) {
        return None;
    }
    let file = what.rsplit('/').next().filter(|file| file.ends_with(".wasm")).unwrap_or("component.wasm");
    let fetch = format!("curl -Lo {file} {}` and `umbel launch ./{file}", shell_word(what));
    let message = format!(
        "`{what}` is on the network; files, folders, images in registries and bundled examples can be launched"
    );
    Some(Problem::new(artifact::NO_REGISTRY_CLIENT, message).with_help(format!("fetch it first: `{fetch}`")))
}

/// The manifest of the target; for a component one is made and kept in the state folder, so that it can be read and changed.
async fn manifest(
    context: &Context,
    client: &Client,
    target: &Target,
    name: Option<AppName>,
    patience: Duration,
) -> Result<Manifest, Failure> {
    let (image, name, serves_http) = match target {
        Target::Manifest(path) => {
            if name.is_some() {
                return Err(crate::text::bad_argument(
                    "a manifest names its application itself; `--name` is for component files",
                )
                .into());
            }
            return Manifest::read_file(path);
        }
        Target::Bundled(bundled, bytes) => {
            let name =
                name.map_or_else(|| AppName::new(bundled), Ok).map_err(|error| Problem::from(&error))?;
            (local(&unpack(context, bundled, bytes)?), name, true)
        }
        Target::Component(path) => {
            let path = absolute(path)?;
            let name = name.map_or_else(|| name_of(&path), Ok)?;
            let serves_http = looked_into(context, client, &path.display().to_string(), patience).await?;
            (local(&path), name, serves_http)
        }
        Target::Image(reference, image) => {
            let name = name.map_or_else(|| name_of(Path::new(image)), Ok)?;
            let serves_http = looked_into(context, client, reference, patience).await?;
            (reference.clone(), name, serves_http)
        }
    };
    let text = Application::for_component(&name, &image, serves_http);
    let file = context.folder.root().join("launched").join(format!("{name}.yaml"));
    write(&file, text.as_bytes())?;
    Ok(Manifest::made(text, file.display().to_string()))
}

fn local(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Whether a component serves HTTP. Looking into it compiles it, which takes a while where it was never run before.
async fn looked_into(
    context: &Context,
    client: &Client,
    reference: &str,
    patience: Duration,
) -> Result<bool, Failure> {
    let command = context.command(&format!("inspect {}", shell_word(reference)));
    let looking = async {
        let looked = tokio::time::timeout(patience, client.inspect(reference)).await;
        looked.unwrap_or_else(|_| Err(still_compiling(reference, patience).into()))
    };
    let done = |_: &Inspection| "the component is compiled".to_string();
    let inspection = context.progress.step("compiling the component", Some(&command), looking, done).await?;
    Ok(inspection.exports.iter().any(|export| serves_http(export)))
}

fn still_compiling(file: &str, patience: Duration) -> Problem {
    let message = format!("`{file}` was not compiled within {} s", patience.as_secs());
    Problem::new(api::DEPLOY_TIMEOUT, message)
        .with_help("the platform goes on compiling it; try again, or wait longer with `--timeout`")
}

/// Whether an export is a handler of `wasi:http`: `incoming-handler` in WASI 0.2, `handler` in 0.3.
fn serves_http(export: &str) -> bool {
    let interface = export.split('@').next().unwrap_or(export);
    matches!(interface, "wasi:http/incoming-handler" | "wasi:http/handler")
}

/// The application's name by that of the file: `My_App.wasm` is `my-app`.
fn name_of(path: &Path) -> Result<AppName, Problem> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let cleaned: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    AppName::new(cleaned.trim_matches('-'))
        .map_err(|error| Problem::from(&error).with_help("give the application a name with `--name NAME`"))
}

/// Writes an example where the host can read it. Its digest is in its name, so that one of another version is another file.
fn unpack(context: &Context, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)[..6]);
    let path = context.folder.root().join("launched").join(format!("{name}-{digest}.wasm"));
    if std::fs::metadata(&path).map(|metadata| metadata.len()).ok() != Some(bytes.len() as u64) {
        write(&path, bytes)?;
    }
    Ok(path)
}

/// Writes a file of the state folder, whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let written = || {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        std::fs::rename(&temporary, path)
    };
    written().map_err(|error: std::io::Error| {
        Problem::new(api::STATE_FOLDER, format!("`{}` cannot be written", path.display()))
            .with_cause(error.to_string())
            .into()
    })
}

async fn deploy(
    context: &Context,
    client: &Client,
    manifest: &Manifest,
    timeout: Duration,
) -> Result<(String, String, ApplicationStatus), Failure> {
    let command = context.command(&format!("deploy -f {}", shell_word(manifest.file())));
    let deploying = async {
        let put = manifest.put(client).await?;
        client.deploy(&put.name, Some(&put.version)).await?;
        let status = wait::deployed(context, client, &put.name, timeout).await?;
        Ok::<_, Failure>((put.name, put.version, status))
    };
    let done =
        |(name, version, _): &(String, String, ApplicationStatus)| format!("{name} {version} is deployed");
    context.progress.step("deploying", Some(&command), deploying, done).await
}

fn render(context: &Context, launched: &Launched, style: Style) -> String {
    let name = neutral(&launched.application);
    let mut text = String::new();
    match launched.urls.first() {
        Some(url) => {
            let url = neutral(url);
            text.push_str(&format!("\n{name} answers at {}\n\n", style.paint(Tone::Strong, &url)));
            text.push_str(&format!("  try    curl {url}\n"));
        }
        None => text.push_str(&format!("\n{name} is deployed; it serves no HTTP\n\n")),
    }
    let look =
        [format!("logs {name} -f"), "ps".into(), "tree".into()].map(|words| context.first_command(&words));
    text.push_str(&format!("  look   {}\n", look.join("  ·  ")));
    text.push_str(&format!(
        "  stop   {}  ·  the platform: {}\n",
        context.first_command(&format!("undeploy {name}")),
        context.first_command("down")
    ));
    let platform =
        format!("  The platform is process {}, its state is in {}.", launched.pid, neutral(&launched.state));
    text.push_str(&format!("\n{}\n", style.paint(Tone::Faint, &platform)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn the_end_says_what_can_be_done_now() {
        let mut launched: Launched = golden::input("launch.json");
        golden::check("launch.txt", &render(&golden::context(), &launched, Style::PLAIN));
        launched.urls.clear();
        golden::check("launch-no-url.txt", &render(&golden::context(), &launched, Style::PLAIN));
    }

    #[test]
    fn names_come_from_files() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(
                name_of(Path::new(path)).ok().map(|name| name.to_string()).as_deref(),
                expect,
                "{path}"
            );
        };
        check("/a/hello.wasm", Some("hello"));
        check("/a/My_App.v2.wasm", Some("my-app-v2"));
        check("/a/_.wasm", None);
        check("/", None);
    }

    #[test]
    fn handlers_of_both_wasi_versions_serve() {
        assert!(serves_http("wasi:http/incoming-handler@0.2.3"));
        assert!(serves_http("wasi:http/handler@0.3.0"));
        assert!(!serves_http("wasi:http/outgoing-handler@0.2.3"));
        assert!(!serves_http("wasi:cli/run@0.2.3"));
    }

    #[test]
    fn what_is_named_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("app")).unwrap();
        std::fs::write(at("app/wadm.yaml"), "").unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        std::fs::write(at("x.wasm"), "").unwrap();
        std::fs::write(at("x.yaml"), "").unwrap();
        assert_eq!(Target::find(&at("app")).unwrap(), Target::Manifest(at("app/wadm.yaml")));
        assert_eq!(Target::find(&at("x.yaml")).unwrap(), Target::Manifest(at("x.yaml")));
        assert_eq!(Target::find(&at("x.wasm")).unwrap(), Target::Component(at("x.wasm")));
        assert!(matches!(Target::find(Path::new("hello")).unwrap(), Target::Bundled("hello", _)));
        for image in ["oci://ghcr.io/team/hello:1", "ghcr.io/team/hello:1"] {
            let found = Target::find(Path::new(image)).unwrap();
            assert_eq!(found, Target::Image(image.into(), "hello".into()));
        }
        for (what, code) in [
            (at("empty"), api::NOTHING_TO_LAUNCH),
            (at("missing.wasm"), api::FILE_UNREADABLE),
            ("nothing-of-that-name".into(), api::NOTHING_TO_LAUNCH),
            ("/dev/null".into(), api::NOTHING_TO_LAUNCH),
            ("".into(), api::FILE_UNREADABLE),
            ("https://example.com/hello.wasm".into(), artifact::NO_REGISTRY_CLIENT),
            ("missing/folder".into(), api::FILE_UNREADABLE),
            ("missing.d/app.yaml".into(), api::FILE_UNREADABLE),
        ] {
            assert_eq!(Target::find(&what).unwrap_err().code(), Some(code), "{}", what.display());
        }
    }
}
