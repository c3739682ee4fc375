//! The lattice's traffic, decoded: what each message is, which hop of which request, and how long that took.
//!
//! ```text
//!  Listener ─▶ message, time ─▶ Spy: subject ─▶ kind, what, who    ─▶ Seen
//!                                    payload ─▶ facts that tell
//!                                    reply   ─▶ waits for its answers, which have the time since
//! ```
//!
//! [`Spy`] is pure: the same messages give the same entries, so that recorded traffic is its test. It decodes what wasmCloud 1.x says
//! (`facts/wasmcloud.md` §4) and our additions. Values of calls are not decoded, since they travel without their types; their sizes and
//! streams are shown.
//!
//! **Nothing secret is shown.** Of secrets, registry credentials, configs, manifests and sealed payloads only the sizes are told, and so of every
//! answer to a request for one. Bytes are shown only where they are asked for, and only of messages that are known to be of none of these.
//!
//! **Who listens may disturb.** In one process an observer is no responder. A NATS server cannot tell the two apart: while somebody
//! listens to a subject, a request that nobody serves is not refused at once but ends at its deadline. So [`Listener`] subscribes to no
//! more than the kinds that are wanted.
//!
//! Read in this order: [`seen`] what is told · `subject` what a subject means · `payload` which facts tell · `pending` answers find their
//! requests · [`listen`] where messages come from.

pub mod listen;
pub mod seen;

mod payload;
mod pending;
mod subject;

pub use listen::{Heard, Listener};
pub use seen::{Hop, Kind, Seen};

use crate::wrpc;
use crate::{Message, lattice};
use pending::{Pending, Role};
use subject::Sort;
use umbel_core::id::LatticeName;

/// Decodes the messages of one lattice, in the order in which they were sent.
#[derive(Debug)]
pub struct Spy {
    lattice: LatticeName,
    pending: Pending,
    bytes_max: usize,
}

impl Spy {
    /// A decoder that shows at most `bytes_max` bytes of each payload that is not secret, as hex.
    pub fn new(lattice: LatticeName, bytes_max: usize) -> Spy {
        Spy { lattice, pending: Pending::default(), bytes_max }
    }

    /// What a message is. `at_us` is when it was seen, in µs of a clock that never goes back.
    pub fn see(&mut self, at_us: u64, message: &Message) -> Seen {
        let (mut seen, is_secret) = match self.pending.find(&message.subject) {
            Some((asked, rest)) => {
                let is_secret = asked.is_secret;
                (self.answer(at_us, message, &asked, rest), is_secret)
            }
            None => self.sent(at_us, message),
        };
        seen.bytes = message.payload.len();
        if self.bytes_max > 0 && !is_secret && !subject::is_sealed(message) && !message.payload.is_empty() {
            let shown = &message.payload[..message.payload.len().min(self.bytes_max)];
            seen.hex = Some(shown.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        seen
    }

    /// Whether a request is known whose answers go to this subject.
    pub fn knows(&self, subject: &str) -> bool {
        self.pending.find(subject).is_some()
    }

    /// Forgets every request: those that are on their way when messages were lost may be answered unseen.
    pub fn forget(&mut self) {
        self.pending = Pending::default();
    }

    /// A message that answers nothing: a request, or one that was only published.
    fn sent(&mut self, at_us: u64, message: &Message) -> (Seen, bool) {
        let sort = subject::sort(&self.lattice, message);
        let Sort { kind, hop, what, from, to, .. } = &sort;
        let mut seen = Seen {
            kind: *kind,
            hop: *hop,
            what: what.clone(),
            from: from.clone(),
            to: to.clone(),
            subject: subject::shown(&message.subject),
            ..Seen::default()
        };
        seen.facts = payload::facts(&sort, message);
        if *kind == Kind::Events {
            seen.from = seen.facts.remove("source");
        }
        // Whoever is named already needs no fact to say so.
        let named = [seen.from.clone(), seen.to.clone()];
        seen.facts.retain(|_, value| !named.iter().flatten().any(|name| name == value));
        if let Some(reply) = message.reply.as_deref().filter(|_| *hop == Hop::Request) {
            self.pending.ask(at_us, reply, &sort);
        }
        // A push consumer names in its request where its messages will go.
        if let Some(subject) = payload::deliver_subject(&sort, message) {
            self.pending.deliver(at_us, &subject, &sort);
        }
        (seen, sort.is_secret)
    }

    fn answer(&mut self, at_us: u64, message: &Message, asked: &pending::Asked, rest: &str) -> Seen {
        let took_us = at_us.saturating_sub(asked.at_us);
        let (from, to) = match asked.role {
            // What goes to the client comes from the server.
            Role::Client => (asked.to.clone(), asked.from.clone()),
            Role::Server => (asked.from.clone(), asked.to.clone()),
        };
        let mut seen = Seen {
            kind: asked.kind,
            hop: Hop::Answer,
            what: asked.what.clone(),
            from,
            to,
            subject: message.subject.clone(),
            took_us: Some(took_us),
            ..Seen::default()
        };
        if let Some(status) = message.headers.get(lattice::STATUS) {
            seen.facts = payload::status(status, message);
            seen.ok = (status == "503" || status == "429").then_some(false);
        } else if asked.kind == Kind::Calls {
            self.hop_of_call(at_us, message, asked, rest, &mut seen);
        } else {
            payload::answer(asked, message, &mut seen);
        }
        seen
    }

    fn hop_of_call(
        &mut self,
        at_us: u64,
        message: &Message,
        asked: &pending::Asked,
        rest: &str,
        seen: &mut Seen,
    ) {
        seen.hop = subject::hop_of_call(rest, message);
        if seen.hop == Hop::Accept
            && let Some(reply) = &message.reply
        {
            self.pending.accept(at_us, reply, asked);
        }
        if !rest.is_empty() {
            seen.facts.insert("channel".into(), rest.into());
        }
        if message.payload.is_empty() && matches!(seen.hop, Hop::Params | Hop::Result | Hop::Stream) {
            seen.facts.insert("ends".into(), "true".into());
        }
        if let Some(problem) = wrpc::problem_of(&message.headers) {
            seen.ok = Some(false);
            seen.facts.insert("problem".into(), payload::short(&problem.to_string()));
        }
    }
}

#[cfg(test)]
mod tests;
