//! What verbs that ask registries have in common: which registry, who one is there, and what is shown of an image.

use crate::cmd::secret::value;
use crate::fail::Failure;
use crate::text::bad_argument;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use umbel_artifact::oci::{Client, Credentials, Described, Found, Keychain, Kind, Platform, Settings};
use umbel_core::Problem;
use umbel_core::code::artifact;
use umbel_core::reference::{Image, Location, Reference};

/// How a registry is asked from here.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Access {
    /// Ask the registry over plain HTTP
    #[arg(long)]
    insecure: bool,
    /// A file with certificates of authorities that it is trusted by, PEM; may be given several times
    #[arg(long, value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// Who to be there, with `--password-stdin`; else OCI_REGISTRY, _USER and _PASSWORD, or docker's config.json
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    user: Option<String>,
    /// Read the password from standard input, or ask for it
    #[arg(long, requires = "user")]
    password_stdin: bool,
}

impl Access {
    /// A client for the image's registry, and who one is there.
    pub(crate) fn open(
        &self,
        image: &Image,
        platform: Option<Platform>,
        note: impl FnOnce(&Problem),
    ) -> Result<(Client, Option<Credentials>), Failure> {
        let registry = image.registry.clone().unwrap_or_default().to_ascii_lowercase();
        let insecure = if self.insecure { BTreeSet::from([registry]) } else { BTreeSet::new() };
        let platform = platform.unwrap_or_default();
        let settings = Settings { insecure, ca_files: self.ca.clone(), platform, ..Settings::default() };
        let client = Client::new(settings).map_err(Problem::from)?;
        let credentials = match &self.user {
            Some(user) => {
                let password = value::from_stdin("the registry's password")?;
                let password = std::str::from_utf8(&password)
                    .map_err(|_| bad_argument("the password on standard input is not UTF-8"))?;
                Some(Credentials::basic(user, password))
            }
            None => known(None, note)?.find(image).cloned(),
        };
        Ok((client, credentials))
    }
}

/// What is known of credentials: docker's, then those of the environment, then those of the file; the later ones go before. Docker's
/// are of another program: what is wrong with them is noted.
pub(crate) fn known(file: Option<&Path>, note: impl FnOnce(&Problem)) -> Result<Keychain, Problem> {
    let mut keychain = Keychain::default();
    if let Some(path) = docker_config().filter(|path| path.is_file()) {
        match Keychain::read(&path) {
            Ok(docker) => keychain.extend(docker),
            Err(error) => note(&error.into()),
        }
    }
    let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let (Some(registry), Some(user), Some(password)) =
        (of("OCI_REGISTRY"), of("OCI_REGISTRY_USER"), of("OCI_REGISTRY_PASSWORD"))
    {
        keychain.insert(&registry, Credentials::basic(user, password));
    }
    if let Some(path) = file {
        keychain.extend(Keychain::read(path)?);
    }
    Ok(keychain)
}

fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    Some(folder.or_else(|| Some(std::env::home_dir()?.join(".docker")))?.join("config.json"))
}

/// The image that was typed.
pub(crate) fn image(typed: &str) -> Result<Image, Problem> {
    match Reference::new(typed).map_err(|error| Problem::from(&error))?.location() {
        Location::Oci(image) => Ok(image.clone()),
        _ => {
            let message = format!("`{typed}` is not an image in a registry");
            Err(Problem::new(artifact::IMAGE_WITHOUT_REGISTRY, message))
        }
    }
}

/// A word about what may be another image tomorrow.
pub(crate) fn note_latest(image: &Image) -> Option<String> {
    let is_latest = image.digest.is_none() && image.tag.as_deref().is_none_or(|tag| tag == "latest");
    is_latest.then(|| {
        format!(
            "note: `{}:latest` is another image whenever somebody pushes one: name a version",
            image.repository
        )
    })
}

/// An image of a registry, as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// With all that may be left out: `HOST/NAME:TAG`.
    pub(crate) image: String,
    /// `component` or `provider`.
    pub(crate) kind: Kind,
    /// Of the manifest.
    pub(crate) manifest: String,
    /// Of the index that it was chosen from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<String>,
    /// What the index has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) platforms: Vec<String>,
    /// Of the artifact.
    pub(crate) digest: String,
    /// Of the artifact.
    pub(crate) media_type: String,
    /// Of the artifact, bytes.
    pub(crate) size: u64,
    /// What is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// What its config says that it exports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) exports: Vec<String>,
    /// What its config says that it imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) imports: Vec<String>,
    /// Where it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
}

impl Shown {
    pub(crate) fn of(found: &Found) -> Shown {
        let Described { kind, layer, annotations, .. } = &found.described;
        let world = found.world.clone().unwrap_or_default();
        Shown {
            image: found.image.clone(),
            kind: *kind,
            manifest: found.manifest.to_string(),
            index: found.index.map(|digest| digest.to_string()),
            platforms: found.platforms.iter().map(ToString::to_string).collect(),
            digest: layer.digest.to_string(),
            media_type: layer.media_type.clone(),
            size: layer.size,
            annotations: annotations.clone(),
            exports: world.exports,
            imports: world.imports,
            file: None,
        }
    }
}

impl umbel_api::document::Document for Shown {
    const TYPE: &'static str = "image/v1";
}

/// One fact on a line.
pub(crate) fn render(shown: &Shown, style: crate::render::Style) -> String {
    let mut facts = super::inspect::Facts::new(style);
    facts.add("image", &shown.image);
    facts.add("kind", if shown.kind == Kind::Component { "component" } else { "provider archive" });
    facts.add("file", shown.file.as_deref().unwrap_or_default());
    facts.add("size", crate::text::bytes(shown.size));
    facts.add("digest", &shown.digest);
    facts.add("media type", &shown.media_type);
    facts.add("manifest", &shown.manifest);
    facts.add("index", shown.index.as_deref().unwrap_or_default());
    facts.list("platforms", &shown.platforms);
    let annotations: Vec<String> =
        shown.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect();
    facts.list("annotations", &annotations);
    facts.list("exports", &shown.exports);
    facts.list("imports", &shown.imports);
    facts.text()
}
