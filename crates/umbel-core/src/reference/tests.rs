use super::{Image, Location, REFERENCE_BYTES_MAX, Reference};
use crate::digest::Digest;
use crate::error::Coded;
use proptest::prelude::*;
use std::path::Path;

fn parse(text: &str) -> Location {
    let reference = Reference::new(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reference.as_str(), text, "the text is kept");
    reference.location().clone()
}

fn image(registry: Option<&str>, repository: &str, tag: Option<&str>, digest: Option<Digest>) -> Location {
    Location::Oci(Image {
        registry: registry.map(Into::into),
        repository: repository.into(),
        tag: tag.map(Into::into),
        digest,
    })
}

#[test]
fn files_are_files() {
    let cases = [
        ("file:///srv/hello.wasm", "/srv/hello.wasm"),
        ("file:/srv/hello.wasm", "/srv/hello.wasm"),
        ("file://./hello.wasm", "./hello.wasm"),
        ("file:hello", "hello"),
        ("/srv/hello", "/srv/hello"),
        ("./hello", "./hello"),
        ("../a b/hello", "../a b/hello"),
        (".", "."),
        ("..", ".."),
        ("hello.wasm", "hello.wasm"),
        ("target/wasm32-wasip2/release/Hello.wasm", "target/wasm32-wasip2/release/Hello.wasm"),
        ("http-server.par.gz", "http-server.par.gz"),
        ("/a/b:c@d", "/a/b:c@d"),
        ("./é.wasm", "./é.wasm"),
    ];
    for (text, path) in cases {
        assert_eq!(parse(text), Location::File(path.into()), "{text}");
    }
}

#[test]
fn images_are_images() {
    let digest = Digest::of(b"");
    let pinned = format!("registry.test/team/hello@{digest}");
    let both = format!("oci://registry.test:5000/hello:1.0@{digest}");
    let cases = [
        ("registry.test/hello:0.1.0", image(Some("registry.test"), "hello", Some("0.1.0"), None)),
        ("registry.test:5000/a/b_c/d", image(Some("registry.test:5000"), "a/b_c/d", None, None)),
        ("oci://registry.test/hello.wasm", image(Some("registry.test"), "hello.wasm", None, None)),
        ("localhost/hello:v1", image(Some("localhost"), "hello", Some("v1"), None)),
        ("team/hello:v1", image(None, "team/hello", Some("v1"), None)),
        ("hello", image(None, "hello", None, None)),
        (pinned.as_str(), image(Some("registry.test"), "team/hello", None, Some(digest))),
        (both.as_str(), image(Some("registry.test:5000"), "hello", Some("1.0"), Some(digest))),
    ];
    for (text, expect) in cases {
        assert_eq!(parse(text), expect, "{text}");
    }
    let Location::Oci(image) = parse("registry.test/wasmcloud/http-server:0.23.2") else {
        panic!("an image")
    };
    assert_eq!(image.name(), "http-server");
}

#[test]
fn builtins_and_digests() {
    assert_eq!(parse("builtin:http-server"), Location::Builtin("http-server".into()));
    assert_eq!(Reference::new("builtin:http-server").expect("a builtin").builtin(), Some("http-server"));
    let digest = Digest::of(b"x");
    assert_eq!(parse(&digest.to_string()), Location::Digest(digest));
}

#[test]
fn what_is_no_reference_is_refused_with_its_reason() {
    let long = format!("/{}", "a".repeat(REFERENCE_BYTES_MAX));
    let cases = [
        ("", "empty"),
        (" hello.wasm", "spaces"),
        ("hello\n.wasm", "control"),
        ("./\x1b[2J", "control"),
        ("./a\0b", "control"),
        (long.as_str(), "4096"),
        ("file://", "no file"),
        ("file:", "no file"),
        ("~/hello.wasm", "shells"),
        ("https://example.test/hello.wasm", "download"),
        ("sha256:abc", "64"),
        ("builtin:", "name"),
        ("builtin:../x", "name"),
        ("Hello", "neither"),
        ("oci://", "neither"),
        ("registry.test/", "neither"),
        ("registry.test//a", "neither"),
        ("registry.test/a/../b", "neither"),
        ("registry.test/a:", "tag"),
        ("registry.test/a:b c", "tag"),
        ("registry.test/a@sha256:1", "64"),
        ("registry.test:99999/a", "host name"),
        ("-registry.test/a", "host name"),
    ];
    for (text, reason) in cases {
        let error = Reference::new(text).expect_err(text);
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert_eq!(error.code().to_string(), "UM0110");
        assert!(error.to_string().len() < 300 && !error.to_string().contains('\x1b'));
    }
}

#[test]
fn a_relative_file_can_be_made_to_mean_the_same_everywhere() {
    let base = Path::new("/home/me/app");
    let cases = [
        ("./hello.wasm", "file:///home/me/app/hello.wasm"),
        ("file://target/hello.wasm", "file:///home/me/app/target/hello.wasm"),
        ("../hello.wasm", "file:///home/me/app/../hello.wasm"),
        ("/srv/hello.wasm", "/srv/hello.wasm"),
        ("registry.test/hello:1", "registry.test/hello:1"),
        ("builtin:http-server", "builtin:http-server"),
    ];
    for (text, expect) in cases {
        let reference = Reference::new(text).expect(text).under(base).expect(text);
        assert_eq!(reference.as_str(), expect);
    }
    assert_eq!(Reference::file(Path::new("/a b")).expect("a path").path(), Some(Path::new("/a b")));
    use std::os::unix::ffi::OsStrExt;
    let not_text = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
    Reference::file(not_text).expect_err("cannot travel in a message");
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_accepted_comes_back(text in "\\PC{0,60}|[a-z:/@.]{0,30}") {
        if let Ok(reference) = Reference::new(&text) {
            prop_assert_eq!(reference.as_str(), text.as_str());
            let json = serde_json::to_string(&reference).expect("serialises");
            prop_assert_eq!(serde_json::from_str::<Reference>(&json).expect("parses"), reference);
        }
    }
}
