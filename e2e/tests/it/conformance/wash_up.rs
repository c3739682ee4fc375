//! `wash up --host-path umbel`: the original's shell starts a nats-server, wadm and ours as its host, and ends them all.

use super::{free_port, get, hello, manifest, tool};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use umbel_testkit::wait::block_until;

/// A user's home in which wash has its downloads.
struct Home {
    folder: tempfile::TempDir,
    wash: PathBuf,
    port: u16,
}

impl Home {
    fn new() -> Option<Home> {
        let (wash, wadm) = (tool("wash")?, tool("wadm")?);
        let folder = tempfile::tempdir().unwrap();
        let home = Home { folder, wash, port: free_port() };
        std::fs::create_dir_all(home.downloads()).unwrap();
        let servers = wadm.ancestors().nth(3).unwrap().join("nats-server-2.15.1/bin/nats-server");
        for (program, name) in [(servers, "nats-server"), (wadm, "wadm")] {
            std::os::unix::fs::symlink(program, home.downloads().join(name)).unwrap();
        }
        Some(home)
    }

    fn downloads(&self) -> PathBuf {
        self.folder.path().join(".local/share/wash/downloads")
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs the program as a user does, without a supervisor"
    )]
    fn wash(&self, words: &[&str]) -> Result<Value, String> {
        let mut wash = Command::new(&self.wash);
        wash.args(words).args(["--output", "json"]).env_clear();
        wash.env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin");
        wash.env("WASMCLOUD_CTL_PORT", self.port.to_string()).stdin(Stdio::null());
        // What it starts has the pipes of wash's errors; its words come before they close.
        let said = wash.stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let json = text.find('{').and_then(|at| serde_json::from_str::<Value>(&text[at..]).ok());
        json.filter(|json| said.status.success() && json["success"] != false).ok_or(text)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // There is nothing to end where the test has done so.
        let _ = self.wash(&["down"]);
    }
}

#[test]
fn wash_starts_ours_as_its_host_and_ends_it() {
    let Some(home) = Home::new() else { return };
    let (port, web) = (home.port.to_string(), free_port());
    let host = crate::umbel().display().to_string();
    let versions =
        ["--nats-version", "v2.15.1", "--wadm-version", "v0.21.1", "--wasmcloud-version", "v1.9.2"];
    let ports = ["--nats-port", &port, "--ctl-port", &port, "--rpc-port", &port];
    let up = [&["up", "-d", "--host-path", &host, "--label", "zone=a"][..], &versions, &ports].concat();
    home.wash(&up).unwrap();
    let hosts = || home.wash(&["get", "hosts"]).unwrap()["hosts"].clone();
    // In the background wash does not wait for its host.
    block_until("the host to be listed", || hosts().as_array().is_some_and(|hosts| hosts.len() == 1));
    assert_eq!(hosts()[0]["labels"]["zone"], "a");

    let file = home.folder.path().join("hello.yaml");
    std::fs::write(&file, manifest("v1", &hello(), web)).unwrap();
    home.wash(&["app", "deploy", &file.display().to_string()]).unwrap();
    block_until("the application to answer", || get(web).is_some_and(|(status, _)| status == 200));

    let down = home.wash(&["down"]).unwrap();
    assert_eq!(down["hosts_stopped"].as_array().map(Vec::len), Some(1), "{down}");
    block_until("the host to end", || get(web).is_none());
}
