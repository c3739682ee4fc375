//! The document store of `examples/documents`: large bodies in and out, and what breaks off.

use crate::up;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use umbel_testkit::http::{Answer, Connection};
use umbel_testkit::wait::block_until;
use umbel_testkit::{Platform, example};

const HOST: &str = "documents.localhost";

fn running() -> Platform {
    let platform = up();
    let folder = example("documents").parent().map(Path::to_owned).unwrap();
    platform.succeed(&["launch", folder.to_str().unwrap()]).unwrap();
    platform
}

fn ask(
    platform: &Platform,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Answer {
    let mut connection = Connection::open(platform.address, HOST).unwrap();
    if method != "HEAD" {
        return connection.request(method, path, headers, body).unwrap();
    }
    // The client reads the body that the length announces; of a HEAD there is none.
    connection.send(format!("HEAD {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    connection.receive_head().unwrap()
}

fn put(platform: &Platform, path: &str, body: &[u8]) -> u16 {
    ask(platform, "PUT", path, &[], Some(body)).status
}

fn get(platform: &Platform, path: &str) -> Answer {
    ask(platform, "GET", path, &[], None)
}

/// Bytes that differ at every place.
fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn names(platform: &Platform) -> Vec<String> {
    let answer = get(platform, "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let mut names: Vec<String> =
        list.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn documents_are_kept_given_back_and_removed() {
    let platform = running();
    assert_eq!(names(&platform), [""; 0]);
    assert_eq!(get(&platform, "/report.txt").status, 404);
    assert_eq!(put(&platform, "/report.txt", b"first"), 201);
    assert_eq!(put(&platform, "/report.txt", b"second"), 204);
    let answer = get(&platform, "/report.txt");
    assert_eq!((answer.status, answer.text().as_str()), (200, "second"));
    assert_eq!(answer.header("content-length"), Some("6"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let head = ask(&platform, "HEAD", "/report.txt", &[], None);
    assert_eq!((head.status, head.header("content-length")), (200, Some("6")));

    assert_eq!(put(&platform, "/empty", b""), 201);
    assert_eq!(get(&platform, "/empty").body, b"");

    let post = |path: &str| ask(&platform, "POST", path, &[], None).status;
    assert_eq!(post("/report.txt?copy-to=2026%2Freport.txt"), 204);
    assert_eq!(post("/report.txt?move-to=old.txt"), 204);
    assert_eq!(post("/report.txt?move-to=old.txt"), 404);
    assert_eq!(post("/old.txt"), 400);
    assert_eq!(names(&platform), ["2026/report.txt", "empty", "old.txt"]);
    assert_eq!(get(&platform, "/2026/report.txt").text(), "second");

    assert_eq!(ask(&platform, "DELETE", "/old.txt", &[], None).status, 204);
    assert_eq!(ask(&platform, "DELETE", "/old.txt", &[], None).status, 404);
    assert_eq!(names(&platform), ["2026/report.txt", "empty"]);
}

#[test]
fn any_name_is_a_document() {
    let platform = running();
    let long = format!("/{}", "n".repeat(1024));
    let paths =
        ["/%2e%2e/%2e%2e/etc/passwd", "/a%00b", "/%F0%9F%A6%80", "/%22quoted%22%0A", "/A", "/a", &long];
    for path in paths {
        assert_eq!(put(&platform, path, path.as_bytes()), 201, "{path}");
    }
    for path in paths {
        assert_eq!(get(&platform, path).text(), path);
    }
    let mut expected = vec!["../../etc/passwd", "a\0b", "🦀", "\"quoted\"\n", "A", "a", &long[1..]];
    expected.sort_unstable();
    assert_eq!(names(&platform), expected);

    let answer = ask(&platform, "PUT", &format!("{long}x"), &[], Some(b""));
    assert_eq!(answer.status, 414);
    assert!(answer.text().starts_with("UM1122: "), "{}", answer.text());
    assert_eq!(put(&platform, "/%ff", b""), 400);
    assert_eq!(put(&platform, "/", b""), 405);
}

#[test]
fn parts_of_a_document_can_be_asked_for() {
    let platform = running();
    let content = bytes(1_000_000);
    put(&platform, "/a", &content);
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-999999", 0, 1_000_000),
        ("bytes=500000-", 500_000, 1_000_000),
        ("bytes=999999-2000000", 999_999, 1_000_000),
        ("bytes=-10", 999_990, 1_000_000),
        ("bytes=-2000000", 0, 1_000_000),
    ] {
        let answer = ask(&platform, "GET", "/a", &[("range", range)], None);
        assert_eq!(answer.status, 206, "{range}");
        let told = format!("bytes {start}-{}/1000000", end - 1);
        assert_eq!(answer.header("content-range"), Some(told.as_str()));
        assert!(answer.body == content[start..end], "{range}");
    }
    for range in ["bytes=1000000-", "bytes=-0"] {
        let answer = ask(&platform, "GET", "/a", &[("range", range)], None);
        assert_eq!(
            (answer.status, answer.header("content-range")),
            (416, Some("bytes */1000000")),
            "{range}"
        );
    }
    for range in ["bytes=5-1", "bytes=0-1,5-6", "pages=1-2", "bytes=x-"] {
        let answer = ask(&platform, "GET", "/a", &[("range", range)], None);
        assert_eq!((answer.status, answer.body.len()), (200, 1_000_000), "{range}");
    }
}

#[test]
fn large_documents_pass_through_in_little_memory_and_outlive_the_platform() {
    let mut platform = running();
    put(&platform, "/small", &bytes(1_000_000));
    get(&platform, "/small");
    let before = peak_kib(&platform);
    let content = bytes(256 << 20);
    assert_eq!(put(&platform, "/large", &content), 201);
    assert!(get(&platform, "/large").body == content);
    let growth = peak_kib(&platform) - before;
    assert!(growth < 64 << 10, "the platform grew by {growth} KiB for a document of 256 MiB");

    platform.signal("KILL").unwrap();
    block_until("it is gone", || !platform.is_alive());
    platform.start().unwrap();
    block_until("it answers", || get(&platform, "/").status == 200);
    assert!(get(&platform, "/large").body == content);
}

/// The most memory that the platform's process ever had.
fn peak_kib(platform: &Platform) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", platform.pid)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn an_upload_that_breaks_off_leaves_what_was_there() {
    let platform = running();
    put(&platform, "/a", b"before");
    for head in [
        "PUT /a HTTP/1.1\r\nhost: documents.localhost\r\ncontent-length: 1000000\r\n\r\n",
        "PUT /a HTTP/1.1\r\nhost: documents.localhost\r\ntransfer-encoding: chunked\r\n\r\n10000\r\n",
        "PUT /new HTTP/1.1\r\nhost: documents.localhost\r\ncontent-length: 1000000\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(platform.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&bytes(50_000)).unwrap();
        drop(stream);
    }
    let partial = |path: &Path| path.components().any(|part| part.as_os_str() == "partial");
    block_until("what came of them is removed", || {
        !files(&platform.state()).iter().any(|path| partial(path) && !path.is_dir())
    });
    assert_eq!(get(&platform, "/a").text(), "before");
    assert_eq!(names(&platform), ["a"]);
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn who_downloads_a_document_gets_it_as_it_was() {
    let platform = running();
    let (old, new) = (bytes(64 << 20), vec![7; 1000]);
    put(&platform, "/a", &old);
    let mut connection = Connection::open(platform.address, HOST).unwrap();
    connection.send(format!("GET /a HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    let head = connection.receive_head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(put(&platform, "/a", &new), 204);
    assert!(get(&platform, "/a").body == new);
    let mut body = vec![0; old.len()];
    connection.read_exact(&mut body).unwrap();
    assert!(body == old, "the download that had begun is of the old document");
}
