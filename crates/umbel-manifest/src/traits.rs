//! Reads the traits of a part: its scaler and its links.

use crate::fields::{Fields, nearest, text};
use crate::load::{Node, Value};
use crate::model::{Config, DEFAULT_WEIGHT, Link, Scale, Secret, Spread};
use crate::part::{Named, part_name, read_configs, read_secrets};
use crate::report::{Mark, Report, shown};
use umbel_core::code::manifest;
use umbel_core::link::{Contract, DEFAULT_LINK_NAME, Distance};

/// The places of a link that comparing parts needs.
#[derive(Clone, Copy)]
pub(crate) struct LinkMark {
    pub(crate) at: Mark,
    pub(crate) target_at: Mark,
}

/// What the traits of one part say.
#[derive(Default)]
pub(crate) struct Traits {
    pub(crate) scale: Option<Scale>,
    pub(crate) links: Vec<Link>,
    pub(crate) links_at: Vec<LinkMark>,
}

const LINK: &[&str] = &[
    "target",
    "namespace",
    "package",
    "interfaces",
    "source",
    "name",
    "distance",
    "source_config",
    "target_config",
];
const INSTANCES_MAX: u32 = 100_000;

/// Reads `traits`; configs and secrets of links are added to `named`.
pub(crate) fn read(part: &Fields<'_>, named: &mut Vec<Named>, report: &mut Report<'_>) -> Traits {
    let mut traits = Traits::default();
    for (node, path) in part.items("traits", report) {
        let Some(item) = Fields::open(node, path, &["type", "properties"], report) else { continue };
        let kind = item.required_text("type", "link", report);
        let Some(properties) = item.required("properties", "{...}", report) else { continue };
        let path = item.at_key("properties");
        match kind {
            None => {}
            Some("link") => {
                if let Some((link, mark)) = read_link(properties, path, named, report) {
                    traits.links.push(link);
                    traits.links_at.push(mark);
                }
            }
            Some(kind @ ("spreadscaler" | "daemonscaler")) => {
                let scale = read_scale(kind, properties, path, report);
                if traits.scale.is_some() {
                    let message = format!("`{}` has a second scaler", part.path);
                    report.add(manifest::SECOND_SCALER, item.at, message);
                }
                traits.scale = scale.or(traits.scale);
            }
            Some(other) => {
                let at = item.get("type").map_or(item.at, |node| node.at);
                let help = match nearest(other, &["link", "spreadscaler", "daemonscaler"]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "traits are `link`, `spreadscaler` and `daemonscaler`".to_owned(),
                };
                let message = format!("`{}` is no type of trait", shown(other));
                report.add_with_help(manifest::UNKNOWN_TYPE, at, message, help);
            }
        }
    }
    traits
}

/// Whether one of the traits is a scaler, whatever else is wrong with it.
pub(crate) fn has_scaler(part: &Fields<'_>) -> bool {
    let Some(Node { value: Value::List(items), .. }) = part.get("traits") else { return false };
    let is_scaler = |node: &Node| matches!(&node.value, Value::Text(text) if text.ends_with("scaler"));
    items.iter().any(|item| match &item.value {
        Value::Map(entries) => entries.iter().any(|entry| entry.key == "type" && is_scaler(&entry.value)),
        _ => false,
    })
}

fn read_scale(kind: &str, node: &Node, path: String, report: &mut Report<'_>) -> Option<Scale> {
    let fields = Fields::open(node, path, &["instances", "replicas", "spread"], report)?;
    let key = match (fields.get("instances"), fields.get("replicas")) {
        (Some(_), Some(_)) => {
            let message = format!("`{}` has both `instances` and `replicas`", fields.path);
            report.add_with_help(
                manifest::INVALID_VALUE,
                fields.key_at("replicas"),
                message,
                "keep `instances`",
            );
            "instances"
        }
        (None, Some(_)) => "replicas",
        _ => "instances",
    };
    let instances =
        fields.required(key, "1", report).and_then(|_| fields.number(key, 0..=INSTANCES_MAX, report));
    let spread = read_spread(&fields, report);
    match kind {
        "daemonscaler" => Some(Scale::Daemon { instances: instances?, spread }),
        _ => Some(Scale::Spread { instances: instances?, spread }),
    }
}

fn read_spread(fields: &Fields<'_>, report: &mut Report<'_>) -> Vec<Spread> {
    let mut spreads: Vec<Spread> = Vec::new();
    for (node, path) in fields.items("spread", report) {
        let Some(item) = Fields::open(node, path, &["name", "requirements", "weight"], report) else {
            continue;
        };
        let requirements = item.values("requirements", report).unwrap_or_default();
        let weight = item.number("weight", 0..=1_000_000, report).unwrap_or(DEFAULT_WEIGHT);
        let Some(name) = item.required_text("name", "eastcoast", report) else { continue };
        let Some(name) = part_name(name, "a spread", &item, report) else { continue };
        if spreads.iter().any(|spread| spread.name == name) {
            let message = format!("two spreads are called `{name}`");
            report.add_with_help(manifest::INVALID_VALUE, item.at, message, "rename one of them");
            continue;
        }
        spreads.push(Spread { name, weight, requirements });
    }
    spreads
}

fn read_link(
    node: &Node,
    path: String,
    named: &mut Vec<Named>,
    report: &mut Report<'_>,
) -> Option<(Link, LinkMark)> {
    let fields = Fields::open(node, path, LINK, report)?;
    let namespace = wit_word(&fields, "namespace", "wasi", report);
    let package = wit_word(&fields, "package", "http", report);
    let interfaces = read_interfaces(&fields, report);
    let distance = read_distance(&fields, report);
    let name = match fields.text("name", report) {
        Some(name) => part_name(name, "a link", &fields, report),
        None => Some(DEFAULT_LINK_NAME.to_owned()),
    };
    let source = read_source(&fields, named, report);
    let target = read_target(&fields, named, report);
    let (target, target_at) = target?;
    let contract = Contract { namespace: namespace?, package: package?, interfaces: interfaces? };
    let link = Link {
        name: name?,
        target: target.name,
        contract,
        source_config: source.config,
        source_secrets: source.secrets,
        target_config: target.config,
        target_secrets: target.secrets,
        distance: distance?,
    };
    Some((link, LinkMark { at: fields.at, target_at }))
}

/// One side of a link.
#[derive(Default)]
struct Side {
    name: String,
    config: Vec<Config>,
    secrets: Vec<Secret>,
}

fn read_source(fields: &Fields<'_>, named: &mut Vec<Named>, report: &mut Report<'_>) -> Side {
    let Some(node) = fields.get("source") else {
        let config = read_configs(fields, "source_config", named, report);
        return Side { config, ..Side::default() };
    };
    refuse_both(fields, "source", "source_config", report);
    let Some(source) = Fields::open(node, fields.at_key("source"), &["config", "secrets"], report) else {
        return Side::default();
    };
    let config = read_configs(&source, "config", named, report);
    Side { name: String::new(), config, secrets: read_secrets(&source, "secrets", named, report) }
}

/// `target: name` with `target_config` beside it, or `target: {name, config, secrets}`.
fn read_target(fields: &Fields<'_>, named: &mut Vec<Named>, report: &mut Report<'_>) -> Option<(Side, Mark)> {
    let node = fields.required("target", "{name: other-part}", report)?;
    if let Value::Text(name) = &node.value {
        let config = read_configs(fields, "target_config", named, report);
        return Some((Side { name: name.clone(), config, secrets: Vec::new() }, node.at));
    }
    refuse_both(fields, "target", "target_config", report);
    let target = Fields::open(node, fields.at_key("target"), &["name", "config", "secrets"], report)?;
    let config = read_configs(&target, "config", named, report);
    let secrets = read_secrets(&target, "secrets", named, report);
    let name = target.required_text("name", "other-part", report)?;
    let at = target.get("name").map_or(target.at, |node| node.at);
    Some((Side { name: name.to_owned(), config, secrets }, at))
}

fn refuse_both(fields: &Fields<'_>, new: &str, old: &str, report: &mut Report<'_>) {
    if fields.get(old).is_some() {
        let message = format!("`{}` has both `{new}` and the older `{old}`", fields.path);
        report.add_with_help(
            manifest::INVALID_VALUE,
            fields.key_at(old),
            message,
            format!("move it to `{new}: {{config: [...]}}`"),
        );
    }
}

/// A word of WIT: `wasi`, `incoming-handler`.
fn is_wit_word(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn wit_word(fields: &Fields<'_>, key: &str, example: &str, report: &mut Report<'_>) -> Option<String> {
    let word = fields.required_text(key, example, report)?;
    if is_wit_word(word) {
        return Some(word.to_owned());
    }
    let at = fields.get(key).map_or(fields.at, |node| node.at);
    not_wit(word, &fields.at_key(key), at, example, report);
    None
}

fn not_wit(word: &str, path: &str, at: Mark, example: &str, report: &mut Report<'_>) {
    let message = format!("`{path}` is `{}`, which is no name of WIT", shown(word));
    report.add_with_help(
        manifest::INVALID_VALUE,
        at,
        message,
        format!("write it like `{example}`, without package and version"),
    );
}

fn read_interfaces(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let node = fields.required("interfaces", "[incoming-handler]", report)?;
    let mut interfaces: Vec<String> = Vec::new();
    let mut is_whole = true;
    for (item, path) in fields.items("interfaces", report) {
        match text(item, &path, report) {
            Some(word) if is_wit_word(word) => {
                if !interfaces.iter().any(|known| known == word) {
                    interfaces.push(word.to_owned());
                }
            }
            Some(word) => {
                not_wit(word, &path, item.at, "incoming-handler", report);
                is_whole = false;
            }
            None => is_whole = false,
        }
    }
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        let message = format!("`{}` is empty", fields.at_key("interfaces"));
        let help = "name the interfaces that the link carries: `interfaces: [incoming-handler]`";
        report.add_with_help(manifest::INVALID_VALUE, node.at, message, help);
    }
    (is_whole && !interfaces.is_empty()).then_some(interfaces)
}

fn read_distance(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Distance> {
    match fields.text("distance", report) {
        None if fields.get("distance").is_some() => None,
        None | Some("any") => Some(Distance::Any),
        Some("local") => Some(Distance::Local),
        Some("remote") => Some(Distance::Remote),
        Some(other) => {
            let at = fields.get("distance").map_or(fields.at, |node| node.at);
            let message = format!("`{}` is `{}`", fields.at_key("distance"), shown(other));
            let help = "write `distance: local`, `any` or `remote`";
            report.add_with_help(manifest::INVALID_VALUE, at, message, help);
            None
        }
    }
}
