//! What a host does as one of wasmCloud 1.x: stand-ins for its providers, files of the machine, and times.

use crate::bed::{Bed, code, component, provider_id, until};
use std::time::Duration;
use umbel_host::wasmcloud::Wasmcloud;
use umbel_lattice::control::{ComponentLimits, Scale, StartProvider, Update};
use umbel_testkit::guest;

/// Nothing answers there: who asks it for an image is told so at once.
const IMAGE: &str = "127.0.0.1:1/wasmcloud/fake:0.23.2";

fn start(bed: &Bed, id: &str, reference: &str) -> StartProvider {
    StartProvider::new(bed.host.id().clone(), provider_id(id), reference)
}

#[tokio::test]
async fn a_builtin_stands_in_for_an_image_unless_that_is_switched_off() {
    let bed = Bed::start().await;
    bed.client.start_provider(&start(&bed, "one", IMAGE)).await.expect("nothing is asked for it");
    let off = Wasmcloud { stand_ins: false, ..Wasmcloud::default() };
    let bed = Bed::start_with(|config| config.wasmcloud = off).await;
    assert_eq!(code(bed.client.start_provider(&start(&bed, "one", IMAGE)).await), "UM0340");
    // What is ours by name is not in place of anything.
    bed.client.start_provider(&start(&bed, "two", "builtin:fake")).await.expect("it is a builtin");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_loaded_for_managers_and_for_others_only_if_that_is_allowed() {
    let off = Wasmcloud { file_load: false, ..Wasmcloud::default() };
    let bed = Bed::start_with(|config| config.wasmcloud = off).await;
    let image = umbel_testkit::example("hello");
    let mut scale = bed.scale_of("hello", &image);
    for reference in [format!("file://{}", image.display()), image.display().to_string()] {
        scale.component_ref = reference;
        assert_eq!(code(bed.client.scale(&scale).await), "UM0835");
        let order = start(&bed, "one", &scale.component_ref);
        assert_eq!(code(bed.client.start_provider(&order).await), "UM0835");
    }
    scale.generation = Some(1);
    bed.run_scale(&scale).await;
    let host = bed.host.id().clone();
    let new_component_ref = guest("hello-v2").display().to_string();
    let update =
        Update { component_id: component("hello"), host_id: host, new_component_ref, annotations: None };
    assert_eq!(code(bed.client.update(&update).await), "UM0835");
    assert_eq!(bed.view("hello").await.unwrap().image_ref, scale.component_ref, "it runs as before");
    // Whoever may not start it may stop it.
    let stop = Scale { count: 0, generation: None, ..scale };
    bed.client.scale(&stop).await.expect("it is stopped");
    until("it is gone", async || bed.view("hello").await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_the_time_that_its_order_says_or_that_of_the_host() {
    let host = Wasmcloud { execution_max: Some(Duration::from_millis(1_234)), ..Wasmcloud::default() };
    let bed = Bed::start_with(|config| config.wasmcloud = host).await;
    let image = umbel_testkit::example("hello");
    bed.run("unsaid", &image).await;
    let mut said = bed.scale_of("said", &image);
    said.component_limits =
        Some(ComponentLimits { max_execution_time: Some(77.into()), ..ComponentLimits::default() });
    bed.run_scale(&said).await;
    let time = async |id: &str| bed.view(id).await.unwrap().limits_set.unwrap().call_ms_max;
    assert_eq!((time("unsaid").await, time("said").await), (1_234, 77));
}
