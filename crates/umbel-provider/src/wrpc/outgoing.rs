//! `outgoing-value` over a stream of `write-container-data`: the end of that stream is what makes an object of it, so it is held back
//! until the value is finished.
//!
//! ```text
//!  write-body ──▶ task: output-stream ─▶ held until write-data names the object ─▶ stream of the call ─▶ its end, at `finish`
//! ```

use super::blobstore::{ObjectId, ended, refused};
use super::{Peer, Told, misfit};
use bytes::Bytes;
use futures::channel::mpsc as pieces;
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use umbel_core::Problem;
use umbel_core::code::blobstore as code;
use umbel_lattice::Spawn;
use umbel_wit::Value;
use umbel_wit::value::Input;

/// Pieces that wait to be sent.
const PIECES_MAX: usize = 16;

/// Bytes that are held for a value that has no name yet.
const HELD_BYTES_MAX: usize = 64 << 20;

/// How long a finished value waits for its stream to end, or for the next piece.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// A value to be.
pub(super) struct Outgoing {
    state: Mutex<State>,
    peer: Peer,
    spawn: Spawn,
}

enum State {
    /// No bytes yet, and maybe the object that it becomes.
    New { id: Option<ObjectId> },
    /// A task takes what is written.
    Written { asks: mpsc::Sender<Ask>, under_way: Option<UnderWay> },
    /// It is an object.
    Stored,
    /// It has failed, or is being stored by a call that ended early.
    Spent,
}

/// What the call that stores it comes to.
type UnderWay = oneshot::Receiver<Told>;

/// The stream of the call.
type Body = pieces::Sender<Result<Bytes, Problem>>;

enum Ask {
    /// Where the bytes go. The answer says whether the stream had ended by then, and so is whole.
    Send(Body, oneshot::Sender<bool>),
    /// Wait no longer than [`END_PATIENCE`] for each further piece. The answer says whether it ended well.
    Finish(oneshot::Sender<Result<(), Value>>),
}

impl Outgoing {
    pub(super) fn new(peer: Peer, spawn: Spawn) -> Outgoing {
        Outgoing { state: Mutex::new(State::New { id: None }), peer, spawn }
    }

    /// Opens the stream, once; its other end is the sender.
    pub(super) async fn write_body(&self) -> Option<pieces::Sender<Bytes>> {
        let mut state = self.state.lock().await;
        let State::New { id } = &mut *state else { return None };
        let (sender, written) = pieces::channel(PIECES_MAX);
        let (asks, asked) = mpsc::channel(2);
        (self.spawn)(Box::pin(Writing::new(written, asked).run()));
        let mut under_way = None;
        if let Some(id) = id.take() {
            let (body, call) = self.begin(&id);
            under_way = Some(call);
            let (told, _whole) = oneshot::channel();
            // It waits for this.
            let _ = asks.send(Ask::Send(body, told)).await;
        }
        *state = State::Written { asks, under_way };
        Some(sender)
    }

    /// Says which object it becomes, and stores it if its stream has ended.
    pub(super) async fn write_data(&self, id: ObjectId) -> Told {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Spent) {
            State::New { id: None } => {
                *state = State::New { id: Some(id) };
                Ok(None)
            }
            State::Written { asks, under_way: None } => {
                let (body, call) = self.begin(&id);
                let (told, whole) = oneshot::channel();
                let asked = asks.send(Ask::Send(body, told)).await;
                match whole.await {
                    Ok(false) => {
                        *state = State::Written { asks, under_way: Some(call) };
                        Ok(None)
                    }
                    Ok(true) if asked.is_ok() => {
                        finish(&asks).await?;
                        outcome(call).await?;
                        *state = State::Stored;
                        Ok(None)
                    }
                    _ => Err(too_large()),
                }
            }
            other => {
                *state = other;
                Err(refused(code::VALUE_USED, "the value has become an object, or was to become one"))
            }
        }
    }

    /// Its bytes are complete: makes it the object.
    pub(super) async fn finish(&self) -> Told {
        let mut state = self.state.lock().await;
        match std::mem::replace(&mut *state, State::Spent) {
            State::Written { asks, under_way: Some(call) } => {
                finish(&asks).await?;
                outcome(call).await?;
            }
            State::New { id: Some(id) } => {
                let (body, call) = self.begin(&id);
                drop(body);
                outcome(call).await?;
            }
            State::New { id: None } | State::Written { under_way: None, .. } => {
                return Err(refused(code::VALUE_UNNAMED, "`write-data` was not called for the value"));
            }
            State::Stored => {}
            State::Spent => return Err(refused(code::VALUE_USED, "the value was finished before")),
        }
        *state = State::Stored;
        Ok(None)
    }

    /// Begins the call that stores it. A server may answer as soon as it has taken the call, or when it has read the stream: nobody waits
    /// for it before the bytes are there.
    fn begin(&self, id: &ObjectId) -> (Body, UnderWay) {
        let (body, sent) = pieces::channel(PIECES_MAX);
        let (told, under_way) = oneshot::channel();
        let (peer, id) = (self.peer.clone(), id.value());
        (self.spawn)(Box::pin(async move {
            let args = vec![id, Value::Stream(Input::new(sent.boxed()))];
            // Nobody listens where the value was dropped.
            let _ = told.send(write(&peer, args).await);
        }));
        (body, under_way)
    }
}

async fn write(peer: &Peer, args: Vec<Value>) -> Told {
    let failed = |problem: &Problem| refused(problem.code, &problem.message);
    match peer.flat("write-container-data", args).await {
        Ok(Ok(Some(Value::Later(end)))) => match end.into_future().await {
            // Its own words, where it has some.
            Ok(Value::Result(Err(Some(why)))) => Err(*why),
            end => ended(end).map(|()| None).map_err(|problem| failed(&problem)),
        },
        Ok(Ok(_)) => Err(failed(&misfit("write-container-data"))),
        Ok(Err(error)) => Err(error),
        Err(problem) => Err(failed(&problem)),
    }
}

async fn outcome(call: UnderWay) -> Told {
    call.await.unwrap_or_else(|_| Err(refused(code::SERVER_FAILED, "the call that stores the value ended")))
}

async fn finish(asks: &mpsc::Sender<Ask>) -> Told {
    let (told, ended) = oneshot::channel();
    // A task that has ended says so by dropping the question.
    let _ = asks.send(Ask::Finish(told)).await;
    match ended.await {
        Ok(ended) => ended.map(|()| None),
        Err(_) => Ok(None),
    }
}

fn too_large() -> Value {
    let why = format!("more than {HELD_BYTES_MAX} bytes were written before `write-data` was called");
    refused(code::OBJECT_TOO_LARGE, &why)
}

/// Takes what is written to one value, and gives it to the call once there is one.
struct Writing {
    written: pieces::Receiver<Bytes>,
    asked: mpsc::Receiver<Ask>,
    held: Vec<Bytes>,
    held_bytes: usize,
    is_whole: bool,
    body: Option<Body>,
    finish: Option<oneshot::Sender<Result<(), Value>>>,
}

/// What comes next.
enum Event {
    Piece(Option<Bytes>),
    Asked(Option<Ask>),
    TooLate,
}

impl Writing {
    fn new(written: pieces::Receiver<Bytes>, asked: mpsc::Receiver<Ask>) -> Writing {
        Writing { written, asked, held: Vec::new(), held_bytes: 0, is_whole: false, body: None, finish: None }
    }

    /// Goes on until the value is finished, or nobody has it any more; then what was sent is broken off, and makes no object.
    async fn run(mut self) {
        loop {
            let is_going = match self.next().await {
                Event::Piece(Some(piece)) => self.take(piece).await,
                Event::Piece(None) => {
                    self.is_whole = true;
                    true
                }
                Event::Asked(Some(Ask::Send(body, told))) => {
                    self.body = Some(body);
                    let _ = told.send(self.is_whole);
                    self.pass_on().await
                }
                Event::Asked(Some(Ask::Finish(told))) => {
                    self.finish = Some(told);
                    true
                }
                Event::Asked(None) => break,
                Event::TooLate => {
                    if let Some(told) = self.finish.take() {
                        let _ = told.send(Err(refused(code::BODY_OPEN, "its `output-stream` is still held")));
                    }
                    break;
                }
            };
            if !is_going {
                return;
            }
            if self.is_whole
                && let Some(told) = self.finish.take()
            {
                // Without the end of the stream there is no object: it goes first.
                drop(self.body.take());
                let _ = told.send(Ok(()));
                return;
            }
        }
        if let Some(mut body) = self.body.take() {
            let why = Problem::new(code::BODY_OPEN, "the value was dropped before it was finished");
            let _ = body.send(Err(why)).await;
        }
    }

    async fn next(&mut self) -> Event {
        let is_finishing = self.finish.is_some();
        let patience = async {
            match is_finishing {
                true => tokio::time::sleep(END_PATIENCE).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            // What was written before a question was asked is taken before it is answered.
            biased;
            piece = self.written.next(), if !self.is_whole => Event::Piece(piece),
            ask = self.asked.recv(), if !is_finishing => Event::Asked(ask),
            () = patience => Event::TooLate,
        }
    }

    /// Whether it goes on.
    async fn take(&mut self, piece: Bytes) -> bool {
        self.held_bytes += piece.len();
        self.held.push(piece);
        match self.body {
            Some(_) => self.pass_on().await,
            None => self.held_bytes <= HELD_BYTES_MAX,
        }
    }

    async fn pass_on(&mut self) -> bool {
        self.held_bytes = 0;
        let Some(body) = &mut self.body else { return true };
        for piece in self.held.drain(..) {
            // A server that reads no more says why with its result.
            if body.send(Ok(piece)).await.is_err() {
                return false;
            }
        }
        true
    }
}
