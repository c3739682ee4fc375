//! Requests whose answers have not all been seen.

use super::Kind;
use super::subject::Sort;
use std::collections::{HashMap, VecDeque};

/// Requests that are remembered; beyond, the oldest are forgotten.
const ASKED_MAX: usize = 10_000;
/// How long one is remembered: streams and consumers go on for long.
const REMEMBERED_US: u64 = 600 * 1_000_000;
/// Tokens that a channel adds to the inbox of its call.
const CHANNEL_TOKENS_MAX: usize = 12;

/// Which end of a call has the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// A request, as its answers need it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) at_us: u64,
    pub(super) role: Role,
    pub(super) kind: Kind,
    pub(super) what: String,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) is_secret: bool,
}

/// Requests by the inbox of their answers.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// With the time at which each was put, which is later than that of its call for the inbox of a server.
    by_inbox: HashMap<String, (u64, Asked)>,
    order: VecDeque<(u64, String)>,
}

impl Pending {
    pub(super) fn ask(&mut self, at_us: u64, reply: &str, sort: &Sort) {
        self.insert(at_us, reply, asked(at_us, sort, sort.what.clone()));
    }

    /// Where the messages of a consumer will go.
    pub(super) fn deliver(&mut self, at_us: u64, subject: &str, sort: &Sort) {
        self.insert(at_us, subject, asked(at_us, sort, format!("delivery for {}", sort.what)));
    }

    /// The server of a call has said where it hears.
    pub(super) fn accept(&mut self, at_us: u64, reply: &str, asked: &Asked) {
        // Times are those since the call began, whichever way a message goes.
        self.insert(at_us, reply, Asked { role: Role::Server, ..asked.clone() });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_inbox.len()
    }

    fn insert(&mut self, now: u64, inbox: &str, asked: Asked) {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| self.order.len() >= ASKED_MAX || now.saturating_sub(*at) > REMEMBERED_US)
        {
            let Some((at, inbox)) = self.order.pop_front() else { break };
            // An inbox that was used again belongs to its later request.
            if self.by_inbox.get(&inbox).is_some_and(|(asked_at, _)| *asked_at == at) {
                self.by_inbox.remove(&inbox);
            }
        }
        self.order.push_back((now, inbox.to_string()));
        self.by_inbox.insert(inbox.to_string(), (now, asked));
    }

    /// The request that a message on this subject belongs to, and what of the subject follows its inbox.
    pub(super) fn find<'a>(&self, subject: &'a str) -> Option<(Asked, &'a str)> {
        let mut inbox = subject;
        for _ in 0..=CHANNEL_TOKENS_MAX {
            if let Some((_, asked)) = self.by_inbox.get(inbox) {
                return Some((asked.clone(), subject[inbox.len()..].trim_start_matches('.')));
            }
            inbox = inbox.rsplit_once('.')?.0;
        }
        None
    }
}

fn asked(at_us: u64, sort: &Sort, what: String) -> Asked {
    Asked {
        at_us,
        role: Role::Client,
        kind: sort.kind,
        what,
        from: sort.from.clone(),
        to: sort.to.clone(),
        is_secret: sort.is_secret,
    }
}
