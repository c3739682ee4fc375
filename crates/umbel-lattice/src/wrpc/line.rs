//! What the two ends of one call have in common: where each hears of it, its streams, and how it ends.

use super::channel::{Inlet, Kind, Outlet, broken, chunk};
use super::codec::{self, CodecError, STREAMS_MAX};
use super::{put_problem, window_of};
use crate::{Lattice, Message, Spawn};
use bytes::Bytes;
use futures::StreamExt;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use umbel_core::Problem;
use umbel_wit::value::{Input, Items, Later, Output};
use umbel_wit::{ByteStream, Type, Value};

/// Largest piece of a stream in one message.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// How many values of a stream go in one message.
const ITEMS_AT_ONCE: usize = 128;

/// How long a stream may stand still. A peer that is gone without a word would hold its memory for ever.
const STILL_MAX: Duration = Duration::from_secs(600);

/// How long streams of the arguments wait for the server to accept the call.
const ACCEPT_MAX: Duration = Duration::from_secs(60);

/// One call, seen from one end.
pub(crate) struct Line {
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) spawn: Spawn,
    /// Where this end hears: `C` for the client, `S` for the server.
    pub(crate) mine: String,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    /// Where the other end hears, once it has said so.
    pub(crate) peer: Option<Arc<str>>,
    /// How far it lets streams run ahead, if it speaks the additions.
    pub(crate) window: Option<u64>,
    inlets: HashMap<String, Arc<Inlet>>,
    outlets: HashMap<String, Arc<Outlet>>,
    /// How many channels that are still written to are below a channel.
    below: HashMap<String, usize>,
    pub(crate) over: Option<Problem>,
    /// Params or results that come in pieces, and whether all are there.
    pub(crate) pieces: Vec<u8>,
    pub(crate) is_whole: bool,
    pub(crate) whole: Option<Result<Bytes, Problem>>,
}

impl Line {
    pub(crate) fn new(lattice: Arc<dyn Lattice>, spawn: Spawn, mine: String) -> Arc<Line> {
        Arc::new(Line { lattice, spawn, mine, state: Mutex::default(), changed: Notify::new() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the other end hears, and what it says of itself.
    pub(crate) fn meet(&self, message: &Message) {
        let mut state = self.lock();
        if let Some(window) = window_of(&message.headers) {
            state.window = Some(window);
        }
        if let Some(reply) = &message.reply {
            state.peer.get_or_insert_with(|| reply.as_str().into());
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// A message of one of the streams; `channel` is what follows our subject.
    pub(crate) fn arrived(&self, channel: &str, message: &Message) {
        if let Some(channel) = channel.strip_prefix("credit.") {
            let taken = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
            if let (Some(outlet), Some(taken)) = (self.known_outlet(channel), taken) {
                outlet.credit(taken);
            }
        } else if let Some(channel) = channel.strip_prefix("stop.") {
            if let Some(outlet) = self.known_outlet(channel) {
                outlet.stop();
            }
        } else if let Some(channel) = channel.strip_prefix("done.") {
            if let Some(outlet) = self.known_outlet(channel) {
                outlet.done();
            }
        } else if let Some(inlet) = self.inlet(channel) {
            inlet.push(message);
        }
    }

    /// The other end is gone.
    pub(crate) fn end(&self, why: &Problem) {
        let mut state = self.lock();
        state.over.get_or_insert_with(|| why.clone());
        state.whole.get_or_insert_with(|| Err(why.clone()));
        let inlets: Vec<_> = state.inlets.values().cloned().collect();
        let outlets: Vec<_> = state.outlets.values().cloned().collect();
        drop(state);
        inlets.iter().for_each(|inlet| inlet.break_off(why));
        outlets.iter().for_each(|outlet| outlet.stop());
        self.changed.notify_waiters();
    }

    fn known_outlet(&self, channel: &str) -> Option<Arc<Outlet>> {
        self.lock().outlets.get(channel).cloned()
    }

    /// The reading end of a channel. Bytes may come before anybody knows that they are wanted.
    fn inlet(&self, channel: &str) -> Option<Arc<Inlet>> {
        let mut state = self.lock();
        if let Some(known) = state.inlets.get(channel) {
            return Some(known.clone());
        }
        // Channels that only close are there too: those of a stream's parents.
        if state.inlets.len() >= 4 * STREAMS_MAX {
            return None;
        }
        let inlet = Arc::<Inlet>::default();
        if let Some(why) = &state.over {
            inlet.break_off(why);
        }
        state.inlets.insert(channel.to_string(), inlet.clone());
        Some(inlet)
    }

    /// The bytes that come on a channel. `kept` lives as long as they do.
    pub(crate) fn input<K: Send + 'static>(self: &Arc<Self>, channel: String, kept: K) -> Input {
        let Some(inlet) = self.inlet(&channel) else {
            let why = broken("there are too many streams");
            return Input::new(futures::stream::once(async { Err(why) }).boxed());
        };
        inlet.is_of(Kind::Chunks);
        let reading = Open { line: self.clone(), inlet, channel, _kept: kept };
        Input::new(futures::stream::unfold(reading, Open::step).boxed())
    }

    /// The values that come on a channel. `kept` lives as long as they do.
    pub(crate) fn items<K: Send + 'static>(self: &Arc<Self>, channel: String, ty: &Type, kept: K) -> Items {
        let Some(inlet) = self.inlet(&channel) else {
            let why = broken("there are too many streams");
            return Items::new(futures::stream::once(async { Err(why) }).boxed());
        };
        inlet.is_of(Kind::Value);
        let open = Open { line: self.clone(), inlet, channel, _kept: kept };
        let reading =
            Parsing { open: Some(open), ty: ty.clone(), unread: Vec::new(), ready: VecDeque::new() };
        Items::new(futures::stream::unfold(reading, Parsing::step).boxed())
    }

    /// The value that comes on a channel. `kept` lives as long as it is waited for.
    pub(crate) fn later<K: Send + 'static>(self: &Arc<Self>, channel: &str, ty: &Type, kept: K) -> Later {
        let (inlet, ty) = (self.inlet(channel), ty.clone());
        if let Some(inlet) = &inlet {
            inlet.is_of(Kind::Value);
        }
        Later::new(async move {
            let _kept = kept;
            let inlet = inlet.ok_or_else(|| broken("there are too many streams"))?;
            let mut all = Vec::new();
            loop {
                let next = tokio::time::timeout(STILL_MAX, inlet.next()).await;
                let next = next.map_err(|_| broken("nothing has come for ten minutes"))?;
                all.extend_from_slice(&next.ok_or_else(|| broken("its writer ended before the value did"))??);
                match codec::decode_plain(&all.clone().into(), &ty) {
                    Err(CodecError::Incomplete) => {}
                    read => return read.map_err(|error| Problem::from(&error)),
                }
            }
        })
    }

    /// Sends the value on a channel once it is there, in a task of its own.
    pub(crate) fn send_later<K: Send + 'static>(
        self: &Arc<Self>,
        channel: String,
        ty: Type,
        later: Later,
        kept: K,
    ) {
        let outlet = self.outlet(&channel);
        let line = self.clone();
        (self.spawn)(Box::pin(async move {
            line.send_value(&channel, &outlet, &ty, later).await;
            drop(kept);
        }));
    }

    async fn send_value(&self, channel: &str, outlet: &Outlet, ty: &Type, later: Later) {
        let Ok(Some(peer)) = tokio::time::timeout(ACCEPT_MAX, self.peer()).await else { return };
        let subject = format!("{peer}.{channel}");
        let value = tokio::select! {
            value = later.into_future() => value,
            () = outlet.stopped() => return,
        };
        let encoded =
            value.and_then(|value| codec::encode_plain(value, ty).map_err(|error| Problem::from(&error)));
        let mut bytes = match encoded {
            Ok(bytes) => Bytes::from(bytes),
            Err(why) => {
                let mut last = Message::new(subject, Bytes::new());
                put_problem(&mut last.headers, &why);
                let _ = self.lattice.publish(last).await;
                return;
            }
        };
        let piece = self.lattice.payload_bytes_max() / 2;
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(piece));
            if self.lattice.publish(Message::new(subject.as_str(), part)).await.is_err() {
                return;
            }
        }
        if self.lock().window.is_none() {
            self.close(channel).await;
        }
    }

    /// Sends what is written to the result on a channel. The writing says when all of it has been sent.
    pub(crate) fn output<K: Send + 'static>(
        self: &Arc<Self>,
        channel: String,
        kept: K,
    ) -> (Output, Arc<Writing>) {
        let (sender, receiver) = futures::channel::mpsc::channel(1);
        let writing = Arc::<Writing>::default();
        let outlet = self.outlet(&channel);
        let (line, told) = (self.clone(), Told(writing.clone()));
        (self.spawn)(Box::pin(async move {
            line.pump(&channel, &outlet, receiver.map(Ok).boxed(), chunk, Some(&told.0)).await;
            drop((told, kept));
        }));
        (Output(sender), writing)
    }

    /// Sends the stream on a channel, in a task of its own.
    pub(crate) fn send<K: Send + 'static>(self: &Arc<Self>, channel: String, stream: ByteStream, kept: K) {
        let outlet = self.outlet(&channel);
        let line = self.clone();
        (self.spawn)(Box::pin(async move {
            line.pump(&channel, &outlet, stream, chunk, None).await;
            drop(kept);
        }));
    }

    /// Sends the values on a channel, in a task of its own.
    pub(crate) fn send_items<K: Send + 'static>(
        self: &Arc<Self>,
        channel: String,
        ty: Type,
        items: Items,
        kept: K,
    ) {
        let outlet = self.outlet(&channel);
        let line = self.clone();
        let chunks = items.into_stream().map(move |value| {
            let value = codec::encode_plain(value?, &ty).map_err(|error| Problem::from(&error))?;
            // A chunk of one.
            Ok(Bytes::from([&[1], &*value].concat()))
        });
        // Several at once, where they are there.
        let chunks = chunks.ready_chunks(ITEMS_AT_ONCE).map(|chunks: Vec<Result<Bytes, Problem>>| {
            let all: Result<Vec<Bytes>, Problem> = chunks.into_iter().collect();
            all.map(|chunks| Bytes::from(chunks.concat()))
        });
        (self.spawn)(Box::pin(async move {
            line.pump(&channel, &outlet, chunks.boxed(), <[u8]>::to_vec, None).await;
            drop(kept);
        }));
    }

    /// Writes what comes on a channel to the place that the other end gave. The filling says when all of it has been written.
    pub(crate) fn fill<K: Send + 'static>(
        self: &Arc<Self>,
        channel: String,
        mut output: Output,
        kept: K,
    ) -> Option<Filling> {
        let filling = Filling { inlet: self.inlet(&channel)?, writing: Arc::default() };
        let told = Told(filling.writing.clone());
        let line = self.clone();
        let mut stream = self.input(channel.clone(), kept).into_stream();
        (self.spawn)(Box::pin(async move {
            while let Some(Ok(bytes)) = stream.next().await {
                if futures::SinkExt::send(&mut output.0, bytes).await.is_err() {
                    return;
                }
            }
            // The place first: who is told of the end finds it closed.
            drop(output);
            drop(told);
            line.tell("done", &channel, Bytes::new()).await;
        }));
        Some(filling)
    }

    /// Sends a stream piece by piece, each as `framed`.
    async fn pump(
        &self,
        channel: &str,
        outlet: &Outlet,
        mut stream: ByteStream,
        framed: fn(&[u8]) -> Vec<u8>,
        writing: Option<&Writing>,
    ) {
        let Ok(Some(peer)) = tokio::time::timeout(ACCEPT_MAX, self.peer()).await else { return };
        let subject = format!("{peer}.{channel}");
        let mut sent = 0_u64;
        loop {
            let asked = async {
                match writing {
                    Some(writing) => writing.asked.notified().await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = stream.next() => next,
                () = outlet.stopped() => return,
                // Nothing is there: all that was written has been sent.
                () = asked => {
                    writing.inspect(|writing| writing.settled());
                    continue;
                }
            };
            match next {
                Some(Ok(bytes)) => {
                    if !self.send_piece(&subject, outlet, bytes, framed, &mut sent).await {
                        return;
                    }
                }
                Some(Err(why)) => {
                    let mut last = Message::new(subject, Bytes::new());
                    put_problem(&mut last.headers, &why);
                    let _ = self.lattice.publish(last).await;
                    return;
                }
                None => break,
            }
        }
        let _ = self.lattice.publish(Message::new(subject.as_str(), vec![0])).await;
        if self.lock().window.is_none() {
            self.close(channel).await;
        } else if writing.is_some() {
            // A call that follows may overtake the bytes where messages of different subscriptions have no order.
            let _ = tokio::time::timeout(STILL_MAX, outlet.finished()).await;
        }
    }

    /// Sends bytes as the reader lets them; `false` if it reads no more.
    async fn send_piece(
        &self,
        subject: &str,
        outlet: &Outlet,
        mut bytes: Bytes,
        framed: fn(&[u8]) -> Vec<u8>,
        sent: &mut u64,
    ) -> bool {
        // The length of the piece and the subject come along.
        let piece_max = PIECE_BYTES_MAX.min(self.lattice.payload_bytes_max() / 2).max(1);
        while !bytes.is_empty() {
            let window = self.lock().window;
            let room = tokio::time::timeout(STILL_MAX, outlet.room(*sent, window));
            if !matches!(room.await, Ok(true)) {
                return false;
            }
            let piece = bytes.split_to(bytes.len().min(piece_max));
            *sent += piece.len() as u64;
            if self.lattice.publish(Message::new(subject, framed(&piece))).await.is_err() {
                return false;
            }
        }
        true
    }

    /// The writing end of a channel.
    fn outlet(&self, channel: &str) -> Arc<Outlet> {
        let mut state = self.lock();
        for above in above(channel) {
            *state.below.entry(above.to_string()).or_default() += 1;
        }
        state.outlets.entry(channel.to_string()).or_default().clone()
    }

    /// Closes a channel of a peer of wasmCloud 1.x, and those above it that nothing else is sent below.
    async fn close(&self, channel: &str) {
        let closed: Vec<String> = {
            let mut state = self.lock();
            let Some(peer) = state.peer.clone() else { return };
            let is_last = |name: &&str| match state.below.get_mut(*name) {
                Some(left @ 2..) => {
                    *left -= 1;
                    false
                }
                _ => true,
            };
            let above: Vec<&str> = above(channel).filter(is_last).collect();
            std::iter::once(channel).chain(above).map(|name| format!("{peer}.{name}")).collect()
        };
        for subject in closed {
            let _ = self.lattice.publish(Message::new(subject, Bytes::new())).await;
        }
    }

    /// Where the other end hears; `None` if the call is over.
    pub(crate) async fn peer(&self) -> Option<Arc<str>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if state.over.is_some() {
                    return None;
                }
                if let Some(peer) = &state.peer {
                    return Some(peer.clone());
                }
            }
            changed.await;
        }
    }

    /// Tells the other end something of a channel that we read.
    async fn tell(&self, what: &str, channel: &str, payload: Bytes) {
        let peer = self.lock().peer.clone();
        if let Some(peer) = peer {
            let _ = self.lattice.publish(Message::new(format!("{peer}.{what}.{channel}"), payload)).await;
        }
    }
}

/// The channels above one, up to `results` and `params`, which are closed where their values have been sent.
fn above(channel: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(channel), |name| parent(name))
}

fn parent(channel: &str) -> Option<&str> {
    channel.rsplit_once('.').map(|(parent, _)| parent).filter(|parent| parent.contains('.'))
}

/// Something that is written behind its writer's back. A call that follows has to find it as its writer left it.
#[derive(Default)]
pub(crate) struct Writing {
    asked: Notify,
    changed: Notify,
    state: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    settled: u64,
    is_done: bool,
}

/// How long a call waits for what was written before it.
const SETTLE_MAX: Duration = Duration::from_secs(1);

impl Writing {
    fn look(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) {
        self.look().settled += 1;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.look().is_done
    }

    /// Waits until all that has been written is sent, or for a second.
    pub(crate) async fn settle(&self) {
        let before = self.look().settled;
        self.asked.notify_one();
        self.wait(|state| state.is_done || state.settled > before).await;
    }

    /// Waits for the end, or for a second.
    pub(crate) async fn done(&self) {
        self.wait(|state| state.is_done).await;
    }

    async fn wait(&self, condition: impl Fn(&Written) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if condition(&self.look()) {
                    return;
                }
                changed.await;
            }
        };
        // A reader that does not read must not hold up calls for ever.
        let _ = tokio::time::timeout(SETTLE_MAX, wait).await;
    }
}

/// Says the end, however the task ends.
struct Told(Arc<Writing>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.look().is_done = true;
        self.0.changed.notify_waiters();
    }
}

/// What the other end writes to a place of ours.
pub(crate) struct Filling {
    inlet: Arc<Inlet>,
    pub(crate) writing: Arc<Writing>,
}

impl Filling {
    /// Whether the other end has ended it and we have not written all of it yet.
    pub(crate) fn is_ending(&self) -> bool {
        self.inlet.is_ended() && !self.writing.is_done()
    }
}

/// A stream that is being read.
struct Open<K> {
    line: Arc<Line>,
    inlet: Arc<Inlet>,
    channel: String,
    _kept: K,
}

impl<K: Send + 'static> Open<K> {
    async fn step(self) -> Option<(Result<Bytes, Problem>, Open<K>)> {
        let next = match tokio::time::timeout(STILL_MAX, self.inlet.next()).await {
            Ok(next) => next?,
            Err(_) => {
                let why = broken("nothing has come for ten minutes");
                self.inlet.break_off(&why);
                self.inlet.next().await?
            }
        };
        if let Some(taken) = self.inlet.credit() {
            self.line.tell("credit", &self.channel, taken.to_string().into()).await;
        }
        Some((next, self))
    }
}

/// A stream of values that is being read.
struct Parsing<K: Send + 'static> {
    open: Option<Open<K>>,
    ty: Type,
    unread: Vec<u8>,
    ready: VecDeque<Value>,
}

impl<K: Send + 'static> Parsing<K> {
    async fn step(mut self) -> Option<(Result<Value, Problem>, Parsing<K>)> {
        loop {
            if let Some(value) = self.ready.pop_front() {
                return Some((Ok(value), self));
            }
            let open = self.open.take()?;
            match codec::decode_chunk(&Bytes::from(self.unread.clone()), &self.ty) {
                Ok((values, _)) if values.is_empty() => {
                    open.inlet.finish();
                    return None;
                }
                Ok((values, length)) => {
                    self.unread.drain(..length);
                    self.ready.extend(values);
                    self.open = Some(open);
                }
                Err(CodecError::Incomplete) if self.unread.len() < codec::BYTES_MAX => {
                    match open.step().await? {
                        (Ok(bytes), open) => {
                            self.unread.extend_from_slice(&bytes);
                            self.open = Some(open);
                        }
                        (Err(why), _) => return Some((Err(why), self)),
                    }
                }
                Err(error) => return Some((Err(Problem::from(&error)), self)),
            }
        }
    }
}

impl<K> Drop for Open<K> {
    fn drop(&mut self) {
        if self.inlet.is_ended() {
            return;
        }
        self.inlet.break_off(&broken("its reader has gone"));
        let (line, channel) = (self.line.clone(), std::mem::take(&mut self.channel));
        (self.line.spawn)(Box::pin(async move { line.tell("stop", &channel, Bytes::new()).await }));
    }
}
