//! Compares the parts of an application with one another.

use crate::fields::nearest;
use crate::model::{Config, Secret};
use crate::part::{Named, ReadPart};
use crate::report::{Report, shown};
use std::collections::{HashMap, HashSet};
use umbel_core::code::manifest;
use umbel_core::id::{AppName, application_part_id};

/// Names and ids are unique, links have targets, configs of one name agree.
///
/// `declared` are the names of all parts, also of those that could not be read: a link to one of them is not wrong.
pub(crate) fn parts(app: &AppName, parts: &[ReadPart], declared: &[&str], report: &mut Report<'_>) {
    unique(parts, report);
    links(parts, declared, report);
    agreeing(app, parts, report);
}

fn unique(parts: &[ReadPart], report: &mut Report<'_>) {
    let mut names: HashSet<&str> = HashSet::new();
    let mut ids: HashMap<&str, &str> = HashMap::new();
    for ReadPart { part, name_at, .. } in parts {
        if !names.insert(&part.name) {
            let message = format!("two parts are called `{}`", part.name);
            report.add(manifest::DUPLICATE_PART, *name_at, message);
        } else if let Some(other) = ids.insert(&part.id, &part.name) {
            let message = format!("`{}` and `{other}` have the same id `{}`", part.name, part.id);
            report.add(manifest::DUPLICATE_PART, *name_at, message);
        }
    }
}

fn links(parts: &[ReadPart], declared: &[&str], report: &mut Report<'_>) {
    let names: HashSet<&str> = declared.iter().copied().collect();
    for ReadPart { part, links_at, .. } in parts {
        let mut seen = HashSet::new();
        for (link, mark) in part.links.iter().zip(links_at) {
            if !names.contains(link.target.as_str()) {
                let message =
                    format!("the link's target `{}` is not a part of the application", shown(&link.target));
                let help = match nearest(&link.target, declared) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("add a part named `{}` to `spec.components`", shown(&link.target)),
                };
                report.add_with_help(manifest::UNKNOWN_TARGET, mark.target_at, message, help);
            }
            if !seen.insert((&link.name, &link.contract.namespace, &link.contract.package)) {
                let contract = format!("{}:{}", link.contract.namespace, link.contract.package);
                let message = format!("`{}` has two links `{}` of `{contract}`", part.name, link.name);
                report.add(manifest::DUPLICATE_LINK, mark.at, message);
            }
        }
    }
}

/// Configs with properties, and secrets, are named for the whole application.
fn agreeing(app: &AppName, parts: &[ReadPart], report: &mut Report<'_>) {
    let mut configs: HashMap<String, &Config> = HashMap::new();
    let mut secrets: HashMap<String, &Secret> = HashMap::new();
    for named in parts.iter().flat_map(|read| &read.named) {
        let (what, name, at, agrees) = match named {
            Named::Config(config, _) if config.properties.is_none() => continue,
            Named::Config(config, at) => {
                let first = configs.entry(application_part_id(app, &config.name)).or_insert(config);
                ("configs", &config.name, at, first.properties == config.properties)
            }
            Named::Secret(secret, at) => {
                let first = secrets.entry(application_part_id(app, &secret.name)).or_insert(secret);
                ("secrets", &secret.name, at, *first == secret)
            }
        };
        if !agrees {
            let message = format!("two {what} are called `{name}` and differ");
            report.add(manifest::CONFLICTING_CONFIG, *at, message);
        }
    }
}

/// Every secret names a policy that is declared.
pub(crate) fn policies(known: &[&str], parts: &[ReadPart], report: &mut Report<'_>) {
    for named in parts.iter().flat_map(|read| &read.named) {
        let Named::Secret(secret, at) = named else { continue };
        if !known.contains(&secret.policy.as_str()) {
            let message = format!(
                "the secret `{}` names the policy `{}`, which is not declared",
                secret.name,
                shown(&secret.policy)
            );
            let help = match nearest(&secret.policy, known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("declare `{}` in `spec.policies`", shown(&secret.policy)),
            };
            report.add_with_help(manifest::UNKNOWN_POLICY, *at, message, help);
        }
    }
}
