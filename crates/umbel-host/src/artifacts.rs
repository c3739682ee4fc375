//! Bytes between hosts that do not have the same files: a host that lacks a digest asks who has it, and takes it from the first that says so.
//!
//! ```text
//!  taker ── artifact.find {digest} ──▶ every host        whoever has it answers, the others say nothing
//!  taker ── artifact.read {digest, offset} ──▶ giver     several at once, in pieces below what the server carries
//!    └─ Incoming ── digest compared ──▶ Store            a giver that goes away: the next one goes on where it was
//! ```
//!
//! Whoever knows a digest and may speak on the lattice is given its bytes: hosts of a lattice trust one another.

use crate::fetch::blocking;
use crate::shared::Shared;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use umbel_artifact::{Artifact, ArtifactError, Incoming, Store};
use umbel_core::Problem;
use umbel_core::code::{artifact as code, lattice as lattice_code};
use umbel_core::digest::Digest;
use umbel_core::id::HostId;
use umbel_lattice::control::{Client, ControlError, CtlResponse, parse_request};
use umbel_lattice::extension::artifact::{ArtifactOffer, ArtifactQuery, ArtifactRead};
use umbel_lattice::subjects::umbel;
use umbel_lattice::{Lattice, Message};
use umbel_supervisor::ChildContext;

/// How long it is waited for a host to say that it has the bytes.
const FIND_MAX: Duration = Duration::from_secs(2);
/// How long one piece may take.
const PIECE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the whole may take.
const TAKE_MAX: Duration = Duration::from_secs(600);
/// Longest piece, where the server carries that much.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// Pieces that are asked for at once.
const PIECES_AT_ONCE: usize = 4;
/// Requests of all takers that a giver works on at once.
const GIVEN_AT_ONCE: usize = 16;
/// How many hosts are asked one after the other for the same bytes.
const GIVERS_MAX: usize = 4;

/// The child that gives other hosts what they lack. It has nothing to do where there are none.
pub async fn run(shared: Arc<Shared>, cx: ChildContext) -> Result<(), Problem> {
    if !shared.lattice.is_shared() {
        cx.ready.notify();
        cx.stop.requested().await;
        return Ok(());
    }
    let giver =
        Giver { lattice: shared.lattice.clone(), store: shared.store.clone(), host_id: shared.id.clone() };
    let gives = giver.give(|| cx.ready.notify());
    tokio::select! {
        () = cx.stop.requested() => Ok(()),
        ended = gives => ended,
    }
}

/// Who has bytes.
struct Giver {
    lattice: Arc<dyn Lattice>,
    store: Arc<Store>,
    host_id: HostId,
}

impl Giver {
    /// Answers until the subscriptions end, and says when it has begun.
    async fn give(&self, begun: impl FnOnce()) -> Result<(), Problem> {
        let failed = |error| Problem::from(ControlError::Lattice(error));
        let name = self.lattice.name();
        let asked = self.lattice.subscribe(&umbel::artifact_find(name)).await.map_err(failed)?;
        let reads =
            self.lattice.subscribe(&umbel::artifact_read(name, &self.host_id)).await.map_err(failed)?;
        begun();
        let asked = asked.map(|message| (message, true));
        let reads = reads.map(|message| (message, false));
        let answered = futures::stream::select(asked, reads).for_each_concurrent(
            GIVEN_AT_ONCE,
            async |(message, is_query)| {
                let answer = if is_query { self.offer(&message).await } else { self.piece(&message).await };
                let (Some(reply), Some(answer)) = (&message.reply, answer) else { return };
                let answer = Message { subject: reply.clone(), ..answer };
                if let Err(error) = self.lattice.publish(answer).await {
                    tracing::debug!(%error, subject = message.subject, "an answer was not taken");
                }
            },
        );
        answered.await;
        let problem = Problem::new(
            lattice_code::LATTICE_CLOSED,
            "nobody asks for artifacts any more: the lattice has ended",
        );
        Err(problem)
    }

    /// What to say to whoever looks for bytes; nothing, if they are not here or cannot be read.
    async fn offer(&self, message: &Message) -> Option<Message> {
        let ArtifactQuery { digest } = read(message).ok()?;
        let store = self.store.clone();
        let artifact = blocking(move || Ok(store.find(&digest)?)).await.ok()?;
        let offer = ArtifactOffer { host_id: self.host_id.clone(), size: artifact.size };
        Some(Message::new("", CtlResponse::with(offer).to_bytes()))
    }

    async fn piece(&self, message: &Message) -> Option<Message> {
        let piece = async {
            let asked: ArtifactRead = read(message)?;
            let (store, digest, offset) = (self.store.clone(), asked.digest, asked.offset);
            let bytes_max = asked.bytes_max.min(piece_bytes_max(&*self.lattice));
            let bytes = blocking(move || Ok(store.piece(&digest, offset, bytes_max)?)).await?;
            Ok::<_, Problem>(asked.piece(String::new(), bytes))
        };
        let refused = |problem: Problem| Message::new("", CtlResponse::<()>::refused(problem).to_bytes());
        Some(piece.await.unwrap_or_else(refused))
    }
}

fn read<T: DeserializeOwned>(message: &Message) -> Result<T, Problem> {
    parse_request(message).map_err(Problem::from)
}

fn piece_bytes_max(lattice: &dyn Lattice) -> u64 {
    PIECE_BYTES_MAX.min(lattice.payload_bytes_max() as u64 / 2).max(1)
}

/// Takes the bytes of a digest from a host that has them into the store, if `accept` takes them. Nothing, if no host has them.
///
/// # Errors
/// UM0311 when what came is not what was asked for, the error of the last host when none gave all of it, those of the store, and that of
/// `accept`.
pub async fn take<T, F>(
    lattice: &Arc<dyn Lattice>,
    store: &Arc<Store>,
    digest: &Digest,
    accept: F,
) -> Result<Option<(Artifact, T)>, Problem>
where
    T: Send + 'static,
    F: FnOnce(&mut File) -> Result<T, Problem> + Send + 'static,
{
    let taken = tokio::time::timeout(TAKE_MAX, gather(lattice, store, digest)).await;
    let taken = taken.unwrap_or_else(|_| {
        let what = format!("{digest} did not come from other hosts within {} s", TAKE_MAX.as_secs());
        Err(Problem::new(lattice_code::REQUEST_TIMEOUT, what))
    });
    let Some((incoming, giver)) = taken? else { return Ok(None) };
    let (found, bytes) = (incoming.digest(), incoming.size());
    if found != *digest {
        let what = format!("the host {giver} gave {found} in the place of {digest}");
        return Err(Problem::new(code::GIVEN_BYTES, what));
    }
    tracing::info!(host = %giver, artifact = %digest, bytes, "an artifact came from another host");
    let store = store.clone();
    blocking(move || store.complete(incoming, accept)).await.map(Some)
}

/// All bytes that one host after the other gives, and who gave the last of them.
async fn gather(
    lattice: &Arc<dyn Lattice>,
    store: &Arc<Store>,
    digest: &Digest,
) -> Result<Option<(Incoming, HostId)>, Problem> {
    let asking = Client::new(lattice.clone(), FIND_MAX);
    let mut incoming: Option<Incoming> = None;
    let mut failure = None;
    for _ in 0..GIVERS_MAX {
        let Ok(offer) = asking.find_artifact(digest).await else { break };
        let begun = match incoming.take() {
            Some(incoming) => incoming,
            None => {
                let store = store.clone();
                blocking(move || Ok(store.begin()?)).await?
            }
        };
        let (came, end) = pieces(lattice, begun, digest, &offer).await?;
        match end {
            Ok(()) => return Ok(Some((came, offer.host_id))),
            Err(error) => {
                tracing::debug!(%error, host = %offer.host_id, artifact = %digest, "a host did not give all of it");
                failure = Some(error);
            }
        }
        incoming = Some(came);
    }
    failure.map_or(Ok(None), |error| Err(error.into()))
}

/// What one host gives from there on that came already, and why not all of it.
async fn pieces(
    lattice: &Arc<dyn Lattice>,
    mut incoming: Incoming,
    digest: &Digest,
    offer: &ArtifactOffer,
) -> Result<(Incoming, Result<(), ControlError>), Problem> {
    if offer.size > incoming.bytes_max() {
        return Err(ArtifactError::TooLarge { name: None, bytes_max: incoming.bytes_max() }.into());
    }
    let client = Client::new(lattice.clone(), PIECE_TIME_MAX);
    let mut coming =
        std::pin::pin!(asked(client, *digest, offer, incoming.size(), piece_bytes_max(&**lattice)));
    loop {
        let piece = match coming.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok((incoming, Ok(()))),
            Err(error) => return Ok((incoming, Err(error))),
        };
        let write = move || {
            incoming.write(&piece)?;
            Ok(incoming)
        };
        incoming = blocking(write).await?;
    }
}

/// The pieces from `begin` on, in order. A host that gives fewer bytes than it has said ends them with an error.
fn asked(
    client: Client,
    digest: Digest,
    offer: &ArtifactOffer,
    begin: u64,
    piece_bytes: u64,
) -> impl Stream<Item = Result<Bytes, ControlError>> {
    let (size, host) = (offer.size, offer.host_id.clone());
    let offsets = std::iter::successors(Some(begin), move |offset| Some(offset + piece_bytes));
    let ask = move |offset: u64| {
        let (client, host) = (client.clone(), host.clone());
        async move {
            let bytes_max = piece_bytes.min(size - offset);
            let read = ArtifactRead { digest, offset, bytes_max };
            let piece = client.read_artifact(&host, &read).await?;
            if piece.len() as u64 == bytes_max {
                return Ok(piece);
            }
            let what = format!("the host {host} has less of {digest} than it has said");
            Err(ControlError::Refused { problem: Box::new(Problem::new(code::GIVEN_BYTES, what)) })
        }
    };
    futures::stream::iter(offsets.take_while(move |offset| *offset < size)).map(ask).buffered(PIECES_AT_ONCE)
}

#[cfg(test)]
mod tests;
