//! From nothing to a URL.

use crate::folder;
use umbel_testkit::{example, guest, http};

#[test]
fn a_bare_machine_says_hello() {
    let mut platform = folder();
    let said = platform.succeed(&["launch"]).unwrap();
    platform.read_endpoint().unwrap();
    let port = platform.address.port();
    assert!(said.contains(&format!("http://hello.localhost:{port}")), "{said}");
    assert!(said.contains("umbel down") || said.contains("down --state"), "it says how to stop: {said}");

    let answer = platform.get("hello", "/").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello from Umbel!\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let bare = http::get(platform.address, &format!("127.0.0.1:{port}"), "/").unwrap();
    assert_eq!(bare.text(), "Hello from Umbel!\n", "with one application, the bare port answers");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a shell runs what was printed, as a reader would")]
fn what_a_launch_prints_can_be_run() {
    let umbel = crate::umbel();
    let folder = umbel.parent().unwrap().to_str().unwrap();
    for path in ["/usr/bin:/bin".to_owned(), format!("{folder}:/usr/bin:/bin")] {
        let mut platform = crate::folder();
        let output = platform.command(&["launch"]).env("PATH", &path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        platform.read_endpoint().unwrap();
        let look = said.lines().find_map(|line| line.strip_prefix("  look   ")).unwrap();
        let ps = look.split("  ·  ").nth(1).unwrap();
        assert_eq!(ps == "umbel ps", path.starts_with(folder), "{ps}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", ps]).env("PATH", &path).env("UMBEL_STATE", platform.state());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{ps}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn launching_again_changes_nothing() {
    let mut platform = folder();
    let first = platform.json(&["launch"]).unwrap();
    let again = platform.json(&["launch"]).unwrap();
    platform.read_endpoint().unwrap();
    assert_eq!(first["was_running"], false);
    assert_eq!(again["was_running"], true);
    assert_eq!(first["pid"], again["pid"]);
    assert_eq!(platform.get("hello", "/").unwrap().status, 200);
}

#[test]
fn applications_are_told_apart_by_host_name() {
    let mut platform = folder();
    platform.succeed(&["launch"]).unwrap();
    platform.succeed(&["launch", guest("hello-v2").to_str().unwrap(), "--name", "other"]).unwrap();
    platform.succeed(&["launch", example("hello-p3").to_str().unwrap()]).unwrap();
    platform.read_endpoint().unwrap();
    assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello from Umbel!\n");
    assert_eq!(platform.get("other", "/").unwrap().text(), "Hello again from Umbel!\n");
    assert_eq!(platform.get("hello-p3", "/").unwrap().text(), "Hello from Umbel!\n");

    let nobody = platform.get("nobody", "/").unwrap();
    assert_eq!(nobody.status, 404);
    assert!(nobody.text().contains("UM0502"), "{}", nobody.text());
}

#[test]
fn a_command_runs_to_its_end() {
    let mut platform = folder();
    platform.succeed(&["launch", guest("command").to_str().unwrap()]).unwrap();
    platform.read_endpoint().unwrap();
    let logs = platform.succeed(&["logs", "command"]).unwrap();
    assert!(logs.contains("command ran"), "{logs}");
}
