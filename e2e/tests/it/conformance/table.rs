//! Every verb of wash that talks to a lattice and every operation of wadm, as one table: what host 1.9.2 and wadm 0.21.1 answered,
//! recorded once from their traffic (`recorded.json`), and what is answered here. The table is `docs/protocols/conformance.md`;
//! `UMBEL_BLESS=1` writes it.

use super::{Bed, hello, manifest, tool};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use umbel_testkit::nats::{Heard, Wire};
use umbel_testkit::wait::block_until;

const RECORDED: &str = include_str!("recorded.json");

const HEAD: &str = "# Conformance

Every operation that `wash` 0.43.0 uses on a lattice and on applications, run by the unchanged program. Beside it what host 1.9.2 and wadm 0.21.1
answered, recorded once from their traffic: the outcome, and the fields of the answer. This file is written by the e2e test
`conformance::table` and checked by it; a field with `+` is an addition of ours, which those who know it use and others ignore.

| operation | recorded | here |
|---|---|---|
";

/// What one operation was answered with: its outcome in a word, the answer's fields, and those of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Answered {
    outcome: String,
    fields: Vec<String>,
    response: Vec<String>,
}

impl Answered {
    fn of(answer: &Value) -> Answered {
        let outcome = match (&answer["success"], &answer["result"]) {
            (Value::Bool(true), _) => "success",
            (Value::Bool(false), _) => "failure",
            (_, Value::String(result)) => result,
            _ => "",
        };
        Answered { outcome: outcome.into(), fields: fields(answer), response: fields(&answer["response"]) }
    }

    fn recorded(row: &Value) -> Answered {
        let outcome = match &row["outcome"] {
            Value::Bool(true) => "success",
            Value::Bool(false) => "failure",
            other => other.as_str().unwrap_or_default(),
        };
        let names = |value: &Value| {
            let list = if value[0].is_array() { &value[0] } else { value };
            let names = list.as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_string).collect::<Vec<_>>()
        };
        Answered { outcome: outcome.into(), fields: names(&row["answer"]), response: names(&row["response"]) }
    }

    /// As it stands in the table; what is not in `before` is marked.
    fn cell(&self, before: Option<&Answered>) -> String {
        let marked = |names: &[String], known: Option<&[String]>| {
            let mark = |name: &String| {
                let is_new = known.is_some_and(|known| !known.contains(name));
                format!("{}{name}", if is_new { "+" } else { "" })
            };
            names.iter().map(mark).collect::<Vec<_>>().join(", ")
        };
        let mut cell = String::new();
        if !self.outcome.is_empty() {
            cell = format!("**{}**: ", self.outcome);
        }
        cell += &marked(&self.fields, before.map(|it| &*it.fields));
        if !self.response.is_empty() {
            let response = marked(&self.response, before.map(|it| &*it.response));
            write!(cell, " ({response})").unwrap();
        }
        cell
    }

    /// Whether everything is there that a client of the recorded one may look for.
    fn serves(&self, recorded: &Answered) -> bool {
        let has = |ours: &[String], theirs: &[String]| theirs.iter().all(|name| ours.contains(name));
        self.outcome == recorded.outcome
            && has(&self.fields, &recorded.fields)
            && has(&self.response, &recorded.response)
    }
}

/// The names of the fields of an object, or of the first entry of a list.
fn fields(value: &Value) -> Vec<String> {
    let object = if value.is_array() { &value[0] } else { value };
    let mut names: Vec<String> =
        object.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

/// The operation of a subject, with words in the place of names.
fn operation(subject: &str) -> Option<String> {
    if let Some(rest) = subject.strip_prefix("wadm.api.default.model.") {
        let verb = rest.split('.').next()?;
        let name = if rest.contains('.') { ".{name}" } else { "" };
        return Some(format!("wadm.api.{{lattice}}.model.{verb}{name}"));
    }
    let rest = subject.strip_prefix("wasmbus.ctl.v1.default.")?;
    let mut words = rest.splitn(3, '.');
    let (noun, verb) = (words.next()?, words.next()?);
    let of = match (noun, words.next()) {
        (_, None) => "",
        ("config", _) => ".{name}",
        _ => ".{host}",
    };
    Some(format!("wasmbus.ctl.v1.{{lattice}}.{noun}.{verb}{of}"))
}

/// The fullest answer to each operation that was heard.
fn answered(heard: &[Heard]) -> BTreeMap<String, Answered> {
    let mut asked: BTreeMap<&str, String> = BTreeMap::new();
    let mut answers: BTreeMap<String, Answered> = BTreeMap::new();
    for message in heard {
        if let (Some(reply), Some(operation)) = (&message.reply, operation(&message.subject)) {
            asked.insert(reply, operation);
            continue;
        }
        let Some(operation) = asked.get(&*message.subject) else { continue };
        let Ok(answer) = serde_json::from_str::<Value>(&message.payload) else { continue };
        let (new, size) = (Answered::of(&answer), |it: &Answered| it.fields.len() + it.response.len());
        let known = answers.entry(operation.clone()).or_insert_with(|| new.clone());
        if size(&new) > size(known) {
            *known = new;
        }
    }
    answers
}

/// What was heard until now.
fn drain(wire: &mut Wire) -> Vec<Heard> {
    wire.publish("conformance.end", "nobody", "").unwrap();
    let mut heard = Vec::new();
    loop {
        let message = wire.next_message().unwrap();
        if message.subject == "conformance.end" {
            return heard;
        }
        heard.push(message);
    }
}

/// Every verb, in an order in which each has something to do.
fn run(bed: &Bed) {
    let host = bed.host_id();
    // With claims, so that there are some to ask for.
    let signed = bed.folder.path().join("signed.wasm").display().to_string();
    let file = umbel_testkit::example("hello").display().to_string();
    bed.wash(&[
        "claims",
        "sign",
        &file,
        "--name",
        "hello",
        "--destination",
        &signed,
        "--ver",
        "0.1.0",
        "--rev",
        "1",
    ]);
    let image = format!("file://{signed}");
    bed.wash(&["label", &host, "env=dev"]);
    bed.wash(&["label", &host, "env=dev", "--delete"]);
    bed.wash(&["config", "put", "http", "address=127.0.0.1:0"]);
    bed.wash(&["config", "get", "http"]);
    bed.wash(&["start", "component", &image, "hello", "--max-instances", "10"]);
    block_until("the component to run", || bed.inventory()["components"][0]["id"] == "hello");
    bed.wash(&["start", "provider", "ghcr.io/wasmcloud/http-server:0.27.0", "httpserver"]);
    block_until("the provider to run", || bed.inventory()["providers"][0]["id"] == "httpserver");
    let link = ["link", "put", "httpserver", "hello", "wasi", "http", "--interface", "incoming-handler"];
    bed.wash(&[&link[..], &["--source-config", "http"]].concat());
    bed.wash(&["link", "query"]);
    bed.wash(&["get", "links"]);
    bed.wash(&["get", "claims"]);
    bed.wash(&["scale", "component", &host, &image, "hello", "--max-instances", "20"]);
    bed.wash(&["update", "component", "hello", &hello(), "--host-id", &host]);
    bed.wash(&["link", "del", "httpserver", "wasi", "http"]);
    bed.wash(&["config", "del", "http"]);
    bed.wash(&["stop", "component", "hello", "--host-id", &host]);
    bed.wash(&["stop", "provider", "httpserver", "--host-id", &host]);

    let yaml = bed.folder.path().join("app.yaml");
    std::fs::write(&yaml, manifest("v1", &image, 0)).unwrap();
    bed.wash(&["app", "put", &yaml.display().to_string()]);
    bed.wash(&["app", "deploy", "hello-world", "v1"]);
    block_until("it to be deployed", || {
        bed.wash(&["app", "status", "hello-world"])["status"]["status"]["type"] == "deployed"
    });
    bed.wash(&["app", "list"]);
    bed.wash(&["app", "history", "hello-world"]);
    bed.wash(&["app", "get", "hello-world"]);
    bed.wash(&["app", "undeploy", "hello-world"]);
    bed.wash(&["app", "delete", "hello-world"]);
    bed.wash(&["stop", "host", &host]);
}

#[test]
fn every_operation_is_answered_as_it_was_recorded() {
    if tool("wash").is_none() {
        return;
    }
    let bed = Bed::managed();
    let mut wire = Wire::open(bed.server.address()).unwrap();
    wire.subscribe(">").unwrap();
    // No verb of wash uses this one.
    bed.server.request("wasmbus.ctl.v1.default.registry.put", "{}").unwrap();
    run(&bed);
    let here = answered(&drain(&mut wire));
    let recorded: BTreeMap<String, Value> = serde_json::from_str(RECORDED).unwrap();
    let recorded: BTreeMap<String, Answered> =
        recorded.iter().map(|(operation, row)| (operation.clone(), Answered::recorded(row))).collect();

    let (mut table, mut differing) = (HEAD.to_string(), Vec::new());
    let operations: std::collections::BTreeSet<&String> = recorded.keys().chain(here.keys()).collect();
    for operation in operations {
        let (theirs, ours) = (recorded.get(operation), here.get(operation));
        let before = theirs.map_or_else(|| "nothing is recorded".to_string(), |it| it.cell(None));
        let now = ours.map_or_else(|| "no answer".to_string(), |it| it.cell(theirs));
        writeln!(table, "| `{operation}` | {before} | {now} |").unwrap();
        if theirs.is_some_and(|theirs| !ours.is_some_and(|ours| ours.serves(theirs))) {
            differing.push(operation);
        }
    }
    assert!(differing.is_empty(), "{differing:?} are answered otherwise:\n{table}");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocols/conformance.md");
    if std::env::var_os("UMBEL_BLESS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), table, "write it anew with UMBEL_BLESS=1");
}
