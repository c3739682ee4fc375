//! Secrets that reach providers: at their start, with a link, and while they run.

use crate::processes::count;
use crate::up;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// A Redis server with a password, on a socket in a folder of its own.
struct Redis {
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test starts servers without a supervisor")]
fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}

impl Redis {
    fn start(password: &str) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let child = command("redis-server")
            .args(["--port", "0", "--save", "", "--requirepass", password, "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .stdout(Stdio::null())
            .spawn()
            .expect("`apt-get install redis-server`");
        let redis = Redis { folder, child };
        let socket = redis.socket();
        block_until("redis listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn url(&self, password: &str) -> String {
        format!("unix://{}?pass={password}", self.socket().display())
    }

    /// Another password from now on; those who are connected have to come anew.
    fn change(&self, old: &str, new: &str) {
        for words in [&["CONFIG", "SET", "requirepass", new][..], &["CLIENT", "KILL", "TYPE", "normal"]] {
            let ran =
                command("redis-cli").arg("-s").arg(self.socket()).args(["-a", old]).args(words).output();
            let ran = ran.unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && !said.contains("ERR"), "{words:?}: {said}");
        }
    }
}

/// The counter over Redis, whose address is a secret: of the provider, or of the link.
fn counter(of_link: bool, isolation: &str) -> String {
    let component = umbel_testkit::example("counter");
    let secrets = "secrets: [{name: url, properties: {policy: own, key: store/url}}]";
    let (link, provider) = if of_link { (secrets, "") } else { ("config: []", secrets) };
    let provider = [provider, isolation].into_iter().filter(|text| !text.is_empty());
    let provider: String = provider.map(|text| format!(", {text}")).collect();
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: counter, annotations: {{version: v1}}}}
spec:
  policies:
    - {{name: own, type: policy.secret.wasmcloud.dev/v1alpha1, properties: {{backend: umbel}}}}
  components:
    - name: counter
      type: component
      properties: {{image: {component}}}
      traits:
        - type: link
          properties:
            target: {{name: keyvalue, {link}}}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: keyvalue
      type: capability
      properties: {{image: 'builtin:keyvalue-redis'{provider}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: counter}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
",
        component = component.display()
    )
}

fn put(platform: &Platform, value: &str) {
    let words = ["secret", "put", "store/url", "--application", "counter"];
    let mut child = platform.command(&words).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Whether the text stands in a file below the folder.
fn is_in_files(folder: &Path, text: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let found = match entry.file_type() {
            Ok(kind) if kind.is_dir() => is_in_files(&path, text),
            Ok(kind) if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes.windows(text.len()).any(|window| window == text.as_bytes()).then_some(path)
            }
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn reaches(of_link: bool, isolation: &str) {
    const OLD: &str = "hunter2-one-8d31";
    const NEW: &str = "hunter2-two-5c07";
    let redis = Redis::start(OLD);
    let platform = up();
    let manifest = platform.folder().join("counter.yaml");
    std::fs::write(&manifest, counter(of_link, isolation)).unwrap();
    platform.succeed(&["deploy", manifest.to_str().unwrap(), "--no-wait"]).unwrap();
    // Nobody has put it yet: that is told with the command, and nothing has failed for good.
    block_until("it says which secret is missing", || {
        let shown = platform.run(&["provider", "show", "counter-keyvalue", "-o", "json"]).unwrap().stdout;
        shown.contains("UM1182") && shown.contains("umbel secret put store/url --application counter")
    });
    put(&platform, &redis.url(OLD));
    platform.wait_for_answer("counter").unwrap();
    let before = count(&platform);
    assert_eq!(count(&platform), before + 1);

    // It changes while the provider runs.
    redis.change(OLD, NEW);
    put(&platform, &redis.url(NEW));
    block_until("it serves with the new password", || {
        platform.get("counter", "/").is_ok_and(|answer| answer.status == 200)
    });
    assert!(count(&platform) > before + 1, "the same store");
    let listed = platform.json(&["provider", "list"]).unwrap();
    assert!(listed.to_string().contains("\"restarts\":0"), "it was told, not restarted: {listed}");

    let mut told = String::new();
    for words in [
        &["provider", "show", "counter-keyvalue"][..],
        &["provider", "logs", "counter-keyvalue"],
        &["ps"],
        &["tree"],
        &["link", "explain", "counter-counter"],
        &["events"],
        &["secret", "list"],
    ] {
        told += &platform.succeed(&[words, &["-o", "json"]].concat()).unwrap();
    }
    assert!(told.contains("url"), "names may be known: {told}");
    for password in [OLD, NEW] {
        assert!(!told.contains(password), "{told}");
        assert_eq!(is_in_files(&platform.state(), password), None);
    }
}

#[test]
fn a_secret_reaches_a_builtin_and_its_change_too() {
    reaches(false, "");
}

#[test]
fn a_secret_reaches_a_process_and_its_change_too() {
    reaches(false, "isolation: process");
}

#[test]
fn a_secret_of_a_link_reaches_a_builtin_and_its_change_too() {
    reaches(true, "");
}

#[test]
fn a_secret_of_a_link_reaches_a_process_and_its_change_too() {
    reaches(true, "isolation: process");
}
