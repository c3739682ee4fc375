//! What a supervisor shows: one row per child, and the snapshot made of them, published at most every few milliseconds.
//!
//! Only changed rows are made anew; a snapshot is a list of shared pointers. So adding a thousand children costs a thousand rows
//! and a handful of lists.

use super::publish_pause;
use crate::context::{Bell, Detail};
use crate::handle::{Env, Shared};
use crate::machine::{Child, Key, Phase, Time};
use crate::spec::ChildSpec;
use crate::view::{State, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::Instant;
use umbel_core::Problem;

/// One child as it is shown, and what is needed to start it.
pub(super) struct Row {
    pub(super) spec: ChildSpec,
    pub(super) sub: Option<Arc<Shared>>,
    pub(super) detail: Detail,
    state: State,
    restarts: u32,
    since_unix_ms: u64,
    last_exit: Option<Problem>,
    why: Option<String>,
    node: Option<Arc<Tree>>,
}

impl Row {
    pub(super) fn new(spec: ChildSpec, sub: Option<Arc<Shared>>, bell: &Arc<Bell>, key: Key) -> Row {
        Row {
            spec,
            sub,
            detail: Detail::new(bell.clone(), key),
            state: State::Starting,
            restarts: 0,
            since_unix_ms: 0,
            last_exit: None,
            why: None,
            node: None,
        }
    }

    fn to_node(&self) -> Tree {
        Tree {
            id: self.spec.id.to_string(),
            kind: self.spec.kind.to_string(),
            state: self.state,
            restarts: self.restarts,
            since_unix_ms: self.since_unix_ms,
            last_exit: self.last_exit.clone(),
            detail: self.why.clone().or_else(|| self.detail.read()),
            children: self.sub.as_ref().map(|sub| sub.tree.borrow().children.clone()).unwrap_or_default(),
        }
    }
}

pub(super) struct Rows {
    shared: Arc<Shared>,
    env: Env,
    rows: BTreeMap<Key, Row>,
    changed: BTreeSet<Key>,
    dirty: bool,
    state: State,
    since_unix_ms: u64,
    published: Option<Instant>,
}

impl Rows {
    pub(super) fn new(shared: Arc<Shared>, env: Env) -> Rows {
        let since_unix_ms = unix_ms(&env);
        Rows {
            shared,
            env,
            rows: BTreeMap::new(),
            changed: BTreeSet::new(),
            dirty: true,
            state: State::Starting,
            since_unix_ms,
            published: None,
        }
    }

    pub(super) fn insert(&mut self, key: Key, mut row: Row) {
        row.since_unix_ms = unix_ms(&self.env);
        self.rows.insert(key, row);
        self.touch(key);
    }

    pub(super) fn replace(&mut self, key: Key, spec: ChildSpec, sub: Option<Arc<Shared>>) {
        let row = self.rows.get_mut(&key).expect("only known children are replaced");
        row.spec = spec;
        row.sub = sub;
        self.touch(key);
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.rows.remove(&key);
        self.changed.remove(&key);
        self.dirty = true;
    }

    pub(super) fn get(&self, key: Key) -> &Row {
        self.rows.get(&key).expect("only known children are started")
    }

    pub(super) fn id(&self, key: Key) -> Arc<str> {
        self.rows.get(&key).map_or_else(|| Arc::from("(removed)"), |row| row.spec.id.clone())
    }

    /// What is shown of the child has changed.
    pub(super) fn touch(&mut self, key: Key) {
        if self.rows.contains_key(&key) {
            self.changed.insert(key);
            self.dirty = true;
        }
    }

    /// The child has changed.
    pub(super) fn update(&mut self, key: Key, child: &Child, now: Time) {
        let Some(row) = self.rows.get_mut(&key) else { return };
        let state = match child.phase {
            Phase::Waiting(_) | Phase::Starting { .. } => State::Starting,
            Phase::Running => State::Running,
            Phase::BackingOff { until } => {
                State::BackingOff { retry_in_ms: until.saturating_sub(now).as_millis() as u64 }
            }
            Phase::Stopping { .. } => State::Stopping,
            Phase::Stopped { .. } => State::Stopped,
            Phase::CrashLoop => State::CrashLoop,
            Phase::Completed => State::Completed,
        };
        if std::mem::discriminant(&row.state) != std::mem::discriminant(&state) {
            row.since_unix_ms = unix_ms(&self.env);
        }
        row.state = state;
        row.restarts = child.restarts;
        row.last_exit.clone_from(&child.last_exit);
        row.why = match child.phase {
            Phase::Stopped { held: true } => Some("waits for a sibling in a crash loop".to_string()),
            _ => child.why.clone(),
        };
        self.touch(key);
    }

    /// The first children are started.
    pub(super) fn started(&mut self) {
        self.set_state(State::Running);
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
        self.since_unix_ms = unix_ms(&self.env);
        self.dirty = true;
    }

    /// When the next snapshot is due, if anything has changed.
    pub(super) fn publish_at(&self) -> Option<Instant> {
        self.dirty.then(|| match self.published {
            Some(last) => last + publish_pause(self.rows.len()),
            None => Instant::now(),
        })
    }

    pub(super) fn publish(&mut self) {
        for key in std::mem::take(&mut self.changed) {
            if let Some(row) = self.rows.get_mut(&key) {
                row.node = Some(Arc::new(row.to_node()));
            }
        }
        let tree = Tree {
            id: self.shared.id.to_string(),
            kind: "supervisor".to_string(),
            state: self.state,
            restarts: 0,
            since_unix_ms: self.since_unix_ms,
            last_exit: None,
            detail: None,
            children: self.rows.values().filter_map(|row| row.node.clone()).collect(),
        };
        self.shared.publish(tree);
        self.published = Some(Instant::now());
        self.dirty = false;
    }

    /// The last snapshot of this run.
    pub(super) fn finish(&mut self) {
        self.set_state(State::Stopped);
        self.publish();
    }
}

fn unix_ms(env: &Env) -> u64 {
    env.clock.unix_time().as_millis() as u64
}
