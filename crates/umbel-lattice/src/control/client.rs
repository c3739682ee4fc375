//! Asks hosts to do things, and what they have. All of it is requests on [`crate::subjects::ctl`] and
//! [`crate::subjects::umbel`].

use super::ControlError;
use super::message::{
    ComponentAuction, ComponentAuctionAck, LabelKey, LabelValue, ProviderAuction, ProviderAuctionAck,
    RegistryAnswer, RegistryPut, RegistryQuery, Scale, StartProvider, StopHost, StopProvider, Update,
    link_body,
};
use super::pages::request_whole;
use super::response::CtlResponse;
use super::roll::Roll;
use super::view::{Host, Inventory};
use crate::extension::artifact::{ArtifactOffer, ArtifactQuery, ArtifactRead};
use crate::extension::provider::{ProviderRequest, ProviderShow, SwapRequest, SwapView};
use crate::extension::{
    CallReply, CallRequest, Checked, ComponentInspect, EventsReply, EventsRequest, ExplainRequest, Explained,
    LogLine, LogsRequest, Pinned, ReferenceRequest, SecretKey, SecretPut, SecretView, UsageReport, WitReply,
    WitRequest,
};
use crate::message::to_json;
use crate::subjects::{cfg, ctl, umbel};
use crate::{Lattice, Message};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::digest::Digest;
use umbel_core::id::{HostId, LatticeName, ProviderId};
use umbel_core::link::{Link, LinkKey, Values};
use zeroize::Zeroizing;

type Result<T, E = ControlError> = std::result::Result<T, E>;

/// A client of the control protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    lattice: Arc<dyn Lattice>,
    timeout: Duration,
    roll: Arc<Roll>,
}

impl Client {
    /// A client whose every request has this deadline.
    pub fn new(lattice: Arc<dyn Lattice>, timeout: Duration) -> Client {
        Client { lattice, timeout, roll: Arc::default() }
    }

    /// The lattice that it asks on.
    pub fn lattice(&self) -> &Arc<dyn Lattice> {
        &self.lattice
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        Client { timeout, ..self.clone() }
    }

    /// All hosts that answer within the deadline. On a shared lattice it is sooner when all that answered before have.
    pub async fn hosts(&self) -> Result<Vec<Host>> {
        let subject = ctl::host_ping(self.name());
        if !self.lattice.is_shared() {
            return self.gather(subject, Bytes::new()).await;
        }
        let host_of = |reply: &Message| {
            let host = parse_answer::<CtlResponse<Host>>(&subject, reply).ok()?.response?;
            Some((host.id.to_string(), host))
        };
        Ok(self.roll.call(&*self.lattice, &subject, self.timeout, host_of).await?)
    }

    /// Everything that runs on the host.
    pub async fn inventory(&self, host: &HostId) -> Result<Inventory> {
        self.expect(ctl::host_get(self.name(), host), Bytes::new()).await
    }

    /// Stops the host; calls in flight may take `drain` at most.
    pub async fn stop_host(&self, host: &HostId, drain: Option<Duration>) -> Result<String> {
        let timeout = drain.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        let body = StopHost { host_id: host.clone(), timeout };
        self.command(ctl::host_stop(self.name(), host), to_json(&body)).await
    }

    /// Hosts that could run the component.
    pub async fn auction_component(&self, auction: &ComponentAuction) -> Result<Vec<ComponentAuctionAck>> {
        self.gather(ctl::component_auction(self.name()), to_json(auction)).await
    }

    /// Hosts that could run the provider.
    pub async fn auction_provider(&self, auction: &ProviderAuction) -> Result<Vec<ProviderAuctionAck>> {
        self.gather(ctl::provider_auction(self.name()), to_json(auction)).await
    }

    /// Starts, scales or stops a component on `scale.host_id`. The answer means accepted; events tell the outcome.
    pub async fn scale(&self, scale: &Scale) -> Result<String> {
        self.command(ctl::component_scale(self.name(), &scale.host_id), to_json(scale)).await
    }

    /// Replaces a component's image.
    pub async fn update(&self, update: &Update) -> Result<String> {
        self.command(ctl::component_update(self.name(), &update.host_id), to_json(update)).await
    }

    /// Starts a provider. The answer means accepted; events tell the outcome.
    pub async fn start_provider(&self, start: &StartProvider) -> Result<String> {
        self.command(ctl::provider_start(self.name(), &start.host_id), to_json(start)).await
    }

    /// Stops a provider.
    pub async fn stop_provider(&self, stop: &StopProvider) -> Result<String> {
        self.command(ctl::provider_stop(self.name(), &stop.host_id), to_json(stop)).await
    }

    /// Puts a link: one with the same key is replaced.
    pub async fn put_link(&self, link: &Link) -> Result<String> {
        self.command(ctl::link_put(self.name()), to_json(&link_body(link))).await
    }

    /// Deletes a link; none there is no error.
    pub async fn del_link(&self, key: &LinkKey) -> Result<String> {
        self.command(ctl::link_del(self.name()), to_json(key)).await
    }

    /// All links.
    pub async fn links(&self) -> Result<Vec<Link>> {
        self.expect(ctl::link_get(self.name()), Bytes::new()).await
    }

    /// Puts a config, whatever was there.
    pub async fn put_config(&self, name: &str, values: &Values) -> Result<String> {
        self.command(ctl::config_put(self.name(), name), to_json(values)).await
    }

    /// Reads a config.
    pub async fn get_config(&self, name: &str) -> Result<Option<Values>> {
        Ok(self.ask(ctl::config_get(self.name(), name), Bytes::new()).await?.response)
    }

    /// Deletes a config; none there is no error.
    pub async fn del_config(&self, name: &str) -> Result<String> {
        self.command(ctl::config_del(self.name(), name), Bytes::new()).await
    }

    /// Sets a label of a host.
    pub async fn put_label(&self, host: &HostId, key: &str, value: &str) -> Result<String> {
        let body = LabelValue { key: key.into(), value: value.into() };
        self.command(ctl::label_put(self.name(), host), to_json(&body)).await
    }

    /// Deletes a label of a host.
    pub async fn del_label(&self, host: &HostId, key: &str) -> Result<String> {
        self.command(ctl::label_del(self.name(), host), to_json(&LabelKey { key: key.into() })).await
    }

    /// Claims of everything that was started.
    pub async fn claims(&self) -> Result<Vec<BTreeMap<String, String>>> {
        self.expect(ctl::claims_get(self.name()), Bytes::new()).await
    }

    /// Gives every host credentials of registries; returns how many hosts took them within the deadline.
    pub async fn put_registries(&self, registries: &RegistryPut) -> Result<usize> {
        let subject = ctl::registry_put(self.name());
        let replies = self.lattice.request_all(&subject, to_json(registries), self.timeout).await?;
        let took = |reply: &&Message| answered::<Value>(&subject, reply).is_ok();
        Ok(replies.iter().filter(took).count())
    }

    /// Asks whoever keeps the lattice's credentials of registries for those of a host with these labels.
    pub async fn registries(&self, labels: &BTreeMap<String, String>) -> Result<RegistryPut> {
        let (subject, query) = (cfg::request(self.name()), RegistryQuery { labels: labels.clone() });
        let reply = self.lattice.request(&subject, to_json(&query), self.timeout).await?;
        Ok(parse_answer::<RegistryAnswer>(&subject, &reply)?.registry_credentials)
    }

    /// Ours: the supervision tree of the host, as the supervisor prints and parses it.
    pub async fn tree(&self, host: &HostId) -> Result<Value> {
        self.expect(umbel::tree(self.name(), host), Bytes::new()).await
    }

    /// Ours: take no new calls, finish those in flight.
    pub async fn drain(&self, host: &HostId) -> Result<String> {
        self.command(umbel::drain(self.name(), host), Bytes::new()).await
    }

    /// Ours: find out what the reference means now, and keep its artifact.
    pub async fn pin_artifact(&self, host: &HostId, reference: &str, is_provider: bool) -> Result<Pinned> {
        let body = ReferenceRequest { reference: reference.into(), is_provider, digest: None };
        self.expect(umbel::artifact_pin(self.name(), host), to_json(&body)).await
    }

    /// Ours: keep the artifact of the digest as well, which other hosts have. The answer means that it is kept.
    pub async fn keep_artifact(&self, host: &HostId, reference: &str, digest: &str) -> Result<Pinned> {
        let body =
            ReferenceRequest { reference: reference.into(), is_provider: false, digest: Some(digest.into()) };
        self.expect(umbel::artifact_pin(self.name(), host), to_json(&body)).await
    }

    /// Ours: the first host to say that it has the bytes of the digest. Nobody says that it has not, so then it is a timeout.
    pub async fn find_artifact(&self, digest: &Digest) -> Result<ArtifactOffer> {
        self.expect(umbel::artifact_find(self.name()), to_json(&ArtifactQuery { digest: *digest })).await
    }

    /// Ours: a piece of an artifact that the host has. It may be shorter than was asked for.
    pub async fn read_artifact(&self, host: &HostId, read: &ArtifactRead) -> Result<Bytes> {
        let subject = umbel::artifact_read(self.name(), host);
        let reply = self.lattice.request(&subject, to_json(read), self.timeout).await?;
        read.of(&subject, &reply)
    }

    /// Ours: what the component is, without running it.
    pub async fn inspect(&self, host: &HostId, reference: &str) -> Result<ComponentInspect> {
        let body = ReferenceRequest { reference: reference.into(), is_provider: false, digest: None };
        self.expect(umbel::inspect(self.name(), host), to_json(&body)).await
    }

    /// Ours: keeps a secret on the host. The value is wiped when nobody holds the message any more.
    pub async fn put_secret(
        &self,
        host: &HostId,
        put: &SecretPut,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<String> {
        let subject = umbel::secret_put(self.name(), host);
        let message = put.message(subject.clone(), value);
        let reply = self.lattice.request_message(message, self.timeout).await?;
        Ok(answered::<Value>(&subject, &reply)?.message)
    }

    /// Ours: deletes a secret of the host.
    pub async fn del_secret(&self, host: &HostId, key: &SecretKey) -> Result<String> {
        self.command(umbel::secret_del(self.name(), host), to_json(key)).await
    }

    /// Ours: the names of the host's secrets.
    pub async fn secrets(&self, host: &HostId) -> Result<Vec<SecretView>> {
        self.expect(umbel::secret_list(self.name(), host), Bytes::new()).await
    }

    /// Ours: what components and the process of the host have used.
    pub async fn usage(&self, host: &HostId) -> Result<UsageReport> {
        self.expect(umbel::usage(self.name(), host), Bytes::new()).await
    }

    /// Ours: why the links of a component or provider of the host work, or do not.
    pub async fn explain_links(&self, host: &HostId, request: &ExplainRequest) -> Result<Explained> {
        self.expect(umbel::link_explain(self.name(), host), to_json(request)).await
    }

    /// Ours: whether the host sees anything against a link.
    pub async fn check_link(&self, host: &HostId, link: &Link) -> Result<Checked> {
        self.expect(umbel::link_check(self.name(), host), to_json(&link_body(link))).await
    }

    /// Ours: all that the host has to tell of a provider.
    pub async fn show_provider(&self, host: &HostId, provider: &ProviderId) -> Result<ProviderShow> {
        self.expect(umbel::provider_show(self.name(), host), to_json(&request_of(provider))).await
    }

    /// Ours: puts another provider in the place of one that runs on the host, or looks what that would do. The answer means done.
    pub async fn swap_provider(&self, host: &HostId, request: &SwapRequest) -> Result<SwapView> {
        self.expect(umbel::provider_swap(self.name(), host), to_json(request)).await
    }

    /// Ours: stops a provider by hand: it stays stopped until it is started by hand, or by a later deploy.
    pub async fn hold_provider(&self, host: &HostId, provider: &ProviderId) -> Result<String> {
        self.command(umbel::provider_stop(self.name(), host), to_json(&request_of(provider))).await
    }

    /// Ours: starts a provider that is stopped or given up. The answer means that it serves.
    pub async fn release_provider(&self, host: &HostId, provider: &ProviderId) -> Result<String> {
        self.command(umbel::provider_start(self.name(), host), to_json(&request_of(provider))).await
    }

    /// Ours: drains a provider and starts it anew; calls wait meanwhile. The answer means that it serves.
    pub async fn restart_provider(&self, host: &HostId, provider: &ProviderId) -> Result<String> {
        self.command(umbel::provider_restart(self.name(), host), to_json(&request_of(provider))).await
    }

    /// Ours: a component's interfaces as WIT.
    pub async fn wit(&self, host: &HostId, request: &WitRequest) -> Result<WitReply> {
        self.expect(umbel::wit(self.name(), host), to_json(request)).await
    }

    /// Ours: calls a function that a component of the host exports.
    pub async fn call(&self, host: &HostId, request: &CallRequest) -> Result<CallReply> {
        self.expect(umbel::call(self.name(), host), to_json(request)).await
    }

    /// Ours: log lines that the host remembers.
    pub async fn logs(&self, host: &HostId, request: &LogsRequest) -> Result<Vec<LogLine>> {
        self.expect(umbel::logs(self.name(), host), to_json(request)).await
    }

    /// Ours: events that the host remembers.
    pub async fn events(&self, host: &HostId, request: &EventsRequest) -> Result<EventsReply> {
        self.expect(umbel::host_events(self.name(), host), to_json(request)).await
    }

    fn name(&self) -> &LatticeName {
        self.lattice.name()
    }

    /// One request, its whole answer.
    async fn ask<T: DeserializeOwned>(&self, subject: String, body: Bytes) -> Result<CtlResponse<T>> {
        let request = Message::new(subject.clone(), body);
        let reply = request_whole(&*self.lattice, request, self.timeout).await?;
        answered(&subject, &reply)
    }

    /// One request that is answered with a message for people.
    async fn command(&self, subject: String, body: Bytes) -> Result<String> {
        Ok(self.ask::<Value>(subject, body).await?.message)
    }

    /// One request that is answered with a value.
    async fn expect<T: DeserializeOwned>(&self, subject: String, body: Bytes) -> Result<T> {
        let answer: CtlResponse<T> = self.ask(subject.clone(), body).await?;
        answer.response.ok_or_else(|| {
            let source = <serde_json::Error as serde::de::Error>::missing_field("response");
            ControlError::Answer { subject, source: Arc::new(source) }
        })
    }

    /// One request that every host may answer. An answer that cannot be read is left out: one odd host must not hide the others.
    async fn gather<T: DeserializeOwned>(&self, subject: String, body: Bytes) -> Result<Vec<T>> {
        let replies = self.lattice.request_all(&subject, body, self.timeout).await?;
        let mut all = Vec::with_capacity(replies.len());
        for reply in replies {
            match parse_answer::<CtlResponse<T>>(&subject, &reply) {
                Ok(answer) => all.extend(answer.response),
                Err(error) => tracing::debug!(subject, %error, "left out an answer"),
            }
        }
        Ok(all)
    }
}

fn request_of(provider: &ProviderId) -> ProviderRequest {
    ProviderRequest { provider: provider.clone() }
}

/// A whole answer, unless it is a refusal.
fn answered<T: DeserializeOwned>(subject: &str, reply: &Message) -> Result<CtlResponse<T>> {
    let answer: CtlResponse<T> = parse_answer(subject, reply)?;
    if !answer.success {
        return Err(ControlError::refused(answer.message, answer.problem));
    }
    Ok(answer)
}

pub(crate) fn parse_answer<T: DeserializeOwned>(subject: &str, reply: &Message) -> Result<T> {
    serde_json::from_slice(&reply.payload)
        .map_err(|source| ControlError::Answer { subject: subject.to_string(), source: Arc::new(source) })
}
