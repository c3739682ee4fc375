//! Calling functions over the lattice: one subscription for all calls of a client.

use super::catalog::Signature;
use super::codec::{self, CodecError, Lend, Take};
use super::handles::{ANYONE, Handle, Lent, Owner};
use super::line::{Line, Writing};
use super::{
    APPLICATION, CLIENT, LINK, MORE, PEER, SOURCE, TARGET, TIMEOUT, WINDOW, extra, of_lattice, prefix,
    problem,
};
use super::{problem_of, window_of};
use crate::lattice::STATUS;
use crate::subscription::{Attached, Pushed, Sink};
use crate::{Lattice, LatticeError, Message, Result, Spawn, SubscribeOptions};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::{guest, wire};
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{Resource, Type, Value};

/// Limits of a client.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// How long a call may take whose caller does not say.
    pub patience: Duration,
    /// How many calls may be under way, with those whose streams go on.
    pub calls_max: usize,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits { patience: Duration::from_secs(300), calls_max: 10_000 }
    }
}

/// Who calls whom, and how it is to be called.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The component or provider that is called.
    pub target: String,
    /// Who calls.
    pub source: String,
    /// The name of the link.
    pub link: String,
    /// The caller's application, for a server that keeps what is of one apart from what is of others.
    pub application: Option<String>,
    /// How long the caller will wait.
    pub patience: Option<Duration>,
}

/// Calls functions of components and providers. Clones are the same client; the last one that is dropped unsubscribes.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    _attached: Arc<Attached>,
}

struct Inner {
    lattice: Arc<dyn Lattice>,
    spawn: Spawn,
    root: String,
    lent: Arc<Lent>,
    limits: ClientLimits,
    next: AtomicU64,
    lines: Mutex<HashMap<u64, Arc<Line>>>,
    owners: Mutex<HashMap<String, Arc<Owner>>>,
    /// Output streams that calls have given, by the callee.
    writings: Mutex<Vec<(String, Arc<Writing>)>>,
    lost: Mutex<Option<Problem>>,
}

impl Client {
    /// A client with its one subscription. `lent` is what its resources are lent from: that of the server beside it, if there is one.
    pub async fn new(
        lattice: Arc<dyn Lattice>,
        spawn: Spawn,
        lent: Arc<Lent>,
        limits: ClientLimits,
    ) -> Result<Client> {
        let root = format!("{}{CLIENT}", lattice.inbox());
        let subscription = lattice.subscribe_with(&format!("{root}.>"), SubscribeOptions::default()).await?;
        let inner = Arc::new(Inner {
            lattice,
            spawn,
            root,
            lent,
            limits,
            next: AtomicU64::new(1),
            lines: Mutex::default(),
            owners: Mutex::default(),
            writings: Mutex::default(),
            lost: Mutex::default(),
        });
        let attached = subscription.attach(Arc::new(Answers(Arc::downgrade(&inner))));
        Ok(Client { inner, _attached: Arc::new(attached) })
    }

    /// The name by which servers know this client: the root of its reply subjects.
    pub fn name(&self) -> &str {
        &self.inner.root
    }

    /// Ends all calls with the problem, and refuses new ones: the other end is gone.
    pub fn lose(&self, why: Problem) {
        self.inner.lose(&why);
    }

    /// How many calls are under way.
    pub fn calls(&self) -> usize {
        self.inner.lock().len()
    }

    /// Whether what serves the target speaks the additions. Of wasmCloud 1.x nobody answers, nor where nobody is.
    pub async fn is_ours(&self, target: &str, within: Duration) -> bool {
        let lattice = &self.inner.lattice;
        let asked = lattice.request(&extra(lattice.name(), target, "speaks"), Bytes::new(), within).await;
        asked.is_ok_and(|answer| window_of(&answer.headers).is_some())
    }

    /// Calls a function. Dropping the future ends the call, and tells the server.
    ///
    /// Errors: what the server says of itself (its own codes), `UM0602` if nobody is there, `UM0552` after the patience, `UM063x` and
    /// `UM064x` of the wire.
    pub async fn call(
        &self,
        outgoing: &Outgoing,
        signature: &Signature,
        args: Vec<Value>,
    ) -> Result<Option<Value>, Problem> {
        let patience = outgoing.patience.unwrap_or(self.inner.limits.patience);
        let flight = self.inner.take_off(&outgoing.target)?;
        let flight = Arc::new(flight);
        let called = called(&flight, outgoing, signature, args, patience);
        match tokio::time::timeout(patience, called).await {
            Ok(Ok(value)) => {
                flight.landed();
                Ok(value)
            }
            Ok(Err(problem)) => {
                // Streams of the arguments that still wait for the server go too.
                flight.line.end(&problem);
                Err(problem)
            }
            Err(_) => {
                let message = format!(
                    "`{}` of `{}` gave no result within {patience:?}",
                    signature.function, outgoing.target
                );
                Err(problem(guest::CALL_TIMEOUT, message))
            }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.inner.root)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_off(self: &Arc<Self>, target: &str) -> Result<Flight, Problem> {
        if let Some(why) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(why);
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mine = format!("{}.{number}", self.root);
        let line = Line::new(self.lattice.clone(), self.spawn.clone(), mine);
        {
            let mut lines = self.lock();
            if lines.len() >= self.limits.calls_max {
                let message = format!("{} calls of `{target}` are under way", lines.len());
                return Err(problem(wire::CALLS_LIMIT, message));
            }
            lines.insert(number, line.clone());
        }
        // Lost meanwhile: nobody would ever end the call.
        if let Some(why) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            self.lock().remove(&number);
            return Err(why);
        }
        let state = Mutex::new(Leg { is_sent: false, has_landed: false });
        Ok(Flight { client: Arc::downgrade(self), number, line, target: target.to_string(), state })
    }

    fn lose(&self, why: &Problem) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.clone());
        let lines: Vec<Arc<Line>> = self.lock().values().cloned().collect();
        lines.iter().for_each(|line| line.end(why));
    }

    /// Waits until the callee has been sent what was written to its output streams before.
    async fn settle(&self, target: &str) {
        let open: Vec<Arc<Writing>> = {
            let mut writings = self.writings.lock().unwrap_or_else(PoisonError::into_inner);
            if writings.is_empty() {
                return;
            }
            writings.retain(|(_, writing)| !writing.is_done());
            writings.iter().filter(|(of, _)| of == target).map(|(_, writing)| writing.clone()).collect()
        };
        for writing in open {
            writing.settle().await;
        }
    }

    fn owner(&self, target: &str) -> Arc<Owner> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get(target) {
            return owner.clone();
        }
        let owner = Arc::new(Owner {
            target: target.to_string(),
            reply: format!("{}.0", self.root),
            lattice: self.lattice.clone(),
            spawn: self.spawn.clone(),
            dropped: Mutex::default(),
        });
        owners.insert(target.to_string(), owner.clone());
        owner
    }

    fn arrived(&self, message: &Message) {
        let rest = message.subject.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let Some(rest) = rest else { return };
        let (number, channel) = rest.split_once('.').unwrap_or((rest, ""));
        let line = number.parse().ok().and_then(|number: u64| self.lock().get(&number).cloned());
        let Some(line) = line else { return };
        match channel {
            "" => accepted(&line, message),
            "results" => results(&line, message),
            channel => line.arrived(channel, message),
        }
    }
}

fn accepted(line: &Line, message: &Message) {
    if let Some(status) = message.headers.get(STATUS) {
        let subject = "the called subject".to_string();
        let error = match status {
            "429" => LatticeError::Busy { subject },
            _ => LatticeError::NoResponders { subject },
        };
        line.end(&of_lattice(&error));
        return;
    }
    line.meet(message);
}

fn results(line: &Line, message: &Message) {
    let problem = problem_of(&message.headers);
    let is_whole_here = problem.is_none() && window_of(&message.headers).is_some();
    if is_whole_here {
        line.meet(message);
    }
    let mut state = line.lock();
    if state.whole.is_some() {
        return;
    }
    if let Some(problem) = problem {
        state.whole = Some(Err(problem));
    } else if message.payload.is_empty() && !is_whole_here {
        state.whole = Some(Ok(std::mem::take(&mut state.pieces).into()));
    } else if is_whole_here && state.pieces.is_empty() {
        state.whole = Some(Ok(message.payload.clone()));
    } else if state.pieces.len() + message.payload.len() > codec::BYTES_MAX {
        let error = CodecError::Limit { what: "bytes", max: codec::BYTES_MAX };
        state.whole = Some(Err(Problem::from(&error)));
    } else {
        state.pieces.extend_from_slice(&message.payload);
        if !is_whole_here {
            return;
        }
        state.whole = Some(Ok(std::mem::take(&mut state.pieces).into()));
    }
    drop(state);
    line.changed.notify_waiters();
}

/// Hears for all calls.
struct Answers(Weak<Inner>);

impl Sink for Answers {
    fn take(&self, message: Message) -> Pushed {
        match self.0.upgrade() {
            Some(inner) => {
                inner.arrived(&message);
                Pushed::Queued
            }
            None => Pushed::Gone,
        }
    }

    fn interrupted(&self) {
        let Some(inner) = self.0.upgrade() else { return };
        // What was answered meanwhile will not come; calls that begin now are not concerned.
        let why = problem(wire::CONNECTION_LOST, "the connection was lost during the call");
        let lines: Vec<Arc<Line>> = inner.lock().values().cloned().collect();
        lines.iter().for_each(|line| line.end(&why));
    }

    fn ended(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.lose(&problem(wire::CONNECTION_LOST, "the lattice was closed during the call"));
        }
    }
}

/// One call that is under way, and its streams after it. It is forgotten with the last that holds it.
struct Flight {
    client: Weak<Inner>,
    number: u64,
    line: Arc<Line>,
    target: String,
    state: Mutex<Leg>,
}

struct Leg {
    is_sent: bool,
    has_landed: bool,
}

impl Flight {
    fn leg(&self) -> MutexGuard<'_, Leg> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn landed(&self) {
        self.leg().has_landed = true;
    }
}

/// Ends the call at its server when its caller goes away.
struct Cancel<'f>(&'f Flight);

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let flight = self.0;
        let is_waited_for = {
            let leg = flight.leg();
            leg.is_sent && !leg.has_landed
        };
        if !is_waited_for || flight.line.lock().whole.is_some() {
            return;
        }
        let line = flight.line.clone();
        let subject = extra(line.lattice.name(), &flight.target, "cancel");
        let message = Message::new(subject, Bytes::new()).with_reply(line.mine.clone());
        line.end(&problem(guest::CALL_TIMEOUT, "nobody waits for the call any more"));
        (flight.line.spawn)(Box::pin(async move {
            let _ = line.lattice.publish(message).await;
        }));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(client) = self.client.upgrade() {
            client.lock().remove(&self.number);
        }
    }
}

async fn called(
    flight: &Arc<Flight>,
    outgoing: &Outgoing,
    signature: &Signature,
    args: Vec<Value>,
    patience: Duration,
) -> Result<Option<Value>, Problem> {
    let line = &flight.line;
    let client = flight.client.upgrade().ok_or_else(gone)?;
    let mut giving = Giving {
        client: &client,
        target: &outgoing.target,
        inputs: Vec::new(),
        items: Vec::new(),
        laters: Vec::new(),
        kept: Kept::new(&client.lent),
    };
    let mut params =
        codec::encode(args, &signature.params, &mut giving).map_err(|error| Problem::from(&error))?;
    let Giving { mut inputs, mut items, mut laters, kept, .. } = giving;
    let mut send_streams = || {
        for (channel, input) in inputs.drain(..) {
            line.send(channel, input.into_stream(), flight.clone());
        }
        for (channel, ty, items) in items.drain(..) {
            line.send_items(channel, ty, items, flight.clone());
        }
        for (channel, ty, later) in laters.drain(..) {
            line.send_later(channel, ty, later, flight.clone());
        }
    };
    let payload_max = line.lattice.payload_bytes_max() / 2;
    let rest = if params.len() > payload_max { params.split_off(payload_max) } else { Vec::new() };
    let message = request(line, outgoing, signature, params.into(), patience, !rest.is_empty());
    client.settle(&outgoing.target).await;
    let cancel = Cancel(flight);
    flight.leg().is_sent = true;
    line.lattice.publish_request(message).await.map_err(|error| of_lattice(&error))?;
    let bytes = answered(flight, rest.into(), payload_max, &mut send_streams).await?;
    drop(cancel);
    // A result may come while the params still stream.
    send_streams();
    let mut taking = Taking { client: &client, flight, target: &outgoing.target };
    let Some(ty) = &signature.result else { return Ok(None) };
    if bytes.is_empty() {
        let message = format!("`{}` of `{}` ended without a result", signature.function, outgoing.target);
        return Err(problem(wire::NO_RESULT, message));
    }
    let mut values = codec::decode(&bytes, [ty], &mut taking).map_err(|error| Problem::from(&error))?;
    drop(kept);
    Ok(values.pop())
}

/// Waits for the whole result. Once the server has said where it hears, it is sent the rest of the params, and what they promise.
async fn answered(
    flight: &Arc<Flight>,
    rest: Bytes,
    payload_max: usize,
    send_streams: &mut (dyn FnMut() + Send),
) -> Result<Bytes, Problem> {
    let line = &flight.line;
    let mut owes_rest = true;
    loop {
        let changed = line.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (whole, peer, is_ours) = {
            let mut state = line.lock();
            (state.whole.take(), state.peer.clone(), state.window.is_some())
        };
        if let Some(whole) = whole {
            flight.landed();
            return whole;
        }
        match peer {
            Some(peer) if owes_rest => {
                owes_rest = false;
                // A peer of wasmCloud 1.x waits for the end of the params even where they were whole.
                if !is_ours || !rest.is_empty() {
                    send_rest(line, &format!("{peer}.params"), &rest, payload_max).await?;
                }
                // The params come before what they promise, as the original sends them.
                send_streams();
            }
            _ => changed.await,
        }
    }
}

fn gone() -> Problem {
    problem(wire::CONNECTION_LOST, "whoever calls is gone")
}

fn request(
    line: &Line,
    outgoing: &Outgoing,
    signature: &Signature,
    params: Bytes,
    patience: Duration,
    has_more: bool,
) -> Message {
    let mut subject = prefix(line.lattice.name(), &outgoing.target);
    subject.push_str(&signature.tail);
    let mut message = Message::new(subject, params)
        .with_header(SOURCE, outgoing.source.as_str())
        .with_header(LINK, outgoing.link.as_str())
        .with_header(TARGET, outgoing.target.as_str())
        .with_header(TIMEOUT, patience.as_millis().to_string())
        .with_header(PEER, WINDOW.to_string());
    if let Some(application) = &outgoing.application {
        message.headers.append(APPLICATION, application.as_str());
    }
    if has_more {
        message.headers.append(MORE, "1");
    }
    message.with_reply(line.mine.as_str())
}

async fn send_rest(line: &Line, subject: &str, rest: &Bytes, piece: usize) -> Result<(), Problem> {
    let mut left = rest.clone();
    loop {
        let part = left.split_to(left.len().min(piece));
        let is_last = part.is_empty();
        line.lattice.publish(Message::new(subject, part)).await.map_err(|error| of_lattice(&error))?;
        if is_last {
            return Ok(());
        }
    }
}

/// Resources that were lent for the time of a call.
struct Kept<'l> {
    lent: &'l Lent,
    borrowed: Vec<Bytes>,
    // Held so that nothing of the other end is dropped while the call names it.
    handles: Vec<Arc<Handle>>,
}

impl<'l> Kept<'l> {
    fn new(lent: &'l Lent) -> Kept<'l> {
        Kept { lent, borrowed: Vec::new(), handles: Vec::new() }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.handles.clear();
        for handle in &self.borrowed {
            self.lent.forget(ANYONE, handle);
        }
    }
}

/// Gives arguments away.
struct Giving<'c> {
    client: &'c Inner,
    target: &'c str,
    inputs: Vec<(String, Input)>,
    items: Vec<(String, Type, Items)>,
    laters: Vec<(String, Type, Later)>,
    kept: Kept<'c>,
}

impl Lend for Giving<'_> {
    fn lend(&mut self, resource: Resource, _name: &str, is_own: bool) -> Result<Bytes, Problem> {
        if let Some(handle) = resource.get::<Handle>().filter(|handle| handle.owner() == self.target) {
            if is_own {
                handle.give_back();
            }
            let bytes = handle.bytes.clone();
            self.kept.handles.push(handle);
            return Ok(bytes);
        }
        let bytes = self.client.lent.lend(ANYONE, resource)?;
        if !is_own {
            self.kept.borrowed.push(bytes.clone());
        }
        Ok(bytes)
    }

    fn input(&mut self, path: &[u32], input: Input) -> Result<(), Problem> {
        self.inputs.push((channel("params", path), input));
        Ok(())
    }

    fn items(&mut self, path: &[u32], ty: &Type, items: Items) -> Result<(), Problem> {
        self.items.push((channel("params", path), ty.clone(), items));
        Ok(())
    }

    fn output(&mut self, _: &[u32], _: Output) -> Result<(), Problem> {
        Err(problem(guest::NOT_CARRIED, "an `output-stream` cannot be an argument of a call over the wire"))
    }

    fn later(&mut self, path: &[u32], ty: &Type, later: Later) -> Result<(), Problem> {
        self.laters.push((channel("params", path), ty.clone(), later));
        Ok(())
    }
}

/// Takes a result.
struct Taking<'c> {
    client: &'c Inner,
    flight: &'c Arc<Flight>,
    target: &'c str,
}

impl Take for Taking<'_> {
    fn resource(&mut self, handle: &[u8], _name: &str, is_own: bool) -> Result<Resource, Problem> {
        // Something of ours may come back.
        if let Some(ours) = self.client.lent.find(ANYONE, handle, is_own) {
            return Ok(ours);
        }
        let owner = self.client.owner(self.target);
        Ok(Resource::new(Handle::new(owner, Bytes::copy_from_slice(handle))))
    }

    fn input(&mut self, path: &[u32], ready: Option<Bytes>) -> Result<Input, Problem> {
        match ready {
            Some(bytes) => Ok(super::server::whole(bytes)),
            None => Ok(self.flight.line.input(channel("results", path), self.flight.clone())),
        }
    }

    fn items(&mut self, path: &[u32], ty: &Type) -> Result<Items, Problem> {
        Ok(self.flight.line.items(channel("results", path), ty, self.flight.clone()))
    }

    fn output(&mut self, path: &[u32]) -> Result<Output, Problem> {
        let (output, writing) = self.flight.line.output(channel("outputs", path), self.flight.clone());
        let mut writings = self.client.writings.lock().unwrap_or_else(PoisonError::into_inner);
        writings.push((self.target.to_string(), writing));
        Ok(output)
    }

    fn later(&mut self, path: &[u32], ty: &Type) -> Result<Later, Problem> {
        Ok(self.flight.line.later(&channel("results", path), ty, self.flight.clone()))
    }
}

/// `params.0.1`: the name of the channel of a stream.
pub(crate) fn channel(of: &str, path: &[u32]) -> String {
    let mut name = of.to_string();
    for place in path {
        name.push('.');
        name.push_str(&place.to_string());
    }
    name
}
