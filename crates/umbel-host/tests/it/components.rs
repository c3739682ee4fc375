//! Components: started, shown, changed and stopped over the control protocol, without losing a call.

use crate::bed::{Bed, code, component, file, link, text, until, values};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use umbel_core::digest::Digest;
use umbel_core::limits::{InstanceMode, Limits};
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_lattice::control::{ComponentLimits, PartState, Scale, Update};
use umbel_testkit::{example, guest};

const HELLO: &str = "Hello from Umbel!\n";
const AGAIN: &str = "Hello again from Umbel!\n";

fn annotations(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(values(pairs))
}

#[tokio::test]
async fn a_component_is_started_shown_and_stopped() {
    let mut bed = Bed::start().await;
    let image = example("hello");
    let mut scale = bed.scale_of("hello", &image);
    scale.annotations = annotations(&[("wasmcloud.dev/appspec", "demo")]);
    scale.application = Some("demo".into());
    scale.generation = Some(7);
    bed.run_scale(&scale).await;
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);

    let view = bed.see("hello", "its call is over", |v| v.usage.calls_in_flight == 0).await;
    assert_eq!(view.image_ref, image.to_str().unwrap());
    assert_eq!((view.max_instances, view.generation), (10, Some(7)));
    assert_eq!(view.annotations, scale.annotations);
    assert_eq!(view.application.as_deref(), Some("demo"));
    assert_eq!(view.digest, Some(Digest::of(&std::fs::read(&image).unwrap()).to_string()));
    assert_eq!(view.limits_set, Some(Limits { instances_max: 10, ..Limits::default() }));
    assert!(view.imports.iter().any(|i| i.starts_with("wasi:http/types@0.2")), "{:?}", view.imports);
    assert!(view.exports.iter().any(|e| e.starts_with("wasi:http/incoming-handler@0.2")));
    assert!(view.problem.is_none() && view.unlinked.is_empty());
    assert_eq!((view.usage.calls, view.usage.traps, view.usage.refused), (1, 0, 0));
    assert!(view.usage.cpu_us > 0 && view.usage.memory_bytes_max_seen > 0);

    let event = bed.event("component_scaled", "hello").await;
    assert_eq!(event["component_id"], "hello");
    assert_eq!(event["host_id"], bed.host.id().as_str());
    assert_eq!(event["image_ref"], image.to_str().unwrap());
    assert_eq!(event["max_instances"], 10);
    assert_eq!(event["annotations"]["wasmcloud.dev/appspec"], "demo");
    let node = bed.tree.tree();
    assert!(node.find(&["components", "hello"]).is_some(), "{node}");

    scale.count = 0;
    bed.client.scale(&scale).await.unwrap();
    assert!(bed.view("hello").await.is_none());
    assert_eq!(bed.event("component_scaled", "hello").await["max_instances"], 0);
    until("it is off the tree", async || {
        bed.tree.tree().find(&["components", "hello"]).is_none().then_some(())
    })
    .await;
    bed.client.scale(&scale).await.expect("stopping what does not run is no error");
}

#[tokio::test]
async fn orders_from_the_past_and_for_others_are_refused() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.generation = Some(5);
    bed.run_scale(&scale).await;
    scale.generation = Some(4);
    assert_eq!(code(bed.client.scale(&scale).await), "UM0804");
    scale.count = 0;
    assert_eq!(code(bed.client.scale(&scale).await), "UM0804", "an old stop stops nothing");
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
    scale.generation = None;
    scale.count = 3;
    bed.client.scale(&scale).await.expect("tools of wasmCloud give no generation");
    bed.see("hello", "it is scaled", |v| v.max_instances == 3).await;

    let other = KeyPair::generate(KeyKind::Host).public_key().as_str().to_string();
    let subject = umbel_lattice::subjects::ctl::component_scale(&crate::bed::name(), bed.host.id());
    let mut wrong = serde_json::to_value(&scale).unwrap();
    wrong["host_id"] = other.into();
    let payload = serde_json::to_vec(&wrong).unwrap().into();
    let answer = bed.client.lattice().request(&subject, payload, Duration::from_secs(30)).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["success"], false);
    assert_eq!(answer["problem"]["code"], "UM0805");

    let update = Update {
        component_id: component("nobody"),
        host_id: bed.host.id().clone(),
        new_component_ref: "x.wasm".into(),
        annotations: None,
    };
    assert_eq!(code(bed.client.update(&update).await), "UM0806");
}

#[tokio::test]
async fn another_image_replaces_a_running_one_only_when_it_may() {
    let bed = Bed::start().await;
    bed.run("hello", &example("hello")).await;
    let mut scale = bed.scale_of("hello", &guest("hello-v2"));
    scale.count = 4;
    bed.client.scale(&scale).await.unwrap();
    let view = bed.see("hello", "it is scaled", |v| v.max_instances == 4).await;
    assert_eq!(view.image_ref, example("hello").to_str().unwrap());
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
    scale.allow_update = true;
    bed.client.scale(&scale).await.unwrap();
    until("the new one answers", async || (bed.get("hello", "/").await.ok()? == AGAIN).then_some(())).await;
    let update = Update {
        component_id: component("hello"),
        host_id: bed.host.id().clone(),
        new_component_ref: example("hello").to_str().unwrap().into(),
        annotations: annotations(&[("why", "back")]),
    };
    bed.client.update(&update).await.unwrap();
    until("the old one answers again", async || (bed.get("hello", "/").await.ok()? == HELLO).then_some(()))
        .await;
    assert_eq!(bed.view("hello").await.unwrap().annotations, annotations(&[("why", "back")]));
    // Usage is of the component, over its images.
    assert!(bed.view("hello").await.unwrap().usage.calls >= 3);
}

#[tokio::test]
async fn the_config_of_a_new_version_comes_with_its_image() {
    let bed = Bed::start().await;
    for color in ["red", "blue"] {
        bed.client.put_config(color, &values(&[("color", color)])).await.unwrap();
    }
    let mut scale = bed.scale_of("config", &guest("config"));
    scale.config = vec!["red".into()];
    bed.run_scale(&scale).await;
    bed.compiler.held.store(true, SeqCst);
    let mut next = bed.scale_of("config", &example("hello"));
    next.config = vec!["blue".into()];
    next.allow_update = true;
    bed.client.scale(&next).await.unwrap();
    until("the new version is compiled", async || (bed.compiler.inside.load(SeqCst) == 1).then_some(()))
        .await;
    assert_eq!(bed.get("config", "/").await.unwrap(), "color=red\n", "the old version keeps its config");
    // And follows it.
    bed.client.put_config("red", &values(&[("color", "crimson")])).await.unwrap();
    let is = async |expected: &str| (bed.get("config", "/").await.unwrap() == expected).then_some(());
    until("the old version's config changes", async || is("color=crimson\n").await).await;
    bed.compiler.held.store(false, SeqCst);
    until("the new version answers", async || is(HELLO).await).await;
    next.component_ref = guest("config").to_str().unwrap().into();
    bed.client.scale(&next).await.unwrap();
    until("it has the new config", async || is("color=blue\n").await).await;
}

#[tokio::test]
async fn an_older_order_does_not_bring_a_stopped_component_back() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.application = Some("demo".into());
    scale.generation = Some(4);
    bed.run_scale(&scale).await;
    let stop = Scale { generation: Some(5), count: 0, ..scale.clone() };
    bed.client.scale(&stop).await.unwrap();
    assert_eq!(code(bed.client.scale(&scale).await), "UM0804");
    assert!(bed.view("hello").await.is_none());
    scale.generation = Some(5);
    bed.run_scale(&scale).await;
    // A stop that comes before what it stops.
    let id = component("other");
    let early = Scale { component_id: id.clone(), ..stop };
    bed.client.scale(&early).await.unwrap();
    let late = Scale { component_id: id, generation: Some(4), ..scale };
    assert_eq!(code(bed.client.scale(&late).await), "UM0804");
}

#[tokio::test]
async fn whoever_calls_a_component_that_starts_is_told_so() {
    let bed = Bed::start().await;
    bed.compiler.held.store(true, SeqCst);
    bed.client.scale(&bed.scale_of("hello", &example("hello"))).await.unwrap();
    bed.state_of("hello", PartState::Compiling).await;
    let problem = bed.get("hello", "/").await.expect_err("it does not run yet");
    assert_eq!((problem.code.to_string().as_str(), problem.kind.http_status()), ("UM0565", 503));
    assert_eq!(problem.message, "hello is compiling");
    bed.compiler.held.store(false, SeqCst);
    bed.state_of("hello", PartState::Running).await;
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
}

#[tokio::test]
async fn an_update_to_a_broken_image_keeps_the_old_one_serving() {
    let mut bed = Bed::start().await;
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.generation = Some(1);
    bed.run_scale(&scale).await;
    let broken = file(&bed, "broken.wasm", b"#!/bin/sh");
    let nothing = file(&bed, "nothing.wasm", b"\0asm\x0d\0\x01\0");
    for (image, expected) in [(broken, "UM0401"), (nothing, "UM0405"), ("/nowhere.wasm".into(), "UM0")] {
        let mut scale = bed.scale_of("hello", &image);
        scale.allow_update = true;
        scale.generation = Some(2);
        bed.client.scale(&scale).await.unwrap();
        let view = bed
            .see("hello", "the problem shows", |v| {
                v.problem
                    .as_ref()
                    .is_some_and(|p| p.code.to_string().starts_with(expected) && !p.help.is_empty())
            })
            .await;
        assert_eq!(view.state, PartState::Running);
        assert_eq!((view.generation, view.generation_serving), (Some(2), Some(1)));
        assert_eq!(view.image_ref, example("hello").to_str().unwrap());
        assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
        let event = bed.event("component_scale_failed", "hello").await;
        assert_eq!(event["image_ref"], image.to_str().unwrap());
        assert!(event["error"].as_str().unwrap().starts_with(expected), "{event}");
    }
    let mut scale = bed.scale_of("hello", &guest("hello-v2"));
    scale.allow_update = true;
    bed.client.scale(&scale).await.unwrap();
    let view = bed.see("hello", "it is well again", |v| v.problem.is_none()).await;
    assert_eq!(view.image_ref, guest("hello-v2").to_str().unwrap());
    assert_eq!((view.generation, view.generation_serving), (Some(2), Some(2)));
}

#[tokio::test]
async fn a_component_that_cannot_start_says_why_and_a_later_order_mends_it() {
    let mut bed = Bed::start().await;
    let broken = file(&bed, "broken.wasm", b"\0asm");
    bed.client.scale(&bed.scale_of("hello", &broken)).await.unwrap();
    let view = bed.state_of("hello", PartState::Failed).await;
    let problem = view.problem.expect("a reason");
    assert_eq!(problem.code.to_string(), "UM0402");
    assert!(!problem.help.is_empty());
    assert_eq!(view.image_ref, broken.to_str().unwrap());
    assert_eq!(bed.event("component_scale_failed", "hello").await["max_instances"], 10);
    let answer = bed.get("hello", "/").await.expect_err("it does not run");
    assert!(answer.causes.iter().any(|c| c.contains("UM0402")), "{answer:?}");
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.allow_update = true;
    bed.run_scale(&scale).await;
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
}

#[tokio::test]
async fn a_digest_that_is_not_in_the_store_or_not_of_the_bytes_is_refused() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.digest = Some(Digest::of(b"other bytes").to_string());
    bed.client.scale(&scale).await.unwrap();
    let view = bed.state_of("hello", PartState::Failed).await;
    assert!(view.problem.is_some());
    let pinned =
        bed.client.pin_artifact(bed.host.id(), example("hello").to_str().unwrap(), false).await.unwrap();
    scale.digest = pinned.digest.clone();
    // The digest decides, whatever the reference says by now.
    scale.component_ref = "/gone/hello.wasm".into();
    scale.allow_update = true;
    bed.run_scale(&scale).await;
    assert_eq!(bed.view("hello").await.unwrap().digest, pinned.digest);
}

#[tokio::test]
async fn limits_of_both_kinds_are_in_force() {
    let bed = Bed::start().await;
    let mut theirs = bed.scale_of("theirs", &guest("spin"));
    theirs.component_limits = Some(ComponentLimits {
        max_memory_limit: Some("33554432".into()),
        max_execution_time: Some(40.into()),
    });
    bed.run_scale(&theirs).await;
    let set = bed.view("theirs").await.unwrap().limits_set.unwrap();
    assert_eq!((set.memory_bytes_max, set.call_ms_max, set.instances_max), (32 << 20, 40, 10));
    assert_eq!(bed.get("theirs", "/").await.expect_err("it is late").code.to_string(), "UM0552");
    let mut ours = bed.scale_of("ours", &guest("counter"));
    ours.limits = Some(Limits { instances_max: 2, ..Limits::default() });
    ours.instance_mode = Some(InstanceMode::Reuse);
    bed.run_scale(&ours).await;
    assert_eq!(bed.view("ours").await.unwrap().limits_set.unwrap().instances_max, 2);
    assert_eq!(bed.get("ours", "/").await.unwrap(), "1\n");
    bed.see("ours", "its call is over", |v| v.usage.calls_in_flight == 0).await;
    assert_eq!(bed.get("ours", "/").await.unwrap(), "2\n");
}

#[tokio::test]
async fn an_update_under_load_loses_no_call() {
    let bed = Bed::start().await;
    bed.run("hello", &example("hello")).await;
    let over = AtomicBool::new(false);
    let lane = async || {
        let (mut old, mut new) = (0, 0);
        while !over.load(SeqCst) {
            match bed.get("hello", "/").await.expect("no call is lost").as_str() {
                HELLO => old += 1,
                AGAIN => new += 1,
                other => panic!("{other}"),
            }
        }
        (old, new)
    };
    let updates = async {
        for round in 0..6 {
            let image = if round % 2 == 0 { guest("hello-v2") } else { example("hello") };
            let mut scale = bed.scale_of("hello", &image);
            scale.allow_update = true;
            // Other limits make another budget, which must lose nothing either.
            scale.count = 10 + round;
            bed.client.scale(&scale).await.unwrap();
            bed.see("hello", "the update is in force", |v| v.image_ref == image.to_str().unwrap()).await;
        }
        over.store(true, SeqCst);
    };
    let (lanes, ()) = tokio::join!(futures::future::join_all((0..4).map(|_| lane())), updates);
    let (old, new) = lanes.into_iter().fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
    assert!(old > 0 && new > 0, "{old} and {new}");
    let view = bed.see("hello", "all calls are over", |v| v.usage.calls_in_flight == 0).await;
    assert_eq!((view.usage.calls, view.usage.traps), (old + new, 0));
}

#[tokio::test]
async fn a_stop_lets_calls_in_flight_finish() {
    let bed = Bed::start().await;
    bed.run("slow", &guest("slow")).await;
    let mut call = bed.call("slow", "/?ms=150");
    drop(futures::poll!(&mut call));
    bed.see("slow", "the call runs", |v| v.usage.calls_in_flight == 1).await;
    let mut scale = bed.scale_of("slow", &guest("slow"));
    scale.count = 0;
    let stop = bed.client.scale(&scale);
    let (answer, stopped) = tokio::join!(call, stop);
    assert_eq!(text(answer.expect("it finishes")).await, "slept 150 ms\n");
    stopped.unwrap();
    assert!(bed.view("slow").await.is_none());
}

#[tokio::test]
async fn a_stop_after_a_change_of_limits_waits_for_older_calls_too() {
    let bed = Bed::start().await;
    bed.run("slow", &guest("slow")).await;
    let begun = std::time::Instant::now();
    let mut call = bed.call("slow", "/?ms=400");
    drop(futures::poll!(&mut call));
    bed.see("slow", "the call runs", |v| v.usage.calls_in_flight == 1).await;
    let mut scale = bed.scale_of("slow", &guest("slow"));
    scale.count = 3;
    bed.client.scale(&scale).await.unwrap();
    bed.see("slow", "other limits are in force", |v| {
        v.limits_set.as_ref().is_some_and(|l| l.instances_max == 3)
    })
    .await;
    assert_eq!(
        bed.view("slow").await.unwrap().usage.calls_in_flight,
        1,
        "it still runs and is still counted"
    );
    scale.count = 0;
    let stop = async {
        bed.client.scale(&scale).await.unwrap();
        begun.elapsed()
    };
    let answer = async { text(call.await.expect("it finishes")).await };
    let (answer, stopped) = tokio::join!(answer, stop);
    assert_eq!(answer, "slept 400 ms\n");
    assert!(stopped >= Duration::from_millis(400), "the stop waited for the call: {stopped:?}");
}

#[tokio::test]
async fn a_call_that_does_not_end_holds_a_stop_up_no_longer_than_the_drain() {
    let bed = Bed::start_with(|config| config.drain = Duration::from_millis(50)).await;
    let mut scale = bed.scale_of("slow", &guest("slow"));
    scale.limits = Some(Limits { call_ms_max: 0, ..Limits::default() });
    bed.run_scale(&scale).await;
    let mut call = bed.call("slow", "/?ms=3600000");
    drop(futures::poll!(&mut call));
    scale.count = 0;
    bed.client.scale(&scale).await.expect("the stop is done");
    drop(call);
}

#[tokio::test]
async fn a_stop_while_its_code_is_compiled_leaves_the_compiler_to_others() {
    let bed = Bed::start().await;
    bed.compiler.held.store(true, SeqCst);
    let mut scale = bed.scale_of("hello", &example("hello"));
    bed.client.scale(&scale).await.unwrap();
    bed.state_of("hello", PartState::Compiling).await;
    until("the compiler is at it", async || (bed.compiler.inside.load(SeqCst) == 1).then_some(())).await;
    scale.count = 0;
    bed.client.scale(&scale).await.unwrap();
    assert_eq!(bed.compiler.inside.load(SeqCst), 0, "nobody waits for it any more");
    bed.compiler.held.store(false, SeqCst);
    bed.run("hello", &example("hello")).await;
}

#[tokio::test]
async fn orders_for_one_id_that_come_at_once_make_one_component() {
    let bed = Bed::start().await;
    let scale = bed.scale_of("hello", &example("hello"));
    let orders: Vec<Scale> = (1..=16).map(|count| Scale { count, ..scale.clone() }).collect();
    let taken = futures::future::join_all(orders.iter().map(|order| bed.client.scale(order))).await;
    for answer in taken {
        answer.expect("each is taken");
    }
    bed.state_of("hello", PartState::Running).await;
    assert_eq!(bed.get("hello", "/").await.unwrap(), HELLO);
    assert_eq!(bed.inventory().await.components.len(), 1);
    assert_eq!(bed.compiler.runs.load(SeqCst), 1);
}

#[tokio::test]
async fn many_components_of_one_image_are_compiled_once() {
    let bed = Bed::start().await;
    let orders: Vec<Scale> =
        (0..30).map(|n| bed.scale_of(&format!("hello-{n}"), &example("hello"))).collect();
    let taken = futures::future::join_all(orders.iter().map(|order| bed.client.scale(order))).await;
    assert!(taken.into_iter().all(|answer| answer.is_ok()));
    until("all run", async || {
        let all = bed.inventory().await.components;
        (all.len() == 30 && all.iter().all(|c| c.state == PartState::Running)).then_some(())
    })
    .await;
    assert_eq!(bed.compiler.runs.load(SeqCst), 1);
    let sorted: Vec<String> = bed.inventory().await.components.iter().map(|c| c.id.to_string()).collect();
    assert!(sorted.is_sorted());
}

#[tokio::test]
async fn a_drained_host_finishes_its_calls_and_takes_nothing_new() {
    let bed = Bed::start().await;
    bed.run("slow", &guest("slow")).await;
    bed.start_provider("fake-1", &[]).await;
    bed.client.put_link(&link("fake-1", "slow", &["incoming-handler"])).await.unwrap();
    let mut call = bed.call("slow", "/?ms=100");
    drop(futures::poll!(&mut call));
    bed.see("slow", "the call runs", |v| v.usage.calls_in_flight == 1).await;
    let (drained, answer) = tokio::join!(bed.client.drain(bed.host.id()), call);
    drained.unwrap();
    assert_eq!(text(answer.expect("it finishes")).await, "slept 100 ms\n");
    assert_eq!(bed.fake.told("fake-1").last(), Some(&crate::bed::Told::Stopped));
    assert_eq!(code(bed.client.scale(&bed.scale_of("new", &example("hello"))).await), "UM0810");
    let start = umbel_lattice::control::StartProvider::new(
        bed.host.id().clone(),
        crate::bed::provider_id("fake-2"),
        "builtin:fake",
    );
    assert_eq!(code(bed.client.start_provider(&start).await), "UM0810");
}

#[tokio::test]
async fn a_host_that_stops_drains_and_says_goodbye() {
    let mut bed = Bed::start().await;
    bed.event("host_started", "").await;
    bed.run("slow", &guest("slow")).await;
    let mut call = bed.call("slow", "/?ms=100");
    drop(futures::poll!(&mut call));
    bed.client.stop_host(bed.host.id(), None).await.unwrap();
    bed.host.stop_requested().await;
    let tree = bed.tree.clone();
    let (answer, ()) = tokio::join!(call, tree.shutdown());
    assert_eq!(text(answer.expect("it finishes")).await, "slept 100 ms\n");
    bed.event("host_stopped", "").await;
    assert!(bed.get("slow", "/").now_or_never().is_some_and(|answer| answer.is_err()));
}

#[tokio::test]
async fn a_failure_of_ours_is_tried_again_without_another_order() {
    let mut bed = Bed::start().await;
    bed.compiler.failing.store(1, SeqCst);
    bed.client.scale(&bed.scale_of("hello", &example("hello"))).await.unwrap();
    let event = bed.event("component_scale_failed", "hello").await;
    assert!(event["error"].as_str().unwrap().starts_with("UM0409"), "{event}");
    let view = bed.state_of("hello", PartState::Running).await;
    assert!(view.problem.is_none());
    assert_eq!(bed.compiler.runs.load(SeqCst), 2);
}

#[tokio::test]
async fn two_hosts_of_a_lattice_share_links_and_nothing_else() {
    let one = Bed::start().await;
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let two = Bed::start_in(folder, one.client.lattice().clone(), |_| ()).await;
    assert_ne!(one.host.id(), two.host.id());
    assert_eq!(one.client.hosts().await.unwrap().len(), 2);
    two.run("hello", &example("hello")).await;
    assert!(one.view("hello").await.is_none());
    for bed in [&one, &two] {
        bed.start_provider("fake-1", &[]).await;
    }
    one.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    for bed in [&one, &two] {
        until("the link is known", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    }
    assert_eq!(one.client.links().await.unwrap().len(), 1, "one host answers for all");
}
