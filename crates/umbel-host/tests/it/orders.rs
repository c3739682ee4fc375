//! The other orders: hosts, labels, auctions, claims, artifacts, the tree; and state folders.

use crate::bed::{Bed, code, file, until, values};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use umbel_core::claims::{Claims, Component, sign_wasm};
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_core::{Clock, Coded, SystemClock};
use umbel_host::StateDir;
use umbel_lattice::control::{Client, ComponentAuction, PartState, ProviderAuction};
use umbel_testkit::{example, guest};

#[tokio::test]
async fn a_host_answers_pings_and_shows_itself() {
    let bed = Bed::start_with(|config| {
        config.friendly_name = "blue-sky-1".into();
        config.labels = values(&[("zone", "a")]);
    })
    .await;
    let hosts = bed.client.hosts().await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!((&hosts[0].id, hosts[0].friendly_name.as_str()), (bed.host.id(), "blue-sky-1"));
    let inventory = bed.inventory().await;
    assert_eq!(&inventory.host_id, bed.host.id());
    assert_eq!(inventory.labels["zone"], "a");
    for label in ["hostcore.arch", "hostcore.os", "hostcore.osfamily"] {
        assert!(inventory.labels.contains_key(label), "{label}");
    }
    assert!(inventory.components.is_empty() && inventory.providers.is_empty());
    let expected = [
        "epochs",
        "logs",
        "events",
        "tables",
        "rebind",
        "components",
        "providers",
        "trim",
        "collect",
        "exports",
        "artifacts",
        "heartbeat",
        "resume",
        "control",
    ];
    until("the tree shows all of it", async || {
        let tree = bed.client.tree(bed.host.id()).await.unwrap();
        let children = tree["children"].as_array()?;
        children.iter().map(|child| child["id"].as_str().unwrap()).eq(expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_heartbeat_is_the_inventory() {
    let mut bed = Bed::start_with(|config| config.heartbeat = Duration::from_millis(20)).await;
    bed.run("hello", &example("hello")).await;
    let beat = bed.event("host_heartbeat", "hello").await;
    assert_eq!(beat["host_id"], bed.host.id().as_str());
    assert_eq!(beat["components"][0]["id"], "hello");
    assert!(beat["labels"]["hostcore.os"].is_string() && beat["uptime_seconds"].is_u64());
}

#[tokio::test]
async fn labels_are_set_and_removed_and_those_of_the_host_are_its_own() {
    let mut bed = Bed::start().await;
    let host = bed.host.id().clone();
    bed.client.put_label(&host, "zone", "b").await.unwrap();
    assert_eq!(bed.event("labels_changed", "zone").await["labels"]["zone"], "b");
    assert_eq!(bed.inventory().await.labels["zone"], "b");
    bed.client.del_label(&host, "zone").await.unwrap();
    assert!(!bed.inventory().await.labels.contains_key("zone"));
    assert_eq!(code(bed.client.put_label(&host, "hostcore.os", "plan9").await), "UM0811");
    assert_eq!(code(bed.client.del_label(&host, "hostcore.os").await), "UM0811");
}

/// A client that waits for bids: long where there is one, and it comes at once; a moment where there is none.
fn patience(bed: &Bed, bids: usize) -> Client {
    bed.client.with_timeout(if bids == 0 { Duration::from_millis(100) } else { Duration::from_secs(30) })
}

#[tokio::test]
async fn a_host_bids_for_what_it_could_run() {
    let bed = Bed::start_with(|config| config.labels = values(&[("zone", "a")])).await;
    bed.run("taken", &example("hello")).await;
    bed.start_provider("fake-1", &[]).await;
    for (id, zone, bids) in [("free", "a", 1), ("free", "b", 0), ("taken", "a", 0)] {
        let auction = ComponentAuction {
            component_ref: "x.wasm".into(),
            component_id: id.into(),
            constraints: values(&[("zone", zone)]),
        };
        let acks = patience(&bed, bids).auction_component(&auction).await.unwrap();
        assert_eq!(acks.len(), bids, "{id} {zone}");
        assert!(acks.iter().all(|ack| ack.host_id == *bed.host.id() && ack.component_id == id));
    }
    for (id, bids) in [("fake-2", 1), ("fake-1", 0)] {
        let auction = ProviderAuction {
            provider_ref: "builtin:fake".into(),
            provider_id: id.into(),
            constraints: values(&[]),
        };
        assert_eq!(patience(&bed, bids).auction_provider(&auction).await.unwrap().len(), bids, "{id}");
    }
}

#[tokio::test]
async fn claims_are_verified_and_shown() {
    let mut bed = Bed::start().await;
    let (account, module) = (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Component));
    let bytes = std::fs::read(example("hello")).unwrap();
    let now = SystemClock.unix_time();
    let claims = |expires_in: i64| {
        let wascap = Component {
            name: Some("Hello".into()),
            rev: Some(3),
            ver: Some("0.3.0".into()),
            ..Component::default()
        };
        let mut claims = Claims::new(account.public_key(), module.public_key(), wascap, now);
        claims.expires = Some(now.as_secs().saturating_add_signed(expires_in));
        claims
    };
    let good = file(&bed, "good.wasm", &sign_wasm(&bytes, claims(3_600), &account).unwrap());
    bed.run("signed", &good).await;
    let view = bed.view("signed").await.unwrap();
    assert_eq!((view.name.as_deref(), view.revision), (Some("Hello"), 3));
    let event = bed.event("component_scaled", "signed").await;
    assert_eq!(event["public_key"], module.public_key().as_str());
    assert_eq!(event["claims"]["issuer"], account.public_key().as_str());
    let all = bed.client.claims().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0]["sub"].as_str(), all[0]["version"].as_str()), (module.public_key().as_str(), "0.3.0"));

    let late = file(&bed, "late.wasm", &sign_wasm(&bytes, claims(-60), &account).unwrap());
    bed.client.scale(&bed.scale_of("late", &late)).await.unwrap();
    let problem = bed.state_of("late", PartState::Failed).await.problem.unwrap();
    assert!(problem.message.contains("expired"), "{problem}");
    let mut forged = sign_wasm(&bytes, claims(3_600), &account).unwrap();
    // Another component under the same claims.
    forged.extend_from_slice(&[0, 3, 1, b'x', 0]);
    let forged = file(&bed, "forged.wasm", &forged);
    bed.client.scale(&bed.scale_of("forged", &forged)).await.unwrap();
    let problem = bed.state_of("forged", PartState::Failed).await.problem.unwrap();
    assert_eq!(problem.code, umbel_core::code::identity::CLAIMS_OF_OTHER_BYTES, "{problem}");
}

#[tokio::test]
async fn artifacts_are_pinned_and_inspected() {
    let bed = Bed::start().await;
    let host = bed.host.id().clone();
    let reference = guest("custom-import");
    let pinned = bed.client.pin_artifact(&host, reference.to_str().unwrap(), false).await.unwrap();
    let seen = bed.client.inspect(&host, reference.to_str().unwrap()).await.unwrap();
    assert_eq!((Some(&seen.digest), Some(seen.size)), (pinned.digest.as_ref(), pinned.size));
    assert_eq!(seen.kind, "http-p2");
    assert!(seen.imports.contains(&"acme:demo/greeter@1.0.0".to_string()));
    assert!(seen.claims.is_none());
    assert!(code(bed.client.pin_artifact(&host, "/nowhere.wasm", false).await).starts_with("UM"));
    let library = bed.client.inspect(&host, guest("library").to_str().unwrap()).await.unwrap();
    assert_eq!(library.kind, "contracts");
}

#[tokio::test]
async fn orders_that_make_no_sense_are_answered() {
    let bed = Bed::start().await;
    let host = bed.host.id();
    let lattice = crate::bed::name();
    for (subject, payload) in [
        (umbel_lattice::subjects::ctl::component_scale(&lattice, host), "{"),
        (umbel_lattice::subjects::ctl::component_scale(&lattice, host), "{\"component_id\":7}"),
        (umbel_lattice::subjects::ctl::link_put(&lattice), "[]"),
        (format!("wasmbus.ctl.v1.{lattice}.host.dance.{host}"), "{}"),
        (format!("umbel.v1.{lattice}.host.{host}.dance"), "{}"),
    ] {
        let timeout = Duration::from_secs(30);
        let answer = bed.client.lattice().request(&subject, payload.into(), timeout).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["success"], false, "{subject}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn orders_that_take_long_keep_no_other_waiting_and_have_a_limit() {
    let bed = Bed::start().await;
    bed.compiler.held.store(true, SeqCst);
    let image = example("hello");
    let (host, image) = (bed.host.id(), image.to_str().unwrap());
    // Many more than there are places for orders that are quick.
    let mut slow: FuturesUnordered<_> = (0..1_030).map(|_| bed.client.inspect(host, image)).collect();
    for _ in 0..6 {
        let refused = slow.next().await.expect("one is answered");
        assert_eq!(code(refused), "UM0815");
    }
    let quick = bed.client.with_timeout(Duration::from_secs(10));
    assert_eq!(quick.hosts().await.unwrap().len(), 1);
    assert!(quick.inventory(host).await.unwrap().components.is_empty());
    quick.put_label(host, "zone", "c").await.unwrap();
    bed.compiler.held.store(false, SeqCst);
    let done: Vec<_> = slow.collect().await;
    assert_eq!((done.len(), done.iter().filter(|seen| seen.is_ok()).count()), (1_024, 1_024));
}

#[tokio::test]
async fn a_state_folder_is_one_host_s_and_its_key_stays() {
    let bed = Bed::start().await;
    let (id, path) = (bed.host.id().clone(), bed.folder.path().join("state"));
    let error = StateDir::open(&path).expect_err("it is in use");
    assert_eq!(error.code().to_string(), "UM0801");
    assert!(error.help().contains("umbel up --state"));
    let (folder, lattice) = bed.stop().await;
    let again = Bed::start_in(folder, lattice, |_| ()).await;
    assert_eq!(again.host.id(), &id);
}
