//! Another provider in the place of one that runs: by a plan, and by hand; and what else is done to a provider by hand.

use crate::bed::{Bed, Told, code, file, link, outbound, provider_id, until, values};
use std::sync::atomic::Ordering::SeqCst;
use umbel_core::event::Deed;
use umbel_lattice::control::{ControlError, PartState, ProviderView, StartProvider};
use umbel_lattice::extension::EventsRequest;
use umbel_lattice::extension::provider::{SwapRequest, SwapView};
use umbel_testkit::guest;

fn order(bed: &Bed, reference: &str, generation: u64) -> StartProvider {
    let mut order = StartProvider::new(bed.host.id().clone(), provider_id("fake-1"), reference);
    order.generation = Some(generation);
    order.application = Some("demo".into());
    order
}

async fn swap(bed: &Bed, reference: &str, dry_run: bool) -> Result<SwapView, ControlError> {
    let request = SwapRequest {
        provider: provider_id("fake-1"),
        reference: reference.into(),
        isolation: None,
        dry_run,
    };
    bed.client.swap_provider(bed.host.id(), &request).await
}

/// The provider `fake-1` by the order, once it is as the condition says.
async fn see(bed: &Bed, what: &str, condition: impl Fn(&ProviderView) -> bool) -> ProviderView {
    until(what, async || bed.provider("fake-1").await.filter(&condition)).await
}

/// A bed with a component that calls `fake-1`.
async fn serving(reference: &str) -> Bed {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("outgoing", &guest("outgoing"));
    scale.limits = Some(outbound(&["*"]));
    bed.run_scale(&scale).await;
    bed.client.start_provider(&order(&bed, reference, 1)).await.expect("the order is taken");
    let put = bed.client.put_link(&link("outgoing", "fake-1", &["outgoing-handler"])).await;
    put.expect("the link is put");
    until("the link is taken", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    until("it is served", async || (ask(&bed).await == "status 201\n").then_some(())).await;
    bed
}

async fn ask(bed: &Bed) -> String {
    bed.get("outgoing", "/?url=http://example.com/").await.unwrap_or_else(|problem| problem.to_string())
}

/// What the provider was told, in words.
fn told(bed: &Bed) -> Vec<&'static str> {
    let word = |told: Told| match told {
        Told::Started(_) => "started",
        Told::Put(_) => "put",
        Told::Deleted(_) => "deleted",
        Told::Config(_) => "config",
        Told::Stopped => "stopped",
    };
    bed.fake.told("fake-1").into_iter().map(word).collect()
}

#[tokio::test]
async fn a_plan_with_another_image_replaces_a_provider_beside_it() {
    let bed = serving("builtin:fake").await;
    bed.client.start_provider(&order(&bed, "builtin:other", 2)).await.unwrap();
    until("the old one has ended", async || {
        assert_eq!(ask(&bed).await, "status 201\n", "it is served all the while");
        (told(&bed).len() == 5).then_some(())
    })
    .await;
    assert_eq!(told(&bed), ["started", "put", "started", "put", "stopped"]);
    let view = see(&bed, "the other image", |view| view.image_ref == "builtin:other").await;
    assert_eq!((view.state, view.problem, view.by_hand), (PartState::Running, None, None));
}

#[tokio::test]
async fn a_provider_that_brings_calls_ends_before_another_begins() {
    let bed = Bed::start().await;
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    let view = swap(&bed, "builtin:other", true).await.unwrap();
    assert!(!view.beside && view.problem.is_none(), "{view:?}");
    swap(&bed, "builtin:other", false).await.unwrap();
    assert_eq!(told(&bed), ["started", "put", "stopped", "started", "put"]);
    // One that does not start has the old one start again.
    bed.fake.failing_starts.store(1, SeqCst);
    assert_eq!(code(swap(&bed, "builtin:fake", false).await), "UM0832");
    assert_eq!(told(&bed)[5..], ["stopped", "started", "put"]);
    let view = see(&bed, "it runs", |view| view.state == PartState::Running).await;
    assert_eq!((view.image_ref.as_str(), view.problem), ("builtin:other", None));
}

#[tokio::test]
async fn nothing_changes_when_the_new_one_does_not_start_or_refuses_a_link() {
    let mut bed = serving("builtin:fake").await;
    bed.fake.failing_starts.store(1, SeqCst);
    assert_eq!(code(swap(&bed, "builtin:other", false).await), "UM0832");
    assert_eq!(told(&bed), ["started", "put"]);
    assert!(bed.event("provider_start_failed", "fake-1").await["error"].as_str().unwrap().contains("UM0832"));
    bed.fake.refuses.store(true, SeqCst);
    let refused = swap(&bed, "builtin:other", false).await.expect_err("it refuses the link");
    assert!(refused.to_string().contains("outgoing"), "{refused}");
    assert_eq!(told(&bed), ["started", "put", "started", "stopped"]);
    let view = bed.provider("fake-1").await.unwrap();
    assert_eq!((view.image_ref.as_str(), view.problem, view.by_hand), ("builtin:fake", None, None));
    assert_eq!(ask(&bed).await, "status 201\n");

    // A plan's is shown, and tried again with the next deploy.
    bed.client.start_provider(&order(&bed, "builtin:other", 2)).await.unwrap();
    let view = see(&bed, "the refusal is shown", |view| view.problem.is_some()).await;
    assert_eq!(view.problem.unwrap().code, umbel_core::code::host::SWAP_REFUSED);
    assert_eq!((view.state, ask(&bed).await.as_str()), (PartState::Running, "status 201\n"));
    bed.fake.refuses.store(false, SeqCst);
    bed.client.start_provider(&order(&bed, "builtin:fake", 3)).await.unwrap();
    see(&bed, "it is what it was", |view| view.problem.is_none() && view.image_ref == "builtin:fake").await;
    bed.client.start_provider(&order(&bed, "builtin:other", 4)).await.unwrap();
    until("the old one has ended", async || {
        (told(&bed).iter().filter(|t| **t == "stopped").count() == 3).then_some(())
    })
    .await;
    assert_eq!(ask(&bed).await, "status 201\n");
}

#[tokio::test]
async fn a_look_says_what_would_move_and_changes_nothing() {
    let bed = serving("builtin:fake").await;
    let view = swap(&bed, "builtin:other", true).await.unwrap();
    assert_eq!((view.from.reference.as_str(), view.to.reference.as_str()), ("builtin:fake", "builtin:other"));
    assert!(view.beside && view.problem.is_none(), "{view:?}");
    assert_eq!(view.links.len(), 1);
    assert_eq!(view.links[0].link.source_id, "outgoing");
    assert!(view.notes.iter().any(|note| note.contains("not copied")), "{:?}", view.notes);
    let same = swap(&bed, "builtin:fake", true).await.unwrap().problem.expect("it is that already");
    assert!(same.help.contains("restart"), "{same:?}");
    assert_eq!(code(swap(&bed, "builtin:fake", false).await), "UM0832");
    assert_eq!(code(swap(&bed, "builtin:nothing", true).await), "UM0807");
    bed.client.put_link(&link("outgoing", "fake-1", &["outgoing-handler", "types"])).await.unwrap();
    until("the link is changed", async || {
        let view = swap(&bed, "builtin:other", true).await.unwrap();
        view.problem.filter(|problem| problem.message.contains("wasi:http/types"))
    })
    .await;
    assert_eq!(code(swap(&bed, "builtin:other", false).await), "UM0570");
    assert_eq!(told(&bed).iter().filter(|told| **told == "started").count(), 1);
}

#[tokio::test]
async fn what_was_swapped_by_hand_holds_over_a_restart_and_until_the_next_deploy() {
    let bed = serving("builtin:fake").await;
    swap(&bed, "builtin:other", false).await.unwrap();
    let by_hand = bed.provider("fake-1").await.unwrap().by_hand.expect("it is shown");
    assert_eq!(by_hand.to_string(), "swapped by hand: builtin:other in place of builtin:fake");
    bed.client
        .start_provider(&order(&bed, "builtin:fake", 1))
        .await
        .expect("the plan that runs changes nothing");
    assert_eq!(bed.provider("fake-1").await.unwrap().image_ref, "builtin:other");
    let (folder, lattice) = bed.stop().await;
    let bed = Bed::start_in(folder, lattice, |_| ()).await;
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    let view = see(&bed, "it runs", |view| view.state == PartState::Running).await;
    assert_eq!((view.image_ref.as_str(), view.by_hand), ("builtin:other", Some(by_hand)));
    bed.client.start_provider(&order(&bed, "builtin:fake", 2)).await.unwrap();
    let view = see(&bed, "the deploy wins", |view| view.image_ref == "builtin:fake").await;
    assert_eq!(view.by_hand, None);
    // What is put back by hand is as the manifest says.
    swap(&bed, "builtin:other", false).await.unwrap();
    swap(&bed, "builtin:fake", false).await.unwrap();
    assert_eq!(bed.provider("fake-1").await.unwrap().by_hand, None);
}

#[tokio::test]
async fn a_provider_is_stopped_and_started_by_hand() {
    let bed = serving("builtin:fake").await;
    let id = provider_id("fake-1");
    bed.client.hold_provider(bed.host.id(), &id).await.unwrap();
    let answer = ask(&bed).await;
    assert!(answer.contains("UM0830") && answer.contains("fake-1"), "{answer}");
    let view = bed.provider("fake-1").await.unwrap();
    assert_eq!((view.state, view.problem.unwrap().code.to_string()), (PartState::Stopped, "UM0830".into()));
    assert_eq!(code(swap(&bed, "builtin:other", false).await), "UM0830");
    assert_eq!(code(bed.client.restart_provider(bed.host.id(), &id).await), "UM0830");
    bed.client
        .start_provider(&order(&bed, "builtin:fake", 1))
        .await
        .expect("the plan that runs changes nothing");
    bed.client.hold_provider(bed.host.id(), &id).await.expect("again is the same");
    assert_eq!(told(&bed), ["started", "put", "stopped"]);
    bed.client.release_provider(bed.host.id(), &id).await.unwrap();
    assert_eq!(ask(&bed).await, "status 201\n");
    assert_eq!(bed.provider("fake-1").await.unwrap().by_hand, None);

    bed.client.hold_provider(bed.host.id(), &id).await.unwrap();
    let (folder, lattice) = bed.stop().await;
    let bed = Bed::start_in(folder, lattice, |_| ()).await;
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    assert_eq!(bed.provider("fake-1").await.unwrap().state, PartState::Stopped);
    assert!(told(&bed).is_empty());
    bed.client.start_provider(&order(&bed, "builtin:fake", 2)).await.unwrap();
    see(&bed, "a later deploy starts it", |view| view.state == PartState::Running && view.by_hand.is_none())
        .await;
}

#[tokio::test]
async fn a_provider_is_restarted_and_its_callers_wait() {
    let bed = serving("builtin:fake").await;
    bed.client.restart_provider(bed.host.id(), &provider_id("fake-1")).await.unwrap();
    assert_eq!(ask(&bed).await, "status 201\n");
    assert_eq!(told(&bed), ["started", "put", "stopped", "started", "put"]);
    let missing = bed.client.restart_provider(bed.host.id(), &provider_id("nobody")).await;
    assert_eq!(code(missing), "UM0807");
}

#[tokio::test]
async fn a_provider_is_shown_with_its_links() {
    let bed = serving("builtin:fake").await;
    bed.client.put_config("base", &values(&[("color", "red")])).await.unwrap();
    let mut newer = order(&bed, "builtin:fake", 2);
    newer.config = vec!["base".into()];
    bed.client.start_provider(&newer).await.unwrap();
    let shown = bed.client.show_provider(bed.host.id(), &provider_id("fake-1")).await.unwrap();
    assert!(shown.is_healthy && shown.health.is_none(), "{shown:?}");
    assert_eq!(shown.config, ["color"]);
    assert_eq!((shown.links.len(), shown.links[0].is_taken), (1, true));
    assert!(shown.folder.ends_with("providers/fake-1"), "{}", shown.folder);
    assert_eq!(code(bed.client.show_provider(bed.host.id(), &provider_id("nobody")).await), "UM0807");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_given_up_with_the_reason() {
    let mut bed = Bed::start().await;
    bed.fake.failing_starts.store(1_000, SeqCst);
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    let view = see(&bed, "it is given up", |view| view.state == PartState::CrashLoop).await;
    assert!(view.restarts >= 4 && view.problem.is_some(), "{view:?}");
    let event = loop {
        let event = bed.event("provider_start_failed", "fake-1").await;
        if event["error"].as_str().unwrap().contains("UM0834") {
            break event;
        }
    };
    assert!(event["error"].as_str().unwrap().contains("it does not want to"), "{event}");
    bed.fake.failing_starts.store(0, SeqCst);
    bed.client.release_provider(bed.host.id(), &provider_id("fake-1")).await.unwrap();
    see(&bed, "it runs", |view| view.state == PartState::Running).await;
}

#[tokio::test]
async fn what_comes_is_shown_as_coming_until_it_serves() {
    let bed = Bed::start().await;
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    // It brings calls, so the two take turns, and for a while neither is there.
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    let fake = bed.fake.clone();
    let held = fake.starting.lock().await;
    bed.client.start_provider(&order(&bed, "builtin:other", 2)).await.unwrap();
    let comes = |view: &ProviderView| {
        let coming = view.coming.as_ref().map(|coming| coming.reference.as_str());
        (view.is_moving, view.image_ref.as_str(), coming) == (true, "builtin:fake", Some("builtin:other"))
    };
    let view = bed.provider("fake-1").await.unwrap();
    assert!(comes(&view), "{view:?}");
    until("the old one has ended", async || (told(&bed).last() == Some(&"stopped")).then_some(())).await;
    let view = bed.provider("fake-1").await.unwrap();
    assert!(comes(&view) && view.state == PartState::Running, "{view:?}");
    drop(held);
    let view = see(&bed, "the new one", |view| view.image_ref == "builtin:other").await;
    assert_eq!((view.is_moving, view.coming), (false, None));
}

#[tokio::test]
async fn restarts_are_those_of_what_serves() {
    let bed = Bed::start().await;
    bed.fake.failing_starts.store(2, SeqCst);
    bed.client.start_provider(&order(&bed, "builtin:fake", 1)).await.unwrap();
    see(&bed, "it runs at last", |view| view.state == PartState::Running && view.restarts == 2).await;
    swap(&bed, "builtin:other", false).await.unwrap();
    assert_eq!(bed.provider("fake-1").await.unwrap().restarts, 0, "that was another");
}

#[tokio::test]
async fn an_image_that_failed_is_not_tried_again_by_what_is_done_later() {
    let bed = serving("builtin:fake").await;
    bed.fake.failing_starts.store(1, SeqCst);
    bed.client.start_provider(&order(&bed, "builtin:other", 2)).await.unwrap();
    let refused = see(&bed, "the refusal is shown", |view| view.problem.is_some()).await.problem;
    bed.fake.failing_starts.store(1, SeqCst);
    assert_eq!(code(swap(&bed, "builtin:third", false).await), "UM0832");
    assert_eq!(bed.provider("fake-1").await.unwrap().problem, refused, "that of the deploy");
    bed.fake.failing_starts.store(0, SeqCst);
    swap(&bed, "builtin:third", false).await.unwrap();
    until("the old one has ended", async || (told(&bed).last() == Some(&"stopped")).then_some(())).await;
    // One of each that serves or served: the failed image would have been started by now.
    assert_eq!(told(&bed), ["started", "put", "started", "put", "stopped"]);
    let view = bed.provider("fake-1").await.unwrap();
    assert_eq!((view.image_ref.as_str(), view.problem), ("builtin:third", None));
}

#[tokio::test]
async fn a_look_finds_what_a_swap_fails_with() {
    let bed = serving("builtin:fake").await;
    let broken = file(&bed, "broken.wasm", b"\0asm rubbish");
    let archive = file(&bed, "broken.par.gz", b"\x1f\x8b rubbish");
    let other = guest("keyvalue-component");
    for (file, expected) in [
        ("/nowhere/kv.par.gz", "UM0832"),
        ("/nowhere/kv.wasm", "UM0832"),
        (broken.to_str().unwrap(), "UM0832"),
        (archive.to_str().unwrap(), "UM0832"),
        (other.to_str().unwrap(), "UM0570"),
    ] {
        let found = swap(&bed, file, true).await.unwrap().problem.unwrap_or_else(|| panic!("{file}"));
        assert_eq!(found.code.to_string(), expected, "{file}: {found}");
        let failed = swap(&bed, file, false).await.expect_err("it cannot be");
        assert!(failed.to_string().contains(&found.message), "{failed}, and {found}");
    }
    let view = bed.provider("fake-1").await.unwrap();
    assert_eq!((view.image_ref.as_str(), view.problem, view.by_hand), ("builtin:fake", None, None));
    assert_eq!(told(&bed), ["started", "put"]);
    bed.client.hold_provider(bed.host.id(), &provider_id("fake-1")).await.unwrap();
    let found = swap(&bed, "builtin:other", true).await.unwrap().problem.expect("it is stopped");
    assert_eq!(found.code.to_string(), "UM0830");
}

#[tokio::test]
async fn what_is_done_by_hand_is_among_the_events() {
    let bed = serving("builtin:fake").await;
    let (host, id) = (bed.host.id().clone(), provider_id("fake-1"));
    swap(&bed, "builtin:other", false).await.unwrap();
    bed.client.hold_provider(&host, &id).await.unwrap();
    bed.client.release_provider(&host, &id).await.unwrap();
    bed.client.restart_provider(&host, &id).await.unwrap();
    let deeds = until("all are kept", async || {
        let reply = bed.client.events(&host, &EventsRequest { since_seq: Some(0), limit: 0 }).await.unwrap();
        let deeds: Vec<Deed> = reply.events.iter().filter_map(|event| event.event.deed()).collect();
        (deeds.len() == 4).then_some(deeds)
    })
    .await;
    let names: Vec<&str> = deeds.iter().map(Deed::name).collect();
    assert_eq!(names, Deed::NAMES);
    let Deed::ProviderSwapped(swapped) = &deeds[0] else { panic!("{deeds:?}") };
    assert_eq!(
        (swapped.image_ref.as_str(), swapped.instead_of.as_deref()),
        ("builtin:other", Some("builtin:fake"))
    );
    assert_eq!((swapped.provider_id.as_str(), swapped.application.as_deref()), ("fake-1", Some("demo")));
}
