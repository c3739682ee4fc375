//! The socket of a host, and whom it expects.

use super::confine::Confine;
use super::door::{Door, DoorState, converse};
use super::frame::Frame;
use super::outbox::Outbox;
use super::{HELLO_MAX, VERSION};
use crate::{Lattice, Spawn};
use bytes::BytesMut;
use futures::future::{AbortHandle, Abortable};
use rand::Rng;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use umbel_core::Problem;
use umbel_core::code::wire;

/// How many connections may be about to say hello.
const STRANGERS_MAX: usize = 64;

/// Hexadecimal digits of a token.
const TOKEN_LEN: usize = 64;

/// What a process proves with that it is the one that was started. It is good for one connection to each host, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    fn fresh() -> Token {
        let bytes: [u8; 32] = {
            let mut bytes = [0; 32];
            rand::rng().fill_bytes(&mut bytes);
            bytes
        };
        Token(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A token that was given to a process before, as whoever started it has kept it; `None` if it is none.
    pub fn kept(text: &str) -> Option<Token> {
        let is_one = text.len() == TOKEN_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Token(text.to_string()))
    }

    /// The text, to be given to the process and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A process that is expected.
pub struct DoorSpec {
    /// Its id on the lattice.
    pub id: String,
    /// What it may do.
    pub confine: Arc<dyn Confine>,
}

/// The host's end of all provider processes: one unix socket. Dropping it takes the socket away and ends every connection.
pub struct Gate {
    inner: Arc<Inner>,
    listening: AbortHandle,
}

pub(super) struct Inner {
    lattice: Arc<dyn Lattice>,
    spawn: Spawn,
    path: PathBuf,
    /// By id: one that is started, or as many as an ended host has left.
    expected: Mutex<HashMap<String, Vec<Expected>>>,
    strangers: Arc<Semaphore>,
}

struct Expected {
    token: Token,
    confine: Arc<dyn Confine>,
    door: Arc<DoorState>,
}

impl Gate {
    /// Listens at the path, which only its owner can connect to. A socket that an ended host has left there is replaced.
    pub fn open(lattice: Arc<dyn Lattice>, path: &Path, spawn: Spawn) -> std::io::Result<Gate> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let inner = Arc::new(Inner {
            lattice,
            spawn,
            path: path.to_path_buf(),
            expected: Mutex::default(),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        });
        let (listening, registration) = AbortHandle::new_pair();
        let work = Abortable::new(listen(listener, inner.clone()), registration);
        (inner.spawn)(Box::pin(async move {
            // It ends when the gate is dropped.
            let _ = work.await;
        }));
        Ok(Gate { inner, listening })
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Expects one process of the id. Whoever was expected under the id before is expected no longer; a connection that stands goes on
    /// until its own door is dropped.
    pub fn expect(&self, spec: DoorSpec) -> (Door, Token) {
        let token = Token::fresh();
        self.inner.lock().remove(&spec.id);
        (self.expect_again(spec, token.clone()), token)
    }

    /// Expects a process that was given its token by an ended host and comes back with it, beside others of its id.
    pub fn expect_again(&self, spec: DoorSpec, token: Token) -> Door {
        let state = DoorState::new(spec.id.clone());
        let expected = Expected { token, confine: spec.confine, door: state.clone() };
        self.inner.lock().entry(spec.id).or_default().push(expected);
        Door::new(state, Arc::downgrade(&self.inner))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.listening.abort();
        for expected in self.inner.lock().drain().flat_map(|(_, expected)| expected) {
            expected.door.close(&ended());
        }
        // It may be gone with its folder.
        let _ = std::fs::remove_file(&self.inner.path);
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({})", self.inner.path.display())
    }
}

fn ended() -> Problem {
    Problem::new(wire::CONNECTION_LOST, "the host has ended the connection")
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Expected>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The door is gone: its process is expected no longer.
    pub(super) fn forget(&self, door: &Arc<DoorState>) {
        let mut expected = self.lock();
        if let Some(of_id) = expected.get_mut(door.id()) {
            of_id.retain(|expected| !Arc::ptr_eq(&expected.door, door));
            if of_id.is_empty() {
                expected.remove(door.id());
            }
        }
    }

    /// Lets a process in, once.
    fn admit(&self, version: u64, id: &str, token: &str) -> Result<Expected, Problem> {
        if version != VERSION {
            let message =
                format!("the provider speaks version {version} of the protocol, the host version {VERSION}");
            return Err(Problem::new(wire::HELLO_VERSION, message));
        }
        let mut expected = self.lock();
        let is_it = |expected: &Expected| expected.token.0.as_bytes().ct_eq(token.as_bytes()).into();
        // A wrong guess does not shut out the right process.
        let found = expected.get_mut(id).and_then(|of_id| {
            let at = of_id.iter().position(is_it)?;
            Some(of_id.swap_remove(at))
        });
        found.ok_or_else(|| {
            let shown: String = id.chars().take(60).flat_map(char::escape_debug).collect();
            Problem::new(wire::HELLO_REFUSED, format!("no process `{shown}` with that token is expected"))
        })
    }
}

async fn listen(listener: UnixListener, inner: Arc<Inner>) {
    loop {
        let Ok(room) = inner.strangers.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let gate = inner.clone();
                (inner.spawn)(Box::pin(async move {
                    let met = greet(&gate, stream).await;
                    drop(room);
                    if let Some((outbox, buffer, expected)) = met {
                        converse(&gate.lattice, outbox, buffer, expected.confine, expected.door).await;
                    }
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "a provider process could not connect");
                // Most often there are no more descriptors: trying at once would burn a core.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn greet(gate: &Inner, stream: UnixStream) -> Option<(Arc<Outbox>, BytesMut, Expected)> {
    let outbox = Arc::new(Outbox::new(stream));
    let mut buffer = BytesMut::new();
    let hello = tokio::time::timeout(HELLO_MAX, first(&outbox, &mut buffer)).await;
    let admitted = match hello {
        Ok(Ok(Some(Frame::Hello { version, id, token }))) => gate.admit(version, &id, &token),
        Ok(Ok(Some(_))) => Err(Problem::new(wire::HELLO_REFUSED, "the first frame is no hello")),
        Ok(Ok(None)) => return None,
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(wire::HELLO_REFUSED, "no hello came in time")),
    };
    match admitted {
        Ok(expected) => Some((outbox, buffer, expected)),
        Err(problem) => {
            tracing::warn!(%problem, "a process was refused at the socket for providers");
            outbox.post(Frame::Refused { problem });
            let _ = tokio::time::timeout(HELLO_MAX, outbox.flush()).await;
            outbox.close();
            None
        }
    }
}

/// The first frame of a connection.
pub(super) async fn first(outbox: &Outbox, buffer: &mut BytesMut) -> Result<Option<Frame>, Problem> {
    loop {
        if let Some(frame) = Frame::take(buffer)? {
            return Ok(Some(frame));
        }
        if !outbox.read(buffer).await {
            return Ok(None);
        }
    }
}
