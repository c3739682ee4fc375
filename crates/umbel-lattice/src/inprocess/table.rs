//! The subject table: who is subscribed, found by walking a tree of tokens.
//!
//! The cost of a publish depends on the number of tokens and of matches, not on the number of subscriptions.

use crate::Message;
use crate::subject::tokens;
use crate::subscription::{Pushed, Sender};
use std::collections::HashMap;
use std::sync::Arc;

/// One subscription, seen from the publishing side.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    pub(crate) sender: Sender,
    pub(crate) group: Option<String>,
    pub(crate) observer: bool,
}

/// All subscriptions by pattern.
#[derive(Debug, Default)]
pub(crate) struct Table {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    // The key `*` is the wildcard: a subject that is published to never has that token.
    children: HashMap<Box<str>, Node>,
    here: Vec<Arc<Subscriber>>,
    // Patterns that end in `>` at this place.
    tail: Vec<Arc<Subscriber>>,
}

impl Table {
    pub(crate) fn insert(&mut self, pattern: &str, subscriber: Arc<Subscriber>) {
        let mut node = &mut self.root;
        for token in tokens(pattern) {
            if token == ">" {
                node.tail.push(subscriber);
                return;
            }
            node = node.children.entry(token.into()).or_default();
        }
        node.here.push(subscriber);
    }

    pub(crate) fn remove(&mut self, pattern: &str, id: u64) {
        let tokens: Vec<&str> = tokens(pattern).collect();
        self.root.remove(&tokens, id);
    }

    /// Everybody whose pattern covers the subject.
    pub(crate) fn matching(&self, subject: &str) -> Vec<Arc<Subscriber>> {
        let tokens: Vec<&str> = tokens(subject).collect();
        let mut found = Vec::new();
        self.root.collect(&tokens, &mut found);
        found
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.tail.is_empty()
    }

    // The depth of both recursions is bounded by `subject::TOKENS_MAX`.
    fn collect(&self, tokens: &[&str], found: &mut Vec<Arc<Subscriber>>) {
        let Some((first, rest)) = tokens.split_first() else {
            found.extend(self.here.iter().cloned());
            return;
        };
        found.extend(self.tail.iter().cloned());
        for key in [*first, "*"] {
            if let Some(child) = self.children.get(key) {
                child.collect(rest, found);
            }
        }
    }

    fn remove(&mut self, tokens: &[&str], id: u64) {
        match tokens.split_first() {
            None => self.here.retain(|s| s.id != id),
            Some((&">", _)) => self.tail.retain(|s| s.id != id),
            Some((first, rest)) => {
                let Some(child) = self.children.get_mut(*first) else { return };
                child.remove(rest, id);
                if child.is_empty() {
                    self.children.remove(*first);
                }
            }
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Subscribers, and groups, that may answer.
    pub(crate) responders: usize,
    /// Those of them that have it in their queue.
    pub(crate) queued: usize,
}

/// Hands the message to everybody, and to one member of each group. `turn` picks the member; members with a full queue are passed
/// over while another has room.
pub(crate) fn deliver(subscribers: &[Arc<Subscriber>], message: Message, turn: u64) -> Delivered {
    let mut delivered = Delivered::default();
    let mut groups: Vec<(&str, bool, Vec<&Subscriber>)> = Vec::new();
    let mut single: Vec<&Subscriber> = Vec::with_capacity(subscribers.len());
    for subscriber in subscribers {
        let Some(name) = subscriber.group.as_deref() else {
            single.push(subscriber);
            continue;
        };
        match groups.iter_mut().find(|(n, observer, _)| *n == name && *observer == subscriber.observer) {
            Some((_, _, members)) => members.push(subscriber),
            None => groups.push((name, subscriber.observer, vec![subscriber])),
        }
    }
    single.extend(groups.iter().filter_map(|(_, _, members)| pick(members, turn)));
    let Some((last, others)) = single.split_last() else { return delivered };
    for subscriber in others {
        delivered.count(subscriber, subscriber.sender.push(message.clone()));
    }
    // The last one takes the message itself: most have one receiver, and need no copy.
    delivered.count(last, last.sender.push(message));
    delivered
}

impl Delivered {
    fn count(&mut self, subscriber: &Subscriber, pushed: Pushed) {
        if subscriber.observer || pushed == Pushed::Gone {
            return;
        }
        self.responders += 1;
        self.queued += usize::from(pushed == Pushed::Queued);
    }
}

fn pick<'a>(members: &[&'a Subscriber], turn: u64) -> Option<&'a Subscriber> {
    let count = u64::try_from(members.len()).ok().filter(|count| *count > 0)?;
    let start = usize::try_from(mix(turn) % count).unwrap_or_default();
    let in_turn = || members.iter().cycle().skip(start).take(members.len());
    in_turn().find(|m| m.sender.has_room()).or_else(|| in_turn().next()).copied()
}

/// Spreads a counter over all numbers (the finaliser of splitmix64), so that groups which are used in turn do not keep the same
/// member for each subject. Seeded by the counter alone, so a simulation repeats.
fn mix(turn: u64) -> u64 {
    let mut z = turn.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
