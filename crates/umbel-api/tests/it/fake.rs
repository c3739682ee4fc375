//! A host and a manager that answer requests on the lattice as real ones do, and an API in front of them.

use bytes::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use umbel_api::client::Client;
use umbel_api::folder::StateFolder;
use umbel_api::{Api, Config, Listening, Token};
use umbel_core::id::LatticeName;
use umbel_lattice::extension::{EventsRequest, LogLine, LogsRequest, NumberedEvent};
use umbel_lattice::{InProcess, Lattice, Message, subjects};
use umbel_supervisor::{Env, Handle, Scope, Strategy, Supervisor, SupervisorSpec};

pub(crate) const HOST: &str = "NHOST";

/// What the fake host remembers.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) events: Vec<NumberedEvent>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) asked: Vec<String>,
}

pub(crate) struct Fake {
    pub(crate) folder: StateFolder,
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) listening: Listening,
    pub(crate) token: Token,
    pub(crate) stop_reason: watch::Receiver<Option<String>>,
    pub(crate) tree: Handle,
    _scope: Scope,
    _dir: tempfile::TempDir,
}

impl Fake {
    pub(crate) async fn start() -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(dir.path());
        folder.prepare().unwrap();
        let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(LatticeName::new("test").unwrap()));
        let memory = Arc::new(Mutex::new(Memory::default()));
        let scope = Scope::new("fake");
        for (pattern, group) in patterns(lattice.name()) {
            let mut requests = match group {
                Some(group) => lattice.queue_subscribe(&pattern, &group).await.unwrap(),
                None => lattice.subscribe(&pattern).await.unwrap(),
            };
            let (lattice, memory) = (lattice.clone(), memory.clone());
            scope.spawn(async move {
                while let Some(request) = requests.next().await {
                    let answer = answer(&request, &memory);
                    lattice.respond(&request, answer.to_string().into()).await.unwrap();
                }
            });
        }
        let (shutdown, stop_reason) = watch::channel(None);
        let (tree, listening) = api(&folder, &lattice, shutdown).await;
        let token = Token::read(&folder).unwrap().unwrap();
        Fake { folder, lattice, memory, listening, token, stop_reason, tree, _scope: scope, _dir: dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::unix(&self.folder).unwrap()
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.listening.tcp.unwrap()
    }

    /// Lets the host remember an event, and publishes it unless it is to be missed.
    pub(crate) async fn event(&self, seq: u64, publish: bool) {
        let numbered = numbered(seq);
        self.memory.lock().unwrap().events.push(numbered.clone());
        if publish {
            self.publish(&subjects::umbel::events(self.lattice.name()), &numbered).await;
        }
    }

    pub(crate) async fn publish(&self, subject: &str, value: &impl serde::Serialize) {
        self.lattice.publish(Message::json(subject, value)).await.unwrap();
    }
}

/// An API on the folder.
pub(crate) async fn api(
    folder: &StateFolder,
    lattice: &Arc<dyn Lattice>,
    shutdown: watch::Sender<Option<String>>,
) -> (Handle, Listening) {
    let (listening, mut listens) = watch::channel(None);
    let config = Config {
        folder: folder.clone(),
        tcp: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        version: "9.9.9".into(),
        listening,
        shutdown: Arc::new(move |reason: &str| drop(shutdown.send_replace(Some(reason.to_string())))),
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(Api::child_spec(config, lattice.clone()));
    let tree = Supervisor::start("test", spec, Env::system());
    let listening = listens.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    (tree, listening)
}

pub(crate) fn numbered(seq: u64) -> NumberedEvent {
    serde_json::from_value(json!({"seq": seq, "event": {
        "specversion": "1.0", "id": seq.to_string(), "type": "com.wasmcloud.lattice.component_scaled", "source": HOST,
        "datacontenttype": "application/json", "time": format!("2026-11-21T00:00:{:02}Z", seq % 60), "data": {"n": seq},
    }}))
    .unwrap()
}

pub(crate) fn log_line(seq: u64, component: &str, level: &str) -> LogLine {
    serde_json::from_value(json!({
        "seq": seq, "unix_ms": 1_000 + seq, "component": component, "application": "hello", "level": level,
        "stream": "log", "message": format!("line {seq}"),
    }))
    .unwrap()
}

fn patterns(lattice: &LatticeName) -> Vec<(String, Option<String>)> {
    use subjects::{ctl, umbel, wadm};
    let host = umbel_core::id::HostId::new(HOST).unwrap();
    vec![
        (ctl::host_ping(lattice), None),
        (ctl::host_any(lattice, &host), None),
        (ctl::link_any(lattice), Some(ctl::link_group(lattice))),
        (ctl::config_any(lattice), Some(ctl::config_group(lattice))),
        (umbel::host_any(lattice, &host), None),
        (wadm::any(lattice), Some(wadm::GROUP.into())),
    ]
}

fn answer(request: &Message, memory: &Mutex<Memory>) -> Value {
    let mut memory = memory.lock().unwrap();
    memory.asked.push(request.subject.clone());
    match request.subject.strip_prefix("wadm.api.test.model.") {
        Some(verb) => manager(verb, &request.payload),
        None => host(&request.subject, &request.payload, &memory),
    }
}

fn manager(verb: &str, payload: &Bytes) -> Value {
    let missing = verb.ends_with(".missing");
    let version = serde_json::from_slice::<Value>(payload)
        .ok()
        .and_then(|body| body["version"].as_str().map(String::from));
    match verb.split('.').next().unwrap() {
        "put" if payload.starts_with(b"bad") => json!({"result": "error", "message": "bad", "problems": [
            {"code": "UM1006", "kind": "invalid", "message": "one", "help": "h", "span": {"file": "m", "line": 1, "column": 2}},
            {"code": "UM1006", "kind": "invalid", "message": "two", "help": "h"},
        ]}),
        "put" if payload.starts_with(b"same") => {
            json!({"result": "newversion", "total_versions": 1, "current_version": "v1", "message": "", "name": "hello", "unchanged": true})
        }
        "put" => {
            json!({"result": "created", "total_versions": 1, "current_version": "v1", "message": "", "name": "hello"})
        }
        "list" => {
            json!([{"name": "hello", "version": "v3", "description": "d", "deployed_version": "v2", "status": "deployed",
            "detailed_status": {"status": {"type": "deployed"}, "urls": ["http://hello.localhost:8000"]}}])
        }
        "get" if missing => json!({"result": "notfound", "message": ""}),
        "get" => {
            json!({"result": "success", "message": "", "manifest": {"apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application", "metadata": {"name": "hello", "annotations": {"version": "v3"}},
            "spec": {"components": [{"name": "web", "type": "component", "properties": {"image": "./a.wasm"}}]}}})
        }
        "versions" if missing => json!({"result": "notfound", "message": "", "versions": []}),
        "versions" => json!({"result": "success", "message": "", "versions": [
            {"version": "v1", "deployed": false, "created_unix_ms": 5}, {"version": "v2", "deployed": true},
            {"version": "v3", "deployed": false}]}),
        "status" if missing => json!({"result": "notfound", "message": ""}),
        "status" => {
            json!({"result": "ok", "message": "", "status": {"status": {"type": "deployed"}, "version": "v2",
            "parts": [{"name": "web", "id": "hello-web", "kind": "component", "state": "running"}]}})
        }
        "deploy" | "undeploy" | "rollback" if missing => {
            json!({"result": "notfound", "message": "", "name": "missing", "version": null})
        }
        "deploy" | "undeploy" => {
            json!({"result": "acknowledged", "message": "ok", "name": "hello", "version": version})
        }
        // Not the one before the deployed one in the list: the order of deploys is the manager's to know.
        "rollback" => json!({"result": "acknowledged", "message": "ok", "name": "hello", "version": "v3"}),
        "del" if missing => json!({"result": "notfound", "message": ""}),
        "del" => json!({"result": "deleted", "message": ""}),
        other => panic!("the manager is not asked {other}"),
    }
}

fn host(subject: &str, payload: &Bytes, memory: &Memory) -> Value {
    let ok = |response: Value| json!({"success": true, "message": "", "response": response});
    let done = json!({"success": true, "message": "accepted"});
    let words: Vec<&str> = subject.split('.').collect();
    match words.as_slice() {
        [.., "host", "ping"] => {
            ok(json!({"rpc_host": "", "ctl_host": "", "friendly_name": "fake", "id": HOST, "labels": {},
            "lattice": "test", "uptime_human": "1s", "uptime_seconds": 1, "version": "9.9.9"}))
        }
        [.., "host", "get", HOST] => {
            ok(json!({"host_id": HOST, "friendly_name": "fake", "labels": {"a": "b"},
            "version": "9.9.9", "uptime_human": "1s", "uptime_seconds": 1,
            "components": [{"id": "hello-web", "image_ref": "file:///a.wasm", "max_instances": 7, "state": "running",
                "application": "hello", "usage": {"calls": 4}, "unlinked": ["wasi:http/outgoing-handler@0.2.0"]}],
            "providers": [{"id": "hello-http", "image_ref": "builtin:http-server", "kind": "builtin", "state": "running",
                "endpoints": [{"component": "hello-web", "url": "http://hello.localhost:8000"}]}]}))
        }
        [.., "link", "get"] => {
            ok(json!([{"source_id": "a", "target": "b", "name": "default", "wit_namespace": "wasi",
            "wit_package": "http", "interfaces": ["outgoing-handler"]}]))
        }
        [.., "link", "put" | "del"] | [.., "config", "put" | "del", _] | [.., "drain"] => done,
        [.., "config", "get", "missing"] => json!({"success": true, "message": "Configuration not found"}),
        [.., "config", "get", _] => ok(json!({"k": "v"})),
        [.., "tree"] => {
            ok(json!({"id": "host", "kind": "supervisor", "state": {"name": "running"}, "restarts": 0,
            "since_unix_ms": 3, "children": [{"id": "web", "kind": "component", "restarts": 2, "since_unix_ms": 4,
            "state": {"name": "backing-off", "retry_in_ms": 1500}}]}))
        }
        [.., "inspect"] if payload.windows(7).any(|bytes| bytes == b"refused") => {
            json!({"success": false, "message": "no"})
        }
        [.., "inspect"] => {
            ok(json!({"kind": "component", "imports": [], "exports": ["wasi:http/incoming-handler@0.2.0"],
            "size": 5, "digest": "sha256:00"}))
        }
        [.., "logs"] => {
            let request: LogsRequest = serde_json::from_slice(payload).unwrap();
            let wanted = memory
                .logs
                .iter()
                .filter(|line| request.component.as_ref().is_none_or(|id| *id == line.component));
            let lines: Vec<&LogLine> = wanted.collect();
            ok(json!(lines[lines.len().saturating_sub(request.limit)..]))
        }
        [.., "events"] => {
            let request: EventsRequest = serde_json::from_slice(payload).unwrap();
            let events: Vec<&NumberedEvent> = match request.since_seq {
                Some(since) => {
                    memory.events.iter().filter(|event| event.seq > since).take(request.limit).collect()
                }
                None => {
                    memory.events.iter().skip(memory.events.len().saturating_sub(request.limit)).collect()
                }
            };
            let oldest = memory.events.first().map_or(1, |event| event.seq);
            ok(json!({"events": events, "oldest_seq": oldest}))
        }
        _ => extension(&words, payload),
    }
}

/// Our own requests that need no memory.
fn extension(words: &[&str], payload: &Bytes) -> Value {
    let ok = |response: Value| json!({"success": true, "message": "", "response": response});
    match words {
        [.., "provider", "stop" | "start" | "restart"] => json!({"success": true, "message": "done"}),
        [.., "provider", "show"] => ok(json!({
            "view": {"id": "hello-http", "image_ref": "builtin:http-server", "kind": "builtin", "state": "running", "restarts": 2,
                "by_hand": {"is_stopped": true}},
            "links": [{"link": {"source_id": "a", "target": "hello-http", "name": "default", "wit_namespace": "wasi",
                "wit_package": "http", "interfaces": ["outgoing-handler"]}, "is_taken": true}],
            "config": ["url"], "is_healthy": true, "folder": "/s/providers/hello-http"})),
        [.., "provider", "swap"] => ok(json!({
            "provider": "hello-http", "from": {"kind": "builtin", "reference": "builtin:a"},
            "to": {"kind": "process", "reference": "builtin:a"}, "beside": true, "links": [], "config": [], "notes": ["n"]})),
        [.., "secret", "put" | "del"] => json!({"success": true, "message": "kept"}),
        [.., "secret", "list"] => {
            ok(json!([{"owner": {"application": "shop"}, "name": "a/b", "version": 2, "put_unix_ms": 5},
            {"owner": "shared", "name": "c", "version": 1}]))
        }
        [.., "usage"] => ok(json!({"pid": 7, "at_us": 1_000, "cpu_us": 30, "components": [
            {"id": "hello-web", "state": "running", "usage": {"calls": 4, "calls_waiting": 1}}],
            "threads": [{"group": "data-path", "threads": 2, "cpu_us": 30, "waited_us": 1}],
            "memory": {"resident_bytes": 6, "instances_bytes": 1, "code_bytes": 2, "rest_bytes": 3}})),
        [.., "link", "check"] => ok(json!({"warnings": ["nothing runs with the id `b` yet"]})),
        [.., "link", "explain"] => {
            ok(json!({"source": "a", "state": "running", "by_host": ["wasi:io/poll@0.2.0"], "links": [
                {"import": "wasi:http/outgoing-handler@0.2.0", "name": "default", "path": {"kind": "fresh-instance", "calls": 3},
                 "target": {"id": "b", "kind": "component", "state": "running", "distance": "any", "is_local": true}},
                {"import": "acme:demo/x", "name": "default", "problem": {"code": "UM0550", "kind": "unavailable", "message": "m", "help": "h"}},
            ]}))
        }
        [.., "wit"] => ok(json!({"digest": "sha256:00", "wit": "package root:component;\n"})),
        [.., "call"] => {
            let request: Value = serde_json::from_slice(payload).unwrap();
            ok(
                json!({"function": "a:b/c.d", "result": request["args"], "wave": "x", "is_err": false, "took_us": 7}),
            )
        }
        other => panic!("the host is not asked {other:?}"),
    }
}

/// Sends a request as it is and reads the head of the answer and, unless it is a stream, the body.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        loop {
            let length = stream.read(&mut chunk).await.unwrap();
            bytes.extend_from_slice(&chunk[..length]);
            let text = String::from_utf8_lossy(&bytes);
            if length == 0 || (text.contains("\r\n\r\n") && text.contains("text/event-stream")) {
                return text.into_owned();
            }
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("no answer");
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}
