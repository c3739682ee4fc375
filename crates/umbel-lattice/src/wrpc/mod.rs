//! Calls of contracts as messages: wRPC 0.0.1 as wasmCloud 1.x speaks it (`facts/wasmcloud.md` §4.6), with additions that it ignores.
//!
//! ```text
//!  client                                                                       server
//!    {lattice}.{target}.wrpc.0.0.1.{interface}.{function}  reply C   params ─▶
//!    ◀─ C  reply S                                                    accepted: only where one of the two has more to send
//!    S.params, S.params.0.1 ─▶                                        the rest of the params; bytes of a stream
//!    ◀─ C.results, C.results.0                                        the result; bytes of a stream
//!    S.outputs.0 ─▶                                                   bytes for an output stream of the result
//!    S.credit.… ─▶  ◀─ C.credit.…                                     how many bytes of a stream the reader has taken
//!    ◀─ C.done.…                                                      an output stream has come to its end, and is written
//!    S.stop.… ─▶  ◀─ C.stop.…                                         the reader of a stream reads no more
//!    {lattice}.{target}.umbel.v1.cancel  reply C ─▶                   nobody waits for the result any more
//!    {lattice}.{target}.umbel.v1.drop    reply C ─▶                   resources that the client has dropped
//!    {lattice}.{target}.umbel.v1.speaks  reply R ─▶  ◀─ R             whether the server speaks the additions
//! ```
//!
//! A peer of ours says so with the header [`PEER`]; then a call of plain values is two messages. Towards one that does not, every message
//! that the original expects is sent: the acceptance, and an empty message that closes each channel. All of it is written down in
//! `docs/protocols/provider.md`.
//!
//! Read in this order: [`catalog`] which function a subject means · [`codec`] values · [`handles`] resources · `channel` streams ·
//! [`client`] · [`server`].

pub mod catalog;
pub mod client;
pub mod codec;
pub mod handles;
pub mod server;

mod channel;
mod line;

pub use catalog::{Catalog, Signature};
pub use client::{Client, ClientLimits, Outgoing};
pub use handles::Lent;
pub use server::{Caller, Links, Server, ServerLimits, ServerSpec};

use umbel_core::code::wire;
use umbel_core::id::LatticeName;
use umbel_core::{Problem, code::Code};

use crate::{Headers, LatticeError};

/// The protocol's name and version in subjects.
pub const PROTOCOL: &str = "wrpc.0.0.1";

/// The header that names the caller.
pub const SOURCE: &str = "source-id";
/// The header that names the link, from a component.
pub const LINK: &str = "link-name";
/// The header that names the callee, from a provider.
pub const TARGET: &str = "target-id";
/// The header of a peer that speaks the additions: its value is how many bytes of a stream it takes before it says that it has taken
/// some. On a result it says too that the result is whole.
pub const PEER: &str = "umbel-wrpc";
/// The header that names the caller's application.
pub const APPLICATION: &str = "umbel-application";
/// The header with how long the caller will wait, in ms.
pub const TIMEOUT: &str = "umbel-timeout-ms";
/// The header that says that more of the params comes on `S.params`, up to an empty message.
pub const MORE: &str = "umbel-more";
/// The header with what the function's own `result` cannot say: the JSON of a [`Problem`].
pub const PROBLEM: &str = "umbel-problem";

/// How many bytes of a stream may be on their way.
pub const WINDOW: u64 = 256 << 10;

/// Longest problem in a header, in bytes.
const PROBLEM_BYTES_MAX: usize = 8 << 10;

/// Where calls of a component or provider go: `{lattice}.{target}.wrpc.0.0.1.`, with the dot at the end.
pub fn prefix(lattice: &LatticeName, target: &str) -> String {
    format!("{lattice}.{target}.{PROTOCOL}.")
}

/// Where the additions that belong to no call in particular go.
pub fn extra(lattice: &LatticeName, target: &str, what: &str) -> String {
    format!("{lattice}.{target}.umbel.v1.{what}")
}

/// The client that a reply subject belongs to: all calls of one have it in common.
pub fn client_of(reply: &str) -> Option<&str> {
    let (root, _) = reply.rsplit_once('.')?;
    (root.ends_with(CLIENT) || root.ends_with(SERVER)).then_some(root)
}

/// The last token of the root of a client's inbox.
pub(crate) const CLIENT: &str = ".c";
/// The last token of the root of a server's inbox.
pub(crate) const SERVER: &str = ".s";

pub(crate) fn put_problem(headers: &mut Headers, problem: &Problem) {
    let json = |problem: &Problem| serde_json::to_string(problem).unwrap_or_default();
    let mut text = json(problem);
    if text.len() > PROBLEM_BYTES_MAX {
        let mut short = problem.clone();
        short.causes.clear();
        short.message = short.message.chars().take(1_000).collect();
        short.help = short.help.chars().take(500).collect();
        text = json(&short);
    }
    headers.append(PROBLEM, text);
}

pub(crate) fn problem_of(headers: &Headers) -> Option<Problem> {
    let text = headers.get(PROBLEM)?;
    let read = if text.len() <= 2 * PROBLEM_BYTES_MAX { serde_json::from_str(text).ok() } else { None };
    Some(read.unwrap_or_else(|| {
        Problem::new(wire::WIRE_BROKEN, "the server failed, and its reason cannot be read")
    }))
}

pub(crate) fn window_of(headers: &Headers) -> Option<u64> {
    headers.get(PEER).map(|text| text.parse().unwrap_or(WINDOW).clamp(1_024, 64 << 20))
}

/// What the lattice says of a call that it could not carry.
pub(crate) fn of_lattice(error: &LatticeError) -> Problem {
    Problem::from(error)
}

pub(crate) fn problem(code: Code, message: impl Into<String>) -> Problem {
    Problem::new(code, message)
}
