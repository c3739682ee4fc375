//! What is told when something does not go as wished.

use crate::{nothing_runs, umbel};
use umbel_testkit::platform::{Ran, application};
use umbel_testkit::{Platform, example};

#[track_caller]
fn has(ran: &Ran, code: i32, wanted: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "`{wanted}` in\n{}", ran.stderr);
    }
}

#[test]
fn a_failed_update_says_what_failed_what_goes_on_and_how_to_go_back() {
    let platform = Platform::up(umbel()).unwrap();
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    let nothing = platform.folder().join("nothing.wasm");
    std::fs::write(&nothing, b"\0asm\x0d\0\x01\0").unwrap();
    std::fs::write(platform.folder().join("v2.yaml"), application("hello", "v2", &nothing, &[])).unwrap();
    let ran = platform.run(&["deploy", "-f", "v2.yaml"]).unwrap();
    has(
        &ran,
        8,
        &[
            "error[UM1020]: `hello` v2 is deployed but not healthy; v1 goes on serving",
            "cause: component `hello`: UM0405: ",
            "help: `umbel rollback hello` goes back to v1",
            "help: `umbel logs hello` and `umbel inspect hello` tell more",
        ],
    );
    assert_eq!(ran.stderr.matches("UM0405").count(), 1, "a code is told once: {}", ran.stderr);
    assert!(!ran.stderr.contains("UM0914"), "{}", ran.stderr);
    assert_eq!(platform.get("hello", "/").unwrap().status, 200, "v1 serves");
    let shown = platform.succeed(&["inspect", "hello"]).unwrap();
    assert!(shown.contains("v1 of `hello`, until the deployed version can"), "{shown}");
    assert_eq!(shown.matches("UM0405").count(), 1, "{shown}");

    let back = platform.json(&["rollback", "hello"]).unwrap();
    assert_eq!((back["version"].as_str(), back["status"].as_str()), (Some("v1"), Some("deployed")));
    let ran = platform.run(&["rollback", "hello"]).unwrap();
    has(&ran, 4, &["error[UM0913]"]);
}

#[test]
fn a_rollback_goes_to_what_was_deployed_before_and_not_to_what_was_stored_before() {
    let platform = Platform::up(umbel()).unwrap();
    for version in ["v1", "v2", "v3"] {
        let manifest = application("hello", version, &example("hello"), &[]);
        std::fs::write(platform.folder().join("umbel.yaml"), manifest).unwrap();
        platform.succeed(&["deploy"]).unwrap();
    }
    platform.succeed(&["deploy", "hello", "--version", "v1"]).unwrap();
    for expect in ["v3", "v2", "v1"] {
        assert_eq!(platform.json(&["rollback", "hello"]).unwrap()["version"], expect);
    }
}

#[test]
fn wrong_names_are_answered_with_those_that_may_have_been_meant() {
    let platform = Platform::up(umbel()).unwrap();
    has(&platform.run(&["logs"]).unwrap(), 0, &["nothing was logged"]);
    has(&platform.run(&["link", "list"]).unwrap(), 0, &["there are no links"]);
    platform.deploy(&application("hello", "v1", &example("hello"), &[])).unwrap();
    for arguments in [["logs", "helol"], ["undeploy", "helo_"], ["rollback", "hallo"], ["inspect", "hellp"]] {
        has(&platform.run(&arguments).unwrap(), 3, &["did you mean `hello`?"]);
    }
    for follow in [&["logs", "--component", "zz"][..], &["logs", "-f", "--component", "zz"]] {
        has(&platform.run(follow).unwrap(), 3, &["error[UM1014]: there is no component `zz`"]);
    }
    has(&platform.run(&["logs", "--component", "hello-h"]).unwrap(), 0, &[]);
}

#[test]
fn a_port_is_told_when_it_cannot_be_had() {
    let mut platform = nothing_runs();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    for command in ["up --detach", "up", "launch hello"] {
        let words: Vec<&str> = command.split(' ').chain(["--http-port", &taken]).collect();
        let ran = platform.run(&words).unwrap();
        has(&ran, 4, &["error[UM0500]", &format!("help: `umbel {command} --http-port ")]);
        let port = ran.stderr.split("--http-port ").last().and_then(|rest| rest.split('`').next());
        assert!(port.is_some_and(|port| port != taken), "{}", ran.stderr);
    }
    platform.start().unwrap();
    let other = platform.address.port() ^ 1;
    let ran = platform.run(&["launch", "--http-port", &other.to_string()]).unwrap();
    let note = format!("answers on port {}, not {other}", platform.address.port());
    has(&ran, 0, &[&note, &format!("umbel up --detach --http-port {other}")]);
    let quiet =
        platform.run(&["up", "--detach", "--http-port", &platform.address.port().to_string()]).unwrap();
    assert!(!quiet.stderr.contains("note:"), "{quiet:?}");
}

#[test]
fn what_is_elsewhere_is_told_as_that() {
    let platform = nothing_runs();
    for (what, wanted) in [
        (
            "https://example.com/a/hello.wasm?v=1",
            "`curl -Lo component.wasm 'https://example.com/a/hello.wasm?v=1'`",
        ),
        ("https://example.com/hello.wasm", "and `umbel launch ./hello.wasm`"),
    ] {
        has(&platform.run(&["launch", what]).unwrap(), 1, &["error[UM0308]", wanted]);
    }
    has(&platform.run(&["launch", "helo"]).unwrap(), 3, &["error[UM1025]", "did you mean `hello`?"]);
    assert!(!platform.state().join("run/api.sock").exists(), "nothing was started");
}
