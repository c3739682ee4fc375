//! Orders: the control subjects of wasmCloud 1.x (`facts/wasmcloud.md` §4.1, §4.2) and our own beside them.

use crate::error::HostError;
use crate::fetch::{Fetched, fetch};
use crate::provider::{self, ProviderSlot};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::{component, event_log, inventory};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::select_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::Semaphore;
use umbel_core::event::{ConfigName, Fact, LabelsChanged, LinkdefDeleted, LinkdefSet};
use umbel_core::id::HostId;
use umbel_core::link::{Link, LinkKey, Values};
use umbel_core::reference::Reference;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{
    ComponentAuction, ComponentAuctionAck, CtlResponse, LabelKey, LabelValue, ProviderAuction,
    ProviderAuctionAck, RegistryPut, Scale, StartProvider, StopHost, StopProvider, Update, links_body,
    parse_request,
};
use umbel_lattice::extension::{ComponentInspect, EventsRequest, LogsRequest, Pinned, ReferenceRequest};
use umbel_lattice::subjects::{ctl, umbel};
use umbel_lattice::{Message, Subscription};
use umbel_provider::Factory;
use umbel_supervisor::ChildContext;

/// Orders that are worked on at the same moment.
const AT_ONCE: usize = 64;

/// The child that takes orders.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let mut orders = select_all(subscribe(&shared).await.map_err(|e| Problem::from(&e))?);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    cx.ready.notify();
    loop {
        let message = tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            message = orders.next() => match message {
                Some(message) => message,
                None => return Err(Problem::from(&HostError::Away { part: "orders" })),
            },
        };
        let place = tokio::select! {
            () = cx.stop.requested() => return Ok(()),
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { return Ok(()) };
        let shared = shared.clone();
        cx.scope.spawn(async move {
            if let Some(answer) = dispatch(&shared, &message).await
                && let Err(error) = shared.lattice.respond(&message, answer).await
            {
                tracing::debug!(%error, subject = message.subject, "an answer was not taken");
            }
            drop(place);
        });
    }
}

async fn subscribe(shared: &Shared) -> umbel_lattice::Result<Vec<Subscription>> {
    let (lattice, name, id) = (&shared.lattice, &shared.config.lattice, &shared.id);
    Ok(vec![
        lattice.subscribe(&ctl::host_ping(name)).await?,
        lattice.subscribe(&ctl::host_any(name, id)).await?,
        lattice.subscribe(&ctl::component_any(name, id)).await?,
        lattice.subscribe(&ctl::provider_any(name, id)).await?,
        lattice.subscribe(&ctl::label_any(name, id)).await?,
        lattice.subscribe(&ctl::component_auction(name)).await?,
        lattice.subscribe(&ctl::provider_auction(name)).await?,
        lattice.subscribe(&ctl::registry_put(name)).await?,
        lattice.queue_subscribe(&ctl::link_any(name), &ctl::link_group(name)).await?,
        lattice.queue_subscribe(&ctl::claims_get(name), &ctl::claims_group(name)).await?,
        lattice.queue_subscribe(&ctl::config_any(name), &ctl::config_group(name)).await?,
        lattice.subscribe(&umbel::host_any(name, id)).await?,
    ])
}

/// Routes by the words of the subject after its prefix.
async fn dispatch(shared: &Arc<Shared>, message: &Message) -> Option<Bytes> {
    let subject = message.subject.as_str();
    let ours = format!("umbel.v1.{}.host.{}.", shared.config.lattice, shared.id);
    if let Some(what) = subject.strip_prefix(&ours) {
        return Some(extension(shared, message, what).await);
    }
    let prefix = format!("wasmbus.ctl.v1.{}.", shared.config.lattice);
    let words: Vec<&str> = subject.strip_prefix(&prefix)?.splitn(3, '.').collect();
    Some(match words.as_slice() {
        ["host", "ping"] => CtlResponse::with(inventory::host(shared)).to_bytes(),
        ["host", "get", _] => CtlResponse::with(inventory::inventory(shared)).to_bytes(),
        ["host", "stop", _] => reply(stop_host(shared, message)),
        ["component", "scale", _] => reply(scale(shared, message).await),
        ["component", "update", _] => reply(update(shared, message).await),
        ["component", "auction"] => return component_auction(shared, message),
        ["provider", "start", _] => reply(start_provider(shared, message).await),
        ["provider", "stop", _] => reply(stop_provider(shared, message).await),
        ["provider", "auction"] => return provider_auction(shared, message),
        ["label", "put", _] => reply(put_label(shared, message).await),
        ["label", "del", _] => reply(del_label(shared, message).await),
        ["link", "put"] => reply(put_link(shared, message).await),
        ["link", "del"] => reply(del_link(shared, message).await),
        ["link", "get"] => {
            value(shared.records().links().await.map(|l| links_body(&l)).map_err(|e| Problem::from(&e)))
        }
        ["claims", "get"] => CtlResponse::with(claims(shared)).to_bytes(),
        ["config", "put", name] => reply(put_config(shared, message, name).await),
        ["config", "get", name] => get_config(shared, name).await,
        ["config", "del", name] => reply(del_config(shared, name).await),
        ["registry", "put"] => {
            reply(parse::<RegistryPut>(message).map(|_| "registry credentials are taken note of".into()))
        }
        _ => CtlResponse::<()>::unsupported().to_bytes(),
    })
}

async fn extension(shared: &Arc<Shared>, message: &Message, what: &str) -> Bytes {
    match what {
        "tree" => match shared.root() {
            Some(root) => value(
                serde_json::to_value(&*root.tree())
                    .map_err(|e| Problem::from(&HostError::Invalid { reason: e.to_string() })),
            ),
            None => CtlResponse::<()>::failed(&HostError::Away { part: "tree" }).to_bytes(),
        },
        "drain" => reply(drain(shared).await),
        "artifact.pin" => value(pin(shared, message).await),
        "inspect" => value(inspect(shared, message).await),
        "logs" => match parse::<LogsRequest>(message) {
            Ok(request) => value(shared.logs.history(request).await.map_err(|e| Problem::from(&e))),
            Err(problem) => CtlResponse::<()>::refused(problem).to_bytes(),
        },
        "events" => match parse::<EventsRequest>(message) {
            Ok(request) => value(event_log::history(shared, request).await.map_err(|e| Problem::from(&e))),
            Err(problem) => CtlResponse::<()>::refused(problem).to_bytes(),
        },
        _ => CtlResponse::<()>::unsupported().to_bytes(),
    }
}

type Said = Result<String, Problem>;

fn reply(said: Said) -> Bytes {
    match said {
        Ok(text) => CtlResponse::<()>::accepted(text).to_bytes(),
        Err(problem) => CtlResponse::<()>::refused(problem).to_bytes(),
    }
}

fn value<T: Serialize>(result: Result<T, Problem>) -> Bytes {
    match result {
        Ok(value) => CtlResponse::with(value).to_bytes(),
        Err(problem) => CtlResponse::<T>::refused(problem).to_bytes(),
    }
}

fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, Problem> {
    parse_request(message).map_err(Problem::from)
}

fn check_host(shared: &Shared, given: &HostId) -> Result<(), HostError> {
    if *given == shared.id {
        return Ok(());
    }
    Err(HostError::WrongHost { given: given.to_string(), this: shared.id.to_string() })
}

fn stop_host(shared: &Shared, message: &Message) -> Said {
    if let Some(request) = parse::<Option<StopHost>>(message)? {
        check_host(shared, &request.host_id).map_err(|e| Problem::from(&e))?;
    }
    shared.stop_requested.request();
    Ok("the host is stopping".into())
}

async fn scale(shared: &Arc<Shared>, message: &Message) -> Said {
    let order: Scale = parse(message)?;
    set_component(shared, order).await
}

async fn update(shared: &Arc<Shared>, message: &Message) -> Said {
    let order: Update = parse(message)?;
    check_host(shared, &order.host_id).map_err(|e| Problem::from(&e))?;
    let id = order.component_id.to_string();
    let slot = shared.slot(&id).ok_or_else(|| Problem::from(&HostError::UnknownComponent { id }))?;
    let mut next = slot.desired.borrow().as_ref().clone();
    next.component_ref = order.new_component_ref;
    next.digest = None;
    next.allow_update = true;
    if order.annotations.is_some() {
        next.annotations = order.annotations;
    }
    set_component(shared, next).await
}

/// Starts, changes or stops a component. The work itself is done by the component's child.
async fn set_component(shared: &Arc<Shared>, order: Scale) -> Said {
    check_host(shared, &order.host_id).map_err(|e| Problem::from(&e))?;
    let id = order.component_id.clone();
    loop {
        let existing = shared.slot(id.as_str());
        let slot = existing.clone().unwrap_or_else(|| Arc::new(Slot::new(order.clone())));
        // Orders for one id follow one another: a stop would else take away what a newer order has set meanwhile.
        let _turn = slot.turn.lock().await;
        if existing.is_none() {
            if order.count == 0 {
                return Ok(format!("component {id} does not run here"));
            }
            shared.check_open().map_err(|e| Problem::from(&e))?;
            if add(&shared.slots, &id, &slot) {
                return start_component(shared, &slot).await;
            }
        } else if shared.slot(id.as_str()).is_some_and(|now| Arc::ptr_eq(&now, &slot)) {
            return change_component(shared, &slot, order).await;
        }
        // Another order was quicker, to start it or to stop it; this one is judged by what that one left.
    }
}

async fn start_component(shared: &Arc<Shared>, slot: &Arc<Slot>) -> Said {
    let started = match shared.branch(component::BRANCH) {
        Ok(branch) => branch.add_child(component::child(shared, slot)).await.map_err(|e| Problem::from(&e)),
        Err(error) => Err(Problem::from(&error)),
    };
    if started.is_err() {
        remove(&shared.slots, &slot.id);
    }
    shared.components.send_replace(());
    started.map(|()| format!("component {} is being scaled", slot.id))
}

async fn change_component(shared: &Arc<Shared>, slot: &Arc<Slot>, mut order: Scale) -> Said {
    let id = &slot.id;
    let now = slot.desired.borrow().clone();
    check_generation(id.as_str(), now.generation, order.generation).map_err(|e| Problem::from(&e))?;
    if order.count == 0 {
        return stop_component(shared, slot).await;
    }
    shared.check_open().map_err(|e| Problem::from(&e))?;
    // wasmCloud leaves the image alone unless an update is allowed.
    if order.component_ref != now.component_ref && !order.allow_update {
        order.component_ref.clone_from(&now.component_ref);
        order.digest.clone_from(&now.digest);
    }
    slot.desired.send_replace(Arc::new(order));
    wake(shared, slot).await?;
    Ok(format!("component {id} is being scaled"))
}

/// A new order revives a component that has given up.
async fn wake(shared: &Arc<Shared>, slot: &Arc<Slot>) -> Result<(), Problem> {
    use umbel_supervisor::State;
    let branch = shared.branch(component::BRANCH).map_err(|e| Problem::from(&e))?;
    let down = branch.tree().find(&[slot.id.as_str()]).is_some_and(|node| {
        matches!(node.state, State::CrashLoop | State::BackingOff { .. } | State::Completed | State::Stopped)
    });
    if down {
        // Its own failure, if it fails again, is shown by its status.
        let _ = branch.restart_child(slot.id.as_str()).await;
    }
    Ok(())
}

async fn stop_component(shared: &Arc<Shared>, slot: &Arc<Slot>) -> Said {
    let id = slot.id.as_str();
    let branch = shared.branch(component::BRANCH).map_err(|e| Problem::from(&e))?;
    branch.remove_child(id).await.map_err(|e| Problem::from(&e))?;
    remove(&shared.slots, &slot.id);
    shared.components.send_replace(());
    let status = slot.status();
    shared
        .tell(&Fact::ComponentScaled(umbel_core::event::ComponentScaled {
            annotations: slot.annotations(),
            claims: status.claims,
            component_id: id.to_string(),
            host_id: shared.id.to_string(),
            image_ref: status.image_ref,
            max_instances: 0,
            public_key: status.public_key,
        }))
        .await;
    Ok(format!("component {id} is stopped"))
}

fn check_generation(id: &str, now: Option<u64>, given: Option<u64>) -> Result<(), HostError> {
    match (now, given) {
        (Some(current), Some(given)) if given < current => {
            Err(HostError::Stale { id: id.into(), current, given })
        }
        _ => Ok(()),
    }
}

/// Replaces the map by one with the entry, unless the key is taken; whether it was free. Readers keep what they have.
fn add<K: Clone + Eq + std::hash::Hash, V>(
    map: &arc_swap::ArcSwap<HashMap<K, Arc<V>>>,
    key: &K,
    value: &Arc<V>,
) -> bool {
    let before = map.rcu(|old| {
        let mut new = HashMap::clone(old);
        new.entry(key.clone()).or_insert_with(|| value.clone());
        new
    });
    !before.contains_key(key)
}

fn remove<K: Clone + Eq + std::hash::Hash, V>(map: &arc_swap::ArcSwap<HashMap<K, Arc<V>>>, key: &K) {
    map.rcu(|old| {
        let mut new = HashMap::clone(old);
        new.remove(key);
        new
    });
}

async fn start_provider(shared: &Arc<Shared>, message: &Message) -> Said {
    let order: StartProvider = parse(message)?;
    let failed = |e: HostError| Problem::from(&e);
    check_host(shared, &order.host_id).map_err(failed)?;
    shared.check_open().map_err(failed)?;
    let factory = factory_of(shared, &order.provider_ref)?;
    let id = order.provider_id.clone();
    let branch = shared.branch(provider::BRANCH).map_err(failed)?;
    if let Some(slot) = shared.provider(id.as_str()) {
        check_generation(id.as_str(), slot.order.generation, order.generation).map_err(failed)?;
        if slot.order.provider_ref != order.provider_ref {
            let (current, given) = (slot.order.provider_ref.clone(), order.provider_ref);
            return Err(Problem::from(&HostError::ProviderExists { id: id.to_string(), current, given }));
        }
        if slot.order.config == order.config {
            return Ok(format!("provider {id} runs already"));
        }
        branch.remove_child(id.as_str()).await.map_err(|e| Problem::from(&e))?;
        remove(&shared.providers, &id);
    }
    let slot = Arc::new(ProviderSlot::new(order, factory));
    if !add(&shared.providers, &id, &slot) {
        // Another order for the same id was quicker; this one is judged by what that one started.
        return Box::pin(start_provider(shared, message)).await;
    }
    branch.add_child(provider::child(shared, &slot)).await.map_err(|e| Problem::from(&e))?;
    Ok(format!("successfully started provider {id}"))
}

/// The builtin that a reference means: by name, or because it stands in for an image of that name.
fn factory_of(shared: &Shared, reference: &str) -> Result<Arc<dyn Factory>, Problem> {
    use umbel_core::reference::Location;
    let parsed = Reference::new(reference).map_err(|e| Problem::from(&e as &dyn Coded))?;
    let name = match parsed.location() {
        Location::Builtin(name) => name.to_string(),
        Location::Oci(image) => image.name().to_string(),
        Location::File(_) | Location::Digest(_) => {
            return Err(Problem::from(&HostError::Archive { reference: reference.into() }));
        }
    };
    let found = shared.factories.iter().find(|f| f.name() == name).cloned();
    found.ok_or_else(|| Problem::from(&HostError::UnknownBuiltin { reference: reference.into() }))
}

async fn stop_provider(shared: &Arc<Shared>, message: &Message) -> Said {
    let order: StopProvider = parse(message)?;
    check_host(shared, &order.host_id).map_err(|e| Problem::from(&e))?;
    let id = order.provider_id;
    if shared.provider(id.as_str()).is_none() {
        return Err(Problem::from(&HostError::UnknownProvider { id: id.to_string() }));
    }
    let branch = shared.branch(provider::BRANCH).map_err(|e| Problem::from(&e))?;
    branch.remove_child(id.as_str()).await.map_err(|e| Problem::from(&e))?;
    remove(&shared.providers, &id);
    for slot in shared.slots.load_full().values() {
        shared.bind(slot);
    }
    Ok(format!("provider {id} is stopped"))
}

fn component_auction(shared: &Shared, message: &Message) -> Option<Bytes> {
    let auction: ComponentAuction = parse(message).ok()?;
    if !bids(shared, &auction.constraints) || shared.slot(&auction.component_id).is_some() {
        return None;
    }
    let ack = ComponentAuctionAck {
        component_ref: auction.component_ref,
        component_id: auction.component_id,
        host_id: shared.id.clone(),
        constraints: auction.constraints,
    };
    Some(CtlResponse::with(ack).to_bytes())
}

fn provider_auction(shared: &Shared, message: &Message) -> Option<Bytes> {
    let auction: ProviderAuction = parse(message).ok()?;
    if !bids(shared, &auction.constraints) || shared.provider(&auction.provider_id).is_some() {
        return None;
    }
    let ack = ProviderAuctionAck {
        host_id: shared.id.clone(),
        provider_ref: auction.provider_ref,
        provider_id: auction.provider_id,
        constraints: auction.constraints,
    };
    Some(CtlResponse::with(ack).to_bytes())
}

fn bids(shared: &Shared, constraints: &std::collections::BTreeMap<String, String>) -> bool {
    let labels = shared.labels.load();
    !shared.draining.load(Relaxed) && constraints.iter().all(|(k, v)| labels.get(k) == Some(v))
}

async fn put_label(shared: &Shared, message: &Message) -> Said {
    let label: LabelValue = parse(message)?;
    if label.key.starts_with("hostcore.") {
        return Err(Problem::from(&HostError::ReservedLabel { key: label.key }));
    }
    shared.labels.rcu(|old| {
        let mut labels = old.as_ref().clone();
        labels.insert(label.key.clone(), label.value.clone());
        labels
    });
    labels_changed(shared).await;
    Ok(format!("label {} is set", label.key))
}

async fn del_label(shared: &Shared, message: &Message) -> Said {
    let LabelKey { key } = parse(message)?;
    if key.starts_with("hostcore.") {
        return Err(Problem::from(&HostError::ReservedLabel { key }));
    }
    shared.labels.rcu(|old| {
        let mut labels = old.as_ref().clone();
        labels.remove(&key);
        labels
    });
    labels_changed(shared).await;
    Ok(format!("label {key} is removed"))
}

async fn labels_changed(shared: &Shared) {
    let labels = shared.labels.load().as_ref().clone();
    shared.tell(&Fact::LabelsChanged(LabelsChanged { host_id: shared.id.to_string(), labels })).await;
}

async fn put_link(shared: &Shared, message: &Message) -> Said {
    let link: Link = parse(message)?;
    shared.records().put_link(&link).await?;
    shared.tell(&Fact::LinkdefSet(LinkdefSet::from(&link))).await;
    Ok(format!("link from {} to {} is set", link.source_id, link.target))
}

async fn del_link(shared: &Shared, message: &Message) -> Said {
    let key: LinkKey = parse(message)?;
    let removed = shared.records().del_link(&key).await.map_err(|e| Problem::from(&e))?;
    shared.tell(&Fact::LinkdefDeleted(LinkdefDeleted::new(&key, removed.as_ref()))).await;
    Ok(format!("link of {} is removed", key.source_id))
}

async fn put_config(shared: &Shared, message: &Message, name: &str) -> Said {
    let values: Values = parse(message)?;
    shared.records().put_config(name, &values).await.map_err(|e| Problem::from(&e))?;
    shared.tell(&Fact::ConfigSet(ConfigName { config_name: name.into() })).await;
    Ok(format!("config {name} is set"))
}

async fn get_config(shared: &Shared, name: &str) -> Bytes {
    match shared.records().get_config(name).await {
        Ok(Some(values)) => CtlResponse::with(values).to_bytes(),
        Ok(None) => CtlResponse::<Values>::accepted("Configuration not found").to_bytes(),
        Err(error) => CtlResponse::<Values>::failed(&error).to_bytes(),
    }
}

async fn del_config(shared: &Shared, name: &str) -> Said {
    shared.records().del_config(name).await.map_err(|e| Problem::from(&e))?;
    shared.tell(&Fact::ConfigDeleted(ConfigName { config_name: name.into() })).await;
    Ok(format!("config {name} is removed"))
}

/// The claims of what runs, all values as text.
fn claims(shared: &Shared) -> Vec<std::collections::BTreeMap<String, String>> {
    let slots = shared.slots.load_full();
    let of = |slot: &Arc<Slot>| {
        let status = slot.status();
        let claims = status.claims?;
        let mut map = std::collections::BTreeMap::new();
        map.insert("sub".to_string(), status.public_key.clone().unwrap_or_default());
        map.insert("subject".to_string(), status.public_key.unwrap_or_default());
        map.insert("iss".to_string(), claims.issuer.clone());
        map.insert("issuer".to_string(), claims.issuer);
        map.insert("name".to_string(), claims.name.unwrap_or_default());
        map.insert("rev".to_string(), claims.revision.unwrap_or(0).to_string());
        map.insert("revision".to_string(), claims.revision.unwrap_or(0).to_string());
        map.insert("version".to_string(), claims.version.unwrap_or_default());
        Some(map)
    };
    slots.values().filter_map(of).collect()
}

/// Takes nothing new, and stops what runs, providers first.
async fn drain(shared: &Arc<Shared>) -> Said {
    shared.draining.store(true, Relaxed);
    for branch in [provider::BRANCH, component::BRANCH] {
        let handle = shared.branch(branch).map_err(|e| Problem::from(&e))?;
        let ids: Vec<String> = handle.tree().children.iter().map(|c| c.id.to_string()).collect();
        let stops = ids.iter().map(|id| handle.stop_child(id));
        // One that is gone already is stopped too.
        futures::future::join_all(stops).await;
    }
    Ok("the host is drained".into())
}

async fn pin(shared: &Arc<Shared>, message: &Message) -> Result<Pinned, Problem> {
    let request: ReferenceRequest = parse(message)?;
    let Fetched { artifact, .. } = fetch(shared, request.reference, None).await?;
    Ok(Pinned { digest: artifact.digest.to_string(), size: artifact.size })
}

async fn inspect(shared: &Arc<Shared>, message: &Message) -> Result<ComponentInspect, Problem> {
    let request: ReferenceRequest = parse(message)?;
    let Fetched { artifact, claims } = fetch(shared, request.reference.clone(), None).await?;
    let digest = artifact.digest.to_string();
    let image = shared.images.load(&digest, &artifact.path, &request.reference).await;
    let image = image.map_err(|e| Problem::from(&e as &dyn Coded))?;
    let kind = serde_json::to_value(image.world()).ok().and_then(|v| v.as_str().map(str::to_string));
    Ok(ComponentInspect {
        kind: kind.unwrap_or_default(),
        imports: image.imports().to_vec(),
        exports: image.exports().to_vec(),
        size: artifact.size,
        digest,
        claims: claims.and_then(|token| serde_json::to_value(token.claims()).ok()),
    })
}
