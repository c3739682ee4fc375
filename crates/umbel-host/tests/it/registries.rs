//! Images in registries, as a host sees them: who it is there, what it keeps, and what it needs the registry for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crate::bed::{Bed, code, component, name, until};
use std::sync::Arc;
use umbel_artifact::oci::{Client, Credentials, Said, Settings};
use umbel_core::code::artifact;
use umbel_core::digest::Digest;
use umbel_core::reference::{Image, Location, Reference};
use umbel_host::Config;
use umbel_lattice::control::{PartState, RegistryAnswer, RegistryPut, Scale};
use umbel_lattice::{InProcess, Lattice, Message, subjects};
use umbel_testkit::registry::{Guard, PASSWORD, USER};
use umbel_testkit::{Registry, example};

fn image(text: &str) -> Image {
    match Reference::new(text).unwrap().location() {
        Location::Oci(image) => image.clone(),
        other => panic!("{other:?}"),
    }
}

/// A registry that wants a password and has the hello as `HOST/hello:1`.
async fn with_hello() -> (Registry, String, Digest) {
    let registry = Registry::start(Guard::Password, None).unwrap();
    let host = registry.address().to_string();
    push(&host, "hello:1", "hello").await;
    let digest = Digest::of(&std::fs::read(example("hello")).unwrap());
    (registry, host, digest)
}

async fn push(host: &str, name: &str, what: &str) {
    let settings = Settings { insecure: [host.to_string()].into(), ..Settings::default() };
    let (client, image) = (Client::new(settings).unwrap(), image(&format!("{host}/{name}")));
    let me = Credentials::basic(USER, PASSWORD);
    client.push(&image, Some(&me), &example(what), Said::default()).await.unwrap();
}

fn insecure(host: &str) -> impl FnOnce(&mut Config) {
    let host = host.to_string();
    |config| config.registries.settings.insecure = [host].into()
}

/// Who a message says that the host is.
fn told(host: &str) -> RegistryPut {
    let json = serde_json::json!({
        host: { "username": USER, "password": PASSWORD, "registryType": "oci" },
        "half.example": { "username": "without a password" },
    });
    serde_json::from_value(json).unwrap()
}

fn scale(bed: &Bed, id: &str, image: &str) -> Scale {
    Scale::new(bed.host.id().clone(), component(id), image, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_a_message_brings_let_the_host_in_and_images_outlive_their_registry() {
    let (mut registry, host, digest) = with_hello().await;
    let image = format!("{host}/hello:1");
    let bed = Bed::start_with(insecure(&host)).await;
    let pin = |is_provider| bed.client.pin_artifact(bed.host.id(), &image, is_provider);
    assert_eq!(code(pin(false).await), artifact::REGISTRY_UNAUTHENTICATED.to_string());
    assert_eq!(bed.client.put_registries(&told(&host)).await.unwrap(), 1);
    let pinned = pin(false).await.unwrap();
    assert_eq!((pinned.digest, pinned.size.is_some()), (Some(digest.to_string()), true));
    let stands_in =
        bed.client.pin_artifact(bed.host.id(), &format!("{host}/any/fake:1"), true).await.unwrap();
    assert_eq!(stands_in.digest, None, "a builtin has that name, and nothing is asked");

    let ids = ["one", "two", "three"];
    futures::future::join_all(ids.map(async |id| bed.run_scale(&scale(&bed, id, &image)).await)).await;
    for id in ids {
        assert_eq!(bed.view(id).await.unwrap().digest, Some(digest.to_string()));
    }
    let fetched = format!("uri=\"/v2/hello/blobs/{digest}\"");
    let log = registry.log();
    let served = log.lines().filter(|line| line.contains(&fetched) && line.contains("response.status=200"));
    assert_eq!(served.count(), 1, "one fetch was for all three: {log}");

    // Another host of the folder, without credentials, which were in memory alone, and without the registry.
    registry.kill();
    let (folder, lattice) = bed.stop().await;
    let bed = Bed::start_in(folder, lattice, insecure(&host)).await;
    bed.run_scale(&scale(&bed, "again", &image)).await;
    assert_eq!(bed.view("again").await.unwrap().digest, Some(digest.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lattice_gives_credentials_to_a_host_that_asks() {
    let (_registry, host, digest) = with_hello().await;
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(name()));
    let mut asked = lattice.subscribe(&subjects::cfg::request(&name())).await.unwrap();
    let answer = async {
        let question = asked.next().await.unwrap();
        let answer = RegistryAnswer { registry_credentials: told(&host) };
        lattice.publish(Message::json(question.reply.unwrap(), &answer)).await.unwrap();
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let starting = Bed::start_in(folder, lattice.clone(), |config| {
        insecure(&host)(config);
        config.registries.config_service = true;
    });
    let (bed, ()) = tokio::join!(starting, answer);
    let pinned = bed.client.pin_artifact(bed.host.id(), &format!("{host}/hello:1"), false).await.unwrap();
    assert_eq!(pinned.digest, Some(digest.to_string()));
    // Nobody answers the next one: it starts all the same.
    drop(asked);
    let config_service = |config: &mut Config| config.registries.config_service = true;
    Bed::start_with(config_service).await.inventory().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_what_runs_wherever_the_tag_leads_by_now() {
    let (_registry, host, digest) = with_hello().await;
    let image = format!("{host}/hello:1");
    push(&host, "hello:1", "echo").await;
    let bed = Bed::start_with(insecure(&host)).await;
    bed.client.put_registries(&told(&host)).await.unwrap();
    // Pinned by another host, whose store this one does not have.
    let mut pinned = scale(&bed, "hello", &image);
    pinned.digest = Some(digest.to_string());
    bed.run_scale(&pinned).await;
    assert_eq!(bed.view("hello").await.unwrap().digest, Some(digest.to_string()));
    // What is no component is told, and nothing falls over.
    let mut wrong = scale(&bed, "wrong", &image);
    wrong.digest = Some(Digest::of(b"nothing").to_string());
    bed.client.scale(&wrong).await.unwrap();
    let failed = until("it has failed", async || {
        bed.view("wrong").await.filter(|view| view.problem.is_some() && view.state != PartState::Starting)
    });
    assert_eq!(failed.await.problem.unwrap().code, artifact::IMAGE_UNKNOWN);
}
