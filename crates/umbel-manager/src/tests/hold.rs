use super::plan::{any_manifest, any_model, kinds};
use super::world::{HELLO, Model, desired, hello, host_id, inventory, nothing};
use crate::desired::Desired;
use crate::hold::{Parted, part};
use crate::plan::{Step, plan};
use crate::status::{Failures, status};
use crate::store::Owned;
use proptest::prelude::*;
use umbel_core::Problem;
use umbel_core::code::runtime;
use umbel_lattice::control::{ComponentView, Endpoint, PartState};
use umbel_lattice::wadm::StatusType;

/// One component of that name behind an HTTP server.
fn serving(name: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: app}}\nspec:\n  components:\n    \
         - {{name: {name}, type: component, properties: {{image: ./{name}.wasm, config: [{{name: {name}-values, properties: {{k: v}}}}]}}}}\n    \
         - name: http\n      type: capability\n      properties: {{image: 'builtin:http-server'}}\n      traits:\n        \
         - {{type: link, properties: {{namespace: wasi, package: http, interfaces: [incoming-handler], target: {name}}}}}\n"
    )
}

fn parted(model: &Model, wanted: &Desired) -> Parted {
    let world = model.seen_by(wanted);
    part(wanted, &world, &plan(wanted, &world), &Failures::new())
}

/// Does what may be done until nothing may be done any more. New components come to the state that `comes` says.
fn go(
    model: &mut Model,
    make: &dyn Fn(Owned) -> Desired,
    mut owned: Owned,
    comes: &dyn Fn(&str) -> PartState,
) -> (Parted, Owned) {
    for _ in 0..6 {
        let wanted = make(owned);
        owned = plan(&wanted, &model.seen_by(&wanted)).owned;
        let parted = parted(model, &wanted);
        if parted.now.is_empty() {
            return (parted, owned);
        }
        for step in &parted.now {
            model.apply(step);
            if let Step::StartComponent(scale) | Step::UpdateComponent(scale) = step {
                view(model, scale.host_id.as_str(), scale.component_id.as_str()).state =
                    comes(scale.component_id.as_str());
            }
        }
    }
    panic!("it does not come to an end");
}

fn view<'a>(model: &'a mut Model, host: &str, id: &str) -> &'a mut ComponentView {
    let components = &mut model.hosts.get_mut(&host_id(host)).unwrap().components;
    components.iter_mut().find(|view| view.id.as_str() == id).unwrap()
}

fn running(_: &str) -> PartState {
    PartState::Running
}

#[test]
fn the_old_part_serves_until_the_new_one_runs() {
    use PartState::{BackingOff, Compiling, Completed, CrashLoop, Failed, Running, Starting, Unknown};
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (end, owned) =
        go(&mut model, &|owned| desired(&serving("a"), 1, "1", owned), Owned::default(), &running);
    assert_eq!(end, Parted::default());
    let second = |owned| desired(&serving("b"), 2, "1", owned);
    let first = parted(&model, &second(owned.clone()));
    assert_eq!(kinds(&first.now), ["PutConfig", "RenewProvider", "StartComponent"]);
    let waiting = ["PutLink", "StopComponent", "DelConfig"];
    assert_eq!(kinds(&first.later), waiting);
    for (state, is_up) in [
        (Starting, false),
        (Compiling, false),
        (BackingOff, false),
        (CrashLoop, false),
        (Failed, false),
        (Running, true),
        (Completed, true),
        // Hosts of wasmCloud 1.x do not say it.
        (Unknown, true),
    ] {
        let mut model = model.clone();
        let (end, _) = go(&mut model, &second, owned.clone(), &|_| state);
        let awaited: &[&str] = if is_up { &[] } else { &["b"] };
        assert_eq!(end.awaited, awaited, "{state}");
        let left: &[&str] = if is_up { &[] } else { &waiting };
        assert_eq!(kinds(&end.later), left, "{state}");
        let target = if is_up { "app-b" } else { "app-a" };
        assert_eq!(model.links[0].target, target, "{state}");
    }
}

#[test]
fn a_link_turns_at_once_where_nothing_serves_behind_it() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) =
        go(&mut model, &|owned| desired(&serving("a"), 1, "1", owned), Owned::default(), &running);
    view(&mut model, "NA", "app-a").state = PartState::CrashLoop;
    let (end, _) =
        go(&mut model, &|owned| desired(&serving("b"), 2, "1", owned), owned, &|_| PartState::Failed);
    assert_eq!(kinds(&end.later), ["StopComponent", "DelConfig"]);
    assert_eq!(model.links[0].target, "app-b");
}

#[test]
fn a_provider_that_is_about_to_be_another_is_not_yet_as_it_was_ordered() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let make = |owned| desired(&serving("a"), 1, "1", owned);
    let (_, owned) = go(&mut model, &make, Owned::default(), &running);
    let wanted = make(owned);
    for is_moving in [true, false] {
        let view = &mut model.hosts.get_mut(&host_id("NA")).unwrap().providers[0];
        view.is_moving = is_moving;
        let component = wanted.links[0].target.clone();
        view.endpoints = vec![Endpoint { component, url: "http://app.localhost".into() }];
        let world = model.seen_by(&wanted);
        let planned = plan(&wanted, &world);
        let status = status(&wanted, &world, &planned, &Failures::new());
        let (kind, awaited): (_, &[&str]) =
            if is_moving { (StatusType::Reconciling, &["http"]) } else { (StatusType::Deployed, &[]) };
        assert_eq!(status.status.kind, kind, "{:?}", status.status);
        assert_eq!(parted(&model, &wanted).awaited, awaited);
        assert_eq!(status.status.message.contains("another"), is_moving, "{}", status.status.message);
    }
}

#[test]
fn links_of_an_update_wait_for_it_and_a_refused_one_keeps_what_it_has() {
    let with = |name: &str| {
        HELLO.replace("address: \"127.0.0.1:0\"", &format!("address: \"{name}\"")).replace(
        "    - name: http\n",
        &format!(
            "      traits: [{{type: link, properties: {{namespace: wasi, package: keyvalue, interfaces: [store], target: {{name: http, config: [{{name: kv, properties: {{bucket: {name}}}}}]}}}}}}]\n    - name: http\n"
        ),
    )
    };
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) =
        go(&mut model, &|owned| desired(&with("one"), 1, "one", owned), Owned::default(), &running);
    let second = |owned| desired(&with("two"), 2, "two", owned);
    let refused = Problem::new(runtime::NOT_WASM, "it is not wasm");
    for (problem, serving) in [(Some(refused), None), (None, Some(1))] {
        let mut model = model.clone();
        let wanted = second(owned.clone());
        for step in &parted(&model, &wanted).now {
            model.apply(step);
        }
        let hello = view(&mut model, "NA", "hello-hello");
        (hello.problem, hello.generation_serving) = (problem, serving);
        let end = parted(&model, &wanted);
        assert_eq!((end.now.len(), end.awaited), (0, vec!["hello".to_owned()]), "{serving:?}");
        let hello = view(&mut model, "NA", "hello-hello");
        (hello.problem, hello.generation_serving) = (None, Some(2));
        assert_eq!(parted(&model, &wanted).awaited, Vec::<String>::new());
        assert_eq!(go(&mut model, &second, owned.clone(), &running).0, Parted::default());
    }
}

#[test]
fn what_is_wanted_to_stop_stops_whatever_else_fails() {
    let two = |count: u32| {
        format!(
            "{}    - {{name: c, type: component, properties: {{image: c.wasm}}, traits: [{{type: spreadscaler, properties: {{instances: {count}}}}}]}}\n",
            serving("a")
        )
    };
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = go(&mut model, &|owned| desired(&two(1), 1, "1", owned), Owned::default(), &running);
    view(&mut model, "NA", "app-a").state = PartState::CrashLoop;
    let zero = |owned| desired(&two(0), 2, "1", owned);
    let (_, owned) = go(&mut model, &zero, owned, &|_| PartState::CrashLoop);
    assert!(model.hosts[&host_id("NA")].components.iter().all(|view| view.id.as_str() != "app-c"));
    let (end, _) = go(
        &mut model,
        &|owned| nothing(&desired(&two(0), 3, "1", owned.clone()).name, 3, owned),
        owned,
        &running,
    );
    assert_eq!(end, Parted::default());
    assert_eq!(model, Model::new(vec![inventory("NA", &[])]));
}

#[test]
fn links_go_first_and_configs_last() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) = go(&mut model, &|owned| desired(HELLO, 1, "one", owned), Owned::default(), &running);
    let wanted = nothing(&hello().name, 2, owned);
    let end = parted(&model, &wanted);
    let configs = ["DelConfig", "DelConfig", "DelConfig"];
    assert_eq!(kinds(&end.now), ["DelLink"]);
    assert_eq!(kinds(&end.later), [&["StopComponent", "StopProvider"][..], &configs].concat());
    assert!(end.awaited.is_empty());
    // A link that cannot be deleted keeps nothing running.
    let world = model.seen_by(&wanted);
    let failures = [(end.now[0].subject(), Problem::new(runtime::NOT_WASM, "it is damaged"))].into();
    let end = part(&wanted, &world, &plan(&wanted, &world), &failures);
    assert_eq!(kinds(&end.now), ["DelLink", "StopComponent", "StopProvider"]);
    // And a provider that has not followed yet is waited for.
    model.links.clear();
    let url = "http://hello.localhost:8000".to_owned();
    let shown = vec![Endpoint { component: "hello-hello".into(), url }];
    model.hosts.get_mut(&host_id("NA")).unwrap().providers[0].endpoints = shown;
    let end = parted(&model, &wanted);
    assert_eq!((end.now.len(), end.awaited.len()), (0, 0));
    model.hosts.get_mut(&host_id("NA")).unwrap().providers[0].endpoints.clear();
    let end = parted(&model, &wanted);
    assert_eq!(kinds(&end.now), ["StopComponent", "StopProvider"]);
    assert_eq!(kinds(&end.later), configs);
}

#[test]
fn a_provider_that_does_not_take_its_links_keeps_nobody_waiting() {
    let mut model = Model::new(vec![inventory("NA", &[])]);
    let (_, owned) =
        go(&mut model, &|owned| desired(&serving("a"), 1, "1", owned), Owned::default(), &running);
    let host = model.hosts.get_mut(&host_id("NA")).unwrap();
    host.providers[0].problem = Some(Problem::new(runtime::NOT_WASM, "another one has that address"));
    let (end, _) = go(&mut model, &|owned| desired(&serving("b"), 2, "1", owned), owned, &running);
    assert_eq!(end, Parted::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_update_ends_and_takes_nothing_from_what_serves_while_a_part_fails(
        first in any_manifest(), second in any_manifest(), start in any_model(), bad in 0usize..6,
    ) {
        let mut model = start;
        let (_, owned) = go(&mut model, &|owned| desired(&first, 1, "1", owned), Owned::default(), &running);
        let before = model.clone();
        let fails = format!("app-p{bad}");
        let comes = |id: &str| if id == fails { PartState::Failed } else { PartState::Running };
        let make = |owned| desired(&second, 2, "2", owned);
        let (end, owned) = go(&mut model, &make, owned, &comes);
        prop_assert!(end.later.is_empty() || !end.awaited.is_empty());
        if end.awaited.iter().any(|name| format!("app-{name}") == fails) {
            let ids: Vec<&str> = end.awaited.iter().map(String::as_str).collect();
            let wanted = make(owned.clone());
            for (host, inventory) in &before.hosts {
                for view in &inventory.components {
                    let is_dropped = wanted.parts.iter().all(|part| part.id != view.id.as_str());
                    let there = model.hosts[host].components.iter().any(|other| other.id == view.id);
                    prop_assert!(!is_dropped || there, "{} is gone while {ids:?} do not run", view.id);
                }
            }
        }
        // Once it runs after all, only what no host can take stands in the way.
        for inventory in model.hosts.values_mut() {
            inventory.components.iter_mut().for_each(|view| view.state = PartState::Running);
        }
        let (end, _) = go(&mut model, &make, owned, &running);
        let wanted = make(Owned::default());
        let has_no_place = |name: &String| {
            let found = plan(&wanted, &model.seen_by(&wanted));
            found.problems.contains_key(name)
        };
        prop_assert!(end.awaited.iter().all(has_no_place), "{:?}", end.awaited);
    }
}
