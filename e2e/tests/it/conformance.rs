//! Tools and providers of wasmCloud 1.x, unchanged, against a host of ours: real `wash`, real `wadm`, providers of its SDK. `cargo xtask
//! conformance` builds them once; without them these tests say that they are left out.

mod table;

mod storage;
mod wash_up;

use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use umbel_testkit::http;
use umbel_testkit::nats::NatsServer;
use umbel_testkit::wait::block_until;

/// How long a tool may take.
const TOOL_MAX: Duration = Duration::from_secs(60);

/// A tool that was built, or why the test is left out.
fn tool(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = home.join(".cache/umbel-tools/wasmcloud-1/bin").join(name);
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var_os("UMBEL_CONFORMANCE").is_none(), "{} is not there", path.display());
    crate::leave_out(&format!(
        "there is no `{name}` of wasmCloud 1.x here; `cargo xtask conformance` builds it, and runs this"
    ));
    None
}

/// A lattice of a real server with a host of ours, started as wash starts one.
struct Bed {
    server: NatsServer,
    host: Child,
    wadm: Option<Child>,
    folder: tempfile::TempDir,
}

impl Bed {
    fn new() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let server = NatsServer::start("").unwrap();
        let host = start_host(&server, folder.path());
        let bed = Bed { server, host, wadm: None, folder };
        block_until("the host to answer", || bed.hosts().len() == 1);
        bed
    }

    /// With a platform of ours in the place of host and wadm: its own manager serves applications.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    fn managed() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let server = NatsServer::start("").unwrap();
        let mut up = Command::new(crate::umbel());
        up.args(["up", "--nats", &server.url(), "--http-port", "0", "--allow-file-load", "--state"])
            .arg(folder.path().join("state"));
        let host = up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bed = Bed { server, host, wadm: None, folder };
        block_until("the platform to answer", || bed.hosts().len() == 1);
        bed
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    fn with_wadm(mut self) -> Option<Bed> {
        let mut wadm = Command::new(tool("wadm")?);
        wadm.args(["--nats-server", &self.server.address().to_string()]);
        let wadm = wadm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.wadm = Some(wadm);
        block_until("wadm to answer", || self.try_wash(&["app", "list"]).is_ok());
        Some(self)
    }

    /// What wash says, as JSON; or its words when it fails.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    fn try_wash(&self, words: &[&str]) -> Result<Value, String> {
        let port = self.server.address().port().to_string();
        let mut wash = Command::new(tool("wash").ok_or("no wash")?);
        wash.args(words).args(["--output", "json"]).env_clear();
        wash.env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        wash.env("WASMCLOUD_CTL_HOST", "127.0.0.1").env("WASMCLOUD_CTL_PORT", &port);
        let mut child =
            wash.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begun.elapsed() > TOOL_MAX {
                child.kill().unwrap();
                return Err(format!("wash {} took too long", words.join(" ")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Words for people may come before it.
        let json = said
            .find('{')
            .and_then(|at| serde_json::Deserializer::from_str(&said[at..]).into_iter::<Value>().next()?.ok());
        match json {
            Some(json) if output.status.success() && json["success"] != false => Ok(json),
            _ => Err(format!("wash {}: {said} {told}", words.join(" "))),
        }
    }

    fn wash(&self, words: &[&str]) -> Value {
        self.try_wash(words).unwrap()
    }

    /// Our own command line, at the host.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    fn umbel(&self, words: &[&str]) {
        let state = self.folder.path().join("umbel/hosts/default-0");
        let said = Command::new(crate::umbel()).arg("--state").arg(state).args(words).output().unwrap();
        assert!(said.status.success(), "umbel {}: {said:?}", words.join(" "));
    }

    fn hosts(&self) -> Vec<String> {
        let hosts = self.try_wash(&["get", "hosts"]).unwrap_or_default();
        let hosts = hosts["hosts"].as_array().cloned().unwrap_or_default();
        hosts.iter().filter_map(|host| host["id"].as_str().map(str::to_string)).collect()
    }

    fn host_id(&self) -> String {
        self.hosts().into_iter().next().unwrap()
    }

    fn inventory(&self) -> Value {
        self.wash(&["get", "inventory", &self.host_id()])["inventories"][0].clone()
    }

    /// Ends the host as a crash does.
    fn kill(&mut self) {
        self.host.kill().unwrap();
        self.host.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.host = start_host(&self.server, self.folder.path());
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for child in [Some(&mut self.host), self.wadm.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// With variables alone, and nothing typed.
#[expect(clippy::disallowed_methods, reason = "a test runs the program as a user does, without a supervisor")]
fn start_host(server: &NatsServer, folder: &Path) -> Child {
    let mut host = Command::new(crate::umbel());
    host.env("XDG_STATE_HOME", folder).env_remove("UMBEL_STATE").env("WASMCLOUD_LATTICE", "default");
    host.env("WASMCLOUD_CTL_HOST", "127.0.0.1");
    host.env("WASMCLOUD_CTL_PORT", server.address().port().to_string());
    host.env("WASMCLOUD_LABEL_zone", "a").env("WASMCLOUD_PROV_SHUTDOWN_DELAY_MS", "300");
    // Tools say so too.
    host.env("WASMCLOUD_ALLOW_FILE_LOAD", "true");
    host.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn get(port: u16) -> Option<(u16, String)> {
    let answer = http::get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "localhost", "/").ok()?;
    Some((answer.status, answer.text()))
}

fn hello() -> String {
    format!("file://{}", umbel_testkit::example("hello").display())
}

/// wadm's own first example, with a component of ours.
fn manifest(version: &str, image: &str, port: u16) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello-world
  annotations: {{version: {version}, description: HTTP hello world}}
spec:
  components:
    - name: http-component
      type: component
      properties: {{image: '{image}'}}
      traits:
        - type: spreadscaler
          properties: {{instances: 10}}
    - name: httpserver
      type: capability
      properties: {{image: 'ghcr.io/wasmcloud/http-server:0.27.0'}}
      traits:
        - type: link
          properties:
            target: http-component
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source_config:
              - name: default-http
                properties: {{address: '127.0.0.1:{port}'}}
"
    )
}

#[test]
fn wash_drives_a_host_with_every_verb_that_talks_to_a_lattice() {
    if tool("wash").is_none() {
        return;
    }
    let bed = Bed::new();
    let (host, image) = (bed.host_id(), hello());
    assert_eq!(bed.inventory()["labels"]["zone"], "a");
    bed.wash(&["label", &host, "rack=1"]);
    assert_eq!(bed.inventory()["labels"]["rack"], "1");
    bed.wash(&["label", &host, "rack=1", "--delete"]);
    assert!(bed.inventory()["labels"]["rack"].is_null());

    bed.wash(&["config", "put", "greeting", "text=hi"]);
    assert_eq!(bed.wash(&["config", "get", "greeting"])["text"], "hi");
    bed.wash(&["config", "del", "greeting"]);
    assert!(bed.try_wash(&["config", "get", "greeting"]).ok().is_none_or(|found| found["text"].is_null()));

    bed.wash(&["start", "component", &image, "hello", "--host-id", &host]);
    block_until("the component to run", || bed.inventory()["components"][0]["id"] == "hello");
    bed.wash(&["scale", "component", &host, &image, "hello", "--max-instances", "5"]);
    block_until("the component to be scaled", || bed.inventory()["components"][0]["max_instances"] == 5);
    let other = format!("file://{}", umbel_testkit::example("hello-p3").display());
    bed.wash(&["update", "component", "hello", &other, "--host-id", &host]);
    block_until("the component to be updated", || {
        bed.inventory()["components"][0]["image_ref"] == other.as_str()
    });

    bed.wash(&["link", "put", "hello", "kv", "wasi", "keyvalue", "--interface", "store"]);
    let links = bed.wash(&["link", "query"]);
    assert!(links.to_string().contains("keyvalue"), "{links}");
    bed.wash(&["link", "del", "hello", "wasi", "keyvalue"]);
    assert!(!bed.wash(&["link", "query"]).to_string().contains("keyvalue"));

    bed.wash(&["start", "provider", "ghcr.io/wasmcloud/http-server:0.27.0", "http", "--host-id", &host]);
    block_until("the provider to run", || bed.inventory()["providers"][0]["id"] == "http");
    bed.wash(&["stop", "provider", "http", "--host-id", &host]);
    bed.wash(&["stop", "component", "hello", "--host-id", &host]);
    block_until("nothing to run", || {
        let inventory = bed.inventory();
        inventory["components"] == serde_json::json!([]) && inventory["providers"] == serde_json::json!([])
    });
    bed.wash(&["get", "claims"]);
    bed.wash(&["stop", "host", &host]);
    block_until("the host to be gone", || bed.hosts().is_empty());
}

#[test]
fn wadm_deploys_updates_and_removes_an_application() {
    if tool("wash").is_none() {
        return;
    }
    let Some(bed) = Bed::new().with_wadm() else { return };
    let port = free_port();
    let deploy = |version: &str, image: &str| {
        let file = bed.folder.path().join(format!("{version}.yaml"));
        std::fs::write(&file, manifest(version, image, port)).unwrap();
        bed.wash(&["app", "put", &file.display().to_string()]);
        bed.wash(&["app", "deploy", "hello-world", version]);
    };
    deploy("v1", &hello());
    block_until("the application to answer", || get(port).is_some_and(|(status, _)| status == 200));
    block_until("wadm to say so", || {
        bed.wash(&["app", "status", "hello-world"])["status"]["status"]["type"] == "deployed"
    });
    let before = get(port).unwrap().1;
    // Another version is another image, and that is what answers: in the original the old one goes on.
    deploy("v2", &format!("file://{}", umbel_testkit::guest("hello-v2").display()));
    block_until("the new version to answer", || {
        get(port).is_some_and(|(status, text)| status == 200 && text != before)
    });
    let versions = bed.wash(&["app", "history", "hello-world"]);
    assert!(versions.to_string().contains("v2"), "{versions}");
    assert!(bed.wash(&["app", "list"]).to_string().contains("hello-world"));
    bed.wash(&["app", "undeploy", "hello-world"]);
    block_until("nothing to answer", || get(port).is_none());
    bed.wash(&["app", "delete", "hello-world"]);
}

#[test]
fn a_host_that_is_killed_serves_again_at_once_and_wadm_agrees() {
    if tool("wash").is_none() {
        return;
    }
    let Some(mut bed) = Bed::new().with_wadm() else { return };
    let port = free_port();
    let file = bed.folder.path().join("hello.yaml");
    std::fs::write(&file, manifest("v1", &hello(), port)).unwrap();
    bed.wash(&["app", "deploy", &file.display().to_string()]);
    block_until("the application to answer", || get(port).is_some_and(|(status, _)| status == 200));
    let host = bed.host_id();
    bed.kill();
    assert!(get(port).is_none());
    bed.start_again();
    // wadm alone takes more than a minute; that is longer than what is waited for here.
    block_until("the application to answer again", || get(port).is_some_and(|(status, _)| status == 200));
    assert_eq!(bed.hosts(), [host], "it is the same host");
    let inventory = bed.inventory();
    assert_eq!(inventory["components"][0]["annotations"]["wasmcloud.dev/managed-by"], "wadm", "{inventory}");
}

#[test]
fn a_provider_of_the_sdk_serves_unchanged() {
    let Some(provider) = tool("provider-http-server") else { return };
    if tool("wash").is_none() {
        return;
    }
    let bed = Bed::new();
    let (host, port) = (bed.host_id(), free_port());
    let archive = bed.folder.path().join("http.par.gz");
    let platform = umbel_testkit::Platform::new(&crate::umbel()).unwrap();
    let target = format!("x86_64-linux={}", provider.display());
    platform.succeed(&["par", "create", &archive.display().to_string(), "--binary", &target]).unwrap();
    bed.wash(&["config", "put", "address", &format!("address=127.0.0.1:{port}")]);
    bed.wash(&["start", "component", &hello(), "hello", "--host-id", &host]);
    bed.wash(&[
        "start",
        "provider",
        &format!("file://{}", archive.display()),
        "sdk-http",
        "--host-id",
        &host,
    ]);
    let link = ["link", "put", "sdk-http", "hello", "wasi", "http", "--interface", "incoming-handler"];
    bed.wash(&[&link[..], &["--source-config", "address"]].concat());
    block_until("the component to answer through it", || {
        get(port).is_some_and(|(status, text)| status == 200 && text.contains("Hello"))
    });
    // It ends with its host's order, and leaves its port.
    bed.wash(&["stop", "provider", "sdk-http", "--host-id", &host]);
    block_until("its port to be free", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
}
