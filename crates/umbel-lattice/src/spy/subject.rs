//! What a subject means, before its payload is looked at.

use super::{Hop, Kind};
use crate::Message;
use crate::wrpc::{LINK, PEER, PROTOCOL, SOURCE};
use umbel_core::id::LatticeName;

/// What a message that answers nothing is.
#[derive(Debug, Clone, Default)]
pub(super) struct Sort {
    pub(super) kind: Kind,
    pub(super) hop: Hop,
    pub(super) what: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    /// Whether its payload, and those of its answers, are not to be shown.
    pub(super) is_secret: bool,
    /// The link of a call.
    pub(super) link: Option<String>,
}

/// Where acknowledgements of JetStream's deliveries go.
const ACK: &str = "$JS.ACK.";

pub(super) fn sort(lattice: &LatticeName, message: &Message) -> Sort {
    let subject = message.subject.as_str();
    let reply = message.reply.as_deref();
    let hop = match reply {
        Some(reply) if !reply.starts_with(ACK) => Hop::Request,
        _ => Hop::Message,
    };
    let known = known(lattice, subject).or_else(|| call(lattice, message));
    let mut sort = match (known, reply.and_then(|reply| reply.strip_prefix(ACK))) {
        (Some(known), _) => known,
        (None, Some(place)) => {
            let stream = place.split('.').next().unwrap_or_default();
            of(Kind::State, format!("delivery from {stream}"))
        }
        (None, None) if subject.starts_with("_INBOX.") => {
            Sort { hop: Hop::Answer, is_secret: true, ..of(Kind::Other, "to an inbox") }
        }
        (None, None) => of(Kind::Other, subject),
    };
    if sort.hop == Hop::Message {
        sort.hop = hop;
    }
    // Values are shown of calls, of what hosts tell, and of what nobody knows; anything else may have configs or credentials in it.
    sort.is_secret |= !matches!(sort.kind, Kind::Calls | Kind::Events | Kind::Other) || hides(subject);
    sort.what = shown(&sort.what);
    sort
}

fn of(kind: Kind, what: impl Into<String>) -> Sort {
    Sort { kind, what: what.into(), ..Sort::default() }
}

/// Whether a subject is of the protocols of secrets, whoever speaks them.
fn hides(subject: &str) -> bool {
    subject.to_ascii_lowercase().contains("secret")
}

/// Headers of what is sealed, or of a secret's own.
const SEALED: [&str; 3] = ["WasmCloud-Host-Xkey", "Server-Response-Xkey", "Umbel-Secret"];

/// Whether a message says of itself that it has secrets, on whatever subject.
pub(super) fn is_sealed(message: &Message) -> bool {
    SEALED.iter().any(|name| message.headers.get(name).is_some())
}

/// Subjects that begin with words of their own.
fn known(lattice: &LatticeName, subject: &str) -> Option<Sort> {
    let after =
        |prefix: &str| subject.strip_prefix(prefix)?.strip_prefix(lattice.as_str())?.strip_prefix('.');
    if let Some(rest) = after("wasmbus.ctl.v1.") {
        return Some(control(rest));
    }
    if let Some(rest) = after("wasmbus.evt.") {
        return Some(of(Kind::Events, rest));
    }
    if let Some(rest) = after("wasmbus.rpc.") {
        return provider(rest);
    }
    if after("wasmbus.cfg.").is_some() {
        return Some(of(Kind::Control, "config of hosts"));
    }
    if let Some(rest) = after("umbel.v1.") {
        return Some(ours(rest));
    }
    if let Some(rest) = after("wadm.api.") {
        return Some(of(Kind::Applications, rest));
    }
    if ["wadm.", "wadm_event_consumer."].iter().any(|prefix| subject.starts_with(prefix)) {
        return Some(of(Kind::Applications, subject));
    }
    if subject.starts_with('$') {
        return Some(of(Kind::State, state(subject)));
    }
    let last = subject.rsplit('.').next();
    (subject.contains(".v1alpha1.") && matches!(last, Some("get" | "server_xkey")))
        .then(|| of(Kind::Secrets, last.unwrap_or_default()))
}

/// `{noun}.{verb}` and the host or name that it is for.
fn control(rest: &str) -> Sort {
    let mut parts = rest.splitn(3, '.');
    let (noun, verb) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match parts.next() {
        Some(name) if noun == "config" => of(Kind::Control, format!("{noun}.{verb} {name}")),
        to => Sort { to: to.map(str::to_string), ..of(Kind::Control, format!("{noun}.{verb}")) },
    }
}

/// `{id}.{verb}`; ids may have dots.
fn provider(rest: &str) -> Option<Sort> {
    const VERBS: [&str; 5] = ["health", "default.shutdown", "linkdefs.put", "linkdefs.del", "config.update"];
    let (id, verb) = VERBS.iter().find_map(|verb| {
        let id = rest.strip_suffix(verb)?.strip_suffix('.')?;
        Some((id, *verb))
    })?;
    let verb = verb.strip_prefix("default.").unwrap_or(verb);
    Some(Sort { to: Some(id.into()), ..of(Kind::Providers, verb) })
}

fn ours(rest: &str) -> Sort {
    if let Some(component) = rest.strip_prefix("log.") {
        return Sort { from: Some(component.into()), ..of(Kind::Logs, "line") };
    }
    if rest == "events" {
        return of(Kind::Events, "numbered");
    }
    if let Some(host) = rest.strip_prefix("artifact.read.") {
        return Sort { to: Some(host.into()), ..of(Kind::Control, "artifact.read") };
    }
    match rest.strip_prefix("host.").and_then(|rest| rest.split_once('.')) {
        Some((host, verb)) => Sort { to: Some(host.into()), ..of(Kind::Control, verb) },
        None => of(Kind::Control, rest),
    }
}

/// JetStream's own words, without what is another one each time.
fn state(subject: &str) -> String {
    if let Some(place) = subject.strip_prefix(ACK) {
        return format!("ACK {}", place.split('.').take(2).collect::<Vec<_>>().join(" "));
    }
    if let Some(entry) = subject.strip_prefix("$KV.") {
        return match entry.split_once('.') {
            Some((bucket, key)) => format!("KV {bucket} {key}"),
            None => format!("KV {entry}"),
        };
    }
    match subject.strip_prefix("$JS.").and_then(|rest| rest.split_once("API.")) {
        Some((_, asked)) => asked.to_string(),
        None => subject.to_string(),
    }
}

/// `{lattice}.{target}.wrpc.0.0.1.{interface}.{function}`, and our additions beside it.
fn call(lattice: &LatticeName, message: &Message) -> Option<Sort> {
    let rest = message.subject.strip_prefix(lattice.as_str())?.strip_prefix('.')?;
    let header = |name| message.headers.get(name).map(str::to_string);
    if let Some((target, function)) = rest.split_once(&format!(".{PROTOCOL}.")) {
        let what = function.to_string();
        return Some(Sort {
            from: header(SOURCE),
            to: Some(target.into()),
            link: header(LINK),
            ..of(Kind::Calls, what)
        });
    }
    let (target, what) = rest.split_once(".umbel.v1.")?;
    let to = Some(target.to_string());
    Some(match what {
        "cancel" => Sort { to, hop: Hop::Cancel, ..of(Kind::Calls, what) },
        "drop" => Sort { to, hop: Hop::Drop, ..of(Kind::Calls, what) },
        _ => Sort { to, ..of(Kind::Providers, what) },
    })
}

/// Which step of a call a message on its inboxes is; `rest` is what follows the inbox.
pub(super) fn hop_of_call(rest: &str, message: &Message) -> Hop {
    match rest.split('.').next().unwrap_or_default() {
        // Ours answers a call of plain values at once.
        "" if message.headers.get(PEER).is_some() && !message.payload.is_empty() => Hop::Result,
        "" if message.reply.is_some() => Hop::Accept,
        "" => Hop::Result,
        "params" if rest == "params" => Hop::Params,
        "results" if rest == "results" => Hop::Result,
        "credit" | "stop" | "done" => Hop::Flow,
        _ => Hop::Stream,
    }
}

/// A subject as it may be shown: names of secrets are left out of it.
pub(super) fn shown(subject: &str) -> String {
    match subject.find("SECRET_") {
        Some(at) => format!("{}SECRET_…", &subject[..at]),
        None => subject.to_string(),
    }
}
