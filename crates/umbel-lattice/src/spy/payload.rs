//! Which parts of a payload tell what it is about. Everything else of it is not looked at: it may be long, or secret.

use super::pending::Asked;
use super::subject::Sort;
use super::{Kind, Seen};
use crate::Message;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields that tell, of requests and events. None of them is a value of a config.
const TELLING: [&str; 22] = [
    "component_id",
    "component_ref",
    "config_name",
    "count",
    "error",
    "generation",
    "host_id",
    "image_ref",
    "level",
    "max_instances",
    "name",
    "new_component_ref",
    "provider_id",
    "provider_ref",
    "reason",
    "result",
    "seq",
    "source_id",
    "stream",
    "target",
    "wit_namespace",
    "wit_package",
];
/// Longest value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 100;
/// Longest payload that is looked into, in bytes.
const LOOKED_INTO_MAX: usize = 1 << 20;

type Facts = BTreeMap<String, String>;

/// What tells of a message that answers nothing.
pub(super) fn facts(sort: &Sort, message: &Message) -> Facts {
    let mut facts = Facts::new();
    if let Some(link) = &sort.link {
        facts.insert("link".into(), short(link));
    }
    let json = match sort.kind {
        Kind::Control | Kind::Events | Kind::Providers | Kind::Applications | Kind::Logs => json(message),
        _ => None,
    };
    let Some(json) = json else { return facts };
    // Events of ours have a number around them.
    let event = json.get("event").unwrap_or(&json);
    let data = match sort.kind {
        Kind::Events => {
            if let Some(source) = event.get("source").and_then(Value::as_str) {
                facts.insert("source".into(), short(source));
            }
            if let Some(kind) = event.get("type").and_then(Value::as_str).filter(|_| sort.what == "numbered")
            {
                facts.insert("event".into(), short(kind.rsplit('.').next().unwrap_or(kind)));
            }
            event.get("data").unwrap_or(&Value::Null)
        }
        // Maps of configs and credentials have names of their own choosing.
        _ if is_free(sort) => &Value::Null,
        _ => &json,
    };
    tell(data, &mut facts);
    for list in ["components", "providers"] {
        if let Some(count) = length(data.get(list)) {
            facts.insert(list.into(), count.to_string());
        }
    }
    if ["source_secrets", "target_secrets"].iter().any(|name| data.get(name).is_some_and(|v| !v.is_null())) {
        facts.insert("sealed".into(), "true".into());
    }
    facts
}

/// Whether the fields of a request are of somebody's own choosing.
fn is_free(sort: &Sort) -> bool {
    let what = sort.what.as_str();
    ["config", "registry", "secret"].iter().any(|word| what.starts_with(word))
}

fn tell(data: &Value, facts: &mut Facts) {
    for name in TELLING {
        let shown = match data.get(name) {
            Some(Value::String(text)) if !text.is_empty() => short(text),
            Some(Value::Number(number)) => number.to_string(),
            _ => continue,
        };
        facts.insert(name.into(), shown);
    }
}

/// What an answer says of the request.
pub(super) fn answer(asked: &Asked, message: &Message, seen: &mut Seen) {
    if asked.kind == Kind::State {
        let header = |name| message.headers.get(name).map(short);
        seen.facts.extend(header("Nats-Sequence").map(|seq| ("seq".to_string(), seq)));
    }
    let Some(json) = json(message) else { return };
    let said = |name: &str| json.get(name).and_then(Value::as_bool);
    seen.ok = said("success").or(said("healthy"));
    match asked.kind {
        Kind::Control => {
            if let Some(count) = length(json.get("response")).filter(|_| json["response"].is_array()) {
                seen.facts.insert("items".into(), count.to_string());
            }
            if let (None, Some(response)) = (&seen.from, json.get("response")) {
                // Of those that many may answer, the answer says who did.
                let host = response.get("host_id").or(response.get("id")).and_then(Value::as_str);
                seen.from = host.map(short);
            }
        }
        Kind::Applications => {
            let result = json.get("result").and_then(Value::as_str);
            seen.ok = result.map(|result| !matches!(result, "error" | "notfound"));
            tell(&json, &mut seen.facts);
        }
        Kind::State => {
            if let Some(error) = json.get("error").filter(|error| error.is_object()) {
                seen.ok = Some(false);
                let text = error.get("description").and_then(Value::as_str).unwrap_or_default();
                seen.facts.insert("error".into(), short(text));
            }
            tell(&json, &mut seen.facts);
        }
        _ => {}
    }
    // What is wrong is said in words; where all is well, they say nothing.
    if let Some(text) = json.get("message").and_then(Value::as_str).filter(|_| seen.ok == Some(false)) {
        seen.facts.insert("message".into(), short(text));
    }
    if let Some(code) = json.pointer("/problem/code").and_then(Value::as_str) {
        seen.ok = Some(false);
        seen.facts.insert("code".into(), short(code));
    }
}

/// What a status of the server says.
pub(super) fn status(status: &str, message: &Message) -> Facts {
    let mut facts = Facts::from([("status".to_string(), short(status))]);
    let words = match status {
        "503" => Some("nobody answers"),
        "429" => Some("whoever would answer is busy"),
        _ => message.headers.get("Description"),
    };
    facts.extend(words.map(|words| ("said".to_string(), short(words))));
    facts
}

/// Where the messages of a push consumer go.
pub(super) fn deliver_subject(sort: &Sort, message: &Message) -> Option<String> {
    if sort.kind != Kind::State || !sort.what.starts_with("CONSUMER.") {
        return None;
    }
    let json = json(message)?;
    json.pointer("/config/deliver_subject")?.as_str().map(str::to_string)
}

fn json(message: &Message) -> Option<Value> {
    let payload = &message.payload;
    let is_object = payload.first() == Some(&b'{') && payload.len() <= LOOKED_INTO_MAX;
    is_object.then(|| serde_json::from_slice(payload).ok()).flatten()
}

fn length(value: Option<&Value>) -> Option<usize> {
    match value? {
        Value::Array(items) => Some(items.len()),
        Value::Object(items) => Some(items.len()),
        _ => None,
    }
}

/// A text as it may be shown: on one line, not too long, and without the user and password of an address.
pub(super) fn short(text: &str) -> String {
    let text = match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest, rest.find('@')?))) {
        Some((scheme, rest, at)) if !rest[..at].contains('/') => format!("{scheme}://…{}", &rest[at..]),
        _ => text.to_string(),
    };
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().count() > VALUE_CHARS_MAX {
        shown.push('…');
    }
    shown
}
