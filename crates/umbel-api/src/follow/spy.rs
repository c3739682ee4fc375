//! The lattice's traffic, as it comes.

use super::{Entry, Feed};
use crate::document::{Lost, SpyEntry};
use crate::query::SpyQuery;
use crate::service::Service;
use std::collections::BTreeSet;
use umbel_core::code::api;
use umbel_core::{Clock, Problem, SystemClock};
use umbel_lattice::Lattice;
use umbel_lattice::spy::{Heard, Kind, Listener, Spy};

/// Which messages are wanted.
#[derive(Debug, Clone)]
pub struct SpyFilter {
    kinds: BTreeSet<Kind>,
    component: Option<String>,
    bytes_max: usize,
}

impl SpyFilter {
    /// What is seen when nothing is said: all but state and logs, which are many, and what nobody knows.
    const USUAL: [Kind; 6] =
        [Kind::Calls, Kind::Control, Kind::Events, Kind::Providers, Kind::Applications, Kind::Secrets];

    /// Reads a query. Errors: `UM1006` for a kind that is not known.
    pub fn new(query: SpyQuery) -> Result<SpyFilter, Problem> {
        let mut kinds = BTreeSet::new();
        for word in query.only.iter().flat_map(|only| only.split(',')).map(str::trim) {
            let all = Kind::ALL.map(Kind::as_str).join(", ");
            let unknown = || {
                Problem::new(api::BAD_REQUEST, format!("`{}` is no kind of message", word.escape_debug()))
                    .with_help(format!("these are: {all}"))
            };
            kinds.insert(Kind::find(word).ok_or_else(unknown)?);
        }
        if kinds.is_empty() {
            kinds.extend(SpyFilter::USUAL);
        }
        let bytes_max = query.bytes.unwrap_or(0).min(crate::query::SPY_BYTES_MAX) as usize;
        Ok(SpyFilter { kinds, component: query.component, bytes_max })
    }
}

/// Messages of a lattice, decoded and chosen. It hears them as an observer until it is dropped.
pub struct SpyFeed {
    filter: SpyFilter,
    listener: Listener,
    spy: Spy,
    began_unix_us: u64,
}

impl SpyFeed {
    /// Begins to listen. Errors: those of subscribing.
    pub async fn listen(lattice: &dyn Lattice, filter: SpyFilter) -> Result<SpyFeed, Problem> {
        let listener =
            Listener::start(lattice, &filter.kinds).await.map_err(|error| Problem::from(&error))?;
        let spy = Spy::new(lattice.name().clone(), filter.bytes_max);
        let began_unix_us = u64::try_from(SystemClock.unix_time().as_micros()).unwrap_or(0);
        Ok(SpyFeed { filter, listener, spy, began_unix_us })
    }

    pub(crate) async fn open(service: &Service, filter: SpyFilter) -> Result<SpyFeed, Problem> {
        SpyFeed::listen(&*service.lattice, filter).await
    }

    /// The next message that is wanted, or how many were missed; `None` when the lattice is closed. Cancel-safe.
    pub async fn follow(&mut self) -> Option<Result<SpyEntry, Lost>> {
        loop {
            match self.listener.next(&self.spy).await? {
                Heard::Lost(count) => {
                    return Some(Err(Lost { host_id: None, count: Some(count), reason: "slow".into() }));
                }
                Heard::Interrupted => {
                    self.spy.forget();
                    return Some(Err(Lost { host_id: None, count: None, reason: "interrupted".into() }));
                }
                Heard::Message(at_us, message) => {
                    let seen = self.spy.see(at_us, &message);
                    let is_wanted = self.filter.kinds.contains(&seen.kind)
                        && self.filter.component.as_ref().is_none_or(|id| seen.is_about(id));
                    if is_wanted {
                        return Some(Ok(SpyEntry::new(self.began_unix_us + at_us, seen)));
                    }
                }
            }
        }
    }
}

impl Feed for SpyFeed {
    async fn next(&mut self) -> Option<Entry> {
        Some(match self.follow().await? {
            Ok(entry) => Entry::Spy(Box::new(entry)),
            Err(lost) => Entry::Lost(lost),
        })
    }
}
