//! Writes an application as a manifest, always in the same form: fields in one order, defaults left out, the newer form of
//! links. What is written reads back as the same application.

use crate::model::{
    API_VERSION, Application, Config, DEFAULT_WEIGHT, KIND, Link, Part, Scale, Secret, Source, Spread,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use umbel_core::grants::Grants;
use umbel_core::limits::{Containment, InstanceMode, Limits};
use umbel_core::link::{DEFAULT_LINK_NAME, Distance};

impl Application {
    /// The manifest as JSON.
    pub fn to_json(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(self.name));
        // wadm's own reader wants the annotations even if there are none.
        metadata.insert("annotations".into(), json!(self.annotations));
        put_values(&mut metadata, "labels", &self.labels);
        let mut spec = Map::new();
        spec.insert("components".into(), self.parts.iter().map(part).collect());
        if !self.policies.is_empty() {
            let policy =
                |p: &crate::Policy| json!({"name": p.name, "type": p.kind, "properties": p.properties});
            spec.insert("policies".into(), self.policies.iter().map(policy).collect());
        }
        json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})
    }

    /// The manifest as YAML.
    pub fn to_yaml(&self) -> String {
        yaml(&self.to_json())
    }
}

fn put_values(object: &mut Map<String, Value>, key: &str, values: &BTreeMap<String, String>) {
    if !values.is_empty() {
        object.insert(key.into(), json!(values));
    }
}

fn part(part: &Part) -> Value {
    let mut properties = Map::new();
    match &part.source {
        Source::Image(image) => properties.insert("image".into(), json!(image)),
        Source::Shared { application, part } => {
            properties.insert("application".into(), json!({"name": application, "component": part}))
        }
    };
    if part.id_is_explicit {
        properties.insert("id".into(), json!(part.id));
    }
    put_side(&mut properties, &part.config, &part.secrets);
    let containment = part.containment.unwrap_or_default();
    if let Some(limits) = &part.limits {
        properties.insert("limits".into(), limits_json(limits, containment));
    }
    if !containment.sandbox.is_none() {
        properties.insert("sandbox".into(), json!(containment.sandbox));
    }
    if let Some(mode) = part.instance {
        let word = if mode == InstanceMode::Reuse { "reuse" } else { "fresh" };
        properties.insert("instance".into(), json!(word));
    }
    if let Some(grants) = &part.grants {
        properties.insert("grants".into(), grants_json(grants));
    }
    if let Some(restart) = part.restart {
        properties.insert("restart".into(), json!(restart));
    }
    if let Some(isolation) = part.isolation {
        properties.insert("isolation".into(), json!(isolation));
    }
    let mut traits: Vec<Value> = scale(&part.scale).into_iter().collect();
    traits.extend(part.links.iter().map(link));
    let mut object = Map::new();
    object.insert("name".into(), json!(part.name));
    object.insert("type".into(), json!(part.kind.word()));
    object.insert("properties".into(), Value::Object(properties));
    if !traits.is_empty() {
        object.insert("traits".into(), Value::Array(traits));
    }
    Value::Object(object)
}

fn put_side(object: &mut Map<String, Value>, config: &[Config], secrets: &[Secret]) {
    if !config.is_empty() {
        object.insert("config".into(), config.iter().map(config_json).collect());
    }
    if !secrets.is_empty() {
        object.insert("secrets".into(), secrets.iter().map(secret_json).collect());
    }
}

fn config_json(config: &Config) -> Value {
    match &config.properties {
        Some(properties) => json!({"name": config.name, "properties": properties}),
        None => json!({"name": config.name}),
    }
}

fn secret_json(secret: &Secret) -> Value {
    let mut properties = Map::new();
    properties.insert("policy".into(), json!(secret.policy));
    properties.insert("key".into(), json!(secret.key));
    for (key, value) in [("field", &secret.field), ("version", &secret.version)] {
        if let Some(value) = value {
            properties.insert(key.into(), json!(value));
        }
    }
    json!({"name": secret.name, "properties": properties})
}

fn limits_json(limits: &Limits, containment: Containment) -> Value {
    let default = Limits::default();
    let mut object = Map::new();
    let mut put = |key: &str, differs: bool, value: Value| {
        if differs {
            object.insert(key.to_owned(), value);
        }
    };
    // For a process it is another whether the default is said.
    let has_memory =
        limits.memory_bytes_max != default.memory_bytes_max || containment.memory_bytes_max.is_some();
    put("memory", has_memory, json!(size(limits.memory_bytes_max)));
    let cpu = limits.cpu_percent_max;
    put("cpu", cpu != default.cpu_percent_max, json!(or_none(cpu.into(), "%")));
    put("pids", containment.pids_max.is_some(), json!(containment.pids_max));
    put("call_time", limits.call_ms_max != default.call_ms_max, json!(or_none(limits.call_ms_max, "ms")));
    put("instances", limits.instances_max != default.instances_max, json!(limits.instances_max));
    put("waiting", limits.waiting_max != default.waiting_max, json!(limits.waiting_max));
    let rate = limits.log_bytes_per_s_max;
    put("log_rate", rate != default.log_bytes_per_s_max, json!(format!("{}/s", size(rate))));
    put("outbound_hosts", !limits.outbound_hosts.is_empty(), json!(limits.outbound_hosts));
    Value::Object(object)
}

fn grants_json(grants: &Grants) -> Value {
    let mut object = Map::new();
    put_values(&mut object, "env", &grants.env);
    let mut put = |key: &str, is_empty: bool, value: Value| {
        if !is_empty {
            object.insert(key.to_owned(), value);
        }
    };
    put("args", grants.args.is_empty(), json!(grants.args));
    let folders: Vec<Value> = grants
        .folders
        .iter()
        .map(|folder| {
            let access = if folder.writable { "read-write" } else { "read-only" };
            json!({"path": folder.path, "at": folder.at, "access": access})
        })
        .collect();
    put("folders", folders.is_empty(), json!(folders));
    put("connect", grants.connect.is_empty(), json!(grants.connect));
    put("listen", grants.listen.is_empty(), json!(grants.listen));
    Value::Object(object)
}

fn or_none(value: u64, unit: &str) -> String {
    if value == 0 { "none".to_owned() } else { format!("{value}{unit}") }
}

fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(scale, _)| bytes >= *scale && bytes.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{}{unit}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

fn scale(scale: &Scale) -> Option<Value> {
    let (kind, instances, spread) = match scale {
        Scale::Single => return None,
        Scale::Spread { instances, spread } => ("spreadscaler", instances, spread),
        Scale::Daemon { instances, spread } => ("daemonscaler", instances, spread),
    };
    let mut properties = Map::new();
    properties.insert("instances".into(), json!(instances));
    if !spread.is_empty() {
        properties.insert("spread".into(), spread.iter().map(spread_json).collect());
    }
    Some(json!({"type": kind, "properties": properties}))
}

fn spread_json(spread: &Spread) -> Value {
    let mut object = Map::new();
    object.insert("name".into(), json!(spread.name));
    // wadm's own reader wants the requirements even if there are none.
    object.insert("requirements".into(), json!(spread.requirements));
    if spread.weight != DEFAULT_WEIGHT {
        object.insert("weight".into(), json!(spread.weight));
    }
    Value::Object(object)
}

fn link(link: &Link) -> Value {
    let mut properties = Map::new();
    if link.name != DEFAULT_LINK_NAME {
        properties.insert("name".into(), json!(link.name));
    }
    properties.insert("namespace".into(), json!(link.contract.namespace));
    properties.insert("package".into(), json!(link.contract.package));
    properties.insert("interfaces".into(), json!(link.contract.interfaces));
    let mut source = Map::new();
    put_side(&mut source, &link.source_config, &link.source_secrets);
    if !source.is_empty() {
        properties.insert("source".into(), Value::Object(source));
    }
    let mut target = Map::new();
    target.insert("name".into(), json!(link.target));
    put_side(&mut target, &link.target_config, &link.target_secrets);
    properties.insert("target".into(), Value::Object(target));
    match link.distance {
        Distance::Any => None,
        Distance::Local => properties.insert("distance".into(), json!("local")),
        Distance::Remote => properties.insert("distance".into(), json!("remote")),
    };
    json!({"type": "link", "properties": properties})
}

/// JSON as block YAML. Text is quoted unless nothing could read it as something else.
fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

fn write_block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(object) => {
            for (i, (key, value)) in object.iter().enumerate() {
                // The first key of a list's item follows the dash on its line.
                if i > 0 || !out.ends_with("- ") {
                    out.push_str(&" ".repeat(indent));
                }
                let _ = write!(out, "{}:", scalar(key));
                write_after(out, value, indent, indent + 2);
            }
        }
        Value::Array(items) => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push_str("- ");
                match item {
                    Value::Object(object) if !object.is_empty() => write_block(out, item, indent + 2),
                    _ => {
                        let _ = writeln!(out, "{}", flow(item));
                    }
                }
            }
        }
        other => {
            let _ = writeln!(out, "{}", flow(other));
        }
    }
}

/// What follows `key:`.
fn write_after(out: &mut String, value: &Value, list_indent: usize, map_indent: usize) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('\n');
            write_block(out, value, map_indent);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push('\n');
            write_block(out, value, list_indent + 2);
        }
        other => {
            let _ = writeln!(out, " {}", flow(other));
        }
    }
}

/// A scalar, or a short list on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Text that needs no quotes is left plain; the rest is quoted as JSON does, which YAML reads alike.
fn scalar(text: &str) -> String {
    const WORDS: &[&str] = &["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/'))
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b' ' | b':'))
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !text.starts_with("...")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && text.parse::<f64>().is_err()
        && !matches!(text.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// A JSON string in which whatever YAML could take for a line end or refuse is escaped.
fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
