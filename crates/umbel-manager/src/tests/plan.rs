use super::world::{HELLO, Model, desired, hello, host_id, inventory, nothing};
use crate::desired::{APPSPEC, Desired, MANAGED_BY};
use crate::plan::{Plan, Step, plan};
use crate::store::Owned;
use proptest::prelude::*;
use std::collections::BTreeMap;
use umbel_core::Problem;
use umbel_core::code::manager as code;
use umbel_core::id::{AppName, ComponentId, ProviderId};
use umbel_core::link::{Contract, Distance, Link};
use umbel_lattice::control::{ComponentView, PartState, ProviderView};
use umbel_lattice::extension::provider::ByHand;

/// The words for the steps.
pub(super) fn kinds(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| {
        let debug = format!("{step:?}");
        debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    };
    steps.iter().map(word).collect()
}

/// Plans and does until nothing is left; fails when a second round still has steps.
fn converge(model: &mut Model, make: impl Fn(Owned) -> Desired, owned: Owned) -> (Plan, Owned) {
    let wanted = make(owned);
    let first = plan(&wanted, &model.seen_by(&wanted));
    for step in &first.steps {
        model.apply(step);
    }
    let wanted = make(first.owned.clone());
    let second = plan(&wanted, &model.seen_by(&wanted));
    assert_eq!(second.steps, Vec::new(), "the plan converges in one round");
    (first, second.owned)
}

#[test]
fn an_application_comes_changes_and_goes() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (first, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    assert_eq!(
        kinds(&first.steps),
        ["PutConfig", "PutConfig", "PutConfig", "StartProvider", "StartComponent", "PutLink"]
    );
    assert_eq!(
        owned.configs.iter().collect::<Vec<_>>(),
        ["SECRET_hello-token-0a461b15", "hello-address-b7826349", "hello-greeting-e7b995ef"]
    );
    let view = &model.hosts[&host_id("NA")].components[0];
    assert_eq!((view.id.as_str(), view.max_instances), ("hello-hello", 100));
    let annotations = view.annotations.as_ref().unwrap();
    assert_eq!((annotations[APPSPEC].as_str(), annotations[MANAGED_BY].as_str()), ("hello", "umbel"));

    let (update, owned) = converge(&mut model, |owned| desired(HELLO, 2, "two", owned), owned);
    assert!(matches!(&update.steps[..], [Step::ChangeProvider(_), Step::UpdateComponent(scale)]
        if scale.digest.as_deref() == Some("sha256:two") && scale.allow_update && scale.generation == Some(2)));

    let other = HELLO
        .replace("text: hi", "text: ho")
        .replace("image: ./hello.wasm", "image: ./hello.wasm\n        instance: reuse");
    let (update, owned) = converge(&mut model, |owned| desired(&other, 3, "two", owned), owned);
    assert_eq!(kinds(&update.steps), ["PutConfig", "RenewProvider", "UpdateComponent", "DelConfig"]);

    let (end, owned) = converge(&mut model, |owned| nothing(&hello().name, 4, owned), owned);
    assert_eq!(
        kinds(&end.steps),
        ["DelLink", "StopComponent", "StopProvider", "DelConfig", "DelConfig", "DelConfig"]
    );
    assert!(owned.is_empty());
    assert_eq!(model, Model::new(vec![inventory("NA", &[])]));
}

#[test]
fn scaling_only_scales() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let with = |count: u32| {
        HELLO.replacen(
            "    - name: http\n",
            &format!("      traits: [{{type: spreadscaler, properties: {{instances: {count}}}}}]\n    - name: http\n"),
            1,
        )
    };
    let (_, owned) = converge(&mut model, |owned| desired(&with(5), 1, "one", owned), Owned::default());
    let (scaled, owned) = converge(&mut model, |owned| desired(&with(7), 2, "one", owned), owned);
    assert!(matches!(&scaled.steps[..], [Step::RenewProvider(renewed), Step::ScaleComponent(scale)]
        if scale.count == 7 && renewed.generation == Some(2)));
    let (zero, _) = converge(&mut model, |owned| desired(&with(0), 3, "one", owned), owned);
    assert_eq!(kinds(&zero.steps), ["RenewProvider", "StopComponent"]);
}

#[test]
fn foreign_things_are_left_alone_and_named() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let host = model.hosts.get_mut(&host_id("NA")).unwrap();
    let mut wadms = ComponentView::new(ComponentId::new("hello-hello").unwrap(), "x.wasm", 1);
    let annotations = [(APPSPEC, "hello"), (MANAGED_BY, "wadm")];
    wadms.annotations = Some(annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    host.components.push(wadms);
    host.components.push(ComponentView::new(ComponentId::new("by-hand").unwrap(), "y.wasm", 1));
    host.providers.push(ProviderView::new(ProviderId::new("hello-http").unwrap(), "z"));
    model
        .configs
        .insert("hello-greeting-e7b995ef".into(), [("text".to_owned(), "another".to_owned())].into());
    model
        .configs
        .insert("hello-address-b7826349".into(), [("address".to_owned(), "127.0.0.1:0".to_owned())].into());
    model.links.push(Link {
        source_id: "hello-http".into(),
        target: "another".into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", &["incoming-handler"]),
        source_config: vec![],
        target_config: vec![],
        distance: Distance::Any,
    });
    let before = model.clone();
    let wanted = desired(HELLO, 1, "one", Owned::default());
    let found = plan(&wanted, &model.seen_by(&wanted));
    let codes: Vec<_> = found.problems.values().map(|problem| problem.code).collect();
    assert_eq!(codes, [code::CONFIG_TAKEN, code::ID_TAKEN, code::ID_TAKEN, code::LINK_TAKEN]);
    assert_eq!(kinds(&found.steps), ["PutConfig"], "only the secret's reference is new");
    for step in &found.steps {
        model.apply(step);
    }
    let end = nothing(&hello().name, 2, found.owned);
    for step in &plan(&end, &model.seen_by(&end)).steps {
        model.apply(step);
    }
    assert_eq!(model, before);
}

#[test]
fn a_config_made_by_hand_with_the_same_values_is_used_and_kept() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    model.configs.insert("hello-greeting-e7b995ef".into(), [("text".to_owned(), "hi".to_owned())].into());
    let (_, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    converge(&mut model, |owned| nothing(&hello().name, 2, owned), owned);
    assert_eq!(model.configs.keys().collect::<Vec<_>>(), ["hello-greeting-e7b995ef"]);
}

#[test]
fn without_hosts_nothing_is_done_and_nothing_forgotten() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    let wanted = desired(HELLO, 1, "one", owned.clone());
    let blind = crate::world::World::default();
    let found = plan(&wanted, &blind);
    assert!(found.steps.is_empty());
    assert_eq!(found.owned, owned);
    assert!(found.problems.values().all(|problem| problem.code == code::NO_HOST));
    let end = nothing(&hello().name, 2, owned.clone());
    let found = plan(&end, &blind);
    assert_eq!(found.owned.links, owned.links, "links that could not be looked at stay ours");
}

#[test]
fn a_deploy_tries_again_what_had_failed() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    for inventory in model.hosts.values_mut() {
        inventory.components[0].state = PartState::CrashLoop;
    }
    let same = desired(HELLO, 1, "one", owned.clone());
    assert!(plan(&same, &model.seen_by(&same)).steps.is_empty(), "the host restarts it, not the planner");
    let next = desired(HELLO, 2, "one", owned);
    assert_eq!(kinds(&plan(&next, &model.seen_by(&next)).steps), ["RenewProvider", "UpdateComponent"]);
}

#[test]
fn an_older_plan_moves_nothing_backwards() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    let stale = desired(HELLO, 2, "two", owned.clone());
    let stale_plan = plan(&stale, &model.seen_by(&stale));
    converge(&mut model, |owned| desired(HELLO, 3, "three", owned), owned);
    let components = model.hosts[&host_id("NA")].components.clone();
    for step in stale_plan.steps.iter().filter(|step| step.phase() == 2 || step.phase() == 5) {
        model.apply(step);
    }
    assert_eq!(model.hosts[&host_id("NA")].components, components);
}

#[test]
fn a_shared_part_that_is_missing_is_named() {
    let manifest = HELLO.replace(
        "properties: {image: builtin:http-server}",
        "properties: {application: {name: web, component: server}}",
    );
    let wanted = desired(&manifest, 1, "one", Owned::default());
    let model = Model::new(vec![inventory("NA", &[])]);
    let found = plan(&wanted, &model.seen_by(&wanted));
    assert_eq!(found.problems["http"].code, code::SHARED_PART_MISSING);
    assert!(!kinds(&found.steps).contains(&"PutLink".to_owned()));
}

#[test]
fn a_provider_has_the_budget_and_the_grants_of_its_manifest() {
    let manifest = HELLO.replace(
        "properties: {image: builtin:http-server}",
        "properties: {image: ./store.wasm, limits: {memory: 8MiB}, grants: {env: {A: b}}}",
    );
    let wanted = desired(&manifest, 1, "one", Owned::default());
    let model = Model::new(vec![inventory("NA", &[])]);
    let found = plan(&wanted, &model.seen_by(&wanted));
    let start = found.steps.iter().find_map(|step| match step {
        Step::StartProvider(start) => Some(start),
        _ => None,
    });
    let start = start.unwrap();
    assert_eq!(start.limits.as_ref().unwrap().memory_bytes_max, 8 << 20);
    assert_eq!(start.grants.as_ref().unwrap().env["A"], "b");
    assert_eq!(start.digest.as_deref(), Some("sha256:one"));
}

/// A manifest made of what a seed says: some parts, scalers, links and configs.
pub(super) fn any_manifest() -> impl Strategy<Value = String> {
    let part = (0u8..4, any::<bool>(), 0u8..3, 0u32..6, any::<bool>());
    proptest::collection::vec(part, 0..5).prop_map(|parts| {
        let mut text = String::from(
            "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: app}\nspec:\n  components:\n",
        );
        text.push_str("    - {name: base, type: component, properties: {image: base.wasm}}\n");
        for (index, (image, is_provider, scaler, count, is_labelled)) in parts.into_iter().enumerate() {
            let kind = if is_provider { "capability" } else { "component" };
            text.push_str(&format!("    - name: p{index}\n      type: {kind}\n      properties:\n"));
            text.push_str(&format!("        image: i{image}.wasm\n        config: [{{name: c{image}, properties: {{k: v{image}}}}}]\n"));
            text.push_str("      traits:\n");
            text.push_str(&format!("        - type: link\n          properties: {{namespace: a, package: b, interfaces: [x], target: {{name: base, config: [{{name: l{index}, properties: {{n: 'n{count}'}}}}]}}}}\n"));
            let spread = if is_labelled { ", spread: [{name: e, requirements: {zone: east}}, {name: w, weight: 50}]" } else { "" };
            match scaler {
                0 => {}
                1 => text.push_str(&format!("        - {{type: spreadscaler, properties: {{instances: {count}{spread}}}}}\n")),
                _ => text.push_str(&format!("        - {{type: daemonscaler, properties: {{instances: {count}{spread}}}}}\n")),
            }
        }
        text
    })
}

pub(super) fn any_model() -> impl Strategy<Value = Model> {
    proptest::collection::vec((any::<bool>(), 0usize..4), 1..5).prop_map(|hosts| {
        let make = |(index, (is_east, foreign)): (usize, (bool, usize))| {
            let zone = if is_east { "east" } else { "west" };
            let mut host = inventory(&format!("N{index}"), &[("zone", zone)]);
            for n in 0..foreign {
                let id = ComponentId::new(format!("foreign-{n}")).unwrap();
                host.components.push(ComponentView::new(id, "foreign.wasm", 1));
            }
            host
        };
        Model::new(hosts.into_iter().enumerate().map(make).collect())
    })
}

/// What is not the application's.
fn foreign(model: &Model) -> BTreeMap<String, Vec<String>> {
    let ids = |inventory: &umbel_lattice::control::Inventory| {
        let views = inventory.components.iter().filter(|view| view.annotations.is_none());
        views.map(|view| format!("{view:?}")).collect()
    };
    model.hosts.iter().map(|(id, inventory)| (id.to_string(), ids(inventory))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_versions_converges(
        manifests in proptest::collection::vec((any_manifest(), 0u8..3), 1..4),
        start in any_model(),
    ) {
        let mut model = start.clone();
        let mut owned = Owned::default();
        let strangers = foreign(&start);
        for (generation, (manifest, content)) in (1u64..).zip(&manifests) {
            let make = |owned| desired(manifest, generation, &content.to_string(), owned);
            let wanted = make(owned.clone());
            let world = model.seen_by(&wanted);
            let once = plan(&wanted, &world);
            prop_assert_eq!(&once, &plan(&wanted, &world), "the same input gives the same plan");
            prop_assert!(once.steps.is_sorted_by_key(Step::phase));
            owned = converge(&mut model, make, owned).1;
            let doubled = model.clone();
            for step in &once.steps {
                model.apply(step);
            }
            prop_assert_eq!(&model.configs, &doubled.configs, "doing it twice is doing it once");
            prop_assert_eq!(foreign(&model), strangers.clone());
            model = doubled;
        }
        let app = AppName::new("app").unwrap();
        let generation = u64::try_from(manifests.len()).unwrap() + 1;
        owned = converge(&mut model, |owned| nothing(&app, generation, owned), owned).1;
        prop_assert!(owned.is_empty());
        prop_assert_eq!(model, start, "an undeploy takes away all that was made, and nothing else");
    }

    #[test]
    fn a_plan_cut_off_anywhere_is_taken_up_again(
        manifest in any_manifest(), start in any_model(), cut in any::<proptest::sample::Index>(),
    ) {
        let mut model = start;
        let wanted = desired(&manifest, 1, "one", Owned::default());
        let first = plan(&wanted, &model.seen_by(&wanted));
        // What is owned is recorded before the first step.
        let owned = first.owned.clone();
        for step in first.steps.iter().take(cut.index(first.steps.len() + 1)) {
            model.apply(step);
        }
        converge(&mut model, |owned| desired(&manifest, 1, "one", owned), owned);
    }
}

#[test]
fn what_was_changed_by_hand_or_refused_is_left_alone_until_a_deploy() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = converge(&mut model, |owned| desired(HELLO, 1, "one", owned), Owned::default());
    let host = model.hosts.get_mut(&host_id("NA")).unwrap();
    host.providers[0].generation = Some(1);
    let untouched = host.providers[0].clone();
    let by_hand = ByHand { is_stopped: true, ..ByHand::default() };
    let refused = Problem::new(umbel_core::code::host::SWAP_REFUSED, "no");
    for (by_hand, problem, steps) in [
        // It is told of the deploy all the same: what is changed by hand afterwards is later than that.
        (None, None, &["RenewProvider"]),
        (Some(by_hand), None, &["ChangeProvider"]),
        (None, Some(refused), &["ChangeProvider"]),
    ] {
        let view = ProviderView { by_hand, problem, ..untouched.clone() };
        model.hosts.get_mut(&host_id("NA")).unwrap().providers[0] = view;
        let of = |generation: u64| {
            let wanted = desired(HELLO, generation, "one", owned.clone());
            kinds(&plan(&wanted, &model.seen_by(&wanted)).steps)
        };
        assert_eq!(of(1), Vec::<String>::new());
        assert_eq!(of(2), *steps);
    }
}

/// Two components and a provider, linked one after another, each with further traits.
fn chain([first, second, third]: [&str; 3], distance: &str) -> String {
    let link = |target: &str| {
        format!(
            "{{type: link, properties: {{target: {{name: {target}}}, namespace: a, package: b, interfaces: [c], distance: {distance}}}}}"
        )
    };
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: chain}}
spec:
  components:
    - {{name: third, type: capability, properties: {{image: 'builtin:keyvalue'}}, traits: [{third}]}}
    - {{name: second, type: component, properties: {{image: ./b.wasm}}, traits: [{}, {second}]}}
    - {{name: first, type: component, properties: {{image: ./a.wasm}}, traits: [{}, {first}]}}
",
        link("third"),
        link("second"),
    )
    .replace(", ]", "]")
}

const EDGES: &str =
    "{type: spreadscaler, properties: {instances: 2, spread: [{name: e, requirements: {side: edge}}]}}";
const HUB: &str =
    "{type: spreadscaler, properties: {instances: 1, spread: [{name: h, requirements: {side: hub}}]}}";

fn fleet() -> Model {
    Model::new(vec![
        inventory("NA", &[("side", "edge")]),
        inventory("NB", &[("side", "edge")]),
        inventory("NC", &[("side", "hub")]),
    ])
}

fn places(found: &crate::plan::Plan, part: &str) -> Vec<String> {
    let placement = found.placements.get(&format!("chain-{part}"));
    placement.into_iter().flat_map(|placement| placement.keys().map(ToString::to_string)).collect()
}

#[test]
fn parts_of_an_application_are_put_on_one_host_unless_it_says_otherwise() {
    let mut model = fleet();
    // Others crowd the first two hosts, so that the load alone would spread what follows.
    for host in ["NA", "NB"] {
        let view = ComponentView::new(ComponentId::new(format!("other-{host}")).unwrap(), "o.wasm", 1);
        model.hosts.get_mut(&host_id(host)).unwrap().components.push(view);
    }
    let wanted = desired(&chain(["", "", ""], "any"), 1, "one", Owned::default());
    let found = plan(&wanted, &model.seen_by(&wanted));
    for part in ["first", "second", "third"] {
        assert_eq!(places(&found, part), ["NC"], "{part}");
    }
    let wanted = desired(&chain(["", EDGES, ""], "any"), 1, "one", Owned::default());
    let found = plan(&wanted, &model.seen_by(&wanted));
    assert_eq!(places(&found, "second"), ["NA", "NB"]);
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

#[test]
fn a_local_link_keeps_its_ends_together() {
    let model = fleet();
    let planned = |traits| {
        let wanted = desired(&chain(traits, "local"), 1, "one", Owned::default());
        plan(&wanted, &model.seen_by(&wanted))
    };
    // Whoever has no scaler goes where its importers are, however many hosts that are.
    let found = planned([EDGES, "", ""]);
    for part in ["first", "second", "third"] {
        assert_eq!(places(&found, part), ["NA", "NB"], "{part}");
    }
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    // Scalers that tear them apart are told.
    let found = planned([EDGES, "", HUB]);
    assert_eq!(found.problems["third"].code, code::LOCAL_LINK_APART);
    assert!(found.problems["third"].message.contains("chain-second"), "{:?}", found.problems);
}
