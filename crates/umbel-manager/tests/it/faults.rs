//! Hosts that refuse, fail later, answer late, or are not there; managers that are killed.

use super::fake::{HostPlan, ONE, event};
use super::{Bench, hello, options, start_manager, wait_for};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::{manager as code, runtime};
use umbel_core::event::{ComponentScaled, Fact};
use umbel_core::id::LatticeName;
use umbel_lattice::control::PartState;
use umbel_lattice::wadm::{DeployResult, PutResult, StatusType};
use umbel_lattice::{InProcess, Message, subjects};
use umbel_manager::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_by_part_and_tried_again() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.refuse.insert("hello-hello".into());
    bench.deploy(&hello("./hello.wasm")).await;
    // This refusal is one that time may heal, so the application is on its way, with the problem shown.
    wait_for("the others are there", || bench.hosts.state().links.len() == 1).await;
    let status = loop {
        let status = bench.status("hello").await;
        if !status.problems.is_empty() {
            break status;
        }
    };
    assert_eq!(status.problems[0].code, code::NO_HOST_MATCHES);
    let part = status.parts.iter().find(|part| part.id == "hello-hello").unwrap();
    assert_eq!((part.state, part.problem.as_ref()), (PartState::Failed, Some(&status.problems[0])));
    bench.hosts.state().faults.refuse.clear();
    bench.until("hello", StatusType::Deployed).await;
    assert!(bench.status("hello").await.problems.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_answer_is_told_and_tried_again() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.fail_later.insert("hello-hello".into());
    bench.deploy(&hello("./hello.wasm")).await;
    let status = bench.until("hello", StatusType::Reconciling).await;
    assert_eq!(status.generation, Some(1));
    let told = loop {
        let status = bench.status("hello").await;
        if let Some(problem) = status.problems.first() {
            break problem.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((told.code, told.message.as_str()), (code::PART_NOT_RUNNING, "it did not start"));
    bench.hosts.state().faults.fail_later.clear();
    bench.until("hello", StatusType::Deployed).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_says_why_once_and_which_version_goes_on() {
    let bench = Bench::start(ONE).await;
    let named = |version: &str| {
        hello("./hello.wasm").replace("description: a greeting", &format!("version: {version}"))
    };
    bench.deploy(&named("v1")).await;
    assert_eq!(bench.until("hello", StatusType::Deployed).await.previous, None);
    bench.hosts.state().files.insert("./hello.wasm".into(), "two".into());
    bench.hosts.state().faults.fail_later.insert("hello-hello".into());
    bench.deploy(&named("v2")).await;
    // The event may come before the inventory that has the causes.
    let status = loop {
        let status = bench.until("hello", StatusType::Failed).await;
        if status.problems.iter().any(|problem| !problem.causes.is_empty()) {
            break status;
        }
    };
    assert_eq!((status.version.as_str(), status.previous.as_deref()), ("v2", Some("v1")));
    let part = &status.parts[0];
    assert_eq!((part.state, part.serving.as_deref()), (PartState::Running, Some("v1")));
    let problem = part.problem.as_ref().unwrap();
    assert_eq!((problem.code, problem.message.as_str()), (runtime::NOT_WASM, "it did not start"));
    assert_eq!(problem.causes, ["the first byte is wrong"], "the host's own words");
    assert_eq!(status.problems, std::slice::from_ref(problem));
    bench.hosts.state().faults.fail_later.clear();
    assert_eq!(bench.rollback("hello").await.version.as_deref(), Some("v1"));
    let status = bench.until("hello", StatusType::Deployed).await;
    assert!(status.parts[0].serving.is_none() && status.problems.is_empty(), "{status:#?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_refused_leaves_the_config_of_the_one_that_goes_on() {
    let bench = Bench::start(ONE).await;
    let reads = |text: &str| {
        bench.hosts.state().config_of("hello-hello").get("text").is_some_and(|value| value == text)
    };
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    assert!(reads("hi"));
    bench.hosts.state().files.insert("./hello.wasm".into(), "two".into());
    bench.hosts.state().faults.fail_later.insert("hello-hello".into());
    bench.deploy(&hello("./hello.wasm").replace("text: hi", "text: ho")).await;
    bench.until("hello", StatusType::Failed).await;
    assert_eq!(bench.hosts.state().configs.len(), 2, "the new one is there for the order that names it");
    assert!(reads("hi"), "{:?}", bench.hosts.state().configs);
    bench.hosts.state().faults.fail_later.clear();
    let status = bench.until("hello", StatusType::Deployed).await;
    assert!(reads("ho"), "{status:#?}");
    assert_eq!(bench.hosts.state().configs.len(), 1, "what nothing refers to any more is gone");
    // The way back is an order, too.
    assert_eq!(bench.rollback("hello").await.result, DeployResult::Acknowledged);
    bench.until("hello", StatusType::Deployed).await;
    assert!(reads("hi") && bench.hosts.state().configs.len() == 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_during_a_round_is_looked_at_after_it() {
    // Neither the slow timer nor a resend comes to the rescue.
    let slow = Duration::from_secs(600);
    let options = Options { tick: slow, resend_after: slow, ..options() };
    let lattice = Arc::new(InProcess::ephemeral(LatticeName::new("default").unwrap()));
    let bench = Bench::with(lattice, ONE, options).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    let view = bench.hosts.state().component("hello-hello").unwrap().clone();
    let scaled = Fact::ComponentScaled(ComponentScaled {
        annotations: view.annotations.unwrap(),
        claims: None,
        component_id: "hello-hello".into(),
        host_id: "NONE".into(),
        image_ref: view.image_ref,
        max_instances: 0,
        public_key: None,
    });
    let event = event("NONE", &scaled);
    let tell = || {
        let subject = subjects::evt::event(bench.lattice.name(), event.name());
        bench.lattice.publish(Message::json(subject, &event))
    };
    // Rounds that the deploy itself still asks for are over.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = {
        let mut state = bench.hosts.state();
        state.faults.config_delay = Duration::from_millis(300);
        state.config_reads
    };
    tell().await.unwrap();
    // The round has looked at the hosts, and waits for a config.
    wait_for("a round is under way", || bench.hosts.state().config_reads > before).await;
    bench.hosts.state().host("NONE").components.clear();
    tell().await.unwrap();
    wait_for("it is put back", || bench.hosts.state().component_count() == 1).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_parts_become_the_state_of_the_application() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.start_as = Some(PartState::Compiling);
    bench.deploy(&hello("./hello.wasm")).await;
    wait_for("it was started", || bench.hosts.state().component("hello-hello").is_some()).await;
    for (state, expected) in [
        (PartState::Compiling, StatusType::Reconciling),
        (PartState::Running, StatusType::Deployed),
        (PartState::BackingOff, StatusType::Unhealthy),
        (PartState::CrashLoop, StatusType::Unhealthy),
        (PartState::Failed, StatusType::Failed),
        (PartState::Completed, StatusType::Deployed),
    ] {
        bench.hosts.state().host("NONE").components[0].state = state;
        let status = loop {
            let status = bench.until("hello", expected).await;
            if status.parts[0].state == state {
                break status;
            }
        };
        let part = &status.parts[0];
        let is_bad = matches!(expected, StatusType::Unhealthy | StatusType::Failed);
        assert_eq!(part.problem.is_some(), is_bad, "{state}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_answers_change_nothing_but_the_time() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.delay = Duration::from_millis(100);
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    bench.client.undeploy("hello").await.unwrap();
    bench.until("hello", StatusType::Undeployed).await;
    assert_eq!(bench.hosts.state().component_count(), 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_host_images_cannot_be_fetched_and_deployed_ones_wait() {
    let bench = Bench::start(&[]).await;
    let put = bench.put(&hello("./hello.wasm")).await;
    assert_eq!(put.result, PutResult::Error);
    assert_eq!(put.problems[0].code, code::NO_HOST);
    let only_builtin = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: web}\nspec:\n  components:\n    \
        - {name: http, type: capability, properties: {image: 'builtin:http-server'}}\n";
    bench.deploy(only_builtin).await;
    let status = bench.until("web", StatusType::Waiting).await;
    assert_eq!(status.problems[0].code, code::NO_HOST);
    bench.hosts.add(&bench.lattice, &HostPlan { id: "NLATE", labels: &[] }).await;
    bench.until("web", StatusType::Deployed).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_falls_silent_and_comes_back_is_not_disturbed() {
    let bench = Bench::start(ONE).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    bench.hosts.state().log.clear();
    bench.hosts.state().faults.silent = true;
    let status = bench.until("hello", StatusType::Waiting).await;
    assert_eq!(status.problems[0].code, code::NO_HOST);
    bench.hosts.state().faults.silent = false;
    bench.until("hello", StatusType::Deployed).await;
    assert!(bench.hosts.state().log.is_empty(), "{:?}", bench.hosts.state().log);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_without_pins_are_given_the_reference() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.no_pins = true;
    bench.deploy(&hello("registry.example/hello:1")).await;
    bench.until("hello", StatusType::Deployed).await;
    let view = bench.hosts.state().component("hello-hello").unwrap().clone();
    assert_eq!((view.image_ref.as_str(), view.digest), ("registry.example/hello:1", None));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_turned_on_hosts_that_do_not_replace_them() {
    let bench = Bench::start(ONE).await;
    bench.hosts.state().faults.keep_links = true;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    let turned = hello("./hello.wasm").replace("target: {name: hello}", "target: {name: other}")
        + "    - {name: other, type: component, properties: {image: ./other.wasm}}\n";
    bench.deploy(&turned).await;
    bench.until("hello", StatusType::Deployed).await;
    assert_eq!(bench.hosts.state().links[0].target, "hello-other");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_that_are_killed_at_any_time_lose_nothing_they_acknowledged() {
    let mut bench = Bench::start(ONE).await;
    let mut seed = 7u64;
    for round in 0..30u64 {
        let content = format!("c{round}");
        bench.hosts.state().files.insert("./hello.wasm".into(), content.clone());
        bench.deploy(&hello("./hello.wasm")).await;
        // A linear congruence is random enough to cut rounds at different places.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        for _ in 0..(seed >> 60) {
            tokio::task::yield_now().await;
        }
        let next = start_manager(&bench.lattice, options());
        let old = std::mem::replace(&mut bench.manager, next.await);
        old.shutdown().await;
        if round % 10 == 9 {
            bench.until("hello", StatusType::Deployed).await;
            let state = bench.hosts.state();
            assert_eq!(state.component("hello-hello").unwrap().digest, Some(format!("sha256:{content}")));
        }
    }
    assert_eq!(bench.client.versions("hello").await.unwrap().versions.len(), 30);
    bench.client.del("hello", None).await.unwrap();
    wait_for("nothing is left", || {
        let state = bench.hosts.state();
        state.component_count() == 0 && state.links.is_empty() && state.configs.is_empty()
    })
    .await;
    bench.stop().await;
}
