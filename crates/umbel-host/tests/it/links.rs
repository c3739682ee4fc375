//! Links, configs and providers: live, whatever comes first.

use crate::bed::{Bed, Told, code, link, outbound, provider_id, until, values};
use std::sync::atomic::Ordering::SeqCst;
use umbel_core::link::Link;
use umbel_lattice::control::{PartState, StartProvider, StopProvider};
use umbel_testkit::{example, guest};

fn start(bed: &Bed, id: &str, reference: &str) -> StartProvider {
    StartProvider::new(bed.host.id().clone(), provider_id(id), reference)
}

#[tokio::test]
async fn a_provider_is_told_its_links_whatever_comes_first() {
    let mut bed = Bed::start().await;
    bed.client.put_config("paths", &values(&[("path", "/a")])).await.unwrap();
    let mut first = link("fake-1", "hello", &["incoming-handler"]);
    first.source_config = vec!["paths".into()];
    bed.client.put_link(&first).await.unwrap();
    let event = bed.event("linkdef_set", "fake-1").await;
    assert_eq!((event["target"].as_str(), event["wit_package"].as_str()), (Some("hello"), Some("http")));
    bed.start_provider("fake-1", &[]).await;
    let path = |path| (String::from("hello"), values(&[("path", path)]), values(&[]));
    until("it knows the link", async || (bed.fake.links("fake-1") == [path("/a")]).then_some(())).await;

    bed.client.put_config("paths", &values(&[("path", "/b")])).await.unwrap();
    until("it knows the new values", async || (bed.fake.links("fake-1") == [path("/b")]).then_some(())).await;

    let second = link("fake-1", "other", &["incoming-handler"]);
    bed.client.put_link(&second).await.unwrap();
    until("the link leads elsewhere", async || {
        (bed.fake.links("fake-1") == [("other".to_string(), values(&[]), values(&[]))]).then_some(())
    })
    .await;
    assert_eq!(bed.client.links().await.unwrap(), std::slice::from_ref(&second));

    bed.client.del_link(&second.key()).await.unwrap();
    assert_eq!(bed.event("linkdef_deleted", "fake-1").await["target"], "other");
    until("the link is gone", async || bed.fake.links("fake-1").is_empty().then_some(())).await;
    assert!(bed.client.links().await.unwrap().is_empty());
    bed.client.del_link(&second.key()).await.expect("what is gone can be deleted");
    assert_eq!(bed.fake.told("fake-1").iter().filter(|told| matches!(told, Told::Started(_))).count(), 1);
}

#[tokio::test]
async fn a_link_that_names_a_missing_config_is_refused() {
    let bed = Bed::start().await;
    for side in 0..2 {
        let mut link = link("fake-1", "hello", &["incoming-handler"]);
        let names = if side == 0 { &mut link.source_config } else { &mut link.target_config };
        names.push("nowhere".into());
        assert_eq!(code(bed.client.put_link(&link).await), "UM0809");
    }
    assert!(bed.client.links().await.unwrap().is_empty());
}

#[tokio::test]
async fn links_put_at_once_are_all_kept() {
    let bed = Bed::start().await;
    let links: Vec<_> = (0..20)
        .map(|n| {
            let mut link = link("fake-1", &format!("c{n}"), &["incoming-handler"]);
            link.name = format!("l{n}");
            link
        })
        .collect();
    let put = futures::future::join_all(links.iter().map(|link| bed.client.put_link(link))).await;
    assert!(put.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(bed.client.links().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_refused_link_is_offered_again_and_shows_meanwhile() {
    let bed = Bed::start().await;
    bed.start_provider("fake-1", &[]).await;
    bed.fake.refuses.store(true, SeqCst);
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    let view = until("the refusal shows", async || {
        bed.provider("fake-1").await.filter(|view| view.problem.is_some())
    })
    .await;
    assert_eq!(view.problem.unwrap().message, "it does not want to");
    assert_eq!(view.state, PartState::Running);
    bed.fake.refuses.store(false, SeqCst);
    until("it is taken", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    until("all is well", async || bed.provider("fake-1").await.filter(|view| view.problem.is_none())).await;
}

#[tokio::test]
async fn providers_are_started_shown_and_stopped() {
    let mut bed = Bed::start().await;
    bed.client.put_config("one", &values(&[("a", "1"), ("b", "1")])).await.unwrap();
    bed.client.put_config("two", &values(&[("b", "2")])).await.unwrap();
    let mut order = start(&bed, "fake-1", "builtin:fake");
    order.config = vec!["one".into(), "two".into()];
    order.application = Some("demo".into());
    order.generation = Some(3);
    order.annotations = Some(values(&[("x", "y")]));
    bed.client.start_provider(&order).await.unwrap();
    let event = bed.event("provider_started", "fake-1").await;
    assert_eq!(
        (event["host_id"].as_str(), event["image_ref"].as_str()),
        (Some(bed.host.id().as_str()), Some("builtin:fake"))
    );
    assert_eq!(
        bed.fake.told("fake-1")[0],
        Told::Started(values(&[("a", "1"), ("b", "2")])),
        "the later wins"
    );
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    let view = until("its endpoint shows", async || {
        bed.provider("fake-1").await.filter(|view| !view.endpoints.is_empty())
    })
    .await;
    assert_eq!(
        (view.endpoints[0].component.as_str(), view.endpoints[0].url.as_str()),
        ("hello", "fake://hello")
    );
    assert_eq!((view.state, view.generation), (PartState::Running, Some(3)));
    assert_eq!((view.application, view.annotations), (order.application.clone(), order.annotations.clone()));

    bed.client.put_config("two", &values(&[("b", "3")])).await.unwrap();
    let expected = Told::Config(values(&[("a", "1"), ("b", "3")]));
    until("it knows its new config", async || bed.fake.told("fake-1").contains(&expected).then_some(()))
        .await;

    bed.client.start_provider(&order).await.expect("the same order again changes nothing");
    order.generation = Some(2);
    assert_eq!(code(bed.client.start_provider(&order).await), "UM0804");

    let stop =
        StopProvider { host_id: bed.host.id().clone(), provider_id: provider_id("fake-1"), generation: None };
    bed.client.stop_provider(&stop).await.unwrap();
    assert_eq!(bed.event("provider_stopped", "fake-1").await["reason"], "stop");
    assert_eq!(bed.fake.told("fake-1").last(), Some(&Told::Stopped));
    assert!(bed.provider("fake-1").await.is_none());
    assert_eq!(code(bed.client.stop_provider(&stop).await), "UM0807");
}

#[tokio::test]
async fn a_provider_is_changed_while_it_serves() {
    let bed = Bed::start().await;
    bed.client.put_config("one", &values(&[("a", "1")])).await.unwrap();
    bed.client.put_config("two", &values(&[("a", "2")])).await.unwrap();
    bed.start_provider("fake-1", &["one"]).await;
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    let mut order = start(&bed, "fake-1", "ghcr.io/acme/fake:0.1.0");
    assert_eq!(
        code(bed.client.start_provider(&order).await),
        "UM0808",
        "wasmCloud's tools are refused as ever"
    );
    order.generation = Some(4);
    order.config = vec!["two".into()];
    order.annotations = Some(values(&[("version", "2")]));
    order.application = Some("demo".into());
    bed.client.start_provider(&order).await.expect("a builtin stands in for images of every version");
    until("it has the new config", async || {
        bed.fake.told("fake-1").contains(&Told::Config(values(&[("a", "2")]))).then_some(())
    })
    .await;
    let view = bed.provider("fake-1").await.unwrap();
    assert_eq!((view.state, view.generation), (PartState::Running, Some(4)));
    assert_eq!((view.annotations, view.application), (order.annotations.clone(), order.application.clone()));
    assert_eq!(view.image_ref, order.provider_ref);
    let told = bed.fake.told("fake-1");
    let starts = told.iter().filter(|told| matches!(told, Told::Started(_) | Told::Stopped)).count();
    assert_eq!(
        (starts, bed.fake.links("fake-1").len()),
        (1, 1),
        "it was neither stopped nor unlinked: {told:?}"
    );
}

#[tokio::test]
async fn orders_for_one_provider_that_cross_are_followed_one_after_the_other() {
    let bed = Bed::start().await;
    let order = start(&bed, "fake-1", "builtin:fake");
    let stop =
        StopProvider { host_id: bed.host.id().clone(), provider_id: provider_id("fake-1"), generation: None };
    let orders = (0..32).map(async |number| {
        match number % 2 {
            0 => bed.client.start_provider(&order).await.map(drop),
            // It may not run at that moment.
            _ => bed.client.stop_provider(&stop).await.map(drop).or(Ok(())),
        }
    });
    let taken = futures::future::join_all(orders).await;
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    bed.client.start_provider(&order).await.unwrap();
    until("it runs", async || bed.provider("fake-1").await.filter(|p| p.state == PartState::Running)).await;
    let told = bed.fake.told("fake-1");
    let starts = told.iter().filter(|told| matches!(told, Told::Started(_))).count();
    let stops = told.iter().filter(|told| matches!(told, Told::Stopped)).count();
    assert_eq!(starts, stops + 1, "{told:?}");
    let two_at_once = told.windows(2).any(|two| matches!(two, [Told::Started(_), Told::Started(_)]));
    assert!(!two_at_once, "{told:?}");
}

#[tokio::test]
async fn an_older_order_does_not_bring_a_stopped_provider_back() {
    let bed = Bed::start().await;
    let mut order = start(&bed, "fake-1", "builtin:fake");
    order.generation = Some(3);
    order.application = Some("demo".into());
    bed.client.start_provider(&order).await.unwrap();
    let mut stop = StopProvider {
        host_id: bed.host.id().clone(),
        provider_id: provider_id("fake-1"),
        generation: Some(2),
    };
    assert_eq!(code(bed.client.stop_provider(&stop).await), "UM0804");
    stop.generation = Some(5);
    bed.client.stop_provider(&stop).await.unwrap();
    assert_eq!(code(bed.client.start_provider(&order).await), "UM0804");
    assert!(bed.provider("fake-1").await.is_none());
    order.generation = Some(5);
    bed.client.start_provider(&order).await.expect("the present plan wants it after all");
}

#[tokio::test]
async fn a_link_that_gets_another_name_is_there_all_the_while() {
    let bed = Bed::start().await;
    bed.start_provider("fake-1", &[]).await;
    let old = link("fake-1", "hello", &["incoming-handler"]);
    bed.client.put_link(&old).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    let mut new = old.clone();
    new.name = "renamed".into();
    bed.client.put_link(&new).await.unwrap();
    bed.client.del_link(&old.key()).await.unwrap();
    let is = |told: &Told, link: &Link| matches!(told, Told::Put(put) if put.link == *link);
    let (put, deleted) = until("the old one is gone", async || {
        let told = bed.fake.told("fake-1");
        let deleted = told.iter().position(|told| *told == Told::Deleted(old.key()))?;
        Some((told.iter().position(|told| is(told, &new)), deleted))
    })
    .await;
    assert!(put.is_some_and(|put| put < deleted), "{:?}", bed.fake.told("fake-1"));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_left_as_it_is() {
    let bed = Bed::start().await;
    bed.start_provider("fake-1", &[]).await;
    let first = link("fake-1", "hello", &["incoming-handler"]);
    bed.client.put_link(&first).await.unwrap();
    bed.client.put_link(&link("other", "hello", &["outgoing-handler"])).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    let lattice = bed.client.lattice().clone();
    let garbage = bytes::Bytes::from_static(b"{\"links\": 7}");
    for (bucket, key) in [("LATTICEDATA_default", "COMPONENT_fake-1"), ("CONFIGDATA_default", "colors")] {
        lattice.bucket(bucket).await.unwrap().put(key, garbage.clone()).await.unwrap();
    }
    let mut second = first.clone();
    second.name = "second".into();
    assert_eq!(code(bed.client.put_link(&second).await), "UM0816");
    assert_eq!(code(bed.client.del_link(&first.key()).await), "UM0816");
    assert_eq!(code(bed.client.get_config("colors").await), "UM0816");
    let links = lattice.bucket("LATTICEDATA_default").await.unwrap();
    assert_eq!(
        links.get("COMPONENT_fake-1").await.unwrap().unwrap().value,
        garbage,
        "nothing is written over it"
    );
    assert_eq!(bed.client.links().await.unwrap().len(), 1, "the others are there");
    // What comes after it is followed; what was known before it stays known.
    bed.client.put_config("colors", &values(&[("sky", "blue")])).await.expect("a whole new config mends it");
    assert_eq!(bed.client.get_config("colors").await.unwrap(), Some(values(&[("sky", "blue")])));
    bed.start_provider("fake-2", &["colors"]).await;
    assert_eq!(bed.fake.told("fake-2")[0], Told::Started(values(&[("sky", "blue")])));
    assert_eq!(bed.fake.links("fake-1").len(), 1);
}

#[tokio::test]
async fn a_thousand_changes_within_a_moment_are_followed_together() {
    let bed = Bed::start().await;
    bed.start_provider("fake-1", &[]).await;
    let (before, begun) = (bed.host.0.tables.borrow().number, std::time::Instant::now());
    let links: Vec<_> = (0..1_000).map(|n| link(&format!("c{n}"), "fake-1", &["outgoing-handler"])).collect();
    for chunk in links.chunks(50) {
        let put = futures::future::join_all(chunk.iter().map(|link| bed.client.put_link(link))).await;
        assert!(put.into_iter().all(|answer| answer.is_ok()));
    }
    until("it knows them", async || (bed.fake.links("fake-1").len() == 1_000).then_some(())).await;
    let copies = u128::from(bed.host.0.tables.borrow().number - before);
    let most = begun.elapsed().as_millis() / umbel_host::shared::COALESCE.as_millis() + 1;
    assert!(copies <= most, "{copies} copies of everything, where {most} would do");
    assert_eq!(bed.fake.told("fake-1").len(), 1_001, "each link was told once");
}

#[tokio::test]
async fn a_reference_that_names_no_builtin_is_refused() {
    let bed = Bed::start().await;
    bed.client
        .start_provider(&start(&bed, "by-name", "ghcr.io/wasmcloud/fake:0.23.2"))
        .await
        .expect("it stands in");
    for (reference, expected) in [
        ("builtin:nowhere", "UM0807"),
        ("127.0.0.1:1/wasmcloud/redis:1", "UM0340"),
        ("file:///tmp/x.txt", "UM0814"),
    ] {
        assert_eq!(
            code(bed.client.start_provider(&start(&bed, "other", reference)).await),
            expected,
            "{reference}"
        );
    }
}

#[tokio::test]
async fn a_provider_that_does_not_start_is_tried_again() {
    let mut bed = Bed::start().await;
    bed.fake.failing_starts.store(1, SeqCst);
    bed.client.start_provider(&start(&bed, "fake-1", "builtin:fake")).await.unwrap();
    let event = bed.event("provider_start_failed", "fake-1").await;
    assert_eq!(event["provider_ref"], "builtin:fake");
    assert!(event["error"].as_str().unwrap().contains("it does not want to"), "{event}");
    bed.event("provider_started", "fake-1").await;
    until("it runs", async || {
        bed.provider("fake-1").await.filter(|p| p.state == PartState::Running && p.problem.is_none())
    })
    .await;
}

#[tokio::test]
async fn orders_for_one_provider_that_come_at_once_make_one() {
    let bed = Bed::start().await;
    let order = start(&bed, "fake-1", "builtin:fake");
    let taken = futures::future::join_all((0..16).map(|_| bed.client.start_provider(&order))).await;
    for answer in taken {
        answer.expect("each is taken");
    }
    until("it runs", async || bed.provider("fake-1").await.filter(|p| p.state == PartState::Running)).await;
    assert_eq!(bed.fake.told("fake-1"), [Told::Started(values(&[]))]);
}

#[tokio::test]
async fn outgoing_calls_follow_their_link_without_a_restart() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("outgoing", &guest("outgoing"));
    scale.limits = Some(outbound(&["*"]));
    bed.run_scale(&scale).await;
    let ask = async || bed.get("outgoing", "/?url=http://example.com/").await.unwrap();
    let view = bed.view("outgoing").await.unwrap();
    assert!(
        view.unlinked.iter().any(|i| i.starts_with("wasi:http/outgoing-handler@")),
        "{:?}",
        view.unlinked
    );
    let answer = ask().await;
    assert!(answer.contains("UM0550") && answer.contains("umbel link put outgoing http-client"), "{answer}");

    bed.client.put_link(&link("outgoing", "fake-1", &["outgoing-handler"])).await.unwrap();
    until("the missing provider is named", async || {
        let answer = ask().await;
        (answer.contains("UM0550") && answer.contains("fake-1")).then_some(())
    })
    .await;
    bed.start_provider("fake-1", &[]).await;
    until("it is served", async || (ask().await == "status 201\n").then_some(())).await;
    assert!(bed.view("outgoing").await.unwrap().unlinked.is_empty());

    bed.start_provider("fake-2", &[]).await;
    bed.client.put_link(&link("outgoing", "fake-2", &["outgoing-handler"])).await.unwrap();
    until("the other serves it", async || (ask().await == "status 202\n").then_some(())).await;
    let stop =
        StopProvider { host_id: bed.host.id().clone(), provider_id: provider_id("fake-2"), generation: None };
    bed.client.stop_provider(&stop).await.unwrap();
    assert!(ask().await.contains("fake-2"));
    bed.client.del_link(&link("outgoing", "fake-2", &["outgoing-handler"]).key()).await.unwrap();
    until("it has no link", async || ask().await.contains("no link serves it").then_some(())).await;
    assert_eq!(bed.view("outgoing").await.unwrap().usage.traps, 0);
}

#[tokio::test]
async fn config_of_a_component_changes_without_a_restart() {
    let mut bed = Bed::start().await;
    bed.client.put_config("base", &values(&[("color", "red"), ("size", "9")])).await.unwrap();
    bed.client.put_config("over", &values(&[("color", "blue")])).await.unwrap();
    assert_eq!(bed.event("config_set", "base").await["config_name"], "base");
    let mut scale = bed.scale_of("config", &guest("config"));
    scale.config = vec!["base".into(), "over".into()];
    bed.run_scale(&scale).await;
    assert_eq!(bed.get("config", "/").await.unwrap(), "color=blue\nsize=9\n");
    bed.client.put_config("over", &values(&[("color", "green")])).await.unwrap();
    let is = async |expected: &str| (bed.get("config", "/").await.unwrap() == expected).then_some(());
    until("the new value", async || is("color=green\nsize=9\n").await).await;
    bed.client.del_config("over").await.unwrap();
    until("what is below it", async || is("color=red\nsize=9\n").await).await;
    assert_eq!(bed.client.get_config("over").await.unwrap(), None);
    assert_eq!(
        bed.client.get_config("base").await.unwrap(),
        Some(values(&[("color", "red"), ("size", "9")]))
    );
    let mut again = bed.scale_of("config", &guest("config"));
    again.config = Vec::new();
    bed.client.scale(&again).await.unwrap();
    until("an order without it", async || is("").await).await;
}

#[tokio::test]
async fn a_provider_reaches_components_that_come_later() {
    let bed = Bed::start().await;
    bed.start_provider("fake-1", &[]).await;
    bed.client.put_link(&link("fake-1", "hello", &["incoming-handler"])).await.unwrap();
    until("it knows the link", async || (bed.fake.links("fake-1").len() == 1).then_some(())).await;
    assert!(bed.get("hello", "/").await.is_err());
    let mut scale = bed.scale_of("hello", &example("hello"));
    scale.application = Some("demo".into());
    bed.run_scale(&scale).await;
    assert_eq!(bed.get("hello", "/").await.unwrap(), "Hello from Umbel!\n");
    let offered = || bed.fake.told("fake-1").iter().filter(|told| matches!(told, Told::Put(_))).count();
    // The default host name comes from the target's application, so the link is told again when that is known.
    until("the link is told again", async || (offered() == 2).then_some(())).await;
}

#[tokio::test]
async fn http_leads_to_a_component_that_answers_it_and_to_no_other() {
    let bed = Bed::start().await;
    let mut scale = bed.scale_of("sender", &guest("outgoing-p3"));
    scale.count = 50;
    scale.limits = Some(outbound(&["next"]));
    bed.run_scale(&scale).await;
    bed.run("hello", &example("hello-p3")).await;
    bed.run("library", &guest("pipe-server")).await;
    let to = |target| link("sender", target, &["client"]);
    bed.client.check_link(bed.host.id(), &to("hello")).await.expect("it answers HTTP");
    let refused = bed.client.check_link(bed.host.id(), &to("library")).await;
    assert_eq!(code(refused), "UM0570");
    bed.client.put_link(&to("hello")).await.unwrap();
    until("the link is followed", async || {
        (bed.get("sender", "/").await.unwrap() == "status 200\n").then_some(())
    })
    .await;
    // A ring: each of them waits for the next, up to the limit, and the innermost is told so.
    bed.client.put_link(&to("sender")).await.unwrap();
    let calls = || bed.host.0.slot("sender").expect("it runs").usage().calls;
    until("the ring ends", async || {
        let before = calls();
        assert_eq!(bed.get("sender", "/").await.unwrap(), "status 200\n");
        (calls() - before == 33).then_some(())
    })
    .await;
}
