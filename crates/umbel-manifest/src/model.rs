//! What a manifest says, typed. Defaults are filled in; names of parts are resolved to ids of the lattice.

use std::collections::BTreeMap;
use umbel_core::digest::Digest;
use umbel_core::grants::Grants;
use umbel_core::id::{AppName, application_part_id};
use umbel_core::limits::{Containment, InstanceMode, Isolation, Limits, RestartMode};
use umbel_core::link::{Contract, Distance, Values};

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "core.oam.dev/v1beta1";
/// The only `kind` there is.
pub const KIND: &str = "Application";
/// The annotation that names the version of a manifest.
pub const VERSION_ANNOTATION: &str = "version";
/// The annotation that describes an application.
pub const DESCRIPTION_ANNOTATION: &str = "description";
/// The annotation that lets other applications use this one's parts.
pub const SHARED_ANNOTATION: &str = "experimental.wasmcloud.dev/shared";
/// The weight of a spread that does not say one, as in wadm.
pub const DEFAULT_WEIGHT: u32 = 100;

/// Hexadecimal digits of the digest in a config's name: it tells a handful of versions apart, and stays readable.
const TAG_DIGITS: usize = 8;

/// An application: parts, and the links between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// Its name, unique on the lattice.
    pub name: AppName,
    /// Free text by key; some keys mean something, such as [`VERSION_ANNOTATION`].
    pub annotations: BTreeMap<String, String>,
    /// Free text by key; nothing here reads it.
    pub labels: BTreeMap<String, String>,
    /// Components and providers, in the order of the text.
    pub parts: Vec<Part>,
    /// Policies, accepted as wadm has them; secrets name one as their backend.
    pub policies: Vec<Policy>,
}

impl Application {
    /// The version that the manifest names itself.
    pub fn version(&self) -> Option<&str> {
        self.annotations.get(VERSION_ANNOTATION).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The description.
    pub fn description(&self) -> Option<&str> {
        self.annotations.get(DESCRIPTION_ANNOTATION).map(String::as_str)
    }

    /// Whether other applications may name its parts.
    pub fn is_shared(&self) -> bool {
        self.annotations.get(SHARED_ANNOTATION).is_some_and(|v| v == "true")
    }

    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }

    /// The name under which a config of this application is on the lattice: one with properties belongs to the
    /// application, one without refers to a config that exists already (wadm's rule). Ours ends with the beginning of a digest
    /// of the values: each version names its own, and none reaches what runs of another version.
    pub fn config_name(&self, config: &Config) -> String {
        match &config.properties {
            Some(values) => format!("{}-{}", application_part_id(&self.name, &config.name), tag(values)),
            None => config.name.clone(),
        }
    }

    /// The name of the config entry that holds a secret's reference, never its value: wadm's, with a digest as in
    /// [`Application::config_name`].
    pub fn secret_name(&self, secret: &Secret) -> String {
        let values = self.secret_values(secret);
        format!("SECRET_{}-{}", application_part_id(&self.name, &secret.name), tag(&values))
    }

    /// What the entry of [`Application::secret_name`] holds: where to fetch the secret, by the policy that it names. The
    /// keys are those of wasmCloud 1.x's `SecretConfig` (`facts/wasmcloud.md` §4.8).
    pub fn secret_values(&self, secret: &Secret) -> Values {
        let policy = self.policy(&secret.policy);
        let backend = policy.and_then(|p| p.properties.get("backend")).cloned().unwrap_or_default();
        let mut values = Values::from([
            ("name".to_owned(), secret.name.clone()),
            ("type".to_owned(), "secret.wasmcloud.dev/v1alpha1".to_owned()),
            ("backend".to_owned(), backend),
            ("key".to_owned(), secret.key.clone()),
            ("policy".to_owned(), secret.policy.clone()),
            // Ours: whose secret it is, wherever it is given to.
            ("application".to_owned(), self.name.to_string()),
        ]);
        for (key, value) in [("field", &secret.field), ("version", &secret.version)] {
            if let Some(value) = value {
                values.insert(key.to_owned(), value.clone());
            }
        }
        values
    }
}

/// The beginning of a digest of the values.
fn tag(values: &Values) -> String {
    let mut hex = Digest::of(serde_json::json!(values).to_string().as_bytes()).hex();
    hex.truncate(TAG_DIGITS);
    hex
}

/// One component or provider of an application.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name within the application.
    pub name: String,
    /// Its id on the lattice: the manifest's `id`, or made of the application's and its own name. A part of another
    /// application has the id that wadm's rule gives it there.
    pub id: String,
    /// Whether the manifest says the id.
    pub id_is_explicit: bool,
    /// Component or provider.
    pub kind: PartKind,
    /// Where it comes from.
    pub source: Source,
    /// Its configs, the later wins.
    pub config: Vec<Config>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// Its budget, if the manifest says one; fields that it leaves out have the default. Of providers, those that are components have one.
    pub limits: Option<Limits>,
    /// When instances are made, if the manifest says it.
    pub instance: Option<InstanceMode>,
    /// What of the machine it may use, if the manifest grants anything.
    pub grants: Option<Grants>,
    /// When a command is run again, if the manifest says it.
    pub restart: Option<RestartMode>,
    /// What a builtin provider is kept apart from the host by, if the manifest says it.
    pub isolation: Option<Isolation>,
    /// What holds a provider that is a process, if the manifest says anything of it.
    pub containment: Option<Containment>,
    /// How many of it, and where.
    pub scale: Scale,
    /// Links of which this part is the source.
    pub links: Vec<Link>,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// `type: component` (`actor` in older manifests).
    Component,
    /// `type: capability`.
    Provider,
}

impl PartKind {
    /// The word of the manifest.
    pub const fn word(self) -> &'static str {
        match self {
            PartKind::Component => "component",
            PartKind::Provider => "capability",
        }
    }
}

/// Where a part comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An image reference, exactly as written: a path, `file://…`, an OCI reference, `builtin:NAME`.
    Image(String),
    /// A part of another application, which that application runs.
    Shared {
        /// The other application.
        application: AppName,
        /// Its part.
        part: String,
    },
}

/// A config: its own values, or the name of one that exists already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// Its values; `None` refers to a config of exactly that name on the lattice.
    pub properties: Option<Values>,
}

/// A reference to a secret. The value never is in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name under which the part asks for it.
    pub name: String,
    /// The policy that says which store has it.
    pub policy: String,
    /// Its key in that store.
    pub key: String,
    /// The field of a secret that has several.
    pub field: Option<String>,
    /// The version to read.
    pub version: Option<String>,
}

/// A policy, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Its values.
    pub properties: Values,
}

/// How many instances, on which hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// No scaler: on one host. A component then has as many instances as its limits allow, a provider one.
    Single,
    /// `spreadscaler`: so many instances in all, divided over hosts by label and weight.
    Spread {
        /// Instances in all.
        instances: u32,
        /// Where; empty is anywhere.
        spread: Vec<Spread>,
    },
    /// `daemonscaler`: so many instances on every host that matches.
    Daemon {
        /// Instances per host.
        instances: u32,
        /// Which hosts; empty is all.
        spread: Vec<Spread>,
    },
}

/// One rule of a scaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// Its share of the instances, against the other rules.
    pub weight: u32,
    /// Labels that a host must have.
    pub requirements: BTreeMap<String, String>,
}

/// A link of a part to another part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name among the links of the source with the same contract.
    pub name: String,
    /// The target part's name.
    pub target: String,
    /// What it carries.
    pub contract: Contract,
    /// Configs for the source's side.
    pub source_config: Vec<Config>,
    /// Secrets for the source's side.
    pub source_secrets: Vec<Secret>,
    /// Configs for the target's side.
    pub target_config: Vec<Config>,
    /// Secrets for the target's side.
    pub target_secrets: Vec<Secret>,
    /// How far the target may be.
    pub distance: Distance,
}
