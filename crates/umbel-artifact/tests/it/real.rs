//! With Debian's registry.

use super::{Kit, client, code, image, settings, wasm};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use umbel_artifact::ArtifactError;
use umbel_artifact::oci::{Client, Credentials, Kind, Said, Settings, World};
use umbel_artifact::par::{Archive, Compression, Limits, Target, inspect_file};
use umbel_core::digest::Digest;
use umbel_testkit::registry::{Certificate, Guard, PASSWORD, USER};
use umbel_testkit::{Proxy, Registry, wait_for};

fn file(kit: &Kit, name: &str, bytes: &[u8]) -> PathBuf {
    let path = kit.folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn a_component_comes_back_as_it_was_pushed() {
    let registry = Registry::start(Guard::None, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (client, name) = (client(&[&host]), image(&format!("{host}/team/hello:1.0")));
    let bytes = wasm(3 << 20, 1);
    let world = World { exports: vec!["wasi:http/incoming-handler@0.2.6".into()], ..World::default() };
    let annotations = BTreeMap::from([("org.opencontainers.image.title".to_string(), "hello".to_string())]);
    let said = Said { annotations: annotations.clone(), world: Some(world.clone()), ..Said::default() };
    let pushed = client.push(&name, None, &file(&kit, "hello.wasm", &bytes), said.clone()).await.unwrap();
    assert_eq!(pushed.image, format!("{host}/team/hello:1.0"));
    let again = client.push(&name, None, &file(&kit, "hello.wasm", &bytes), said).await.unwrap();
    assert_eq!(again, pushed, "the same bytes are the same image");

    let (found, artifact) = kit.pull(&client, &name, None).await.unwrap();
    assert_eq!(std::fs::read(&artifact.path).unwrap(), bytes);
    assert_eq!((found.manifest, found.described.kind), (pushed.manifest, Kind::Component));
    assert_eq!(found.described.layer.media_type, "application/wasm");
    assert_eq!(found.described.config.media_type, "application/vnd.wasm.config.v0+json");
    assert_eq!((found.described.annotations.clone(), found.world.clone()), (annotations, Some(world)));
    let pinned = image(&format!("{host}/team/hello@{}", pushed.manifest));
    assert_eq!(kit.pull(&client, &pinned, None).await.unwrap().1, artifact);
    // A tag beside a digest means nothing, even if there is no such tag.
    let both = image(&format!("{host}/team/hello:none@{}", pushed.manifest));
    assert_eq!(kit.pull(&client, &both, None).await.unwrap().1, artifact);
}

#[tokio::test]
async fn a_provider_archive_comes_back_as_it_was_pushed() {
    let registry = Registry::start(Guard::None, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (client, name) = (client(&[&host]), image(&format!("{host}/acme-kv:0.1.0")));
    let mut archive = Archive::new();
    archive.insert(Target::of_this_machine(), b"#!/bin/true".to_vec());
    for (compression, end) in [(Compression::Gzip, "par.gz"), (Compression::None, "par")] {
        let mut bytes = Vec::new();
        archive.write(&mut bytes, compression).unwrap();
        client.push(&name, None, &file(&kit, end, &bytes), Said::default()).await.unwrap();
        let (found, artifact) = kit.pull(&client, &name, None).await.unwrap();
        assert_eq!(found.described.kind, Kind::Provider);
        assert_eq!(
            found.described.layer.media_type,
            "application/vnd.wasmcloud.provider.archive.layer.v1+par"
        );
        assert_eq!(found.described.config.media_type, "application/vnd.wasmcloud.provider.archive.config");
        assert_eq!(std::fs::read(&artifact.path).unwrap(), bytes);
        assert_eq!(inspect_file(&artifact.path, &Limits::default()).unwrap().targets.len(), 1);
    }
    let text = file(&kit, "text", b"neither of both");
    assert_eq!(code(client.push(&name, None, &text, Said::default()).await), "NOT_PUSHABLE");
}

#[tokio::test]
async fn what_is_not_there_and_who_is_not_let_in_is_told() {
    let registry = Registry::start(Guard::Password, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (client, name) = (client(&[&host]), image(&format!("{host}/hello:1")));
    let path = file(&kit, "hello.wasm", &wasm(1000, 2));
    let good = Credentials::basic(USER, PASSWORD);
    let wrong = Credentials::basic(USER, "guess");
    for credentials in [None, Some(&wrong)] {
        assert_eq!(
            code(client.push(&name, credentials, &path, Said::default()).await),
            "REGISTRY_UNAUTHENTICATED"
        );
        assert_eq!(code(kit.pull(&client, &name, credentials).await), "REGISTRY_UNAUTHENTICATED");
    }
    assert_eq!(code(kit.pull(&client, &name, Some(&good)).await), "IMAGE_UNKNOWN");
    client.push(&name, Some(&good), &path, Said::default()).await.unwrap();
    kit.pull(&client, &name, Some(&good)).await.unwrap();
    let other = image(&format!("{host}/hello:2"));
    assert_eq!(code(kit.pull(&client, &other, Some(&good)).await), "IMAGE_UNKNOWN");
    assert!(!registry.log().contains(PASSWORD), "the registry was told the password in a URL");
    let nobody = image(&format!("{}/hello:1", umbel_testkit::nats::free_address().unwrap()));
    assert_eq!(
        code(kit.pull(&super::client(&[nobody.registry.as_deref().unwrap()]), &nobody, None).await),
        "REGISTRY_UNREACHABLE"
    );
    assert_eq!(code(client.find(&image("hello:1"), None).await), "IMAGE_WITHOUT_REGISTRY");
}

/// An authority, and a certificate of it for this address.
fn authority() -> (String, Certificate) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    (authority.pem(), Certificate { chain: certificate.pem(), key: key.serialize_pem() })
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let (authority, certificate) = authority();
    let registry = Registry::start(Guard::Password, Some(certificate)).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (name, path) = (image(&format!("{host}/hello:1")), file(&kit, "hello.wasm", &wasm(1000, 3)));
    let ca = file(&kit, "ca.pem", authority.as_bytes());
    let good = Credentials::basic(USER, PASSWORD);
    let trusting = Client::new(Settings { ca_files: vec![ca], ..settings(&[]) }).unwrap();
    trusting.push(&name, Some(&good), &path, Said::default()).await.unwrap();
    kit.pull(&trusting, &name, Some(&good)).await.unwrap();
    assert_eq!(code(kit.pull(&client(&[]), &name, Some(&good)).await), "REGISTRY_TLS");
    let other = Client::new(Settings {
        ca_files: vec![file(&kit, "other.pem", super::real::authority().0.as_bytes())],
        ..settings(&[])
    });
    assert_eq!(code(kit.pull(&other.unwrap(), &name, Some(&good)).await), "REGISTRY_TLS");
    for (ca_file, bytes) in [("none.pem", &b""[..]), ("rubbish.pem", b"-----BEGIN CERTIFICATE-----\nxx\n")] {
        let ca_files = vec![file(&kit, ca_file, bytes)];
        assert_eq!(code(Client::new(Settings { ca_files, ..settings(&[]) })), "REGISTRY_SETTINGS");
    }
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_listed() {
    let registry = Registry::start(Guard::Password, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let name = image(&format!("{host}/hello:1"));
    let good = Credentials::basic(USER, PASSWORD);
    assert_eq!(code(kit.pull(&client(&["127.0.0.1:1"]), &name, Some(&good)).await), "REGISTRY_TLS");
    assert!(!registry.log().contains("/v2/hello"), "it was asked over plain HTTP");
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_again_and_goes_on() {
    let registry = Registry::start(Guard::None, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let bytes = wasm(24 << 20, 4);
    let path = file(&kit, "large.wasm", &bytes);
    client(&[&host]).push(&image(&format!("{host}/large:1")), None, &path, Said::default()).await.unwrap();
    let proxy = Proxy::start(registry.address()).await.unwrap();
    let through = proxy.address().to_string();
    let (client, name) = (client(&[&through]), image(&format!("{through}/large:1")));
    proxy.set(|faults| faults.down = umbel_testkit::proxy::Way::Slow(Duration::from_millis(2)));
    let partial = kit.store.folder().join("partial");
    let written = || {
        let files = std::fs::read_dir(&partial).unwrap().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum::<u64>()
    };
    let cut = async {
        for least in [2 << 20, 8 << 20, 16 << 20] {
            wait_for("more of it has come", || written() >= least).await;
            proxy.cut();
        }
    };
    let (pulled, ()) = tokio::join!(kit.pull(&client, &name, None), cut);
    let (_, artifact) = pulled.unwrap();
    assert_eq!((artifact.digest, artifact.size), (Digest::of(&bytes), bytes.len() as u64));
    assert!(
        registry.log().matches("http.response.status=206").count() >= 3,
        "it began anew: {}",
        registry.log()
    );
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_when_it_is_looked_up_and_only_then() {
    let mut registry = Registry::start(Guard::None, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (client, name) = (client(&[&host]), image(&format!("{host}/hello")));
    let (old, new) = (file(&kit, "old.wasm", &wasm(1000, 5)), file(&kit, "new.wasm", &wasm(1000, 6)));
    client.push(&name, None, &old, Said::default()).await.unwrap();
    let (_, first) = kit.pull(&client, &name, None).await.unwrap();
    client.push(&name, None, &new, Said::default()).await.unwrap();
    assert_eq!(kit.store.remembered(&name).unwrap().artifact, first.digest);
    let (_, second) = kit.pull(&client, &name, None).await.unwrap();
    assert_ne!(first, second);
    // What the tag meant before is fetched by its digest all the same.
    let incoming = kit.store.begin().unwrap();
    let fetched = client.fetch(&name, None, &first.digest, Some(first.size), incoming).await.unwrap();
    assert_eq!(fetched.digest(), first.digest);
    drop(fetched);
    registry.kill();
    assert_eq!(code(kit.pull(&client, &name, None).await), "REGISTRY_UNREACHABLE");
    assert_eq!(
        kit.store.remembered(&image(&format!("{host}/hello:latest"))).unwrap().artifact,
        second.digest
    );
    kit.store.check(&second.digest, |_| Ok::<(), ArtifactError>(())).unwrap();
    // What is known of an image goes with its artifact.
    for _ in 0..2 {
        kit.store.collect(&[first.digest].into()).unwrap();
    }
    assert_eq!(kit.store.remembered(&name), None);
}

#[tokio::test]
async fn what_is_damaged_in_the_registry_is_not_taken() {
    let registry = Registry::start(Guard::None, None).unwrap();
    let (kit, host) = (Kit::new(), registry.address().to_string());
    let (client, name) = (client(&[&host]), image(&format!("{host}/hello:1")));
    let path = file(&kit, "hello.wasm", &wasm(1000, 7));
    let pushed = client.push(&name, None, &path, Said::default()).await.unwrap();
    let blob = registry.blob(&pushed.layer.digest.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    assert_eq!(code(kit.pull(&client, &name, None).await), "LAYER_DIGEST");
    assert!(kit.is_empty());
}
