//! What whoever serves `wasi:blobstore` promises. Each function takes a server that nobody else uses.

use super::guest::{Container, Guest, Stream, collect};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use umbel_wit::{Link, Resource, Serve, Value};

/// Names that mean something to a file system, a shell, a URL or nobody.
pub(crate) const ODD_NAMES: &[&str] = &[
    "",
    " ",
    ".",
    "..",
    "/",
    "//",
    "a/b",
    "/etc/passwd",
    "../../../../etc/passwd",
    "a/../b",
    "\\",
    "C:\\x",
    "\0",
    "a\0b",
    "\n",
    "\u{7f}",
    "%",
    "%%",
    "%2f",
    "%00",
    "~",
    "$HOME",
    "*",
    "?",
    "-rf",
    ".hidden",
    "name",
    "names",
    "objects",
    "partial",
    "CON",
    "a",
    "A",
    "\u{e9}",
    "e\u{301}",
    "ß",
    "ẞ",
    "🦀",
    "👩‍👩‍👧‍👦",
    "\u{202e}abc",
    "\u{feff}",
];

/// A name of the most bytes that a server must take.
pub(crate) fn longest(last: char) -> String {
    format!("{}{last}", "n".repeat(1023))
}

/// All promises.
pub(crate) async fn all(serve: Arc<dyn Serve>) {
    let guest = Guest::new(serve, link("contract"));
    containers(&guest).await;
    objects(&guest).await;
    values_become_objects_in_any_order(&guest).await;
    nothing_of_an_unfinished_value_is_seen(&guest).await;
    misused_values(&guest).await;
    ranges(&guest).await;
    streams(&guest).await;
    readers_keep_what_they_opened(&guest).await;
    copies_and_moves(&guest).await;
    copies_and_moves_that_cannot_be(&guest).await;
    names_of_any_kind(&guest).await;
    names_that_are_too_long(&guest).await;
    lists(&guest).await;
    writers_at_once(&guest).await;
    calls_that_do_not_fit(&guest).await;
}

pub(crate) fn link(application: &str) -> Link {
    Link {
        source_id: format!("{application}-component"),
        name: "default".into(),
        application: Some(application.into()),
        ..Link::default()
    }
}

#[track_caller]
fn fails<T>(code: &str, told: Result<T, String>) {
    let text = told.err().expect("it cannot be done");
    assert!(text.starts_with(&format!("{code}: ")), "{text}");
    assert!(!text.contains(['\0', '\n']), "{text:?} is one printable line");
}

async fn write(stream: &mut Stream, bytes: &[u8]) {
    for piece in bytes.chunks(4096) {
        stream.write(piece).await;
    }
}

/// Bytes that differ at every place.
pub(crate) fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(count);
    bytes
}

async fn containers(guest: &Guest) {
    assert!(!guest.container_exists("box").await.unwrap());
    fails("UM1120", guest.get_container("box").await);
    fails("UM1120", guest.delete_container("box").await);

    let made = guest.create_container("box").await.unwrap();
    assert!(guest.container_exists("box").await.unwrap());
    let (name, created_at) = made.info().await.unwrap();
    assert_eq!(name, "box");
    assert!(created_at > 1_700_000_000, "seconds since 1970: {created_at}");

    made.put("kept", b"1").await.unwrap();
    let again = guest.create_container("box").await.unwrap();
    assert_eq!(again.get("kept").await.unwrap(), b"1", "one that is there stays as it is");
    let got = guest.get_container("box").await.unwrap();
    assert_eq!(got.name().await.unwrap(), "box");
    assert_eq!(got.info().await.unwrap(), (name, created_at));

    guest.delete_container("box").await.unwrap();
    assert!(!guest.container_exists("box").await.unwrap());
    // Handles to it are no danger, and find the next one of that name.
    fails("UM1120", got.info().await);
    fails("UM1120", got.get("kept").await);
    fails("UM1120", got.put("kept", b"2").await);
    fails("UM1120", got.delete_object("kept").await);
    fails("UM1120", got.object_info("kept").await);
    fails("UM1120", got.list_objects().await);
    fails("UM1120", got.clear().await);
    guest.create_container("box").await.unwrap();
    assert_eq!(got.all_names().await, [""; 0], "a new one is empty");
}

async fn objects(guest: &Guest) {
    let container = guest.create_container("objects").await.unwrap();
    assert!(!container.has_object("a").await.unwrap());
    fails("UM1121", container.get("a").await);
    fails("UM1121", container.object_info("a").await);
    container.delete_object("a").await.unwrap();

    for content in [b"".to_vec(), b"short".to_vec(), bytes(3_000_000, 7), b"replaced".to_vec()] {
        container.put("a", &content).await.unwrap();
        assert!(container.has_object("a").await.unwrap());
        assert!(container.get("a").await.unwrap() == content);
        let (name, parent, created_at, size) = container.object_info("a").await.unwrap();
        assert_eq!((name.as_str(), parent.as_str(), size), ("a", "objects", content.len() as u64));
        assert!(created_at > 1_700_000_000, "seconds since 1970: {created_at}");
    }

    for name in ["b", "c", "d"] {
        container.put(name, name.as_bytes()).await.unwrap();
    }
    container.delete_object("a").await.unwrap();
    container.delete_objects(&["b", "nobody", "b", "d"]).await.unwrap();
    assert_eq!(container.all_names().await, ["c"]);
    container.delete_objects(&[]).await.unwrap();
    container.clear().await.unwrap();
    assert_eq!(container.all_names().await, [""; 0]);
    assert!(!container.has_object("c").await.unwrap());
    container.clear().await.unwrap();
}

async fn values_become_objects_in_any_order(guest: &Guest) {
    let container = guest.create_container("order").await.unwrap();
    let content = bytes(100_000, 1);

    // Named first.
    let value = guest.outgoing().await;
    container.write_data("named, opened", &value).await.unwrap();
    let mut stream = value.write_body().await.unwrap();
    write(&mut stream, &content).await;
    drop(stream);
    value.finish().await.unwrap();

    // Named while it is written.
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    write(&mut stream, &content[..50_000]).await;
    container.write_data("half written", &value).await.unwrap();
    assert!(!container.has_object("half written").await.unwrap(), "it is not whole yet");
    write(&mut stream, &content[50_000..]).await;
    drop(stream);
    value.finish().await.unwrap();

    // Named when all is written.
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    write(&mut stream, &content).await;
    drop(stream);
    container.write_data("written", &value).await.unwrap();
    value.finish().await.unwrap();

    // The first drafts had no `finish`.
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    write(&mut stream, &content).await;
    drop(stream);
    container.write_data("never finished", &value).await.unwrap();
    drop(value);

    for name in ["named, opened", "half written", "written", "never finished"] {
        assert!(container.get(name).await.unwrap() == content, "{name}");
    }

    // Without a body.
    let value = guest.outgoing().await;
    container.write_data("empty", &value).await.unwrap();
    value.finish().await.unwrap();
    assert_eq!(container.get("empty").await.unwrap(), b"");
}

async fn nothing_of_an_unfinished_value_is_seen(guest: &Guest) {
    let container = guest.create_container("unfinished").await.unwrap();
    container.put("a", b"before").await.unwrap();
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    container.write_data("a", &value).await.unwrap();
    write(&mut stream, &bytes(1_000_000, 2)).await;
    assert_eq!(container.get("a").await.unwrap(), b"before");
    drop(stream);
    drop(value);
    assert_eq!(container.get("a").await.unwrap(), b"before");
    assert_eq!(container.all_names().await, ["a"]);
}

async fn misused_values(guest: &Guest) {
    let container = guest.create_container("misused").await.unwrap();
    let value = guest.outgoing().await;
    let stream = value.write_body().await.unwrap();
    assert!(value.write_body().await.is_err(), "there is one stream");
    container.write_data("a", &value).await.unwrap();
    fails("UM1130", container.write_data("b", &value).await);
    drop(stream);
    value.finish().await.unwrap();
    assert_eq!(container.all_names().await, ["a"]);

    fails("UM1129", guest.outgoing().await.finish().await);
    let value = guest.outgoing().await;
    value.write_body().await.unwrap().write(b"for nobody").await;
    fails("UM1129", value.finish().await);

    let value = guest.outgoing().await;
    let _open = value.write_body().await.unwrap();
    container.write_data("open", &value).await.unwrap();
    fails("UM1131", value.finish().await);
    assert!(!container.has_object("open").await.unwrap());

    // A container that goes meanwhile.
    let gone = guest.create_container("gone").await.unwrap();
    let value = guest.outgoing().await;
    gone.write_data("a", &value).await.unwrap();
    guest.delete_container("gone").await.unwrap();
    fails("UM1120", value.finish().await);
}

async fn ranges(guest: &Guest) {
    let container = guest.create_container("ranges").await.unwrap();
    let content = bytes(1000, 3);
    container.put("a", &content).await.unwrap();
    container.put("empty", b"").await.unwrap();
    for (start, end, expected) in [
        (0, 0, 0..1),
        (0, 999, 0..1000),
        (0, 1000, 0..1000),
        (0, u64::MAX, 0..1000),
        (10, 19, 10..20),
        (999, 999, 999..1000),
        (999, u64::MAX, 999..1000),
        (1000, 1000, 0..0),
        (u64::MAX, u64::MAX, 0..0),
    ] {
        let expected = &content[expected];
        let value = container.get_data("a", start, end).await.unwrap();
        assert_eq!(value.size().await, expected.len() as u64, "{start} to {end}");
        assert!(value.sync().await.unwrap() == expected, "{start} to {end}");
        let value = container.get_data("a", start, end).await.unwrap();
        assert!(collect(value.stream().await.unwrap()).await.unwrap() == expected, "{start} to {end}");
    }
    fails("UM1123", container.get_data("a", 1, 0).await);
    fails("UM1123", container.get_data("a", u64::MAX, 0).await);
    assert_eq!(container.get("empty").await.unwrap(), b"");
    let empty = container.get_data("empty", 0, 0).await.unwrap();
    assert!(empty.stream().await.unwrap().next().await.is_none());
}

async fn streams(guest: &Guest) {
    let container = guest.create_container("streams").await.unwrap();
    let content = bytes(9_999_999, 4);
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    container.write_data("a", &value).await.unwrap();
    let mut rest = Bytes::from(content.clone());
    for size in [0, 1, 7, 4096, 65_536, 1 << 20].into_iter().cycle() {
        assert!(stream.send(rest.split_to(size.min(rest.len()))).await);
        if rest.is_empty() {
            break;
        }
    }
    drop(stream);
    value.finish().await.unwrap();

    let mut stream = container.get_data("a", 1, 9_999_997).await.unwrap().stream().await.unwrap();
    let mut at = 1;
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        assert!(!piece.is_empty() && content[at..].starts_with(&piece), "at {at}");
        at += piece.len();
    }
    assert_eq!(at, 9_999_998);

    // A reader that goes away early.
    let mut stream = container.get_data("a", 0, u64::MAX).await.unwrap().stream().await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
}

async fn readers_keep_what_they_opened(guest: &Guest) {
    let container = guest.create_container("readers").await.unwrap();
    let (old, new) = (bytes(2_000_000, 5), bytes(2_000_000, 6));
    container.put("a", &old).await.unwrap();
    let all = async || container.get_data("a", 0, u64::MAX).await.unwrap();
    let (before, mut reading, last) = (all().await, all().await.stream().await.unwrap(), all().await);
    let mut read = reading.next().await.unwrap().unwrap().to_vec();
    container.put("a", &new).await.unwrap();
    assert!(container.get("a").await.unwrap() == new);
    assert!(before.sync().await.unwrap() == old);
    container.delete_object("a").await.unwrap();
    guest.delete_container("readers").await.unwrap();
    read.extend(collect(reading).await.unwrap());
    assert!(read == old);
    assert!(last.sync().await.unwrap() == old);
}

async fn copies_and_moves(guest: &Guest) {
    let (from, to) =
        (guest.create_container("from").await.unwrap(), guest.create_container("to").await.unwrap());
    let content = bytes(300_000, 8);
    from.put("a", &content).await.unwrap();

    guest.copy_object(("from", "a"), ("to", "b")).await.unwrap();
    guest.copy_object(("from", "a"), ("from", "c")).await.unwrap();
    // Both are objects of their own.
    from.put("a", b"changed").await.unwrap();
    assert!(to.get("b").await.unwrap() == content && from.get("c").await.unwrap() == content);
    to.delete_object("b").await.unwrap();
    assert!(from.get("c").await.unwrap() == content);

    to.put("b", b"replaced").await.unwrap();
    guest.move_object(("from", "c"), ("to", "b")).await.unwrap();
    assert!(to.get("b").await.unwrap() == content);
    fails("UM1121", from.get("c").await);
    guest.move_object(("to", "b"), ("to", "renamed")).await.unwrap();
    assert_eq!((from.all_names().await, to.all_names().await), (vec!["a".into()], vec!["renamed".into()]));

    // Onto itself, and onto a copy of itself.
    guest.move_object(("to", "renamed"), ("to", "renamed")).await.unwrap();
    guest.copy_object(("to", "renamed"), ("to", "renamed")).await.unwrap();
    guest.copy_object(("to", "renamed"), ("to", "copy")).await.unwrap();
    guest.copy_object(("to", "renamed"), ("to", "copy")).await.unwrap();
    guest.move_object(("to", "renamed"), ("to", "copy")).await.unwrap();
    assert_eq!(to.all_names().await, ["copy"]);
    assert!(to.get("copy").await.unwrap() == content);
}

async fn copies_and_moves_that_cannot_be(guest: &Guest) {
    let container = guest.create_container("here").await.unwrap();
    container.put("a", b"1").await.unwrap();
    for (from, to, code) in [
        (("nowhere", "a"), ("here", "b"), "UM1120"),
        (("here", "nobody"), ("here", "b"), "UM1121"),
        (("here", "nobody"), ("here", "nobody"), "UM1121"),
        (("here", "a"), ("nowhere", "b"), "UM1120"),
    ] {
        fails(code, guest.copy_object(from, to).await);
        fails(code, guest.move_object(from, to).await);
    }
    assert_eq!(container.all_names().await, ["a"]);
    assert_eq!(container.get("a").await.unwrap(), b"1");
}

async fn names_of_any_kind(guest: &Guest) {
    let long = [longest('a'), longest('b'), "🦀".repeat(256), "/".repeat(1024), "..".repeat(100)];
    let names: Vec<&str> = ODD_NAMES.iter().copied().chain(long.iter().map(String::as_str)).collect();
    let container = guest.create_container("names").await.unwrap();
    for name in &names {
        container.put(name, name.as_bytes()).await.unwrap();
    }
    let expected: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    assert_eq!(container.all_names().await, expected.iter().cloned().collect::<Vec<_>>());
    for name in &names {
        assert_eq!(container.get(name).await.unwrap(), name.as_bytes(), "{name:?}");
        assert_eq!(container.object_info(name).await.unwrap().0, *name);
        guest.move_object(("names", name), ("names", "moved")).await.unwrap();
        assert!(!container.has_object(name).await.unwrap(), "{name:?}");
        guest.copy_object(("names", "moved"), ("names", name)).await.unwrap();
    }
    container.delete_objects(&names).await.unwrap();
    assert_eq!(container.all_names().await, ["moved"]);

    for name in &names {
        let container = guest.create_container(name).await.unwrap();
        container.put("whose", name.as_bytes()).await.unwrap();
    }
    for name in &names {
        let container = guest.get_container(name).await.unwrap();
        assert_eq!(container.info().await.unwrap().0, *name);
        assert_eq!(container.get("whose").await.unwrap(), name.as_bytes(), "{name:?}");
        guest.delete_container(name).await.unwrap();
        assert!(!guest.container_exists(name).await.unwrap());
    }
}

async fn names_that_are_too_long(guest: &Guest) {
    let long = format!("{}x", longest('a'));
    fails("UM1122", guest.create_container(&long).await);
    fails("UM1122", guest.get_container(&long).await);
    fails("UM1122", guest.container_exists(&long).await);
    fails("UM1122", guest.delete_container(&long).await);
    let container = guest.create_container("short").await.unwrap();
    container.put("a", b"1").await.unwrap();
    fails("UM1122", container.put(&long, b"").await);
    fails("UM1122", container.get(&long).await);
    fails("UM1122", container.has_object(&long).await);
    fails("UM1122", guest.copy_object(("short", "a"), ("short", &long)).await);
    fails("UM1122", guest.move_object(("short", "a"), (&long, "a")).await);
    fails("UM1122", container.delete_objects(&["a", &long]).await);
    assert_eq!(container.all_names().await, ["a"], "nothing was done by halves");
}

async fn lists(guest: &Guest) {
    let container = guest.create_container("lists").await.unwrap();
    let names = container.list_objects().await.unwrap();
    assert_eq!(names.read(10).await.unwrap(), (vec![], true));
    let expected: Vec<String> = (0..250).map(|number| format!("object {number:03}")).collect();
    join_all(expected.iter().map(async |name| container.put(name, b"").await.unwrap())).await;

    assert_eq!(container.all_names().await, expected);
    let names = container.list_objects().await.unwrap();
    assert_eq!(names.read(0).await.unwrap(), (vec![], false));
    let (first, end) = names.read(100).await.unwrap();
    assert_eq!((first.len(), end), (100, false));
    assert_eq!(names.skip(50).await.unwrap(), (50, false));
    let (last, end) = names.read(u64::MAX).await.unwrap();
    assert_eq!((last.len(), end), (100, true));
    assert_eq!(names.read(1).await.unwrap(), (vec![], true));
    assert_eq!(names.skip(1).await.unwrap(), (0, true));
    let told: BTreeSet<&String> = first.iter().chain(&last).collect();
    assert_eq!(told.len(), 200, "no name comes twice");
    let names = container.list_objects().await.unwrap();
    assert_eq!(names.skip(u64::MAX).await.unwrap(), (250, true));
}

async fn writers_at_once(guest: &Guest) {
    let container = guest.create_container("at once").await.unwrap();
    let contents: Vec<Vec<u8>> = (0..16).map(|seed| bytes(200_000 + seed, seed as u64)).collect();
    let write = async |content: &Vec<u8>| container.put("a", content).await.unwrap();
    let is_one = async |container: &Container| {
        let found = container.get("a").await;
        assert!(
            found.is_err() || contents.contains(&found.unwrap()),
            "what is read is one of the writes, whole"
        );
    };
    futures::join!(join_all(contents.iter().map(write)), join_all((0..64).map(|_| is_one(&container))));
    assert!(contents.contains(&container.get("a").await.unwrap()));
    assert_eq!(container.all_names().await, ["a"]);
}

async fn calls_that_do_not_fit(guest: &Guest) {
    for (interface, function, args) in [
        ("blobstore", "create-bucket", vec!["a".into()]),
        ("container", "[method]container.rename", vec![]),
        ("types", "[static]outgoing-value.begin", vec![]),
        ("buckets", "create-container", vec!["a".into()]),
        ("blobstore", "create-container", vec![]),
        ("blobstore", "create-container", vec![Value::U64(1)]),
        ("blobstore", "copy-object", vec!["a".into(), "b".into()]),
        ("container", "[method]container.name", vec![Value::Borrow(Resource::new("not a container"))]),
    ] {
        let answer = guest.try_call(interface, function, args).await;
        let code = answer.expect_err(function).code.to_string();
        // Over a wire, what is somebody else's is not known.
        assert!(["UM0570", "UM0574", "UM0635"].contains(&code.as_str()), "{function}: {code}");
    }
}
