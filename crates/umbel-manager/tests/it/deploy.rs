//! Deploy, update, roll back, undeploy, restart.

use super::fake::{HostPlan, ONE};
use super::{Bench, hello, wait_for};
use std::time::Duration;
use umbel_core::code::manager as code;
use umbel_lattice::control::PartState;
use umbel_lattice::wadm::{DeployResult, PartKind, StatusType};

#[tokio::test(flavor = "multi_thread")]
async fn an_application_comes_is_updated_rolled_back_and_goes() {
    let bench = Bench::start(ONE).await;
    let first = bench.deploy(&hello("./hello.wasm")).await;
    let status = bench.until("hello", StatusType::Deployed).await;
    assert_eq!(status.version, first);
    assert_eq!(status.urls, ["http://hello.localhost:8000"]);
    assert_eq!(status.generation, Some(1));
    assert!(status.problems.is_empty());
    let kinds: Vec<PartKind> = status.parts.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [PartKind::Component, PartKind::Provider, PartKind::Link, PartKind::Config]);
    {
        let state = bench.hosts.state();
        let expected = [
            "put config hello-greeting-e7b995ef",
            "start hello-http",
            "scale hello-hello 100",
            "put link hello-http -> hello-hello",
        ];
        assert_eq!(state.log, expected);
        let view = state.component("hello-hello").unwrap();
        assert_eq!(
            (view.digest.as_deref(), view.application.as_deref()),
            (Some("sha256:one"), Some("hello"))
        );
    }

    // The file is overwritten and put again: the manifest is the same, the version is not.
    bench.hosts.state().files.insert("./hello.wasm".into(), "two".into());
    bench.hosts.state().log.clear();
    let second = bench.deploy(&hello("./hello.wasm")).await;
    assert_ne!(first, second);
    bench.until("hello", StatusType::Deployed).await;
    assert_eq!(
        bench.hosts.state().log,
        ["start hello-http", "scale hello-hello 100"],
        "the provider is told of the deploy, the component is updated, and nothing else moves"
    );
    assert_eq!(bench.hosts.state().component("hello-hello").unwrap().digest.as_deref(), Some("sha256:two"));

    bench.hosts.state().log.clear();
    let reply = bench.rollback("hello").await;
    assert_eq!((reply.result, reply.version), (DeployResult::Acknowledged, Some(first)));
    bench.until("hello", StatusType::Deployed).await;
    assert_eq!(bench.hosts.state().component("hello-hello").unwrap().digest.as_deref(), Some("sha256:one"));
    let reply = bench.rollback("hello").await;
    assert_eq!(reply.result, DeployResult::Error);
    assert_eq!(reply.problems[0].code, code::NOTHING_TO_ROLL_BACK);

    bench.hosts.state().log.clear();
    assert_eq!(bench.client.undeploy("hello").await.unwrap().result, DeployResult::Acknowledged);
    bench.until("hello", StatusType::Undeployed).await;
    {
        let state = bench.hosts.state();
        let expected = [
            "del link of hello-http",
            "scale hello-hello 0",
            "stop hello-http",
            "del config hello-greeting-e7b995ef",
        ];
        assert_eq!(state.log, expected);
        assert!(state.links.is_empty() && state.configs.is_empty() && state.component_count() == 0);
        assert_eq!(state.stale, 0);
    }
    // What was deployed before the undeploy can be had back.
    assert_eq!(bench.rollback("hello").await.result, DeployResult::Acknowledged);
    bench.until("hello", StatusType::Deployed).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_everything_desired_state_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::in_folder(folder.path(), ONE).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    bench.stop().await;

    // The hosts have forgotten everything, the state file has not.
    let bench = Bench::in_folder(folder.path(), ONE).await;
    assert!(
        bench.hosts.state().component("hello-hello").is_some(),
        "when the manager is ready, what ran before has been ordered again"
    );
    let status = bench.until("hello", StatusType::Deployed).await;
    assert_eq!(status.generation, Some(1), "a restart is no deploy");
    bench.client.undeploy("hello").await.unwrap();
    bench.until("hello", StatusType::Undeployed).await;
    bench.stop().await;

    let bench = Bench::in_folder(folder.path(), ONE).await;
    assert_eq!(bench.status("hello").await.status.kind, StatusType::Undeployed);
    assert!(bench.hosts.state().log.is_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_provider_is_changed_in_place_or_replaced_if_the_host_says_so() {
    let bench = Bench::start(ONE).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    for (image, orders) in [
        ("ghcr.io/acme/http-server:2", &["start hello-http"][..]),
        ("ghcr.io/acme/other:1", &["stop hello-http", "start hello-http"]),
    ] {
        bench.hosts.state().log.clear();
        bench.deploy(&hello("./hello.wasm").replace("builtin:http-server", image)).await;
        let runs =
            || bench.hosts.state().host("NONE").providers[..].iter().any(|view| view.image_ref == image);
        wait_for("the provider is another", runs).await;
        let log = bench.hosts.state().log.clone();
        let of_provider: Vec<_> = log.iter().filter(|line| line.ends_with(" hello-http")).collect();
        assert_eq!(of_provider, orders, "{image}");
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_take_away_is_put_back_and_what_they_add_is_left_alone() {
    let bench = Bench::start(ONE).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    {
        let mut state = bench.hosts.state();
        let mut by_hand = state.component("hello-hello").unwrap().clone();
        by_hand.id = umbel_core::id::ComponentId::new("by-hand").unwrap();
        by_hand.annotations = None;
        let host = state.host("NONE");
        host.components.clear();
        host.components.push(by_hand);
        state.links.clear();
        state.configs.insert("by-hand".into(), Default::default());
    }
    wait_for("all is put back", || {
        let state = bench.hosts.state();
        state.component("hello-hello").is_some() && state.links.len() == 1
    })
    .await;
    bench.client.del("hello", None).await.unwrap();
    wait_for("ours is gone", || bench.hosts.state().component("hello-hello").is_none()).await;
    wait_for("our config is gone", || bench.hosts.state().configs.len() == 1).await;
    assert!(bench.hosts.state().component("by-hand").is_some());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_part_serves_until_the_one_in_its_place_runs() {
    let bench = Bench::start(ONE).await;
    bench.deploy(&hello("./hello.wasm")).await;
    bench.until("hello", StatusType::Deployed).await;
    let second = hello("./other.wasm")
        .replace("- name: hello", "- name: second")
        .replace("target: {name: hello}", "target: {name: second}");
    bench.hosts.state().log.clear();
    bench.hosts.state().faults.fail_later.insert("hello-second".into());
    bench.deploy(&second).await;
    let status = loop {
        let status = bench.status("hello").await;
        if !status.problems.is_empty() {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(status.status.message.contains("what ran before goes on until `second` runs"), "{status:#?}");
    bench.hosts.state().faults.start_as = Some(PartState::Compiling);
    bench.hosts.state().faults.fail_later.clear();
    wait_for("it compiles", || bench.hosts.state().component("hello-second").is_some()).await;
    assert_eq!(bench.until("hello", StatusType::Reconciling).await.problems, []);
    {
        let mut state = bench.hosts.state();
        assert_eq!(state.log, ["start hello-http", "scale hello-second 100"]);
        assert!(state.component("hello-hello").is_some());
        assert_eq!(state.links[0].target, "hello-hello");
        let views = &mut state.host("NONE").components;
        let view = views.iter_mut().find(|view| view.id.as_str() == "hello-second").unwrap();
        view.state = PartState::Running;
    }
    let status = bench.until("hello", StatusType::Deployed).await;
    assert_eq!(status.status.message, "");
    assert_eq!(
        bench.hosts.state().log[2..],
        ["put link hello-http -> hello-second", "scale hello-hello 0"],
        "first the way, then the end of the old one"
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_spread_over_hosts_by_label() {
    const TWO: &[HostPlan] = &[
        HostPlan { id: "NEAST", labels: &[("zone", "east")] },
        HostPlan { id: "NWEST", labels: &[("zone", "west")] },
    ];
    let bench = Bench::start(TWO).await;
    let manifest = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: wide}\nspec:\n  components:\n    \
        - name: a\n      type: component\n      properties: {image: ./hello.wasm}\n      traits:\n        \
        - {type: spreadscaler, properties: {instances: 10, spread: [{name: e, weight: 30, requirements: {zone: east}}, {name: w, weight: 70, requirements: {zone: west}}]}}\n    \
        - name: b\n      type: component\n      properties: {image: ./other.wasm}\n      traits: [{type: daemonscaler, properties: {instances: 2}}]\n";
    bench.deploy(manifest).await;
    bench.until("wide", StatusType::Deployed).await;
    let count = |host: &str, id: &str| {
        let mut state = bench.hosts.state();
        let views = &state.host(host).components;
        views.iter().find(|view| view.id.as_str() == id).map(|view| view.max_instances)
    };
    assert_eq!([count("NEAST", "wide-a"), count("NWEST", "wide-a")], [Some(3), Some(7)]);
    assert_eq!([count("NEAST", "wide-b"), count("NWEST", "wide-b")], [Some(2), Some(2)]);
    // A host that comes later gets its share.
    bench.hosts.add(&bench.lattice, &HostPlan { id: "NNEW", labels: &[] }).await;
    wait_for("the new host has it", || count("NNEW", "wide-b") == Some(2)).await;
    let moon = manifest.replace("zone: east", "zone: moon");
    bench.deploy(&moon).await;
    let status = bench.until("wide", StatusType::Failed).await;
    assert_eq!(status.problems[0].code, code::NO_HOST_MATCHES);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_other_applications_can_be_linked() {
    let bench = Bench::start(ONE).await;
    let guest = "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: guest}\nspec:\n  components:\n    \
        - {name: a, type: component, properties: {image: ./hello.wasm}}\n    \
        - name: http\n      type: capability\n      properties: {application: {name: hello, component: http}}\n      \
        traits: [{type: link, properties: {name: second, namespace: wasi, package: http, interfaces: [incoming-handler], target: a}}]\n";
    bench.deploy(guest).await;
    let status = bench.until("guest", StatusType::Waiting).await;
    assert_eq!(status.problems[0].code, code::SHARED_PART_MISSING);
    let shared = hello("./hello.wasm")
        .replace("description: a greeting", "description: a, experimental.wasmcloud.dev/shared: 'true'");
    bench.deploy(&shared).await;
    bench.until("guest", StatusType::Deployed).await;
    assert!(
        bench
            .hosts
            .state()
            .links
            .iter()
            .any(|link| link.source_id == "hello-http" && link.target == "guest-a")
    );
    bench.stop().await;
}
