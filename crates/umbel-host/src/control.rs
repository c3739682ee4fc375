//! Orders: the control subjects of wasmCloud 1.x (`facts/wasmcloud.md` §4.1, §4.2) and our own beside them.

use crate::error::HostError;
use crate::fetch::{Fetched, fetch, image_of};
use crate::order::{Said, check_host};
use crate::provider::hand;
use crate::shared::Shared;
use crate::slot::{Slot, not_running};
use crate::wasmcloud;
use crate::{component, event_log, explain, inventory, order, provider, registries};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::select_all;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use umbel_core::digest::Digest;
use umbel_core::event::{ConfigName, Fact, LabelsChanged, LinkdefDeleted, LinkdefSet};
use umbel_core::link::{Link, LinkKey, Values};
use umbel_core::{Coded, Problem};
use umbel_lattice::control::pages::Rest;
use umbel_lattice::control::{
    ComponentAuction, ComponentAuctionAck, CtlResponse, LabelKey, LabelValue, Pages, ProviderAuction,
    ProviderAuctionAck, RegistryPut, StopHost, Update, links_body, parse_request,
};
use umbel_lattice::extension::provider::ProviderRequest;
use umbel_lattice::extension::{
    ComponentInspect, EventsRequest, LogsRequest, Need, Pinned, ReferenceRequest, WitReply, WitRequest,
};
use umbel_lattice::subjects::{ctl, umbel};
use umbel_lattice::{LatticeError, Message, Subscription};
use umbel_supervisor::ChildContext;

/// Orders that are worked on at the same moment.
const AT_ONCE: usize = 64;
/// The same for orders that may take long: they wait for calls to end, for bytes, for a compilation, or for one another.
const SLOW_AT_ONCE: usize = 1_024;

/// The child that takes orders.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    let mut orders = select_all(subscribe(&shared).await.map_err(|e| Problem::from(&e))?);
    let places =
        Places { quick: Arc::new(Semaphore::new(AT_ONCE)), slow: Arc::new(Semaphore::new(SLOW_AT_ONCE)) };
    let pages = Pages::default();
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
            place = places.take(is_slow(&words(&shared, &message))) => place,
        };
        let (shared, pages) = (shared.clone(), pages.clone());
        cx.scope.spawn(async move {
            let answer = match &place {
                Ok(_place) => dispatch(&shared, &message).await,
                Err(error) => Some(CtlResponse::<()>::failed(error).to_bytes()),
            };
            let Some(answer) = answer else { return };
            let rest = give(&shared, &pages, &message, answer).await;
            drop(place);
            if let Some(rest) = rest {
                rest.hand_out().await;
            }
        });
    }
}

/// Answers. What does not fit into a message is read in pages by our own clients; others are told in fewer words, or that it does not fit.
async fn give(shared: &Shared, pages: &Pages, message: &Message, answer: Bytes) -> Option<Rest> {
    let mut given = pages.respond(&shared.lattice, message, answer).await;
    if let Err(LatticeError::TooLarge { bytes_max, .. }) = given {
        let plain = matches!(words(shared, message).as_slice(), ["host", "get", _])
            .then(|| CtlResponse::with(inventory::inventory(shared).plain()).to_bytes());
        let fits = plain.filter(|plain| plain.len() <= bytes_max);
        given = match (fits, &given) {
            (Some(plain), _) => shared.lattice.respond(message, plain).await.map(|()| None),
            (None, Err(error)) => refuse(shared, message, error).await,
            (None, Ok(_)) => return None,
        };
    } else if let Err(error @ LatticeError::Busy { .. }) = &given {
        given = refuse(shared, message, error).await;
    }
    given
        .inspect_err(|error| tracing::debug!(%error, subject = message.subject, "an answer was not taken"))
        .ok()
        .flatten()
}

async fn refuse(
    shared: &Shared,
    message: &Message,
    error: &LatticeError,
) -> umbel_lattice::Result<Option<Rest>> {
    let problem = Problem::from(error as &dyn Coded).with_help(
        "the commands of `umbel` read it in pages; for other tools, let the nats-server carry more: `max_payload` in its configuration",
    );
    shared.lattice.respond(message, CtlResponse::<()>::refused(problem).to_bytes()).await.map(|()| None)
}

/// Where orders are worked on. What may take long has places of its own, so that the rest never waits for it.
struct Places {
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl Places {
    async fn take(&self, slow: bool) -> Result<OwnedSemaphorePermit, HostError> {
        let full = |_| HostError::TooManyOrders { orders_max: SLOW_AT_ONCE };
        if slow {
            return self.slow.clone().try_acquire_owned().map_err(full);
        }
        self.quick.clone().acquire_owned().await.map_err(|_| HostError::Away { part: "orders" })
    }
}

/// Whether an order may take long.
fn is_slow(words: &[&str]) -> bool {
    matches!(
        words,
        ["component", "scale" | "update", _]
            | ["provider", "start" | "stop", _]
            | ["drain" | "inspect" | "artifact.pin" | "call" | "wit"]
            | ["provider.swap" | "provider.stop" | "provider.start" | "provider.restart"]
    )
}

/// The words of a subject after its prefix; those of our own subjects are one word.
fn words<'a>(shared: &Shared, message: &'a Message) -> Vec<&'a str> {
    let subject = message.subject.as_str();
    let ours = format!("umbel.v1.{}.host.{}.", shared.config.lattice, shared.id);
    if let Some(what) = subject.strip_prefix(&ours) {
        return vec![what];
    }
    let prefix = format!("wasmbus.ctl.v1.{}.", shared.config.lattice);
    subject.strip_prefix(&prefix).map(|rest| rest.splitn(3, '.').collect()).unwrap_or_default()
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

/// Routes by the words of the subject. Nobody is answered whose subject is none of ours.
async fn dispatch(shared: &Arc<Shared>, message: &Message) -> Option<Bytes> {
    let words = words(shared, message);
    Some(match words.as_slice() {
        [] => return None,
        [what] => extension(shared, message, what).await,
        ["host", "ping"] => CtlResponse::with(inventory::host(shared)).to_bytes(),
        ["host", "get", _] => CtlResponse::with(inventory::inventory(shared)).to_bytes(),
        ["host", "stop", _] => reply(stop_host(shared, message)),
        ["component", "scale", _] => reply(
            given(message, async |scale| {
                wasmcloud::check_component(shared, &scale)?;
                order::set_component(shared, scale).await
            })
            .await,
        ),
        ["component", "update", _] => {
            let update = async |update: Update| {
                wasmcloud::check(shared, &update.new_component_ref, None)?;
                order::update_component(shared, update).await
            };
            reply(given(message, update).await)
        }
        ["component", "auction"] => return component_auction(shared, message),
        ["provider", "start", _] => reply(
            given(message, async |start| {
                wasmcloud::check_provider(shared, &start)?;
                order::start_provider(shared, start).await
            })
            .await,
        ),
        ["provider", "stop", _] => reply(given(message, |stop| order::stop_provider(shared, stop)).await),
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
        ["registry", "put"] => reply(parse::<RegistryPut>(message).map(|put| {
            let taken = shared.registries.take(&put);
            format!("credentials of {taken} registries are known")
        })),
        _ => CtlResponse::<()>::unsupported().to_bytes(),
    })
}

async fn extension(shared: &Arc<Shared>, message: &Message, what: &str) -> Bytes {
    match what {
        "tree" => match shared.tree() {
            Some(tree) => value(
                serde_json::to_value(tree)
                    .map_err(|e| Problem::from(&HostError::Invalid { reason: e.to_string() })),
            ),
            None => CtlResponse::<()>::failed(&HostError::Away { part: "tree" }).to_bytes(),
        },
        "drain" => reply(drain(shared).await),
        "artifact.pin" => value(pin(shared, message).await),
        "inspect" => value(inspect(shared, message).await),
        "secret.put" => reply(crate::secrets::put(shared, message).await),
        "secret.del" => reply(match parse(message) {
            Ok(key) => crate::secrets::del(shared, key).await,
            Err(problem) => Err(problem),
        }),
        "secret.list" => value(crate::secrets::list(shared).await),
        "usage" => value(crate::usage::report(shared).await),
        "link.explain" => {
            shared.caught_up().await;
            value(parse(message).and_then(|request| explain::explain(shared, &request)))
        }
        "link.check" => value(parse(message).and_then(|link| explain::check(shared, &link))),
        what if let Some(verb) = what.strip_prefix("provider.") => by_hand(shared, message, verb).await,
        "wit" => value(wit(shared, message).await),
        "call" => value(match parse(message) {
            Ok(request) => crate::call::call(shared, request).await,
            Err(problem) => Err(problem),
        }),
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

/// What is asked of one provider.
async fn by_hand(shared: &Arc<Shared>, message: &Message, verb: &str) -> Bytes {
    if verb == "swap" {
        return value(match parse(message) {
            Ok(request) => hand::swap(shared, request).await,
            Err(problem) => Err(problem),
        });
    }
    let id = match parse::<ProviderRequest>(message) {
        Ok(request) => request.provider,
        Err(problem) => return CtlResponse::<()>::refused(problem).to_bytes(),
    };
    match verb {
        "show" => value(hand::show(shared, &id).await),
        "stop" => reply(hand::stop(shared, &id).await),
        "start" => reply(hand::start(shared, &id).await),
        "restart" => reply(hand::restart(shared, &id).await),
        _ => CtlResponse::<()>::unsupported().to_bytes(),
    }
}

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

/// Reads an order and follows it.
async fn given<T: DeserializeOwned>(message: &Message, follow: impl AsyncFnOnce(T) -> Said) -> Said {
    follow(parse(message)?).await
}

fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, Problem> {
    parse_request(message).map_err(Problem::from)
}

fn stop_host(shared: &Shared, message: &Message) -> Said {
    if let Some(request) = parse::<Option<StopHost>>(message)? {
        check_host(shared, &request.host_id).map_err(|e| Problem::from(&e))?;
    }
    shared.stop_requested.request();
    Ok("the host is stopping".into())
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
    let removed = shared.records().del_link(&key).await?;
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
        Err(problem) => CtlResponse::<Values>::refused(problem).to_bytes(),
    }
}

async fn del_config(shared: &Shared, name: &str) -> Said {
    shared.records().del_config(name).await.map_err(|e| Problem::from(&e))?;
    shared.tell(&Fact::ConfigDeleted(ConfigName { config_name: name.into() })).await;
    Ok(format!("config {name} is removed"))
}

/// The claims of what runs, all values as text.
fn claims(shared: &Shared) -> Vec<std::collections::BTreeMap<String, String>> {
    let slots = shared.slots.all();
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
        map.insert("call_alias".to_string(), claims.call_alias.unwrap_or_default());
        map.insert("tags".to_string(), claims.tags.unwrap_or_default().join(","));
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
    let pinned = |digest: Digest, size| Pinned { digest: Some(digest.to_string()), size: Some(size) };
    if let Some(image) = image_of(&request.reference) {
        if request.is_provider && wasmcloud::stand_in(shared, &image).is_some() {
            return Ok(Pinned::default());
        }
        // Its bytes come when it is started: that may take longer than anybody waits for an answer.
        let kept = registries::look_up(shared, &image).await?;
        return Ok(pinned(kept.artifact, kept.size));
    }
    let Fetched { artifact, .. } = fetch(shared, request.reference, request.digest).await?;
    Ok(pinned(artifact.digest, artifact.size))
}

async fn wit(shared: &Arc<Shared>, message: &Message) -> Result<WitReply, Problem> {
    let (reference, digest) = match parse(message)? {
        WitRequest::Reference(reference) => (reference, None),
        WitRequest::Component(id) => {
            let unknown = || Problem::from(&HostError::UnknownComponent { id: id.to_string() });
            let slot = shared.slot(id.as_str()).ok_or_else(unknown)?;
            let revision = slot.current.load_full().ok_or_else(|| not_running(&slot))?;
            (revision.order.component_ref.clone(), Some(revision.component.image().digest().to_string()))
        }
    };
    let Fetched { artifact, .. } = fetch(shared, reference.clone(), digest).await?;
    let digest = artifact.digest.to_string();
    let wit = shared.images.wit(&digest, &artifact.path, &reference).await;
    Ok(WitReply { wit: wit.map_err(|e| Problem::from(&e as &dyn Coded))?, digest })
}

async fn inspect(shared: &Arc<Shared>, message: &Message) -> Result<ComponentInspect, Problem> {
    let request: ReferenceRequest = parse(message)?;
    let Fetched { artifact, claims } = fetch(shared, request.reference.clone(), None).await?;
    let digest = artifact.digest.to_string();
    let image = shared.images.load(&digest, &artifact.path, &request.reference).await;
    let image = image.map_err(|e| Problem::from(&e as &dyn Coded))?;
    let kind = serde_json::to_value(image.world()).ok().and_then(|v| v.as_str().map(str::to_string));
    let need = |import: String| {
        let able = explain::able(shared, Some((&request.reference, &*image)), &import);
        let links = explain::needs(&image).contains(&import);
        Need { served_by: able.into_iter().map(|(id, _)| id).collect(), by_host: !links, import }
    };
    let needs = image.imports().iter().cloned().map(need).collect();
    Ok(ComponentInspect {
        needs,
        kind: kind.unwrap_or_default(),
        imports: image.imports().to_vec(),
        exports: image.exports().to_vec(),
        size: artifact.size,
        digest,
        claims: claims.and_then(|token| serde_json::to_value(token.claims()).ok()),
    })
}
