//! Applications of different shapes, and what of them is to be where.

use crate::fake::State;
use std::collections::{BTreeMap, BTreeSet};

/// How many there are.
pub(super) const APPS: usize = 10;

/// The label of hosts, by their numbers.
pub(super) const ZONES: [&str; 4] = ["a", "b", "c", "d"];

const IMAGE: &str = "{image: ./hello.wasm}";
const KEYVALUE: &str =
    "target: {name: store}, namespace: wasi, package: keyvalue, interfaces: [store], distance: local";
const HTTP: &str =
    "target: {name: web}, namespace: wasi, package: http, interfaces: [incoming-handler], distance: local";

pub(super) fn name(app: usize) -> String {
    format!("app{app}")
}

/// The manifest of a version; versions differ in how many they want.
pub(super) fn manifest(app: usize, version: u64) -> String {
    let count = count(app, version);
    let scaler = |kind: &str, spread: &str| {
        format!("        - {{type: {kind}, properties: {{instances: {count}, spread: [{spread}]}}}}\n")
    };
    let web = format!("    - name: web\n      type: component\n      properties: {IMAGE}\n");
    let store = "    - {name: store, type: capability, properties: {image: 'builtin:keyvalue'}}\n";
    let link = format!("        - {{type: link, properties: {{{KEYVALUE}}}}}\n");
    let parts = match app % 5 {
        0 => format!("{web}      traits:\n{}", scaler("spreadscaler", "")),
        1 => {
            let rule = |zone: &str, weight: u32| {
                format!("{{name: {zone}, weight: {weight}, requirements: {{zone: {zone}}}}}")
            };
            let rules = format!("{}, {}", rule("a", 70), rule("b", 30));
            format!("{web}      traits:\n{}", scaler("spreadscaler", &rules))
        }
        2 => format!("{web}      traits:\n{}", scaler("daemonscaler", "{name: c, requirements: {zone: c}}")),
        3 => format!(
            "{web}      traits:\n{link}{store}    - name: http\n      type: capability\n      properties: \
             {{image: 'builtin:http-server'}}\n      traits:\n        - {{type: link, properties: {{{HTTP}}}}}\n"
        ),
        _ => format!("{web}      traits:\n{link}{}{store}", scaler("spreadscaler", "")),
    };
    let name = name(app);
    format!(
        "apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {{name: {name}, annotations: {{version: v{version}}}}}\nspec:\n  \
         components:\n{parts}"
    )
}

fn count(app: usize, version: u64) -> u32 {
    let more = u32::try_from(version % 7).expect("it is small");
    match app % 5 {
        0 => 20 + 5 * more,
        1 => 10 * (1 + more),
        2 => 1 + more,
        _ => 3 + more,
    }
}

/// What is wrong with where the parts of an application are, if anything is. No version is one that is not deployed.
pub(super) fn wrong(state: &State, app: usize, version: Option<u64>) -> Option<String> {
    let (web, store, http) =
        (places(state, app, "web"), places(state, app, "store"), places(state, app, "http"));
    let Some(version) = version else {
        let is_gone = web.is_empty() && store.is_empty() && http.is_empty();
        return (!is_gone).then(|| format!("it is not deployed, and runs: {web:?} {store:?} {http:?}"));
    };
    let wanted = count(app, version);
    let total: u32 = web.values().sum();
    let in_zone = |zone: &str| -> u32 {
        web.iter().filter(|(host, _)| state.hosts[*host].labels["zone"] == zone).map(|(_, count)| count).sum()
    };
    let hosts = |places: &BTreeMap<String, u32>| places.keys().cloned().collect::<BTreeSet<_>>();
    let is_right = match app % 5 {
        0 => total == wanted,
        1 => total == wanted && in_zone("a") == wanted / 10 * 7 && in_zone("b") == wanted / 10 * 3,
        2 => {
            let zone: BTreeSet<String> = state
                .hosts
                .values()
                .filter(|host| host.labels["zone"] == "c")
                .map(|host| host.host_id.to_string())
                .collect();
            hosts(&web) == zone && web.values().all(|count| *count == wanted)
        }
        3 => web.len() == 1 && hosts(&web) == hosts(&store) && hosts(&web) == hosts(&http),
        _ => total == wanted && hosts(&web) == hosts(&store),
    };
    (!is_right).then(|| format!("v{version} wants {wanted}; web {web:?}, store {store:?}, http {http:?}"))
}

/// How many instances of a part run on which hosts.
fn places(state: &State, app: usize, part: &str) -> BTreeMap<String, u32> {
    let id = format!("{}-{part}", name(app));
    let on = |host: &umbel_lattice::control::Inventory| {
        let component =
            host.components.iter().find(|view| view.id.as_str() == id).map(|view| view.max_instances);
        component.or_else(|| host.providers.iter().any(|view| view.id.as_str() == id).then_some(1))
    };
    state.hosts.iter().filter_map(|(host, view)| Some((host.clone(), on(view)?))).collect()
}

/// Where the component of an application runs, and where it has the store that it has a local link to.
pub(super) fn pair(state: &State, app: usize) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let hosts = |part| places(state, app, part).into_keys().collect();
    (app % 5 >= 3).then(|| (hosts("web"), hosts("store")))
}
