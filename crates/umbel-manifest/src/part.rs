//! Reads a part: its name, type, properties and traits.

use crate::fields::{Fields, nearest};
use crate::grants;
use crate::load::{Node, Value};
use crate::model::{Config, Part, PartKind, Scale, Secret, Source};
use crate::read::app_name;
use crate::report::{Mark, Report, shown};
use crate::traits::{self, LinkMark};
use crate::units;
use umbel_core::code::{Code, host, manifest};
use umbel_core::id::{AppName, ComponentId, application_part_id};
use umbel_core::limits::{Containment, InstanceMode, Isolation, Limits, RestartMode, Sandbox};

/// A part with the places that comparing parts needs.
pub(crate) struct ReadPart {
    pub(crate) part: Part,
    pub(crate) name_at: Mark,
    pub(crate) links_at: Vec<LinkMark>,
    /// The configs and secrets of the part and its links, with their places.
    pub(crate) named: Vec<Named>,
}

/// A config or a secret, and its place.
#[derive(Clone)]
pub(crate) enum Named {
    Config(Config, Mark),
    Secret(Secret, Mark),
}

const PROPERTIES: &[&str] =
    &["image", "application", "id", "config", "secrets", "isolation", "limits", "grants", "sandbox"];
const COMPONENT_PROPERTIES: &[&str] =
    &["image", "application", "id", "config", "secrets", "limits", "instance", "grants", "restart"];
const LIMITS: &[&str] = &["memory", "cpu", "call_time", "instances", "waiting", "log_rate", "outbound_hosts"];
/// Of a provider, which may turn out to be a process, that is limited as a whole.
const PROVIDER_LIMITS: &[&str] =
    &["memory", "cpu", "pids", "call_time", "instances", "waiting", "log_rate", "outbound_hosts"];
/// Those that a process has.
const PROCESS_LIMITS: &[&str] = &["memory", "cpu", "pids"];

/// Reads one item of `spec.components`.
pub(crate) fn read_part(
    node: &Node,
    path: String,
    app: &AppName,
    report: &mut Report<'_>,
) -> Option<ReadPart> {
    let fields = Fields::open(node, path, &["name", "type", "properties", "traits"], report)?;
    let name = fields.required_text("name", "hello", report);
    let name = name.and_then(|name| part_name(name, "a part", &fields, report));
    let kind = read_kind(&fields, report);
    let known = if kind == Some(PartKind::Provider) { PROPERTIES } else { COMPONENT_PROPERTIES };
    let properties = fields.required("properties", "{image: ./hello.wasm}", report);
    let properties =
        properties.and_then(|node| Fields::open(node, fields.at_key("properties"), known, report));
    let mut named = Vec::new();
    let traits = traits::read(&fields, &mut named, report);
    let properties = properties?;
    let source = read_source(&properties, report);
    let config = read_configs(&properties, "config", &mut named, report);
    let secrets = read_secrets(&properties, "secrets", &mut named, report);
    let mut containment = Containment::default();
    let known = if kind == Some(PartKind::Provider) { PROVIDER_LIMITS } else { LIMITS };
    let limits = read_limits(&properties, known, &mut containment, report);
    containment.sandbox = read_sandbox(&properties, report);
    let instance = read_instance(&properties, report);
    let grants = grants::read(&properties, report);
    let restart = read_restart(&properties, report);
    let isolation = read_isolation(&properties, report);
    let explicit_id = read_id(&properties, report);
    let (name, kind, source) = (name?, kind?, source?);
    check_shared(&source, &fields, &properties, report);
    check_builtin(kind, &source, &properties, report);
    let says_any = kind == PartKind::Provider && containment != Containment::default();
    let containment = says_any.then_some(containment);
    let id = match (&explicit_id, &source) {
        (Some(id), _) => id.clone(),
        (None, Source::Shared { application, part }) => application_part_id(application, part),
        (None, Source::Image(_)) => application_part_id(app, &name),
    };
    let part = Part {
        name,
        id,
        id_is_explicit: explicit_id.is_some(),
        kind,
        source,
        config,
        secrets,
        limits,
        instance,
        grants,
        restart,
        isolation,
        containment,
        scale: traits.scale.unwrap_or(Scale::Single),
        links: traits.links,
    };
    let name_at = fields.get("name").map_or(fields.at, |node| node.at);
    Some(ReadPart { part, name_at, links_at: traits.links_at, named })
}

/// A name that becomes a part of ids.
pub(crate) fn part_name(
    text: &str,
    what: &str,
    fields: &Fields<'_>,
    report: &mut Report<'_>,
) -> Option<String> {
    let is_usable = text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !is_usable {
        let at = fields.get("name").map_or(fields.at, |node| node.at);
        let message = format!("`{}` is not a name for {what}", shown(text));
        report.add(manifest::INVALID_PART_NAME, at, message);
        return None;
    }
    Some(text.to_owned())
}

fn read_kind(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<PartKind> {
    match fields.required_text("type", "component", report)? {
        "component" | "actor" => Some(PartKind::Component),
        "capability" => Some(PartKind::Provider),
        other => {
            let at = fields.get("type").map_or(fields.at, |node| node.at);
            let message = format!("`{}` is no type of part", shown(other));
            let help = match nearest(other, &["component", "capability"]) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if other == "provider" => "providers are `type: capability`".to_owned(),
                None => "write `type: component` or `type: capability`".to_owned(),
            };
            report.add_with_help(manifest::UNKNOWN_TYPE, at, message, help);
            None
        }
    }
}

fn read_source(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<Source> {
    let image = properties.text("image", report);
    let shared = properties.get("application");
    match (properties.get("image"), shared) {
        (Some(node), None) => {
            let image = image?;
            if image.trim().is_empty() || image.trim() != image || image.contains(char::is_control) {
                report.add(manifest::NO_SOURCE, node.at, "the image is empty, or has blanks around it");
                return None;
            }
            Some(Source::Image(image.to_owned()))
        }
        (None, Some(node)) => {
            let fields =
                Fields::open(node, properties.at_key("application"), &["name", "component"], report)?;
            let application = fields.required_text("name", "other-application", report);
            let part = fields.required_text("component", "its-part", report);
            let application =
                application.and_then(|text| app_name(text, fields.get("name").unwrap_or(node), report));
            Some(Source::Shared { application: application?, part: part?.to_owned() })
        }
        (Some(_), Some(node)) => {
            report.add_with_help(
                manifest::NO_SOURCE,
                node.at,
                format!("`{}` has both `image` and `application`", properties.path),
                "keep one of them",
            );
            None
        }
        (None, None) => {
            report.add(manifest::NO_SOURCE, properties.at, format!("`{}` has no `image`", properties.path));
            None
        }
    }
}

/// A part that another application runs cannot be given anything here but links.
fn check_shared(source: &Source, part: &Fields<'_>, properties: &Fields<'_>, report: &mut Report<'_>) {
    if !matches!(source, Source::Shared { .. }) {
        return;
    }
    for key in ["config", "secrets", "limits", "instance", "grants", "restart", "isolation", "sandbox"] {
        if properties.get(key).is_some() {
            let message = format!("`{}` is set for a part of another application", properties.at_key(key));
            report.add(manifest::SHARED_PART, properties.key_at(key), message);
        }
    }
    if traits::has_scaler(part) {
        let message = format!("`{}` scales a part of another application", part.at_key("traits"));
        report.add(manifest::SHARED_PART, part.key_at("traits"), message);
    }
}

/// Of the budget and the rights of a component a builtin has nothing, and a process a part. What a file is, the host sees by its bytes.
fn check_builtin(kind: PartKind, source: &Source, properties: &Fields<'_>, report: &mut Report<'_>) {
    let Source::Image(image) = source else { return };
    if kind != PartKind::Provider || !image.starts_with("builtin:") {
        return;
    }
    let is_process = properties.get("isolation").is_some();
    for key in ["limits", "grants", "sandbox"] {
        if properties.get(key).is_none() || (is_process && key != "grants") {
            continue;
        }
        let message = format!("`{}` is set for `{image}`, which is code of the host", properties.at_key(key));
        report.add(host::PROVIDER_PROPERTIES, properties.key_at(key), message);
    }
    let limits = properties.get("limits").filter(|_| is_process);
    let limits = limits.and_then(|node| {
        // What is wrong with it was told when it was read.
        Fields::open(node, properties.at_key("limits"), PROVIDER_LIMITS, &mut Report::new(""))
    });
    let Some(limits) = limits else { return };
    for key in PROVIDER_LIMITS.iter().filter(|key| !PROCESS_LIMITS.contains(key)) {
        if limits.get(key).is_some() {
            let message = format!("`{}` is set for a process, which has no such limit", limits.at_key(key));
            report.add(host::PROVIDER_PROPERTIES, limits.key_at(key), message);
        }
    }
}

fn read_id(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<String> {
    let text = properties.text("id", report)?;
    match ComponentId::new(text) {
        Ok(id) => Some(id.to_string()),
        Err(error) => {
            let problem = umbel_core::Problem::from(&error);
            let at = properties.get("id").map_or(properties.at, |node| node.at);
            report.add_with_help(problem.code, at, problem.message, problem.help);
            None
        }
    }
}

/// Reads a list of configs.
pub(crate) fn read_configs(
    fields: &Fields<'_>,
    key: &str,
    named: &mut Vec<Named>,
    report: &mut Report<'_>,
) -> Vec<Config> {
    let mut configs = Vec::new();
    for (node, path) in fields.items(key, report) {
        let Some(item) = Fields::open(node, path, &["name", "properties"], report) else { continue };
        let properties = item.values("properties", report);
        let Some(name) = item.required_text("name", "my-config", report) else { continue };
        let Some(name) = part_name(name, "a config", &item, report) else { continue };
        let config = Config { name, properties };
        named.push(Named::Config(config.clone(), item.at));
        configs.push(config);
    }
    configs
}

/// Reads a list of secrets.
pub(crate) fn read_secrets(
    fields: &Fields<'_>,
    key: &str,
    named: &mut Vec<Named>,
    report: &mut Report<'_>,
) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for (node, path) in fields.items(key, report) {
        let Some(item) = Fields::open(node, path, &["name", "properties"], report) else { continue };
        let name = item.required_text("name", "my-secret", report);
        let Some(properties) = item.required("properties", "{policy: ..., key: ...}", report) else {
            continue;
        };
        let known = &["policy", "key", "field", "version"];
        let Some(properties) = Fields::open(properties, item.at_key("properties"), known, report) else {
            continue;
        };
        let policy = properties.required_text("policy", "my-policy", report);
        let secret_key = properties.required_text("key", "path/of/secret", report);
        let field = properties.text("field", report).map(str::to_owned);
        let version = properties.text("version", report).map(str::to_owned);
        let (Some(name), Some(policy), Some(secret_key)) = (name, policy, secret_key) else { continue };
        let Some(name) = part_name(name, "a secret", &item, report) else { continue };
        let secret = Secret { name, policy: policy.to_owned(), key: secret_key.to_owned(), field, version };
        named.push(Named::Secret(secret.clone(), item.at));
        secrets.push(secret);
    }
    secrets
}

fn read_instance(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<InstanceMode> {
    match properties.text("instance", report)? {
        "fresh" => Some(InstanceMode::Fresh),
        "reuse" => Some(InstanceMode::Reuse),
        other => {
            let at = properties.get("instance").map_or(properties.at, |node| node.at);
            let message =
                format!("`{}` is `{}`, not `fresh` or `reuse`", properties.at_key("instance"), shown(other));
            report.add_with_help(
                manifest::INVALID_VALUE,
                at,
                message,
                "write `instance: fresh` or `instance: reuse`",
            );
            None
        }
    }
}

fn read_restart(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<RestartMode> {
    match properties.text("restart", report)? {
        "always" => Some(RestartMode::Always),
        "on-failure" => Some(RestartMode::OnFailure),
        "never" => Some(RestartMode::Never),
        other => {
            let at = properties.get("restart").map_or(properties.at, |node| node.at);
            let message = format!(
                "`{}` is `{}`, not `always`, `on-failure` or `never`",
                properties.at_key("restart"),
                shown(other)
            );
            let help = "write `restart: always` for a service, `restart: on-failure` or `restart: never`";
            report.add_with_help(manifest::INVALID_VALUE, at, message, help);
            None
        }
    }
}

fn read_isolation(properties: &Fields<'_>, report: &mut Report<'_>) -> Option<Isolation> {
    match properties.text("isolation", report)? {
        "process" => Some(Isolation::Process),
        other => {
            let at = properties.get("isolation").map_or(properties.at, |node| node.at);
            let message =
                format!("`{}` is `{}`, not `process`", properties.at_key("isolation"), shown(other));
            let help = "write `isolation: process`, or leave it out for a builtin that runs in the host";
            report.add_with_help(manifest::INVALID_VALUE, at, message, help);
            None
        }
    }
}

fn read_sandbox(properties: &Fields<'_>, report: &mut Report<'_>) -> Sandbox {
    match properties.text("sandbox", report) {
        None | Some("none") => Sandbox::None,
        Some("strict") => Sandbox::Strict,
        Some(other) => {
            let at = properties.get("sandbox").map_or(properties.at, |node| node.at);
            let path = properties.at_key("sandbox");
            let message = format!("`{path}` is `{}`, neither `strict` nor `none`", shown(other));
            let help = "write `sandbox: strict`, or leave it out";
            report.add_with_help(manifest::INVALID_VALUE, at, message, help);
            Sandbox::None
        }
    }
}

/// Reads the limits of a part, and of them what would hold a process.
fn read_limits(
    properties: &Fields<'_>,
    known: &[&str],
    containment: &mut Containment,
    report: &mut Report<'_>,
) -> Option<Limits> {
    let node = properties.get("limits")?;
    let fields = Fields::open(node, properties.at_key("limits"), known, report)?;
    let mut limits = Limits::default();
    let day_ms = 24 * 3_600_000;
    if let Some(bytes) = measure(&fields, "memory", units::size, 64 << 10..=16 << 30, "64MiB", report) {
        limits.memory_bytes_max = bytes;
        containment.memory_bytes_max = Some(bytes);
    }
    if let Some(percent) = measure_or_none(&fields, "cpu", units::percent, 1..=100_000, "50%", report) {
        limits.cpu_percent_max = u32::try_from(percent).expect("the range is checked");
        containment.cpu_percent_max = Some(limits.cpu_percent_max).filter(|percent| *percent > 0);
    }
    containment.pids_max = fields.number("pids", 1..=100_000, report);
    if let Some(ms) = measure_or_none(&fields, "call_time", units::duration_ms, 1..=day_ms, "5s", report) {
        limits.call_ms_max = ms;
    }
    if let Some(bytes) = measure(&fields, "log_rate", units::rate, 0..=1 << 30, "64KiB/s", report) {
        limits.log_bytes_per_s_max = bytes;
    }
    if let Some(instances) = fields.number("instances", 1..=100_000, report) {
        limits.instances_max = instances;
    }
    if let Some(waiting) = fields.number("waiting", 0..=1_000_000, report) {
        limits.waiting_max = waiting;
    }
    for (node, path) in fields.items("outbound_hosts", report) {
        if let Some(host) = crate::fields::text(node, &path, report)
            && check_host(host, &path, node.at, report)
        {
            limits.outbound_hosts.push(host.to_owned());
        }
    }
    Some(limits)
}

type Unit = fn(&str) -> Result<u64, String>;

/// A value with a unit that `none` switches off, which is 0.
fn measure_or_none(
    fields: &Fields<'_>,
    key: &str,
    unit: Unit,
    range: std::ops::RangeInclusive<u64>,
    example: &str,
    report: &mut Report<'_>,
) -> Option<u64> {
    if matches!(fields.get(key), Some(Node { value: Value::Text(text), .. }) if text == "none") {
        return Some(0);
    }
    measure(fields, key, unit, range, example, report)
}

/// A value with a unit, such as `64MiB`.
fn measure(
    fields: &Fields<'_>,
    key: &str,
    unit: Unit,
    range: std::ops::RangeInclusive<u64>,
    example: &str,
    report: &mut Report<'_>,
) -> Option<u64> {
    let node = fields.get(key)?;
    let path = fields.at_key(key);
    let (Value::Text(text) | Value::Number(text)) = &node.value else {
        crate::fields::wrong_type(node, &path, &format!("a value such as {example}"), report);
        return None;
    };
    let reason = match unit(text) {
        Ok(value) if range.contains(&value) => return Some(value),
        Ok(_) => "it is out of range".to_owned(),
        Err(reason) => reason,
    };
    let message = format!("`{path}` is `{}`: {reason}", shown(text));
    report.add_with_help(
        manifest::INVALID_VALUE,
        node.at,
        message,
        format!("write for example `{key}: {example}`"),
    );
    None
}

/// `example.com`, `*.example.com`, `example.com:8443` or `*`.
fn check_host(host: &str, path: &str, at: Mark, report: &mut Report<'_>) -> bool {
    const CODE: Code = manifest::INVALID_VALUE;
    let bare = host.split_once("://").map_or(host, |(_, rest)| rest);
    let bare = bare.split(['/', '?', '#']).next().unwrap_or_default();
    if bare != host {
        let message = format!("`{path}` is `{}`, an address instead of a host", shown(host));
        report.add_with_help(CODE, at, message, format!("write only the host: `{}`", shown(bare)));
        return false;
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_any = name == "*";
    let name = name.strip_prefix("*.").unwrap_or(name);
    let is_ip6 = name.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.len() <= 255 && is_port && (is_any || is_name || is_ip6) {
        return true;
    }
    let message = format!("`{path}` is `{}`, which is no host", shown(host));
    report.add_with_help(
        CODE,
        at,
        message,
        "write `example.com`, `*.example.com`, `example.com:8443` or `*`",
    );
    false
}
