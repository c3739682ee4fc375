//! What of the machine a component may use: what its manifest grants, and nothing else.

use crate::{folder, up};
use std::io::Write;
use std::net::TcpListener;
use umbel_testkit::platform::application;
use umbel_testkit::{Platform, guest};

const NAME: &str = "granted";

fn with_grants(platform: &Platform, grants: &str) {
    platform.deploy(&application(NAME, "v1", &guest(NAME), &[grants])).unwrap();
    platform.wait_for_answer(NAME).unwrap();
}

fn ask(platform: &Platform, path: &str) -> String {
    let answer = platform.get(NAME, path).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn arguments_and_environment_are_those_of_the_manifest() {
    let platform = up();
    with_grants(&platform, "grants: {args: [--level, '3'], env: {COLOR: red, SIZE: '9'}}");
    let args = ask(&platform, "/args");
    assert!(args.starts_with("ok ") && args.ends_with(",--level,3"), "{args}");
    assert_eq!(ask(&platform, "/env"), "ok COLOR=red,SIZE=9");
}

#[test]
fn folders_are_those_of_the_manifest_and_read_only_unless_it_says_more() {
    let platform = up();
    let data = platform.folder().join("data");
    let secret = platform.folder().join("secret.txt");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("note.txt"), "a note").unwrap();
    std::fs::write(&secret, "not for guests").unwrap();
    std::os::unix::fs::symlink(&secret, data.join("way-out")).unwrap();
    let out = platform.folder().join("out");
    std::fs::create_dir(&out).unwrap();
    with_grants(
        &platform,
        &format!(
            "grants: {{folders: [{{path: {}, at: /data}}, {{path: {}, at: /out, access: read-write}}]}}",
            data.display(),
            out.display()
        ),
    );
    assert_eq!(ask(&platform, "/list?path=/data"), "ok note.txt,sub,way-out");
    assert_eq!(ask(&platform, "/read?path=/data/note.txt"), "ok a note");
    assert_eq!(ask(&platform, "/write?path=/out/made.txt&text=made"), "ok written");
    assert_eq!(std::fs::read_to_string(out.join("made.txt")).unwrap(), "made");
    let denied = [
        "/write?path=/data/other.txt&text=x",
        "/write?path=/data/note.txt&text=x",
        "/read?path=/data/way-out",
        "/read?path=/data/../secret.txt",
        "/read?path=/etc/passwd",
        &format!("/read?path={}", secret.display()),
    ];
    for path in denied {
        let said = ask(&platform, path);
        assert!(said.starts_with("failed "), "{path}: {said}");
    }
    assert_eq!(std::fs::read_to_string(data.join("note.txt")).unwrap(), "a note");
}

#[test]
fn a_folder_that_is_not_there_is_a_coded_problem_and_mended_by_making_it() {
    let platform = up();
    let data = platform.folder().join("later");
    let grants = format!("grants: {{folders: [{{path: {}, at: /data}}]}}", data.display());
    let file = platform.folder().join("granted.yaml");
    std::fs::write(&file, application(NAME, "v1", &guest(NAME), &[&grants])).unwrap();
    let ran = platform.run(&["deploy", "-f", file.to_str().unwrap(), "--timeout", "10s"]).unwrap();
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("UM0576") || ran.stdout.contains("UM0576"), "{ran:?}");
    std::fs::create_dir(&data).unwrap();
    platform.succeed(&["deploy", "-f", file.to_str().unwrap(), "--timeout", "60s"]).unwrap();
    assert_eq!(ask(&platform, "/list?path=/data"), "ok ");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a server of the test's own, which ends with the test's process"
)]
fn sockets_reach_what_is_granted_by_address_and_by_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, other_port) = (listener.local_addr().unwrap().port(), other.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(b"hello").unwrap();
        }
    });
    let platform = up();
    with_grants(&platform, &format!("grants: {{connect: ['127.0.0.1:{port}']}}"));
    assert_eq!(ask(&platform, &format!("/ask?host=127.0.0.1&port={port}")), "ok hello");
    let said = ask(&platform, &format!("/ask?host=127.0.0.1&port={other_port}"));
    assert!(said.contains("access-denied"), "{said}");
    let said = ask(&platform, &format!("/ask?host=localhost&port={port}"));
    assert!(said.starts_with("failed "), "names are looked up only where one is granted: {said}");
    let logs = platform.succeed(&["logs", NAME]).unwrap();
    assert!(logs.contains("UM0577") && logs.contains("grants.connect"), "{logs}");

    let platform = up();
    with_grants(&platform, &format!("grants: {{connect: ['localhost:{port}']}}"));
    assert_eq!(ask(&platform, &format!("/ask?host=localhost&port={port}")), "ok hello");
    let said = ask(&platform, &format!("/ask?host=127.0.0.2&port={port}"));
    assert!(said.contains("access-denied"), "{said}");
}

#[test]
fn relative_folders_lie_beside_the_manifest() {
    let mut platform = folder();
    platform.start().unwrap();
    let app = platform.folder().join("app");
    std::fs::create_dir_all(app.join("pages")).unwrap();
    std::fs::write(app.join("pages/index.html"), "a page").unwrap();
    let file = app.join("umbel.yaml");
    let grants = "grants: {folders: [{path: ./pages, at: /pages}]}";
    std::fs::write(&file, application(NAME, "v1", &guest(NAME), &[grants])).unwrap();
    platform.succeed(&["deploy", "-f", file.to_str().unwrap()]).unwrap();
    assert_eq!(ask(&platform, "/read?path=/pages/index.html"), "ok a page");
}

/// A program of WASI preview 1 that writes a line and ends with the status.
fn program(status: u32) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "one more run\n")
        (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 13))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $exit (i32.const {status}))))"#
    );
    wat::parse_str(text).unwrap()
}

/// What `ps` says of the one component, and how often it ran.
fn state_and_runs(platform: &Platform) -> (String, usize) {
    let ps = platform.json(&["ps"]).unwrap();
    let state = ps["components"][0]["state"].as_str().unwrap_or_default().to_string();
    let logs = platform.succeed(&["logs", "program"]).unwrap_or_default();
    (state, logs.matches("one more run").count())
}

#[test]
fn a_module_of_preview_1_runs_as_often_as_its_restart_says() {
    for (restart, status, is_done) in [
        ("on-failure", 0, (|state, runs| state == "completed" && runs == 1) as fn(&str, usize) -> bool),
        ("never", 7, |state, runs| state == "failed" && runs == 1),
        // A service that ends is started again, with pauses that grow.
        ("always", 0, |_, runs| runs >= 3),
        ("on-failure", 7, |_, runs| runs >= 3),
    ] {
        let platform = up();
        let wasm = platform.folder().join("program.wasm");
        std::fs::write(&wasm, program(status)).unwrap();
        let restart_line = format!("restart: {restart}");
        let manifest = application("program", "v1", &wasm, &[&restart_line]);
        let file = platform.folder().join("program.yaml");
        std::fs::write(&file, manifest).unwrap();
        // Whether the deploy calls it healthy is not the question here.
        platform.run(&["deploy", "-f", file.to_str().unwrap(), "--timeout", "3s"]).unwrap();
        let mut last = (String::new(), 0);
        umbel_testkit::wait::block_until(&format!("restart: {restart}, exit status {status}"), || {
            last = state_and_runs(&platform);
            is_done(&last.0, last.1)
        });
    }
}

#[test]
fn the_platform_s_own_state_is_granted_to_nobody() {
    let platform = up();
    let state = platform.state().display().to_string();
    for (version, path) in [("v1", state.as_str()), ("v2", "/")] {
        let grants = format!("grants: {{folders: [{{path: {path}, at: /all}}]}}");
        let file = platform.folder().join("granted.yaml");
        std::fs::write(&file, application(NAME, version, &guest(NAME), &[&grants])).unwrap();
        let ran = platform.run(&["deploy", "-f", file.to_str().unwrap(), "--timeout", "10s"]).unwrap();
        assert!(ran.stderr.contains("UM0576") && ran.stderr.contains("keys and secrets"), "{path}: {ran:?}");
        assert_ne!(platform.get(NAME, "/list?path=/all").unwrap().status, 200, "{path}");
    }
}
