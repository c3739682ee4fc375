//! With a registry that lies, leads astray, or is slow.

use super::liar::{Asked, Liar, Told};
use super::{Kit, client, code, image, settings, wasm};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use umbel_artifact::Store;
use umbel_artifact::oci::{Client, Credentials, OciError, Settings, Times};
use umbel_core::digest::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What a good registry answers, by the end of the path; lies are put in the place of some of it.
type Answers = BTreeMap<String, Told>;

struct Image {
    answers: Answers,
    index: Digest,
    manifest: Digest,
    config: Digest,
    layer: Digest,
    bytes: Vec<u8>,
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

/// An index with one component in it.
fn good() -> Image {
    let (bytes, config) = (wasm(100_000, 9), b"{}".to_vec());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.wasm.config.v0+json", &config),
        "layers": [descriptor("application/wasm", &bytes)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({ "os": "wasip2", "architecture": "wasm" });
    let index =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] }).to_string().into_bytes();
    let digests = [Digest::of(&index), Digest::of(&manifest), Digest::of(&config), Digest::of(&bytes)];
    let indexed = Told::ok(index).with("content-type", INDEX);
    let answers = Answers::from([
        ("manifests/1".into(), indexed.clone()),
        (format!("manifests/{}", digests[0]), indexed),
        (format!("manifests/{}", digests[1]), Told::ok(manifest).with("content-type", MANIFEST)),
        (format!("blobs/{}", digests[2]), Told::ok(config)),
        (format!("blobs/{}", digests[3]), Told::ok(bytes.clone())),
    ]);
    let [index, manifest, config, layer] = digests;
    Image { answers, index, manifest, config, layer, bytes }
}

fn of(answers: &Answers, asked: &Asked) -> Told {
    let found = answers.iter().find(|(end, _)| asked.line.ends_with(end.as_str()));
    found.map_or(Told::status(404), |(_, told)| told.clone())
}

async fn serve(answers: Answers) -> Liar {
    Liar::start(move |asked| of(&answers, asked)).await
}

/// What pulling by a tag comes to, and whether anything was kept.
async fn pulled(liar: &Liar) -> (Result<Vec<u8>, OciError>, bool) {
    let (kit, host) = (Kit::new(), liar.address.to_string());
    let pulled = kit.pull(&client(&[&host]), &image(&format!("{host}/a:1")), None).await;
    (pulled.map(|(_, artifact)| std::fs::read(artifact.path).unwrap()), kit.is_empty())
}

#[tokio::test]
async fn everything_is_checked_against_its_digest_and_nothing_is_kept_of_what_is_not_that() {
    let image = good();
    assert_eq!(pulled(&serve(image.answers.clone()).await).await.0.unwrap(), image.bytes);
    let other = serde_json::to_vec(&json!({ "schemaVersion": 2 })).unwrap();
    for (end, expected) in [
        (format!("manifests/{}", image.manifest), "MANIFEST_DIGEST"),
        (format!("blobs/{}", image.config), "CONFIG_DIGEST"),
        (format!("blobs/{}", image.layer), "LAYER_DIGEST"),
    ] {
        // Other bytes, fewer, more, and none at all.
        let right = image.answers[&end].body.clone();
        let mut flipped = right.clone();
        flipped[right.len() / 2] ^= 1;
        let longer = [right.clone(), vec![0]].concat();
        for body in [other.clone(), flipped, right[..right.len() - 1].to_vec(), longer, Vec::new()] {
            let mut answers = image.answers.clone();
            answers.insert(end.clone(), Told { body, ..image.answers[&end].clone() });
            let (outcome, is_empty) = pulled(&serve(answers).await).await;
            assert_eq!(code(outcome), expected);
            assert!(is_empty, "{expected}");
        }
    }
    // By its digest, and by what the registry itself says that it is.
    let mut answers = image.answers.clone();
    let lie = Told::ok(other).with("content-type", INDEX);
    answers.insert(format!("manifests/{}", image.index), lie.clone());
    answers.insert("manifests/1".into(), lie.with("docker-content-digest", image.index.to_string()));
    let liar = serve(answers).await;
    let host = liar.address.to_string();
    for name in [format!("{host}/a:1"), format!("{host}/a@{}", image.index)] {
        assert_eq!(code(client(&[&host]).find(&super::image(&name), None).await), "INDEX_DIGEST");
    }
}

#[tokio::test]
async fn what_breaks_off_goes_on_whether_the_registry_can_do_that_or_not() {
    for ranges in [true, false] {
        let Image { answers, layer, bytes, .. } = good();
        let whole = bytes.clone();
        let liar = Liar::start(move |asked| {
            if !asked.line.ends_with(&layer.to_string()) {
                return of(&answers, asked);
            }
            let from = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
            let from: usize = from.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            let cut = Some(30_000 + usize::from(from > 0) * 100_000);
            if !ranges || from == 0 {
                return Told { cut, ..Told::ok(bytes.clone()) };
            }
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Told { status: 206, body: bytes[from..].to_vec(), cut: Some(30_000), ..Told::default() }
                .with("content-range", range)
        })
        .await;
        assert_eq!(pulled(&liar).await.0.unwrap(), whole);
        let asked = liar.asked();
        let again: Vec<&Asked> = asked.iter().filter(|asked| asked.headers.contains_key("range")).collect();
        assert!(again.len() >= if ranges { 3 } else { 1 }, "{asked:?}");
    }
}

#[tokio::test]
async fn whoever_never_comes_to_an_end_is_left() {
    let image = good();
    let times =
        Times { head: Duration::from_millis(200), pause: Duration::from_millis(200), ..settings(&[]).times };
    let layer = format!("blobs/{}", image.layer);
    let silent = Told { hangs: true, ..Told::ok("").with("content-length", "100008") };
    for (end, told, expected) in [
        ("manifests/1".to_string(), silent.clone(), "REGISTRY_TIMEOUT"),
        (layer.clone(), silent, "REGISTRY_TIMEOUT"),
        (layer, Told { cut: Some(0), ..Told::ok(image.bytes.clone()) }, "REGISTRY_UNREACHABLE"),
        ("manifests/1".into(), Told::ok(vec![b' '; 5 << 20]), "REGISTRY_ANSWER"),
        ("manifests/1".into(), Told::status(503), "REGISTRY_REFUSED"),
        ("manifests/1".into(), Told::status(403), "REGISTRY_DENIED"),
        ("manifests/1".into(), Told::ok("<html>"), "IMAGE_MALFORMED"),
    ] {
        let mut answers = image.answers.clone();
        answers.insert(end, told);
        let liar = serve(answers).await;
        let (kit, host) = (Kit::new(), liar.address.to_string());
        let client = Client::new(Settings { times, ..settings(&[&host]) }).unwrap();
        assert_eq!(code(kit.pull(&client, &super::image(&format!("{host}/a:1")), None).await), expected);
        assert!(kit.is_empty());
    }
}

#[tokio::test]
async fn more_than_the_store_takes_is_not_fetched() {
    let image = good();
    let liar = serve(image.answers.clone()).await;
    let host = liar.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap().with_bytes_max(50_000);
    let name = super::image(&format!("{host}/a:1"));
    for size in [Some(100_008), None] {
        let incoming = store.begin().unwrap();
        let fetched = client(&[&host]).fetch(&name, None, &image.layer, size, incoming).await;
        assert_eq!(code(fetched), "ARTIFACT_TOO_LARGE");
    }
    assert_eq!(liar.asked().len(), 1, "what says its size is not asked for");
}

#[tokio::test]
async fn credentials_go_to_the_registry_and_to_no_other_host() {
    let image = good();
    let (layer, bytes) = (image.layer.to_string(), image.bytes.clone());
    let storage = Liar::start(move |_| Told::ok(bytes.clone())).await;
    let to = format!("http://{}/signed?key=1", storage.address);
    let liar = Liar::start(move |asked| match asked.headers.get("authorization").map(String::as_str) {
        None => Told::status(401).with("www-authenticate", "Basic realm=\"it\""),
        Some("Basic bWU6czNjcmV0") if asked.line.ends_with(&layer) => {
            Told::status(307).with("location", to.clone())
        }
        Some("Basic bWU6czNjcmV0") => of(&image.answers, asked),
        Some(_) => Told::status(401).with("www-authenticate", "Basic realm=\"it\""),
    })
    .await;
    let (host, other) = (liar.address.to_string(), storage.address.to_string());
    let (name, me) = (super::image(&format!("{host}/a:1")), Credentials::basic("me", "s3cret"));
    let kit = Kit::new();
    kit.pull(&client(&[&host, &other]), &name, Some(&me)).await.unwrap();
    assert!(!storage.asked().is_empty());
    assert!(storage.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
    // Plain HTTP somewhere else is as little allowed as at a registry.
    assert_eq!(code(kit.pull(&client(&[&host]), &name, Some(&me)).await), "REDIRECT_DENIED");
    let failed =
        kit.pull(&client(&[&host]), &name, Some(&Credentials::basic("me", "gu3ss"))).await.unwrap_err();
    let text = format!("{failed} {failed:?}");
    assert!(!text.contains("gu3ss") && !text.contains("Z3Uzc3M"), "{text}");
}

#[tokio::test]
async fn a_token_is_got_where_the_registry_says_and_used_for_all_that_follows() {
    let image = good();
    let tokens = Liar::start(|asked| match asked.headers.get("authorization").map(String::as_str) {
        Some("Basic bWU6czNjcmV0") => Told::ok(r#"{"access_token": "t0ken"}"#),
        _ => Told::status(401),
    })
    .await;
    let realm = format!("http://{}/token", tokens.address);
    let challenge = format!("Bearer realm=\"{realm}\",service=\"it\",scope=\"repository:a:pull\"");
    let liar = Liar::start(move |asked| match asked.headers.get("authorization").map(String::as_str) {
        Some("Bearer t0ken") => of(&image.answers, asked),
        _ => Told::status(401).with("www-authenticate", challenge.clone()),
    })
    .await;
    let (host, realm) = (liar.address.to_string(), tokens.address.to_string());
    let (name, kit) = (super::image(&format!("{host}/a:1")), Kit::new());
    let me = Credentials::basic("me", "s3cret");
    kit.pull(&client(&[&host, &realm]), &name, Some(&me)).await.unwrap();
    let asked = tokens.asked();
    assert!(asked[0].line.contains("scope=repository%3Aa%3Apull&service=it"), "{asked:?}");
    let given = Credentials::Token("t0ken".to_string().into());
    kit.pull(&client(&[&host]), &name, Some(&given)).await.unwrap();
    for wrong in
        [None, Some(Credentials::basic("me", "guess")), Some(Credentials::Token("x".to_string().into()))]
    {
        let outcome = kit.pull(&client(&[&host, &realm]), &name, wrong.as_ref()).await;
        assert_eq!(code(outcome), "REGISTRY_UNAUTHENTICATED");
    }
    // Nobody is told a password over plain HTTP who is not listed, whoever says so.
    assert_eq!(code(kit.pull(&client(&[&host]), &name, Some(&me)).await), "REDIRECT_DENIED");
}

#[tokio::test]
async fn addresses_of_links_and_of_metadata_are_never_asked() {
    let image = good();
    let places = [
        "http://169.254.169.254/latest",
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://100.100.100.200/",
    ];
    for place in places {
        let mut answers = image.answers.clone();
        answers.insert("manifests/1".into(), Told::status(302).with("location", place));
        let liar = serve(answers).await;
        let host = liar.address.to_string();
        let listed = client(&[&host, "169.254.169.254"]);
        assert_eq!(code(listed.find(&super::image(&format!("{host}/a:1")), None).await), "REDIRECT_DENIED");
    }
    assert_eq!(code(client(&[]).find(&super::image("169.254.169.254/a:1"), None).await), "REDIRECT_DENIED");
    let endless = Liar::start(|asked| {
        let path = asked.line.trim_start_matches("GET ").to_string();
        Told::status(307).with("location", path)
    })
    .await;
    let host = endless.address.to_string();
    assert_eq!(
        code(client(&[&host]).find(&super::image(&format!("{host}/a:1")), None).await),
        "REDIRECT_DENIED"
    );
    assert!(endless.asked().len() < 10);
    for location in ["file:///etc/passwd", "http://", "::"] {
        let lost = Liar::start(move |_| Told::status(302).with("location", location)).await;
        let host = lost.address.to_string();
        let name = code(client(&[&host]).find(&super::image(&format!("{host}/a:1")), None).await);
        assert!(
            ["REDIRECT_DENIED", "REGISTRY_ANSWER", "IMAGE_UNKNOWN"].contains(&name),
            "{location}: {name}"
        );
    }
}
