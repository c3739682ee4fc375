//! A component that keeps documents in the blobstore of wasmCloud 1.x: its provider of files, unchanged.

use super::{Bed, free_port, tool};
use std::net::{Ipv4Addr, SocketAddr};
use umbel_testkit::http::{Answer, Connection};
use umbel_testkit::wait::block_until;

const HOST: &str = "localhost";

fn ask(port: u16, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
    let mut connection = Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HOST).unwrap();
    connection.request(method, path, &[], body).unwrap()
}

fn answers(port: u16) -> bool {
    let connection = Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), HOST);
    let answer = connection.and_then(|mut connection| connection.request("GET", "/", &[], None));
    answer.is_ok_and(|answer| answer.status == 200)
}

/// The archive of a provider of the SDK.
pub(super) fn archive(bed: &Bed, name: &str) -> Option<String> {
    let provider = tool(name)?;
    let archive = bed.folder.path().join(format!("{name}.par.gz"));
    let platform = umbel_testkit::Platform::new(&crate::umbel()).unwrap();
    let target = format!("x86_64-linux={}", provider.display());
    platform.succeed(&["par", "create", &archive.display().to_string(), "--binary", &target]).unwrap();
    Some(format!("file://{}", archive.display()))
}

#[test]
fn a_blobstore_of_the_sdk_keeps_what_a_component_writes() {
    if tool("wash").is_none() {
        return;
    }
    let bed = Bed::new();
    let Some(files) = archive(&bed, "provider-blobstore-fs") else { return };
    let (host, port) = (bed.host_id(), free_port());
    let root = bed.folder.path().join("objects");
    bed.wash(&["config", "put", "root", &format!("ROOT={}", root.display())]);
    bed.wash(&["config", "put", "address", &format!("address=127.0.0.1:{port}")]);
    let image = format!("file://{}", umbel_testkit::example("documents").display());
    bed.wash(&["start", "component", &image, "documents", "--host-id", &host]);
    bed.wash(&["start", "provider", &files, "files", "--host-id", &host]);
    let http = "ghcr.io/wasmcloud/http-server:0.27.0";
    bed.wash(&["start", "provider", http, "http", "--host-id", &host]);
    let link = ["link", "put", "documents", "files", "wasi", "blobstore", "--interface", "blobstore"];
    let more = ["--interface", "container", "--interface", "types", "--target-config", "root"];
    bed.wash(&[&link[..], &more[..]].concat());
    let link = ["link", "put", "http", "documents", "wasi", "http", "--interface", "incoming-handler"];
    bed.wash(&[&link[..], &["--source-config", "address"]].concat());
    block_until("the component to answer", || answers(port));

    assert_eq!(ask(port, "PUT", "/a.txt", Some(b"first")).status, 201);
    assert_eq!(ask(port, "PUT", "/a.txt", Some(b"second")).status, 204);
    let answer = ask(port, "GET", "/a.txt", None);
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    assert_eq!(answer.header("content-length"), Some("6"));
    // Its errors are texts, which say nothing of what kind they are.
    assert!(ask(port, "GET", "/nothing.txt", None).status >= 400);
    // More than any message or window takes.
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_eq!(ask(port, "PUT", "/large", Some(&large)).status, 201);
    assert!(ask(port, "GET", "/large", None).body == large);
    assert_eq!(ask(port, "POST", "/a.txt?copy-to=b.txt", None).status, 204);
    assert_eq!(ask(port, "POST", "/a.txt?move-to=c.txt", None).status, 204);
    assert_eq!(ask(port, "DELETE", "/large", None).status, 204);
    let listed: serde_json::Value = serde_json::from_slice(&ask(port, "GET", "/", None).body).unwrap();
    let mut names: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["b.txt", "c.txt"]);
    // They are files of the provider, where its link says.
    let kept = walk(&root);
    assert!(kept.iter().any(|path| path.ends_with("b.txt")), "{kept:?}");
}

#[test]
fn a_provider_of_the_sdk_is_swapped_with_a_builtin_and_back() {
    if tool("wash").is_none() {
        return;
    }
    let bed = Bed::new();
    let Some(files) = archive(&bed, "provider-blobstore-fs") else { return };
    let (host, port) = (bed.host_id(), free_port());
    let root = bed.folder.path().join("objects");
    bed.wash(&["config", "put", "root", &format!("ROOT={}", root.display())]);
    bed.wash(&["config", "put", "address", &format!("address=127.0.0.1:{port}")]);
    let image = format!("file://{}", umbel_testkit::example("documents").display());
    bed.wash(&["start", "component", &image, "documents", "--host-id", &host]);
    bed.wash(&["start", "provider", &files, "files", "--host-id", &host]);
    bed.wash(&["start", "provider", "builtin:http-server", "http", "--host-id", &host]);
    let link = ["link", "put", "documents", "files", "wasi", "blobstore", "--interface", "blobstore"];
    let more = ["--interface", "container", "--interface", "types", "--target-config", "root"];
    bed.wash(&[&link[..], &more[..]].concat());
    let link = ["link", "put", "http", "documents", "wasi", "http", "--interface", "incoming-handler"];
    bed.wash(&[&link[..], &["--source-config", "address"]].concat());
    block_until("the component to answer", || answers(port));
    assert_eq!(ask(port, "PUT", "/theirs", Some(b"theirs")).status, 201);

    bed.umbel(&["provider", "swap", "files", "builtin:blobstore"]);
    assert_eq!(ask(port, "GET", "/theirs", None).status, 404, "it is another store");
    assert_eq!(ask(port, "PUT", "/ours", Some(b"ours")).status, 201);
    assert_eq!(ask(port, "GET", "/ours", None).text(), "ours");

    bed.umbel(&["provider", "swap", "files", &files]);
    assert_eq!(ask(port, "GET", "/theirs", None).text(), "theirs");
    assert_eq!(ask(port, "PUT", "/again", Some(b"again")).status, 201);
    assert_eq!(ask(port, "GET", "/again", None).text(), "again");
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(walk(&path)),
            path => found.push(path),
        }
    }
    found
}
