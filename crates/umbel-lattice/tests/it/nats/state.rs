//! What lies on the server: real names, limits, domains.

use super::{SOON, event, soon};
use crate::bed::{nats, spawn};
use bytes::Bytes;
use serde_json::{Value, json};
use umbel_core::Coded;
use umbel_core::code::lattice as code;
use umbel_core::id::LatticeName;
use umbel_lattice::nats::config::ServerConfig;
use umbel_lattice::{Lattice, LatticeError, Message, Nats, NatsSpec, WatchEvent};
use umbel_testkit::NatsServer;

async fn stream(lattice: &Nats, name: &str) -> Value {
    let subject = format!("$JS.API.STREAM.INFO.{name}");
    let answer = lattice.request(&subject, Bytes::new(), SOON).await.expect("an answer");
    serde_json::from_slice(&answer.payload).expect("JSON")
}

#[tokio::test]
async fn buckets_of_wasmcloud_are_as_its_hosts_make_them() {
    let server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    for name in ["LATTICEDATA_default", "CONFIGDATA_default"] {
        lattice.bucket(name).await.expect("a bucket").put("k", "v".into()).await.expect("put");
        let config = stream(&lattice, &format!("KV_{name}")).await["config"].clone();
        let subjects: Vec<&str> =
            config["subjects"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(subjects, [format!("$KV.{name}.>")]);
        assert_eq!((&config["storage"], &config["max_msgs_per_subject"]), (&"file".into(), &1.into()));
        assert_eq!((&config["num_replicas"], &config["discard"]), (&1.into(), &"new".into()));
        for flag in ["allow_direct", "deny_delete", "allow_rollup_hdrs"] {
            assert_eq!(config[flag], true, "{flag} of {config}");
        }
    }
    // Two lattices of one server share no bucket.
    let other = NatsSpec::parse(&server.url()).expect("an address");
    let other =
        Nats::connect(&other, LatticeName::new("other").expect("a name"), spawn()).await.expect("connects");
    lattice.bucket("b").await.expect("a bucket").put("k", "mine".into()).await.expect("put");
    assert_eq!(other.bucket("b").await.expect("a bucket").get("k").await.expect("get"), None);
}

/// What other programs write and delete there, as they do it, is seen.
#[tokio::test]
async fn entries_of_others_are_entries() {
    let server = NatsServer::start("").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    let bucket = lattice.bucket("CONFIGDATA_default").await.expect("a bucket");
    let mut watch = bucket.watch("").await.expect("watch");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    let subject = "$KV.CONFIGDATA_default.mine";
    lattice.request(subject, r#"{"a":"b"}"#.into(), SOON).await.expect("stored");
    assert!(matches!(event(&mut watch).await, WatchEvent::Put(entry) if entry.value == r#"{"a":"b"}"#));
    // wasmCloud 1.x purges what it deletes.
    let purge =
        Message::new(subject, "").with_header("KV-Operation", "PURGE").with_header("Nats-Rollup", "sub");
    lattice.request_message(purge, SOON).await.expect("stored");
    assert!(matches!(event(&mut watch).await, WatchEvent::Delete { key, .. } if key == "mine"));
    assert_eq!(bucket.get("mine").await.expect("get"), None);
    bucket.create("mine", "again".into()).await.expect("it is gone, so it can be created");
}

#[tokio::test]
async fn the_limit_of_the_server_is_told_before_anything_is_sent() {
    let server = NatsServer::start("max_payload: 100000").expect("a nats-server");
    let lattice = nats(&server.url()).await;
    assert_eq!(lattice.payload_bytes_max(), 100_000);
    let mut all = lattice.subscribe("x").await.expect("subscribe");
    lattice.publish(Message::new("x", vec![0; 100_000])).await.expect("just fits");
    assert_eq!(super::soon("it", all.next()).await.expect("a message").payload.len(), 100_000);
    let too_large = Message::new("x", vec![0; 100_000]).with_header("One", "more");
    let bucket = lattice.bucket("b").await.expect("a bucket");
    for error in [
        lattice.publish(Message::new("x", vec![0; 100_001])).await.expect_err("publish"),
        lattice.publish(too_large.clone()).await.expect_err("headers count"),
        lattice.request_message(too_large, SOON).await.map(|_| ()).expect_err("request"),
        bucket.put("k", vec![0; 100_001].into()).await.map(|_| ()).expect_err("put"),
    ] {
        assert!(matches!(error, LatticeError::TooLarge { bytes_max, .. } if bytes_max <= 100_000), "{error}");
    }
    assert_eq!((lattice.losses(), lattice.is_connected()), (0, true));
    let bad = Message::new("x", "").with_header("a b", "c");
    assert_eq!(lattice.publish(bad).await.expect_err("a header").code(), code::INVALID_HEADER);
    let bad = Message::new("x", "").with_header("a", "b\r\nc");
    assert_eq!(lattice.publish(bad).await.expect_err("a header").code(), code::INVALID_HEADER);
}

/// The configuration that is rendered is what a server takes, whatever its folder is called.
#[tokio::test]
async fn a_rendered_configuration_is_taken() {
    let mut config = ServerConfig::new("127.0.0.1:PORT", "FOLDER/it is \"odd\" \\ here");
    config.domain = Some("edge".into());
    config.payload_bytes_max = 200_000;
    config.listen_for_leaves = Some("127.0.0.1:-1".into());
    let server = NatsServer::start(&config.render()).expect("it is taken");
    let spec =
        NatsSpec { js_domain: Some("edge".into()), ..NatsSpec::parse(&server.url()).expect("an address") };
    let lattice = Nats::connect(&spec, LatticeName::new("default").expect("a name"), spawn()).await;
    let lattice = lattice.expect("it has the domain");
    assert_eq!(lattice.payload_bytes_max(), 200_000);
    lattice.bucket("b").await.expect("a bucket").put("k", "v".into()).await.expect("put");
    assert!(server.folder().join("it is \"odd\" \\ here/jetstream").is_dir(), "{}", server.log());
}

/// A leaf without state of its own, whose hub has it.
#[tokio::test]
async fn a_leaf_node_carries_the_lattice_of_its_hub() {
    let leaves = umbel_testkit::nats::free_address().expect("a port");
    let hub = format!(
        "jetstream {{ store_dir: \"FOLDER/js\", domain: hub, sync_interval: always }}\nleafnodes {{ listen: \"{leaves}\" }}"
    );
    let hub = NatsServer::start(&hub).expect("a hub");
    let leaf = format!("leafnodes {{ remotes: [{{ url: \"nats://{leaves}\" }}] }}\n# no jetstream");
    let leaf = NatsServer::start(&leaf).expect("a leaf");
    let spec =
        NatsSpec { js_domain: Some("hub".into()), ..NatsSpec::parse(&leaf.url()).expect("an address") };
    let name = || LatticeName::new("default").expect("a name");
    // The leaf may still be on its way to the hub.
    let far = super::soon("the hub", async {
        loop {
            match Nats::connect(&spec, name(), spawn()).await {
                Ok(far) => return far,
                Err(error) => assert_eq!(error.code(), code::NATS_NO_JETSTREAM, "{error}"),
            }
        }
    })
    .await;
    let near = nats(&hub.url()).await;
    let (theirs, ours) =
        (far.bucket("b").await.expect("a bucket"), near.bucket("b").await.expect("a bucket"));
    let mut watch = theirs.watch("").await.expect("watch");
    assert_eq!(event(&mut watch).await, WatchEvent::InSync);
    let revision = theirs.create("k", "far".into()).await.expect("create");
    assert!(matches!(event(&mut watch).await, WatchEvent::Put(entry) if entry.value == "far"));
    assert_eq!(ours.get("k").await.expect("get").expect("an entry").value, "far");
    ours.update("k", "near".into(), revision).await.expect("update");
    let error = theirs.update("k", "late".into(), revision).await.expect_err("it has changed");
    assert!(matches!(error, LatticeError::WrongRevision { .. }), "{error}");
    assert!(matches!(event(&mut watch).await, WatchEvent::Put(entry) if entry.value == "near"));
    assert_eq!(theirs.entries("").await.expect("entries").len(), 1);
    let mut hub_hears = near.subscribe("over.there").await.expect("subscribe");
    let answering = async {
        while let Some(request) = hub_hears.next().await {
            near.respond(&request, "y".into()).await.expect("respond");
        }
    };
    let asking =
        super::soon("the way", async { while far.request("over.there", "x".into(), SOON).await.is_err() {} });
    tokio::select! {
        () = answering => unreachable!("it goes on"),
        () = asking => {}
    }
}

/// Whoever writes between the two looks of every attempt is played, as the JetStream of a domain of its own.
#[tokio::test]
async fn an_entry_that_others_make_and_delete_all_the_while_is_not_tried_for_ever() {
    let server = NatsServer::start("").expect("a nats-server");
    let plain = nats(&server.url()).await;
    let mut asked = plain.subscribe("$JS.played.API.>").await.expect("a subscription");
    let writes = std::cell::Cell::new(0);
    let play = async {
        while let Some(message) = asked.next().await {
            let what = message.subject.strip_prefix("$JS.played.API.").expect("that was subscribed to");
            let (code, why) = match what {
                "INFO" => (0, 0),
                what if what.starts_with("STREAM.INFO.") => (404, 10_059),
                what if what.starts_with("STREAM.CREATE.") => (400, 10_058),
                what if what.starts_with("STREAM.MSG.GET.") => (404, 10_037),
                _ => {
                    writes.set(writes.get() + 1);
                    (400, 10_071)
                }
            };
            let answer = match code {
                0 => plain.request("$JS.API.INFO", Bytes::new(), SOON).await.expect("an answer").payload,
                _ => {
                    let error = json!({"code": code, "err_code": why, "description": "played"});
                    json!({"type": "played", "error": error}).to_string().into()
                }
            };
            plain.respond(&message, answer).await.expect("it is asked for");
        }
    };
    let domain = Some("played".into());
    let spec = NatsSpec { js_domain: domain, ..NatsSpec::parse(&server.url()).expect("an address") };
    let create = async {
        let name = LatticeName::new("default").expect("a name");
        let lattice = Nats::connect(&spec, name, spawn()).await.expect("it has the domain");
        lattice.bucket("b").await.expect("a bucket").create("k", "v".into()).await
    };
    let created = tokio::select! {
        () = play => panic!("the connection has ended"),
        created = soon("the end of trying", create) => created,
    };
    assert!(matches!(created, Err(LatticeError::WrongRevision { .. })), "{created:?}");
    assert_eq!(writes.get(), 8);
}
