//! Many at once.

use super::Bench;
use super::fake::ONE;
use std::time::{Duration, Instant};
use umbel_lattice::wadm::StatusType;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_components_start_in_one_go() {
    let bench = Bench::start(ONE).await;
    let mut manifest = String::from(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: many}\nspec:\n  components:\n",
    );
    for i in 0..1_000 {
        manifest.push_str(&format!(
            "    - {{name: c{i}, type: component, properties: {{image: ./hello.wasm}}}}\n"
        ));
    }
    let started = Instant::now();
    bench.deploy(&manifest).await;
    bench.until("many", StatusType::Deployed).await;
    assert_eq!(bench.hosts.state().component_count(), 1_000);
    let took = started.elapsed();
    assert_eq!(bench.hosts.state().log.len(), 1_000, "each was started once");
    assert!(took < Duration::from_secs(20), "an unoptimised build took {took:?}");
    bench.client.undeploy("many").await.unwrap();
    bench.until("many", StatusType::Undeployed).await;
    assert_eq!(bench.hosts.state().component_count(), 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_applications_do_not_wait_for_one_another() {
    let bench = Bench::start(ONE).await;
    let started = Instant::now();
    for i in 0..200 {
        let manifest = format!(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: app-{i}}}\nspec:\n  components:\n    \
             - {{name: a, type: component, properties: {{image: ./hello.wasm}}}}\n"
        );
        bench.deploy(&manifest).await;
    }
    for i in 0..200 {
        bench.until(&format!("app-{i}"), StatusType::Deployed).await;
    }
    let took = started.elapsed();
    assert_eq!(bench.hosts.state().component_count(), 200);
    assert!(took < Duration::from_secs(20), "an unoptimised build took {took:?}");
    let list = bench.client.list().await.unwrap();
    assert!(list.len() == 200 && list.iter().all(|summary| summary.status == StatusType::Deployed));
    bench.stop().await;
}
