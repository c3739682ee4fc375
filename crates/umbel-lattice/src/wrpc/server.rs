//! Serving functions over the lattice: one subscription for all functions of a provider or component.

use super::catalog::{Catalog, Signature};
use super::client::channel;
use super::codec::{self, CodecError, Lend, Take};
use super::handles::{Handle, Lent, Owner, read_drops};
use super::line::{Filling, Line};
use super::{
    APPLICATION, LINK, MORE, PEER, SERVER, SOURCE, TIMEOUT, WINDOW, client_of, extra, prefix, problem,
    put_problem,
};
use crate::subscription::{Attached, Pushed, Sink};
use crate::{Headers, Lattice, Message, Result, Spawn, SubscribeOptions};
use bytes::Bytes;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use umbel_core::Problem;
use umbel_core::code::{guest, wire};
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{Call, Link, Resource, Serve, Type, Value};

/// Who calls, as it says itself.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'c> {
    /// Its id.
    pub source: &'c str,
    /// The name of the link.
    pub link: &'c str,
    /// The interface that is called, without its version.
    pub interface: &'c str,
    /// Its application, if it says one.
    pub application: Option<&'c str>,
}

/// Finds the link that a call comes over.
pub type Links = Arc<dyn Fn(&Caller<'_>) -> Result<Arc<Link>, Problem> + Send + Sync>;

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// How many calls may be under way at once; the next is refused.
    pub calls_max: usize,
    /// Longest time that a call gets, whatever its caller says.
    pub call_max: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits { calls_max: 1_000, call_max: Duration::from_secs(600) }
    }
}

/// What is served, and for whom.
pub struct ServerSpec {
    /// The id of the component or provider.
    pub id: String,
    /// The types of what it serves; asked for each call, so that they may change.
    pub catalog: Arc<dyn Fn() -> Arc<Catalog> + Send + Sync>,
    /// What serves it.
    pub serve: Arc<dyn Serve>,
    /// Finds links.
    pub links: Links,
    /// What its resources are lent from.
    pub lent: Arc<Lent>,
    /// The queue group in which several servers of the id share the calls.
    pub group: Option<String>,
    /// Whether a call begins on the thread that reads the connection. That saves a change of tasks where functions are quick, and makes
    /// calls wait for one another where they are not.
    pub is_quick: bool,
    /// Its limits.
    pub limits: ServerLimits,
}

/// Serves calls until it is dropped or drained.
pub struct Server {
    inner: Arc<Inner>,
    /// Until it is drained.
    requests: Mutex<Option<Attached>>,
    _attached: [Attached; 2],
}

struct Inner {
    lattice: Arc<dyn Lattice>,
    spawn: Spawn,
    spec: ServerSpec,
    prefix: String,
    root: String,
    next: AtomicU64,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    running: Mutex<HashMap<String, (u64, AbortHandle)>>,
    owners: Mutex<HashMap<String, Arc<Owner>>>,
    /// What clients write to output streams that they were given.
    fillings: Mutex<Vec<(String, Filling)>>,
    calls: AtomicUsize,
    idle: Notify,
    is_draining: AtomicBool,
}

impl Server {
    /// Starts to serve; when it returns, calls are heard.
    pub async fn start(lattice: Arc<dyn Lattice>, spawn: Spawn, spec: ServerSpec) -> Result<Server> {
        let prefix = prefix(lattice.name(), &spec.id);
        let root = format!("{}{SERVER}", lattice.inbox());
        let inbox = lattice.subscribe(&format!("{root}.>")).await?;
        let extras = lattice.subscribe(&extra(lattice.name(), &spec.id, ">")).await?;
        let options = SubscribeOptions { group: spec.group.clone(), ..SubscribeOptions::default() };
        let requests = lattice.subscribe_with(&format!("{prefix}>"), options).await?;
        let inner = Arc::new(Inner {
            lattice,
            spawn,
            spec,
            prefix,
            root,
            next: AtomicU64::new(1),
            lines: Mutex::default(),
            running: Mutex::default(),
            owners: Mutex::default(),
            fillings: Mutex::default(),
            calls: AtomicUsize::new(0),
            idle: Notify::new(),
            is_draining: AtomicBool::new(false),
        });
        let hear = |subscription: crate::Subscription, of| {
            subscription.attach(Arc::new(Hearing { server: Arc::downgrade(&inner), of }))
        };
        let attached = [hear(inbox, Of::Inbox), hear(extras, Of::Extras)];
        let requests = Mutex::new(Some(hear(requests, Of::Requests)));
        Ok(Server { inner, requests, _attached: attached })
    }

    /// How many calls are under way.
    pub fn calls(&self) -> usize {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// Hears no new calls, so that others of the group get them; those under way go on.
    pub fn hear_no_more(&self) {
        // What was sent before is refused.
        self.inner.is_draining.store(true, Ordering::Release);
        drop(locked(&self.requests).take());
    }

    /// Hears no new calls, and waits for those under way and their streams. Returns how many had to be ended at the deadline.
    pub async fn drain(&self, deadline: Duration) -> usize {
        self.hear_no_more();
        let idle = async {
            loop {
                let idle = self.inner.idle.notified();
                tokio::pin!(idle);
                idle.as_mut().enable();
                if self.calls() == 0 && locked(&self.inner.lines).is_empty() {
                    return;
                }
                idle.await;
            }
        };
        if tokio::time::timeout(deadline, idle).await.is_ok() {
            return 0;
        }
        self.inner.end(&problem(guest::STOPPING, "the server has stopped"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.end(&problem(guest::STOPPING, "the server has stopped"));
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}, {} calls)", self.inner.spec.id, self.calls())
    }
}

#[derive(Clone, Copy)]
enum Of {
    Inbox,
    Extras,
    Requests,
}

struct Hearing {
    server: Weak<Inner>,
    of: Of,
}

impl Sink for Hearing {
    fn take(&self, message: Message) -> Pushed {
        let Some(server) = self.server.upgrade() else { return Pushed::Gone };
        match self.of {
            Of::Inbox => server.heard(&message),
            Of::Extras => server.told(&message),
            Of::Requests => server.called(message),
        }
        Pushed::Queued
    }

    fn interrupted(&self) {
        let (Some(server), Of::Inbox) = (self.server.upgrade(), self.of) else { return };
        // Streams have a gap now, and params that are not whole stay so. Calls that wait for neither go on.
        let why = problem(wire::CONNECTION_LOST, "the connection was lost during the call");
        let lines: Vec<_> = locked(&server.lines).values().cloned().collect();
        lines.iter().for_each(|line| line.end(&why));
    }

    fn ended(&self) {
        if let Some(server) = self.server.upgrade() {
            server.end(&problem(wire::CONNECTION_LOST, "the lattice was closed during the call"));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Ends everything that is under way.
    fn end(&self, why: &Problem) -> usize {
        let running: Vec<_> = locked(&self.running).drain().collect();
        for (reply, (_, abort)) in &running {
            abort.abort();
            let (lattice, reply, why) = (self.lattice.clone(), reply.clone(), why.clone());
            (self.spawn)(Box::pin(async move { refuse(&*lattice, &reply, &why).await }));
        }
        let lines: Vec<_> = locked(&self.lines).values().cloned().collect();
        lines.iter().for_each(|line| line.end(why));
        running.len()
    }

    /// A message of a call that was accepted.
    fn heard(&self, message: &Message) {
        let rest = message.subject.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let Some((number, channel)) = rest.and_then(|rest| rest.split_once('.')) else { return };
        let line = number.parse().ok().and_then(|number: u64| locked(&self.lines).get(&number).cloned());
        let Some(line) = line else { return };
        if channel != "params" {
            line.arrived(channel, message);
            return;
        }
        let mut state = line.lock();
        if message.payload.is_empty() {
            state.is_whole = true;
        } else if state.pieces.len() + message.payload.len() <= codec::BYTES_MAX {
            state.pieces.extend_from_slice(&message.payload);
        } else {
            let error = CodecError::Limit { what: "bytes", max: codec::BYTES_MAX };
            state.over = Some(Problem::from(&error));
        }
        drop(state);
        line.changed.notify_waiters();
    }

    /// A message of our own that belongs to no call in particular.
    fn told(&self, message: &Message) {
        let what = message.subject.rsplit('.').next().unwrap_or_default();
        let Some(reply) = &message.reply else { return };
        match what {
            "cancel" => {
                let cancelled = locked(&self.running).remove(reply.as_str());
                if let Some((number, abort)) = cancelled {
                    abort.abort();
                    let line = locked(&self.lines).get(&number).cloned();
                    if let Some(line) = line {
                        line.end(&problem(guest::CALL_TIMEOUT, "the caller waits no longer"));
                    }
                }
            }
            "drop" => {
                let Some(client) = client_of(reply) else { return };
                for handle in read_drops(&message.payload).unwrap_or_default() {
                    self.spec.lent.forget(client, &handle);
                }
            }
            "speaks" => {
                let (lattice, reply) = (self.lattice.clone(), reply.clone());
                let answer = Message::new(reply, Bytes::new()).with_header(PEER, WINDOW.to_string());
                (self.spawn)(Box::pin(async move {
                    // Who does not hear it takes us for a peer of wasmCloud 1.x.
                    let _ = lattice.publish(answer).await;
                }));
            }
            _ => {}
        }
    }

    /// A call.
    fn called(self: &Arc<Self>, message: Message) {
        let Some(reply) = message.reply.clone() else { return };
        let turn = match self.admit(&message) {
            Ok(turn) => turn,
            Err(why) => {
                let (lattice, spawn) = (self.lattice.clone(), &self.spawn);
                spawn(Box::pin(async move { refuse(&*lattice, &reply, &why).await }));
                return;
            }
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (abort, registration) = AbortHandle::new_pair();
        let work = self.clone().work(number, reply.clone(), message, turn);
        let mut work: BoxFuture<'static, ()> = Box::pin(Abortable::new(work, registration).map(drop));
        if self.spec.is_quick {
            // With a waker that does nothing: whoever polls it next brings one of its own.
            let mut nobody = Context::from_waker(Waker::noop());
            if let Poll::Ready(()) = work.poll_unpin(&mut nobody) {
                return;
            }
        }
        locked(&self.running).insert(reply.clone(), (number, abort));
        let done = Done { server: Arc::downgrade(self), reply };
        (self.spawn)(Box::pin(async move {
            work.await;
            drop(done);
        }));
    }

    fn admit(self: &Arc<Self>, message: &Message) -> Result<Turn, Problem> {
        if self.is_draining.load(Ordering::Acquire) {
            return Err(problem(guest::STOPPING, format!("`{}` is being stopped", self.spec.id)));
        }
        let catalog = (self.spec.catalog)();
        let tail = message.subject.strip_prefix(self.prefix.as_str()).unwrap_or_default();
        let signature = catalog.incoming(tail)?;
        let header = |name| message.headers.get(name);
        let link = (self.spec.links)(&Caller {
            source: header(SOURCE).unwrap_or_default(),
            link: header(LINK).unwrap_or("default"),
            interface: &signature.interface,
            application: header(APPLICATION),
        })?;
        let before = self.calls.fetch_add(1, Ordering::AcqRel);
        let turn = Turn { server: self.clone(), catalog, signature, link };
        if before >= self.spec.limits.calls_max {
            let message = format!("{before} calls of `{}` are under way", self.spec.id);
            return Err(problem(wire::CALLS_LIMIT, message));
        }
        Ok(turn)
    }

    async fn work(self: Arc<Self>, number: u64, reply: String, message: Message, turn: Turn) {
        let line = Line::new(self.lattice.clone(), self.spawn.clone(), format!("{}.{number}", self.root));
        line.meet(&message);
        let seat = Arc::new(Seat { server: Arc::downgrade(&self), number });
        let answered = AssertUnwindSafe(self.answer(&line, &seat, &message, &turn)).catch_unwind().await;
        let answered = answered.unwrap_or_else(|_| {
            let what = format!("`{}` of `{}` panicked", turn.signature.function, self.spec.id);
            Err(problem(guest::SERVER_FAILED, what))
        });
        if let Err(why) = answered {
            refuse(&*self.lattice, &reply, &why).await;
        }
    }

    async fn answer(
        self: &Arc<Self>,
        line: &Arc<Line>,
        seat: &Arc<Seat>,
        message: &Message,
        turn: &Turn,
    ) -> Result<(), Problem> {
        let headers = &message.headers;
        let (is_ours, has_more) = (headers.get(PEER).is_some(), headers.get(MORE).is_some());
        let signature = &turn.signature;
        if !is_ours || has_more || signature.takes_streams || signature.gives_streams {
            locked(&self.lines).insert(seat.number, line.clone());
        }
        let reply = message.reply.as_deref().unwrap_or_default();
        if !is_ours || has_more || signature.takes_streams {
            let mut accept = Message::new(reply, Bytes::new()).with_reply(line.mine.as_str());
            if is_ours {
                accept.headers.append(PEER, WINDOW.to_string());
            }
            self.lattice.publish(accept).await.map_err(|error| super::of_lattice(&error))?;
        }
        let client = client_of(reply).or_else(|| headers.get(SOURCE)).unwrap_or_default();
        let source = headers.get(SOURCE).unwrap_or_default();
        let mut taking = Taking { server: self, turn, line, seat, client, source };
        let patience = headers.get(TIMEOUT).and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let allowed = patience.unwrap_or(self.spec.limits.call_max).min(self.spec.limits.call_max);
        let called = async {
            let args = read_args(line, message, signature, &mut taking, is_ours, has_more).await?;
            let call = Call {
                link: turn.link.clone(),
                interface: signature.interface.clone(),
                version: signature.version.clone(),
                function: signature.function.clone(),
                args,
                patience,
            };
            self.settle(client).await;
            self.spec.serve.call(call).await
        };
        let value = tokio::time::timeout(allowed, called).await.unwrap_or_else(|_| {
            Err(problem(
                guest::CALL_TIMEOUT,
                format!("`{}` took longer than {allowed:?}", signature.function),
            ))
        })?;
        self.give(line, seat, turn, Peer { reply, client, source, is_ours }, value).await
    }

    async fn give(
        self: &Arc<Self>,
        line: &Arc<Line>,
        seat: &Arc<Seat>,
        turn: &Turn,
        peer: Peer<'_>,
        value: Option<Value>,
    ) -> Result<(), Problem> {
        let mut giving = Giving {
            server: self,
            client: peer.client,
            source: peer.source,
            inputs: Vec::new(),
            items: Vec::new(),
            outputs: Vec::new(),
            laters: Vec::new(),
        };
        let encoded = codec::encode(value, &turn.signature.result, &mut giving);
        let bytes = encoded.map_err(|error| Problem::from(&error))?;
        let Giving { inputs, items, outputs, laters, .. } = giving;
        let has_streams =
            !inputs.is_empty() || !items.is_empty() || !outputs.is_empty() || !laters.is_empty();
        // Readers are there before the client can write to them.
        for (channel, output) in outputs {
            let filling = line.fill(channel, output, seat.clone());
            locked(&self.fillings).extend(filling.map(|filling| (peer.client.to_string(), filling)));
        }
        self.send(line, &format!("{}.results", peer.reply), bytes.into(), peer.is_ours, has_streams).await?;
        for (channel, input) in inputs {
            line.send(channel, input.into_stream(), seat.clone());
        }
        for (channel, ty, items) in items {
            line.send_items(channel, ty, items, seat.clone());
        }
        for (channel, ty, later) in laters {
            line.send_later(channel, ty, later, seat.clone());
        }
        Ok(())
    }

    /// Waits until what the client wrote to output streams, and ended before its call, is written.
    async fn settle(&self, client: &str) {
        let ending: Vec<_> = {
            let mut fillings = locked(&self.fillings);
            if fillings.is_empty() {
                return;
            }
            fillings.retain(|(_, filling)| !filling.writing.is_done());
            let of_client = fillings.iter().filter(|(of, filling)| of == client && filling.is_ending());
            of_client.map(|(_, filling)| filling.writing.clone()).collect()
        };
        for writing in ending {
            writing.done().await;
        }
    }

    async fn send(
        &self,
        line: &Line,
        subject: &str,
        mut bytes: Bytes,
        is_ours: bool,
        has_streams: bool,
    ) -> Result<(), Problem> {
        let piece = self.lattice.payload_bytes_max() / 2;
        while bytes.len() > piece {
            let part = Message::new(subject, bytes.split_to(piece));
            self.lattice.publish(part).await.map_err(|error| super::of_lattice(&error))?;
        }
        let mut last = Message::new(subject, bytes);
        if is_ours {
            last.headers.append(PEER, WINDOW.to_string());
            last.reply = has_streams.then(|| line.mine.clone());
        }
        self.lattice.publish(last).await.map_err(|error| super::of_lattice(&error))?;
        if !is_ours {
            let end = Message::new(subject, Bytes::new());
            self.lattice.publish(end).await.map_err(|error| super::of_lattice(&error))?;
        }
        Ok(())
    }

    fn owner(&self, source: &str) -> Arc<Owner> {
        let mut owners = locked(&self.owners);
        if let Some(owner) = owners.get(source) {
            return owner.clone();
        }
        let owner = Arc::new(Owner {
            target: source.to_string(),
            // Drops are said in the name of anybody: what came as an argument was lent to anybody.
            reply: format!("{}.0", self.root),
            lattice: self.lattice.clone(),
            spawn: self.spawn.clone(),
            dropped: Mutex::default(),
        });
        owners.insert(source.to_string(), owner.clone());
        owner
    }
}

async fn read_args(
    line: &Line,
    message: &Message,
    signature: &Signature,
    taking: &mut Taking<'_>,
    is_ours: bool,
    has_more: bool,
) -> Result<Vec<Value>, Problem> {
    if !has_more {
        match codec::decode(&message.payload, &signature.params, taking) {
            // A client of wasmCloud 1.x does not say that more will come.
            Err(CodecError::Incomplete) if !is_ours => {}
            read => return read.map_err(|error| Problem::from(&error)),
        }
    }
    loop {
        let changed = line.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        {
            let mut state = line.lock();
            if let Some(why) = state.over.clone() {
                return Err(why);
            }
            if state.is_whole {
                let mut all = message.payload.to_vec();
                all.append(&mut state.pieces);
                drop(state);
                let read = codec::decode(&all.into(), &signature.params, taking);
                return read.map_err(|error| Problem::from(&error));
            }
        }
        changed.await;
    }
}

async fn refuse(lattice: &dyn Lattice, reply: &str, why: &Problem) {
    let mut headers = Headers::default();
    put_problem(&mut headers, why);
    // Empty, so that a client of wasmCloud 1.x sees the end of the results.
    let message = Message { subject: format!("{reply}.results"), headers, ..Message::default() };
    if let Err(error) = lattice.publish(message).await {
        tracing::debug!(%error, "a caller could not be told why its call failed");
    }
}

/// The right to carry out one call.
struct Turn {
    server: Arc<Inner>,
    catalog: Arc<Catalog>,
    signature: Arc<Signature>,
    link: Arc<Link>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.server.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.server.idle.notify_waiters();
        }
    }
}

/// The entry of a call that others hear of by its number; it is gone with the call and its streams.
struct Seat {
    server: Weak<Inner>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            locked(&server.lines).remove(&self.number);
            server.idle.notify_waiters();
        }
    }
}

/// The entry of a call that can be cancelled.
struct Done {
    server: Weak<Inner>,
    reply: String,
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            locked(&server.running).remove(self.reply.as_str());
        }
    }
}

struct Peer<'p> {
    reply: &'p str,
    client: &'p str,
    source: &'p str,
    is_ours: bool,
}

/// Takes arguments.
struct Taking<'c> {
    server: &'c Inner,
    turn: &'c Turn,
    line: &'c Arc<Line>,
    seat: &'c Arc<Seat>,
    client: &'c str,
    source: &'c str,
}

impl Take for Taking<'_> {
    fn resource(&mut self, handle: &[u8], name: &str, is_own: bool) -> Result<Resource, Problem> {
        if let Some(ours) = self.server.spec.lent.find(self.client, handle, is_own) {
            return Ok(ours);
        }
        if self.source.is_empty() || self.turn.catalog.defines(name) {
            let message =
                format!("`{}` does not know this resource of its caller: `{name}`", self.server.spec.id);
            return Err(problem(wire::HANDLE_UNKNOWN, message));
        }
        // A resource of the caller's own, lent for this call or given away with it.
        let handle = Handle::new(self.server.owner(self.source), Bytes::copy_from_slice(handle));
        if !is_own {
            handle.give_back();
        }
        Ok(Resource::new(handle))
    }

    fn input(&mut self, path: &[u32], ready: Option<Bytes>) -> Result<Input, Problem> {
        match ready {
            Some(bytes) => Ok(whole(bytes)),
            None => Ok(self.line.input(channel("params", path), self.seat.clone())),
        }
    }

    fn items(&mut self, path: &[u32], ty: &Type) -> Result<Items, Problem> {
        Ok(self.line.items(channel("params", path), ty, self.seat.clone()))
    }

    fn output(&mut self, _: &[u32]) -> Result<Output, Problem> {
        Err(problem(guest::NOT_CARRIED, "an `output-stream` cannot be an argument of a call over the wire"))
    }

    fn later(&mut self, path: &[u32], ty: &Type) -> Result<Later, Problem> {
        Ok(self.line.later(&channel("params", path), ty, self.seat.clone()))
    }
}

/// Gives a result away.
struct Giving<'c> {
    server: &'c Inner,
    client: &'c str,
    source: &'c str,
    inputs: Vec<(String, Input)>,
    items: Vec<(String, Type, Items)>,
    outputs: Vec<(String, Output)>,
    laters: Vec<(String, Type, Later)>,
}

impl Lend for Giving<'_> {
    fn lend(&mut self, resource: Resource, _name: &str, is_own: bool) -> Result<Bytes, Problem> {
        if let Some(theirs) = resource.get::<Handle>().filter(|handle| handle.owner() == self.source) {
            if is_own {
                theirs.give_back();
            }
            return Ok(theirs.bytes.clone());
        }
        self.server.spec.lent.lend(self.client, resource)
    }

    fn input(&mut self, path: &[u32], input: Input) -> Result<(), Problem> {
        self.inputs.push((channel("results", path), input));
        Ok(())
    }

    fn items(&mut self, path: &[u32], ty: &Type, items: Items) -> Result<(), Problem> {
        self.items.push((channel("results", path), ty.clone(), items));
        Ok(())
    }

    fn output(&mut self, path: &[u32], output: Output) -> Result<(), Problem> {
        self.outputs.push((channel("outputs", path), output));
        Ok(())
    }

    fn later(&mut self, path: &[u32], ty: &Type, later: Later) -> Result<(), Problem> {
        self.laters.push((channel("results", path), ty.clone(), later));
        Ok(())
    }
}

/// A stream whose bytes are all here.
pub(crate) fn whole(bytes: Bytes) -> Input {
    Input::new(futures::stream::once(async move { Ok(bytes) }).boxed())
}
