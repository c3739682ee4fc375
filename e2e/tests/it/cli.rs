//! The command line: exit codes, forms of output, help.

use crate::{folder, up};
use umbel_testkit::example;

#[test]
fn exit_codes_are_as_documented() {
    let stopped = folder();
    let running = up();
    let hello = example("hello");
    running.succeed(&["launch", hello.to_str().unwrap()]).unwrap();
    for (platform, arguments, code) in [
        (&stopped, "ps", 69),
        (&stopped, "down", 0),
        (&stopped, "nonsense", 2),
        (&stopped, "launch --nonsense", 2),
        (&stopped, "launch no-such-file.wasm", 3),
        (&stopped, "deploy -f no-such-file.yaml", 3),
        (&stopped, "explain UM0401", 0),
        (&stopped, "explain UM9999", 3),
        (&stopped, "completion bash", 0),
        (&running, "ps", 0),
        (&running, "tree", 0),
        (&running, "inspect hello", 0),
        (&running, "inspect no-such-application", 3),
        (&running, "undeploy no-such-application", 3),
        (&running, "rollback hello", 4),
        (&running, "rollback hello v99", 3),
        (&running, "deploy -f no-such-file.yaml", 3),
        (&running, "undeploy hello --delete", 9),
        (&running, "doctor", 0),
        (&running, "version", 0),
    ] {
        let ran = platform.run(&arguments.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(ran.code, code, "umbel {arguments}\n{}{}", ran.stdout, ran.stderr);
        match code {
            0 => assert!(!ran.stdout.is_empty(), "umbel {arguments} says something"),
            2 => assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage"), "{}", ran.stderr),
            _ => assert!(
                ran.stdout.is_empty() && ran.stderr.contains("UM"),
                "umbel {arguments}: {}",
                ran.stderr
            ),
        }
    }
}

#[test]
fn every_result_is_json_when_asked() {
    let platform = up();
    platform.succeed(&["launch"]).unwrap();
    for arguments in
        ["ps", "tree", "version", "doctor", "inspect hello", "link list", "undeploy hello", "deploy hello"]
    {
        let json = platform.json(&arguments.split(' ').collect::<Vec<_>>()).unwrap();
        assert!(json["$type"].is_string(), "umbel {arguments}: {json}");
    }
    let failure = platform.run(&["inspect", "nobody", "-o", "json"]).unwrap();
    let problem: serde_json::Value = serde_json::from_str(&failure.stderr).unwrap();
    assert!(problem.to_string().contains("\"UM"), "{problem}");
}

#[test]
fn the_tree_shows_what_runs() {
    let platform = up();
    platform.succeed(&["launch"]).unwrap();
    let tree = platform.succeed(&["tree"]).unwrap();
    for child in ["hello", "http"] {
        assert!(tree.contains(child), "{child} is in\n{tree}");
    }
}

#[test]
fn inspect_tells_what_a_file_is() {
    let platform = up();
    let shown = platform.succeed(&["inspect", example("hello").to_str().unwrap()]).unwrap();
    assert!(shown.contains("wasi:http/incoming-handler"), "{shown}");
}
