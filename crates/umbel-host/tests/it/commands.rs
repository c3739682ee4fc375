//! Components that run once: completed, repeated when they fail, given up when they fail too often.

use crate::bed::{Bed, until};
use umbel_lattice::control::PartState;
use umbel_lattice::extension::LogsRequest;
use umbel_testkit::{example, guest};

#[tokio::test]
async fn a_command_that_succeeds_is_completed_and_runs_again_when_ordered_to() {
    let mut bed = Bed::start().await;
    let mut scale = bed.scale_of("job", &guest("command"));
    bed.client.scale(&scale).await.unwrap();
    let view = bed.state_of("job", PartState::Completed).await;
    assert!(view.problem.is_none());
    assert_eq!(view.usage.calls, 1);
    bed.event("component_scaled", "job").await;
    let lines =
        bed.client.logs(bed.host.id(), &LogsRequest { limit: 10, ..LogsRequest::default() }).await.unwrap();
    assert!(lines.iter().any(|line| line.message.starts_with("command ran:")), "{lines:?}");
    scale.count = 2;
    bed.client.scale(&scale).await.unwrap();
    bed.see("job", "it ran again", |v| v.usage.calls == 2 && v.state == PartState::Completed).await;
    scale.component_ref = example("hello").to_str().unwrap().into();
    scale.allow_update = true;
    bed.run_scale(&scale).await;
    assert_eq!(bed.get("job", "/").await.unwrap(), "Hello from Umbel!\n");
}

#[tokio::test]
async fn a_command_that_fails_is_repeated_with_pauses_and_then_given_up() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("job", &guest("command-fail"));
    bed.client.scale(&scale).await.unwrap();
    let view = bed.state_of("job", PartState::BackingOff).await;
    let problem = view.problem.expect("a reason");
    assert_eq!(problem.code.to_string(), "UM0562");
    assert!(problem.message.contains("status 3"), "{problem}");
    let view = bed.state_of("job", PartState::CrashLoop).await;
    assert_eq!(view.problem.map(|p| p.code.to_string()).as_deref(), Some("UM0562"));
    assert!(view.usage.calls >= 5, "{:?}", view.usage);
    let tree = bed.tree.tree();
    assert!(tree.find(&["components", "job"]).is_some_and(|node| node.restarts >= 4), "{tree}");
    // Another order revives it.
    scale.component_ref = guest("command").to_str().unwrap().into();
    scale.allow_update = true;
    bed.client.scale(&scale).await.unwrap();
    bed.state_of("job", PartState::Completed).await;
}

#[tokio::test]
async fn a_command_in_a_loop_of_its_own_is_ended_by_a_stop() {
    let bed = Bed::start_with(|config| config.drain = std::time::Duration::from_millis(100)).await;
    let text = "(component
        (core module $m (func (export \"run\") (result i32) (loop br 0) unreachable))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i \"run\")))
        (instance $r (export \"run\" (func $run)))
        (export \"wasi:cli/run@0.2.0\" (instance $r)))";
    let image = crate::bed::file(&bed, "loop.wasm", &wat::parse_str(text).unwrap());
    let mut scale = bed.scale_of("job", &image);
    bed.client.scale(&scale).await.unwrap();
    bed.see("job", "it runs", |v| v.usage.calls_in_flight == 1 && v.usage.cpu_us > 1_000).await;
    // It has a thread of the data path; the one that this test and the tree share is free.
    let cores = bed.host.0.cores.clone();
    assert_eq!(cores.tasks(0) + cores.tasks(1), 1);
    scale.count = 0;
    bed.client.scale(&scale).await.unwrap();
    assert!(bed.view("job").await.is_none());
    until("it has ended there", async || (cores.tasks(0) + cores.tasks(1) == 0).then_some(())).await;
}

#[tokio::test]
async fn a_service_goes_on_until_what_takes_its_place_is_there() {
    let bed = Bed::start_with(|config| config.drain = std::time::Duration::from_millis(100)).await;
    let service = |number: u32| {
        let text = format!(
            "(component
                (core module $m (func (export \"run\") (result i32) (loop br 0) i32.const {number} drop unreachable))
                (core instance $i (instantiate $m))
                (func $run (result (result)) (canon lift (core func $i \"run\")))
                (instance $r (export \"run\" (func $run)))
                (export \"wasi:cli/run@0.2.0\" (instance $r)))"
        );
        crate::bed::file(&bed, &format!("service{number}.wasm"), &wat::parse_str(text).unwrap())
    };
    let mut scale = bed.scale_of("service", &service(1));
    scale.restart = Some(umbel_core::limits::RestartMode::Always);
    scale.allow_update = true;
    bed.client.scale(&scale).await.unwrap();
    let first = bed.see("service", "it runs", |v| v.usage.calls_in_flight == 1).await;
    scale.component_ref =
        crate::bed::file(&bed, "broken.wasm", b"\0asm and no more").to_str().unwrap().into();
    bed.client.scale(&scale).await.unwrap();
    let kept = bed.see("service", "the order is refused", |v| v.problem.is_some()).await;
    assert_eq!((kept.state, kept.usage.calls_in_flight, kept.usage.calls), (PartState::Running, 1, 1));
    assert_eq!(kept.digest, first.digest);
    // A good one takes its place, and the same order again changes nothing.
    scale.component_ref = service(2).to_str().unwrap().into();
    bed.client.scale(&scale).await.unwrap();
    let changed = |v: &umbel_lattice::control::ComponentView| {
        v.digest != first.digest && v.problem.is_none() && v.usage.calls == 2 && v.usage.calls_in_flight == 1
    };
    bed.see("service", "the new one runs", changed).await;
    bed.client.scale(&scale).await.unwrap();
    bed.client.scale(&bed.scale_of("other", &service(1))).await.unwrap();
    bed.see("other", "it runs", |v| v.usage.calls_in_flight == 1).await;
    bed.see("service", "it still runs", changed).await;
}
