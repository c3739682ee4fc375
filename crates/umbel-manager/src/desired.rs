//! What an application wants, compiled from a version of its manifest: ids, names of configs, exact references. Pure.

use crate::store::{Owned, VersionRecord};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use umbel_core::Problem;
use umbel_core::code::manager as code;
use umbel_core::digest::Digest;
use umbel_core::grants::Grants;
use umbel_core::id::AppName;
use umbel_core::limits::{Containment, InstanceMode, Isolation, Limits, RestartMode};
use umbel_core::link::{Link, Values};
use umbel_manifest::{Application, Config, Part, PartKind, Scale, Secret, Source};

/// The annotation with the name of the application.
pub const APPSPEC: &str = "wasmcloud.dev/appspec";
/// The annotation with the word for who manages a part.
pub const MANAGED_BY: &str = "wasmcloud.dev/managed-by";
/// That word for us; wadm's is `wadm`.
pub const MANAGER: &str = "umbel";
/// The annotation with a digest of all that inventory does not show of a part, so that any change of it is seen.
pub const SPEC: &str = "umbel.dev/spec";

/// Annotations by key.
pub type Annotations = BTreeMap<String, String>;

/// What an application wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The application.
    pub name: AppName,
    /// The generation of its record.
    pub generation: u64,
    /// The version; none when it is undeployed.
    pub version: Option<String>,
    /// What is to run.
    pub parts: Vec<DesiredPart>,
    /// The links.
    pub links: Vec<Link>,
    /// The configs that the application makes.
    pub configs: BTreeMap<String, Values>,
    /// What it has made so far.
    pub owned: Owned,
    /// Parts of other applications that are not there, by the part's name here.
    pub missing: Vec<(String, Problem)>,
}

/// One part that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredPart {
    /// Its name in the manifest.
    pub name: String,
    /// Its id on the lattice.
    pub id: String,
    /// Component or provider.
    pub kind: PartKind,
    /// The reference that hosts are given.
    pub reference: String,
    /// The digest that its bytes must have.
    pub digest: Option<String>,
    /// Names of configs and secrets.
    pub config: Vec<String>,
    /// Its budget.
    pub limits: Option<Limits>,
    /// When instances are made.
    pub instance: Option<InstanceMode>,
    /// What of the machine it may use.
    pub grants: Option<Grants>,
    /// When a command is run again.
    pub restart: Option<RestartMode>,
    /// What a builtin provider is kept apart from the host by.
    pub isolation: Option<Isolation>,
    /// What holds a provider that is a process.
    pub containment: Option<Containment>,
    /// How many, and where.
    pub scale: Scale,
    /// What it is annotated with.
    pub annotations: Annotations,
}

impl Desired {
    /// An application that wants nothing: it was undeployed.
    pub fn nothing(name: AppName, generation: u64, owned: Owned) -> Desired {
        Desired {
            name,
            generation,
            version: None,
            parts: Vec::new(),
            links: Vec::new(),
            configs: BTreeMap::new(),
            owned,
            missing: Vec::new(),
        }
    }

    /// What `application`, read from `record`, wants. `shared` finds the id of a part of another application.
    pub fn of(
        application: &Application,
        record: &VersionRecord,
        generation: u64,
        owned: Owned,
        shared: &dyn Fn(&AppName, &Part) -> Option<String>,
    ) -> Desired {
        let mut desired = Desired::nothing(application.name.clone(), generation, owned);
        desired.version = Some(record.version.clone());
        let mut ids: BTreeMap<&str, String> = BTreeMap::new();
        for part in &application.parts {
            desired.take_configs(application, &part.config, &part.secrets);
            match &part.source {
                Source::Image(image) => {
                    ids.insert(&part.name, part.id.clone());
                    desired.parts.push(desired_part(application, part, image, record));
                }
                Source::Shared { application: other, part: name } => match shared(other, part) {
                    Some(id) => drop(ids.insert(&part.name, id)),
                    None => {
                        let message = format!("`{}` is `{name}` of `{other}`, which is not there", part.name);
                        let problem = Problem::new(code::SHARED_PART_MISSING, message);
                        desired.missing.push((part.name.clone(), problem));
                    }
                },
            }
        }
        for part in &application.parts {
            for link in &part.links {
                desired.take_configs(application, &link.source_config, &link.source_secrets);
                desired.take_configs(application, &link.target_config, &link.target_secrets);
                let (Some(source), Some(target)) =
                    (ids.get(part.name.as_str()), ids.get(link.target.as_str()))
                else {
                    continue;
                };
                desired.links.push(Link {
                    source_id: source.clone(),
                    target: target.clone(),
                    name: link.name.clone(),
                    contract: link.contract.clone(),
                    source_config: config_names(application, &link.source_config, &link.source_secrets),
                    target_config: config_names(application, &link.target_config, &link.target_secrets),
                    distance: link.distance,
                });
            }
        }
        desired
    }

    fn take_configs(&mut self, application: &Application, configs: &[Config], secrets: &[Secret]) {
        for config in configs {
            if let Some(properties) = &config.properties {
                self.configs.insert(application.config_name(config), properties.clone());
            }
        }
        for secret in secrets {
            self.configs.insert(application.secret_name(secret), application.secret_values(secret));
        }
    }

    /// The names of all configs that matter to it: wanted now, or made before.
    pub fn config_names(&self) -> impl Iterator<Item = &String> {
        let made = self.owned.configs.iter().filter(|name| !self.configs.contains_key(*name));
        self.configs.keys().chain(made)
    }
}

fn config_names(application: &Application, configs: &[Config], secrets: &[Secret]) -> Vec<String> {
    let configs = configs.iter().map(|config| application.config_name(config));
    configs.chain(secrets.iter().map(|secret| application.secret_name(secret))).collect()
}

/// What is granted, with folders that are relative beside the manifest.
fn grants(part: &Part, file: &str) -> Option<Grants> {
    let mut grants = part.grants.clone()?;
    if let Some(base) = Path::new(file).parent().filter(|folder| folder.is_absolute()) {
        for folder in &mut grants.folders {
            let path: PathBuf =
                Path::new(&folder.path).components().filter(|c| *c != Component::CurDir).collect();
            folder.path = base.join(path).display().to_string();
        }
    }
    Some(grants)
}

fn desired_part(application: &Application, part: &Part, image: &str, record: &VersionRecord) -> DesiredPart {
    let pin = record.pins.get(image);
    let reference = pin.map_or(image, |pin| &pin.reference).to_owned();
    let digest = pin.and_then(|pin| pin.digest.clone());
    let config = config_names(application, &part.config, &part.secrets);
    let grants = grants(part, &record.file);
    let mut spec = serde_json::json!([reference, digest, config, part.limits, part.instance]);
    // Only where there are any, so that what runs since before they existed is still as it is wanted.
    if let (Some(fields), true) = (spec.as_array_mut(), grants.is_some() || part.restart.is_some()) {
        fields.push(serde_json::json!([grants, part.restart]));
    }
    if let (Some(fields), Some(isolation)) = (spec.as_array_mut(), part.isolation) {
        fields.push(serde_json::json!({ "isolation": isolation }));
    }
    if let (Some(fields), Some(containment)) = (spec.as_array_mut(), part.containment) {
        fields.push(serde_json::json!({ "containment": containment }));
    }
    let spec = Digest::of(spec.to_string().as_bytes()).hex();
    let annotations = Annotations::from([
        (APPSPEC.to_owned(), application.name.to_string()),
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (SPEC.to_owned(), spec[..16].to_owned()),
    ]);
    DesiredPart {
        name: part.name.clone(),
        id: part.id.clone(),
        kind: part.kind,
        reference,
        digest,
        config,
        limits: part.limits.clone(),
        instance: part.instance,
        grants,
        restart: part.restart,
        isolation: part.isolation,
        containment: part.containment,
        scale: part.scale.clone(),
        annotations,
    }
}

/// Whether the annotations say that the application's manager started it.
pub fn is_ours(annotations: Option<&Annotations>, name: &AppName) -> bool {
    let Some(annotations) = annotations else { return false };
    annotations.get(APPSPEC).is_some_and(|app| app == name.as_str())
        && annotations.get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}
