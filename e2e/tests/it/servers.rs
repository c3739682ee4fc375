//! The nats-servers that platforms start, with real ones: they come back, others join them, and a leaf node shares its hub's lattice.

use crate::lattice::{count, counter, host_of, hosts};
use serde_json::Value;
use std::path::Path;
use umbel_testkit::Platform;
use umbel_testkit::nats::{NatsServer, free_address, program};
use umbel_testkit::wait::block_until;

/// A platform that starts a nats-server on that port.
fn with_nats(port: u16, more: &[&str]) -> Platform {
    let mut platform = Platform::new(&crate::umbel()).unwrap();
    let (port, program) = (port.to_string(), program().unwrap());
    let program = program.to_str().unwrap();
    platform.start_with(&[&["--nats-port", &port, "--nats-server", program], more].concat()).unwrap();
    platform
}

/// The process of the nats-server that a platform has started.
fn server_of(platform: &Platform) -> Option<u32> {
    let parent = format!("PPid:\t{}", platform.pid);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            status.starts_with("Name:\tnats-server\n") && status.lines().any(|line| line == parent)
        })
        .find_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The nats-server in the platform's tree.
fn shown(platform: &Platform) -> Value {
    let trees = platform.json(&["tree"]).unwrap_or_default();
    let trees = trees["items"].as_array().cloned().unwrap_or_default();
    // One tree for each host; the one that started the server has it.
    let mut children = trees.iter().filter_map(|tree| tree["root"]["children"].as_array()).flatten();
    children.find(|child| child["id"] == "nats-server").cloned().unwrap_or_default()
}

fn links(platform: &Platform) -> Vec<String> {
    let links = platform.json(&["link", "list"]).unwrap_or_default();
    let sources = links["items"].as_array().cloned().unwrap_or_default();
    sources.iter().filter_map(|link| link["source_id"].as_str().map(str::to_string)).collect()
}

#[test]
fn a_server_that_is_killed_comes_back_with_every_write_that_was_acknowledged() {
    let mut platform = with_nats(0, &["--with-nats"]);
    assert_eq!(shown(&platform)["state"], "running", "{:?}", platform.json(&["tree"]));
    platform.deploy(&counter("", "", "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let before = count(&platform);

    let mut acknowledged = Vec::new();
    let mut put = |n: usize| {
        let source = format!("source-{n}");
        if platform.run(&["link", "put", &source, "nobody", "wasi:keyvalue/store"]).unwrap().code == 0 {
            acknowledged.push(source);
        }
    };
    for n in 0..10 {
        put(n);
    }
    let old = server_of(&platform).unwrap();
    kill(old);
    // Some of these are refused, because there is no server at that moment; what is taken must stay.
    for n in 10..30 {
        put(n);
    }
    assert!(acknowledged.len() >= 10);
    assert_eq!(count(&platform), before + 1, "calls in one host do not need the server");
    block_until("the server to be back", || {
        server_of(&platform).is_some_and(|pid| pid != old)
            && shown(&platform)["state"] == "running"
            && hosts(&platform).len() == 1
    });
    assert_eq!(shown(&platform)["restarts"], 1);
    block_until("every acknowledged link to be there", || {
        let links = links(&platform);
        acknowledged.iter().all(|source| links.contains(source))
    });
    platform.succeed(&["undeploy", "counter"]).unwrap();
    let pid = server_of(&platform).unwrap();
    platform.down().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it ends with the platform");

    // What it has kept is there at the next start.
    let program = program().unwrap();
    platform
        .start_with(&["--with-nats", "--nats-port", "0", "--nats-server", program.to_str().unwrap()])
        .unwrap();
    let links = links(&platform);
    assert!(acknowledged.iter().all(|source| links.contains(source)), "{links:?}");
}

/// Ends a process of the test as a crash does.
#[expect(clippy::disallowed_methods, reason = "the standard library sends no signals")]
fn kill(pid: u32) {
    let status = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn others_join_the_server_that_a_platform_has_started() {
    let port = free_address().unwrap().port();
    let first = with_nats(port, &["--with-nats", "--name", "first", "--label", "side=first"]);
    let mut second = Platform::new(&crate::umbel()).unwrap();
    let url = format!("nats://127.0.0.1:{port}");
    let refused = second.run(&["join", &url, "--with-nats"]).unwrap();
    assert!(refused.code != 0 && refused.stderr.contains("--with-nats"), "{}", refused.stderr);
    second.succeed(&["join", &url, "--detach", "--name", "second", "--label", "side=second"]).unwrap();
    second.read_endpoint().unwrap();
    block_until("both hosts to see one another", || {
        hosts(&first) == ["first", "second"] && hosts(&second) == ["first", "second"]
    });
    second.deploy(&counter("first", "second", "second")).unwrap();
    second.wait_for_answer("counter").unwrap();
    assert_eq!(host_of(&first, "counter").as_deref(), Some("first"));
    assert!(count(&second) > 0);
    // One that joins nothing is told so.
    let mut third = Platform::new(&crate::umbel()).unwrap();
    let nobody = format!("nats://{}", free_address().unwrap());
    let refused = third.run(&["join", &nobody, "--detach"]).unwrap();
    assert!(refused.code != 0 && refused.stderr.contains("UM0623"), "{}", refused.stderr);
    third.pid = 0;
    second.down().unwrap();
    block_until("it to be gone", || hosts(&first) == ["first"]);
}

#[test]
fn a_leaf_node_shares_the_lattice_of_its_hub() {
    let leaves = free_address().unwrap();
    let hub = NatsServer::start(&format!(
        "jetstream {{ store_dir: \"FOLDER/js\", sync_interval: always, domain: hub }}
         leafnodes {{ listen: \"{leaves}\", authorization {{ user: leaf, password: \"hush-hush\" }} }}"
    ))
    .unwrap();
    let mut far = Platform::new(&crate::umbel()).unwrap();
    far.start_with(&["--nats", &hub.url(), "--js-domain", "hub", "--name", "far", "--label", "side=far"])
        .unwrap();
    let url = format!("nats://leaf:hush-hush@{leaves}");
    let near =
        with_nats(0, &["--leaf", &url, "--js-domain", "hub", "--name", "near", "--label", "side=near"]);
    let command = std::fs::read_to_string(format!("/proc/{}/cmdline", near.pid)).unwrap();
    assert!(command.contains("--nats-port") && !command.contains("hush-hush"), "{command}");
    let log = std::fs::read_to_string(near.state().join("log/host.log")).unwrap();
    assert!(!log.contains("hush-hush"), "{log}");
    assert_eq!(shown(&near)["state"], "running");

    block_until("both hosts to see one another", || {
        hosts(&near) == ["far", "near"] && hosts(&far) == ["far", "near"]
    });
    near.deploy(&counter("far", "far", "near")).unwrap();
    near.wait_for_answer("counter").unwrap();
    assert_eq!(host_of(&far, "counter").as_deref(), Some("far"));
    let first = count(&near);
    // The leaf's own server ends as in a crash, and comes back.
    let old = server_of(&near).unwrap();
    kill(old);
    block_until("the leaf to be back", || {
        server_of(&near).is_some_and(|pid| pid != old)
            && near.get("counter", "/").is_ok_and(|it| it.status == 200)
    });
    assert!(count(&near) > first);
}
