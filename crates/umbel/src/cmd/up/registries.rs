//! What `umbel up` is told of registries.

use crate::cmd::registry::known;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use umbel_artifact::oci::Settings;
use umbel_core::Problem;
use umbel_core::code::artifact;
use umbel_host::registries::Config;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct Args {
    /// A registry that is asked over plain HTTP, HOST or HOST:PORT; may be given several times
    #[arg(
        long = "insecure-registry",
        value_name = "HOST",
        env = "WASMCLOUD_OCI_ALLOWED_INSECURE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    insecure: Vec<String>,
    /// A file with certificates of authorities that registries are trusted by, PEM; may be given several times
    #[arg(long = "registry-ca", value_name = "FILE")]
    ca: Vec<PathBuf>,
    /// A file with credentials of registries: {"HOST": {"username", "password"}}, or docker's config.json
    #[arg(long = "registry-credentials", value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Ask the lattice for credentials of registries at the start
    #[arg(
        long,
        env = "WASMCLOUD_CONFIG_SERVICE",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    config_service: bool,
}

/// How registries are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registries {
    insecure: BTreeSet<String>,
    ca: Vec<PathBuf>,
    credentials: Option<PathBuf>,
    config_service: bool,
}

impl Registries {
    pub(super) fn new(args: &Args) -> Result<Registries, Problem> {
        Registries::given(&args.insecure, &args.ca, args.credentials.as_ref(), args.config_service)
    }

    /// Of registries that are asked over plain HTTP, files of authorities and a file of credentials.
    pub(crate) fn given(
        insecure: &[String],
        ca: &[PathBuf],
        credentials: Option<&PathBuf>,
        config_service: bool,
    ) -> Result<Registries, Problem> {
        // A platform in the background runs elsewhere.
        let rooted = |path: &PathBuf| {
            std::path::absolute(path).map_err(|error| {
                let message = format!("`{}` is not a path", path.display());
                Problem::new(artifact::REGISTRY_SETTINGS, message).with_cause(error.to_string())
            })
        };
        Ok(Registries {
            insecure: insecure.iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
            ca: ca.iter().map(rooted).collect::<Result<_, _>>()?,
            credentials: credentials.map(rooted).transpose()?,
            config_service,
        })
    }

    /// The arguments that say the same. Credentials of the environment are in that of the other process too.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        for host in &self.insecure {
            add("--insecure-registry", host.into());
        }
        for path in &self.ca {
            add("--registry-ca", path.into());
        }
        if let Some(path) = &self.credentials {
            add("--registry-credentials", path.into());
        }
        if self.config_service {
            arguments.push("--config-service".into());
        }
        arguments
    }

    /// What the host is started with: files and the environment are read now.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        let settings =
            Settings { insecure: self.insecure.clone(), ca_files: self.ca.clone(), ..Settings::default() };
        let note = |problem: &Problem| tracing::warn!(%problem, causes = ?problem.causes, "docker's credentials are not used");
        let credentials = known(self.credentials.as_deref(), note)?;
        Ok(Config { settings, credentials, config_service: self.config_service })
    }
}
