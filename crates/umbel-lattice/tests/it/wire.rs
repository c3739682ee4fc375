//! Payloads recorded from wasmCloud 1.9.2 and wadm 0.21.1: our types read them, and write the same JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use umbel_core::Problem;
use umbel_core::code::lattice::NO_RESPONDERS;
use umbel_core::id::{ComponentId, HostId};
use umbel_core::limits::Limits;
use umbel_core::link::{Distance, Link, LinkKey, Values};
use umbel_lattice::control::{
    ComponentAuction, ComponentAuctionAck, ComponentView, CtlResponse, Host, Inventory, LabelKey, LabelValue,
    PartState, ProviderAuction, ProviderAuctionAck, Scale, StartProvider, StopHost, StopProvider, Update,
    Usage, link_body, links_body,
};
use umbel_lattice::wadm;

type Claims = Vec<BTreeMap<String, String>>;

fn same<T: DeserializeOwned + Serialize>(json: &Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
    serde_json::to_value(read).map_err(|e| e.to_string())
}

fn same_link(json: &Value) -> Result<Value, String> {
    let read: Link = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
    Ok(link_body(&read))
}

fn same_links(json: &Value) -> Result<Value, String> {
    let read: CtlResponse<Vec<Link>> = serde_json::from_value(json.clone()).map_err(|e| e.to_string())?;
    let links = read.response.ok_or("no links")?;
    let answer = CtlResponse { response: Some(links_body(&links)), ..CtlResponse::accepted(read.message) };
    serde_json::to_value(answer).map_err(|e| e.to_string())
}

fn read_and_write(kind: &str, json: &Value) -> Result<Value, String> {
    match kind {
        "CtlResponse" => same::<CtlResponse<Value>>(json),
        "CtlResponse<Host>" => same::<CtlResponse<Host>>(json),
        "CtlResponse<Inventory>" => same::<CtlResponse<Inventory>>(json),
        "CtlResponse<Values>" => same::<CtlResponse<Values>>(json),
        "CtlResponse<Claims>" => same::<CtlResponse<Claims>>(json),
        "CtlResponse<Links>" => same_links(json),
        "CtlResponse<ComponentAuctionAck>" => same::<CtlResponse<ComponentAuctionAck>>(json),
        "CtlResponse<ProviderAuctionAck>" => same::<CtlResponse<ProviderAuctionAck>>(json),
        "Inventory" => same::<Inventory>(json),
        "Values" => same::<Values>(json),
        "Scale" => same::<Scale>(json),
        "Update" => same::<Update>(json),
        "StartProvider" => same::<StartProvider>(json),
        "StopProvider" => same::<StopProvider>(json),
        "StopHost" => same::<StopHost>(json),
        "ComponentAuction" => same::<ComponentAuction>(json),
        "ProviderAuction" => same::<ProviderAuction>(json),
        "LabelValue" => same::<LabelValue>(json),
        "LabelKey" => same::<LabelKey>(json),
        "Link" => same_link(json),
        "LinkKey" => same::<LinkKey>(json),
        "PutReply" => same::<wadm::PutReply>(json),
        "List" => same::<Vec<wadm::Summary>>(json),
        "GetReply" => same::<wadm::GetReply>(json),
        "DelReply" => same::<wadm::DelReply>(json),
        "VersionsReply" => same::<wadm::VersionsReply>(json),
        "VersionRequest" => same::<wadm::VersionRequest>(json),
        "DeployReply" => same::<wadm::DeployReply>(json),
        "StatusReply" => same::<wadm::StatusReply>(json),
        other => Err(format!("no type for {other}")),
    }
}

#[test]
fn recorded_payloads_are_read_and_written_the_same() {
    let recorded = include_str!("../data/wasmcloud-1.9.2.jsonl");
    let mut kinds = BTreeSet::new();
    for line in recorded.lines() {
        let row: Value = serde_json::from_str(line).expect("a line of JSON");
        let kind = row["type"].as_str().expect("a type");
        let ours =
            read_and_write(kind, &row["json"]).unwrap_or_else(|e| panic!("{kind}: {e}: {}", row["json"]));
        assert_eq!(ours, row["json"], "{kind}");
        kinds.insert(kind.to_string());
    }
    assert_eq!(kinds.len(), 29, "every kind is recorded: {kinds:?}");
}

#[test]
fn extensions_travel_and_are_left_out_by_default() {
    let host = HostId::new("NHOST").expect("an id");
    let component = ComponentId::new("hello").expect("an id");
    let mut scale = Scale::new(host, component.clone(), "file:///hello.wasm", 3);
    let plain = serde_json::to_value(&scale).expect("JSON");
    assert_eq!(
        plain,
        json!({"component_ref": "file:///hello.wasm", "component_id": "hello", "count": 3, "host_id": "NHOST",
               "config": [], "allow_update": false})
    );
    scale.limits = Some(Limits::default());
    scale.generation = Some(7);
    scale.digest = Some("sha256:00".into());
    let back: Scale = serde_json::from_value(serde_json::to_value(&scale).expect("JSON")).expect("a scale");
    assert_eq!(back, scale);

    let mut view = ComponentView::new(component, "file:///hello.wasm", 3);
    view.state = PartState::CrashLoop;
    view.problem = Some(Problem::new(NO_RESPONDERS, "nobody"));
    view.usage = Usage { calls: 9, ..Usage::default() };
    let value = serde_json::to_value(&view).expect("JSON");
    assert_eq!(value["state"], "crash-loop");
    assert_eq!(value["usage"]["calls"], 9);
    assert_eq!(serde_json::from_value::<ComponentView>(value).expect("a view"), view);
    let newer = json!({"id": "a", "image_ref": "b", "max_instances": 1, "state": "a-word-of-later"});
    assert_eq!(serde_json::from_value::<ComponentView>(newer).expect("a view").state, PartState::Unknown);

    for state in
        ["starting", "compiling", "running", "backing-off", "draining", "completed", "stopped", "failed"]
    {
        let read: PartState = serde_json::from_value(json!(state)).expect("a state");
        assert_eq!(read.as_str(), state);
    }
}

#[test]
fn a_link_keeps_a_distance_that_is_not_the_default() {
    let link: Link = serde_json::from_value(json!({
        "source_id": "a", "target": "b", "wit_namespace": "wasi", "wit_package": "http", "interfaces": ["incoming-handler"],
        "distance": "local",
    }))
    .expect("a link");
    assert_eq!(link.distance, Distance::Local);
    assert_eq!(link_body(&link)["distance"], "local");
    assert_eq!(link_body(&link)["name"], "default");
}

#[test]
fn a_scale_with_little_in_it_means_stop() {
    let stop: Scale =
        serde_json::from_value(json!({"component_ref": "r", "component_id": "c", "host_id": "N"}))
            .expect("a scale");
    assert_eq!((stop.count, stop.allow_update), (0, false));
    let limits: Scale =
        serde_json::from_value(json!({"component_ref": "r", "component_id": "c", "host_id": "N",
        "component_limits": {"max_memory_limit": "1024", "max_execution_time": 5}}))
        .expect("a scale");
    let limits = limits.component_limits.expect("limits");
    assert_eq!((limits.memory_bytes_max(), limits.call_ms_max()), (Some(1024), Some(5)));
    let by_ref: StopProvider =
        serde_json::from_value(json!({"host_id": "N", "provider_ref": "p"})).expect("a stop");
    assert_eq!(by_ref.provider_id.as_str(), "p");
}
