//! Images in registries, with Debian's registry: pushed, pulled, deployed, and started again without it.

use crate::processes::{archive, count, counter, process};
use crate::{folder, umbel};
use std::path::Path;
use umbel_testkit::platform::{Ran, application};
use umbel_testkit::registry::{Guard, PASSWORD, USER};
use umbel_testkit::{Platform, Registry};

/// A command that knows the registry's password by its environment.
fn run(platform: &Platform, registry: &str, arguments: &[&str]) -> Ran {
    let mut command = platform.command(arguments);
    command
        .env("OCI_REGISTRY", registry)
        .env("OCI_REGISTRY_USER", USER)
        .env("OCI_REGISTRY_PASSWORD", PASSWORD);
    Ran::of(command.output().unwrap())
}

fn push(platform: &Platform, registry: &str, name: &str, file: &Path) {
    let image = format!("{registry}/{name}");
    let ran = run(platform, registry, &["push", &image, file.to_str().unwrap(), "--insecure"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

/// A platform that may ask the registry.
fn up(platform: &mut Platform, registry: &str) {
    let keys = platform.folder().join("keys.json");
    let text = format!(r#"{{"{registry}": {{"username": "{USER}", "password": "{PASSWORD}"}}}}"#);
    std::fs::write(&keys, text).unwrap();
    let keys = keys.to_str().unwrap();
    platform
        .succeed(&["up", "--detach", "--insecure-registry", registry, "--registry-credentials", keys])
        .unwrap();
    platform.read_endpoint().unwrap();
}

fn digest(platform: &Platform, component: &str) -> String {
    platform.json(&["inspect", component]).unwrap()["digest"].as_str().unwrap_or_default().to_string()
}

#[test]
fn an_application_of_a_registry_runs_and_starts_again_without_it() {
    let mut registry = Registry::start(Guard::Password, None).unwrap();
    let host = registry.address().to_string();
    let mut platform = folder();
    let serve = format!("exec {} provider run keyvalue", umbel().display());
    let file = archive(&platform, "keys", &serve);
    push(&platform, &host, "team/counter:1", &umbel_testkit::example("counter"));
    push(&platform, &host, "team/acme-keys:1", Path::new(&file));
    up(&mut platform, &host);
    let local = umbel_testkit::example("counter").display().to_string();
    let manifest = counter("v1", &format!("oci://{host}/team/acme-keys:1"), "");
    platform.deploy(&manifest.replace(&local, &format!("{host}/team/counter:1"))).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let counted = count(&platform);
    assert!(process(&platform).is_some(), "the archive is a process");
    let deployed = digest(&platform, "counter-counter");

    // The tag is another component by now, which a restart does not care for.
    push(&platform, &host, "team/counter:1", &umbel_testkit::example("hello"));
    platform.signal("KILL").unwrap();
    up(&mut platform, &host);
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > counted);
    assert_eq!(digest(&platform, "counter-counter"), deployed);

    registry.kill();
    for _ in 0..2 {
        platform.down().unwrap();
        up(&mut platform, &host);
        platform.wait_for_answer("counter").unwrap();
        assert!(count(&platform) > counted);
        assert_eq!(digest(&platform, "counter-counter"), deployed);
    }
    // What was never pulled cannot come from nowhere.
    let other = application("other", "v1", Path::new(&format!("{host}/team/hello:1")), &[]);
    std::fs::write(platform.folder().join("other.yaml"), other).unwrap();
    let ran = platform.run(&["deploy", "-f", "other.yaml"]).unwrap();
    assert!(ran.code != 0 && ran.stderr.contains("UM0340"), "{}: {}", ran.code, ran.stderr);
    assert_eq!(platform.get("counter", "/").unwrap().status, 200);
    let log = std::fs::read_to_string(platform.state().join("log/host.log")).unwrap();
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn a_deploy_looks_a_tag_up_again() {
    let registry = Registry::start(Guard::Password, None).unwrap();
    let host = registry.address().to_string();
    let mut platform = folder();
    push(&platform, &host, "app:1", &umbel_testkit::example("hello"));
    up(&mut platform, &host);
    let ran = run(&platform, &host, &["launch", &format!("{host}/app:1")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let first = digest(&platform, "app-app");
    push(&platform, &host, "app:1", &umbel_testkit::example("hello-p3"));
    assert_eq!(digest(&platform, "app-app"), first);
    let ran = run(&platform, &host, &["launch", &format!("{host}/app:1")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_ne!(digest(&platform, "app-app"), first);
    assert_eq!(platform.get("app", "/").unwrap().status, 200);
}

#[test]
fn images_are_pushed_pulled_and_looked_into_without_a_platform() {
    let registry = Registry::start(Guard::Password, None).unwrap();
    let (platform, host) = (folder(), registry.address().to_string());
    let hello = umbel_testkit::example("hello");
    let (image, path) = (format!("{host}/team/hello:1.0"), hello.to_str().unwrap());
    let license = "org.opencontainers.image.licenses=MIT";
    let ran =
        run(&platform, &host, &["push", &image, path, "--insecure", "--annotation", license, "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let pushed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let ran = run(&platform, &host, &["inspect", &image, "--insecure", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&shown["digest"], &shown["kind"]), (&pushed["digest"], &"component".into()), "{shown}");
    assert_eq!(shown["annotations"]["org.opencontainers.image.licenses"], "MIT");
    assert!(shown["exports"].to_string().contains("wasi:http/incoming-handler"), "{shown}");

    let pinned = pushed["pinned"].as_str().unwrap();
    for (from, to) in [(image.as_str(), "hello.wasm"), (pinned, "again.wasm")] {
        let ran = run(&platform, &host, &["pull", from, "--file", to, "--insecure"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(std::fs::read(platform.folder().join(to)).unwrap(), std::fs::read(&hello).unwrap());
    }
    let refused = |arguments: &[&str], code: i32, text: &str| {
        let ran = run(&platform, "elsewhere.example", arguments);
        assert!(ran.code == code && ran.stderr.contains(text), "{arguments:?}: {}, {}", ran.code, ran.stderr);
        assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
    };
    refused(&["pull", &image, "--file", "x.wasm", "--insecure"], 5, "UM0343");
    refused(&["inspect", &image], 1, "UM0342");
    refused(&["push", &image, "hello.wasm", "--insecure"], 5, "UM0343");
    refused(&["pull", "hello:1"], 1, "UM0356");
    let ran = run(&platform, &host, &["pull", &image, "--insecure"]);
    assert!(
        ran.code != 0 && ran.stderr.contains("--file"),
        "a file was replaced that nobody named: {}",
        ran.stderr
    );
    let ran = run(&platform, &host, &["pull", &format!("{host}/none:1"), "--insecure"]);
    assert!(ran.code == 3 && ran.stderr.contains("UM0345"), "{}: {}", ran.code, ran.stderr);
    let left: Vec<_> = std::fs::read_dir(platform.folder()).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".partial")), "{left:?}");
}
