//! What is refused: with a code, within a bounded time, and with no harm to what runs.

use crate::up;
use std::path::Path;
use std::time::{Duration, Instant};
use umbel_testkit::platform::{Ran, application};
use umbel_testkit::{Platform, example};

/// A refusal must not take longer, whatever the input.
const REFUSAL_MAX: Duration = Duration::from_secs(15);

fn refused(platform: &Platform, arguments: &[&str], code: &str) -> Ran {
    let start = Instant::now();
    let ran = platform.run(arguments).unwrap();
    let what = arguments.join(" ");
    assert_ne!(ran.code, 0, "umbel {what}: {}", ran.stdout);
    assert!(ran.stderr.contains(code), "umbel {what} is refused with {code}: {}", ran.stderr);
    assert!(ran.stderr.contains("help"), "umbel {what}: {}", ran.stderr);
    assert!(start.elapsed() < REFUSAL_MAX, "umbel {what} took {:?}", start.elapsed());
    ran
}

#[test]
fn what_is_no_component_is_refused() {
    let platform = up();
    let hello = std::fs::read(example("hello")).unwrap();
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty", Vec::new(), "UM04"),
        ("text", b"hello, I am text".to_vec(), "UM0401"),
        ("truncated", hello[..hello.len() / 2].to_vec(), "UM0402"),
        ("garbage", [&hello[..200], &[0xff; 4096]].concat(), "UM"),
        ("module", b"\0asm\x01\0\0\0".to_vec(), "UM0403"),
        ("nothing", b"\0asm\x0d\0\x01\0".to_vec(), "UM0405"),
        ("future", replace(&hello, b"wasi:io/streams@0.2.12", b"wasi:io/streams@0.9.12"), "UM0406"),
    ];
    for (name, bytes, code) in cases {
        let file = platform.folder().join(format!("{name}.wasm"));
        std::fs::write(&file, bytes).unwrap();
        refused(&platform, &["launch", file.to_str().unwrap()], code);
    }
    refused(&platform, &["launch", "/dev/zero"], "UM");
    refused(&platform, &["launch", "/proc"], "UM");
    still_well(&platform);
}

#[test]
fn manifests_are_refused_with_every_problem_at_its_place() {
    let platform = up();
    let good = application("hello", "v1", &example("hello"), &[]);
    let cases = [
        (
            "a duplicate key",
            good.replace("kind: Application", "kind: Application\nkind: Application"),
            "UM0206",
        ),
        (
            "an unknown field",
            good.replace("      type: component", "      type: component\n      color: red"),
            "UM0207",
        ),
        (
            "a wrong type",
            good.replace("name: hello\n  annotations", "name: [hello]\n  annotations"),
            "UM0208",
        ),
        ("no text", "\u{0}\u{1}".to_owned(), "UM02"),
        ("no manifest", "- 1\n- 2\n".to_owned(), "UM02"),
        ("a bomb of aliases", bomb(), "UM02"),
        ("depth", "[".repeat(100_000), "UM02"),
        (
            "a target that is not there",
            good.replace("target: {name: hello}", "target: {name: nobody}"),
            "UM0213",
        ),
    ];
    for (what, text, code) in cases {
        std::fs::write(platform.folder().join("bad.yaml"), text).unwrap();
        let ran = refused(&platform, &["deploy", "-f", "bad.yaml"], code);
        assert!(ran.stderr.contains("bad.yaml:"), "{what} has a place: {}", ran.stderr);
    }
    let two =
        good.replace("kind: Application", "kind: Applicatoin").replace("type: capability", "type: capabilty");
    std::fs::write(platform.folder().join("bad.yaml"), two).unwrap();
    let ran = platform.run(&["deploy", "-f", "bad.yaml"]).unwrap();
    assert!(
        ran.stderr.contains("Applicatoin") && ran.stderr.contains("capabilty"),
        "both at once: {}",
        ran.stderr
    );
    still_well(&platform);
}

/// All occurrences, by something of the same length.
pub(crate) fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            out[at..at + from.len()].copy_from_slice(to);
        }
    }
    out
}

/// Nine levels of nine aliases each: a few hundred bytes that would become 10^9 nodes.
fn bomb() -> String {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text
}

/// What the platform's process has had in memory at most, in MiB.
fn memory_mib_max(platform: &Platform) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", platform.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn a_huge_file_costs_neither_memory_nor_disk() {
    let platform = up();
    let length: u32 = 160 << 20;
    // Sparse files: a text, a component that is cut off within a section, and one that is whole and exports nothing.
    let section = |length: u32| {
        let mut head = b"\0asm\x0d\0\x01\0\0".to_vec();
        head.extend((0..5).map(|n| (length >> (7 * n)) as u8 & 0x7f | if n < 4 { 0x80 } else { 0 }));
        head.extend(b"\x01x");
        head
    };
    let cases = [
        ("text", b"hello, I am text".to_vec(), "UM0401"),
        ("cut", section(length), "UM0402"),
        ("module", b"\0asm\x01\0\0\0".to_vec(), "UM0402"),
        ("whole", section(length - 14), "UM0405"),
    ];
    let before = memory_mib_max(&platform);
    for (name, head, code) in cases {
        let path = platform.folder().join(format!("{name}.wasm"));
        std::fs::write(&path, head).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(length.into()).unwrap();
        let start = Instant::now();
        refused(&platform, &["inspect", path.to_str().unwrap()], code);
        let stored = std::fs::read_dir(platform.state().join("artifacts/sha256")).unwrap().count();
        if name != "whole" {
            assert_eq!(stored, 0, "{name}: what is refused is not kept");
            assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
        }
        let more = memory_mib_max(&platform) - before;
        assert!(more < 64, "{name}: {more} MiB for a file that is refused");
    }
    still_well(&platform);
}

#[test]
fn a_huge_manifest_is_refused_unread() {
    let platform = up();
    let file = std::fs::File::create(platform.folder().join("huge.yaml")).unwrap();
    file.set_len(100 << 20).unwrap();
    refused(&platform, &["deploy", "-f", "huge.yaml"], "UM");
    still_well(&platform);
}

#[test]
fn an_image_that_is_not_there_is_told_and_can_be_mended() {
    let platform = up();
    let manifest = application("hello", "v1", Path::new("./missing.wasm"), &[]);
    std::fs::write(platform.folder().join("bad.yaml"), manifest).unwrap();
    refused(&platform, &["deploy", "-f", "bad.yaml", "--timeout", "10s"], "UM");
    platform.deploy(&application("hello", "v2", &example("hello"), &[])).unwrap();
    assert_eq!(platform.wait_for_answer("hello").unwrap().status, 200);
}

/// Whatever was refused, the next good application runs.
fn still_well(platform: &Platform) {
    platform.deploy(&application("well", "v1", &example("hello"), &[])).unwrap();
    assert_eq!(platform.wait_for_answer("well").unwrap().text(), "Hello from Umbel!\n");
}
