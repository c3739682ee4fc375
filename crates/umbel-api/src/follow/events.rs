//! Events: each host numbers its own, so a hole shows in the numbers and can be filled from what the host keeps.

use super::{Entry, Feed};
use crate::cursor::Cursor;
use crate::document::{EventEntry, Lost};
use crate::service::Service;
use std::collections::VecDeque;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::id::HostId;
use umbel_lattice::extension::{EventsRequest, NumberedEvent};
use umbel_lattice::{Subscription, subjects};

/// Events that are asked of a host at once.
const PAGE_LEN: usize = 1_000;

/// What a host keeps behind a place.
struct Kept {
    events: Vec<NumberedEvent>,
    lost: Option<Lost>,
}

/// What is kept.
pub(crate) struct History {
    pub(crate) entries: Vec<EventEntry>,
    pub(crate) lost: Vec<Lost>,
    cursor: Cursor,
    hosts: Vec<String>,
}

/// Events of all hosts that are kept: behind the cursor, or the newest. Each with the cursor behind it.
pub(crate) async fn history(
    service: &Service,
    since: Option<Cursor>,
    limit: usize,
) -> Result<History, Problem> {
    let mut merged = Vec::new();
    let mut lost = Vec::new();
    let hosts = service.hosts().await?;
    for host in &hosts {
        let kept = match &since {
            Some(cursor) => behind(service, &host.id, cursor, limit).await?,
            None => newest(service, &host.id, limit).await?,
        };
        lost.extend(kept.lost);
        merged.extend(kept.events.into_iter().map(|numbered| (host.id.to_string(), numbered)));
    }
    // All stamps have one form, so their order as text is their order in time; the sort keeps the order of each host.
    merged.sort_by(|(_, a), (_, b)| a.event.time.cmp(&b.event.time));
    match &since {
        Some(_) => merged.truncate(limit),
        None => drop(merged.drain(..merged.len().saturating_sub(limit))),
    }
    let mut cursor = since.unwrap_or_default();
    for gap in lost.iter().filter(|gap| gap.reason == RESTARTED) {
        cursor.advance(gap.host_id.as_deref().unwrap_or_default(), 0);
    }
    let mut entries = Vec::with_capacity(merged.len());
    for (host, numbered) in merged {
        cursor.advance(&host, numbered.seq);
        entries.push(EventEntry { cursor: cursor.to_string(), event: numbered.event });
    }
    Ok(History { entries, lost, cursor, hosts: hosts.into_iter().map(|host| host.id.to_string()).collect() })
}

const RESTARTED: &str = "restarted";

/// The newest events of a host.
async fn newest(service: &Service, host: &HostId, limit: usize) -> Result<Kept, Problem> {
    let request = EventsRequest { since_seq: None, limit };
    let mut events = service.control.events(host, &request).await?.events;
    events.drain(..events.len().saturating_sub(limit));
    Ok(Kept { events, lost: None })
}

/// Events of a host behind the cursor, oldest first.
async fn behind(service: &Service, host: &HostId, cursor: &Cursor, limit: usize) -> Result<Kept, Problem> {
    let mut seen = cursor.seen(host.as_str());
    let mut lost = None;
    let last = newest(service, host, 1).await?.events.last().map_or(0, |numbered| numbered.seq);
    if last < seen {
        // The host counts anew: nothing of what it keeps has been seen.
        lost = Some(Lost { host_id: Some(host.to_string()), count: None, reason: RESTARTED.into() });
        seen = 0;
    }
    let mut events: Vec<NumberedEvent> = Vec::new();
    while events.len() < limit && seen < last {
        let request = EventsRequest { since_seq: Some(seen), limit: PAGE_LEN.min(limit - events.len()) };
        let page = service.control.events(host, &request).await?.events;
        let Some(first) = page.iter().find(|numbered| numbered.seq > seen) else { break };
        // Who asks for the first time has lost nothing by what is no longer kept.
        if first.seq > seen + 1 && lost.is_none() && cursor.knows(host.as_str()) {
            lost = Some(gap(host.as_str(), seen, first.seq, "expired"));
        }
        let before = seen;
        events.extend(page.into_iter().filter(|numbered| numbered.seq > before));
        seen = events.last().map_or(last, |numbered| numbered.seq);
    }
    Ok(Kept { events, lost })
}

fn gap(host: &str, seen: u64, next: u64, reason: &str) -> Lost {
    Lost { host_id: Some(host.into()), count: Some(next.saturating_sub(seen + 1)), reason: reason.into() }
}

/// Events that are kept, then those to come.
pub(crate) struct EventFeed {
    service: Arc<Service>,
    live: Subscription,
    cursor: Cursor,
    hosts: Vec<String>,
    ready: VecDeque<Entry>,
}

impl EventFeed {
    pub(crate) async fn open(
        service: Arc<Service>,
        since: Option<Cursor>,
        limit: usize,
    ) -> Result<EventFeed, Problem> {
        let subject = subjects::umbel::events(service.lattice.name());
        let live = service.lattice.observe(&subject).await.map_err(|error| Problem::from(&error))?;
        let History { entries, lost, cursor, hosts } = history(&service, since, limit).await?;
        let lost = lost.into_iter().map(Entry::Lost);
        let ready = lost.chain(entries.into_iter().map(Entry::Event)).collect();
        Ok(EventFeed { service, live, cursor, hosts, ready })
    }

    /// Takes one event that has come, and fills the hole before it, if there is one.
    async fn take(&mut self, numbered: NumberedEvent) -> Result<(), Problem> {
        // The host that numbers is the one that speaks, but where there is only one it numbers for others, too.
        let host = match self.hosts.as_slice() {
            [only] => only.clone(),
            _ => numbered.event.source.clone(),
        };
        let seen = self.cursor.seen(&host);
        // A reader that began without history begins with what comes first.
        if numbered.seq == seen + 1 || !self.cursor.knows(&host) {
            self.push(&host, numbered);
        } else if numbered.seq > seen {
            self.fill(&host, numbered).await?;
        } else if numbered.seq == 1 {
            self.ready.push_back(Entry::Lost(Lost {
                host_id: Some(host.clone()),
                count: None,
                reason: RESTARTED.into(),
            }));
            self.push(&host, numbered);
        }
        // Anything else was in the history already.
        Ok(())
    }

    async fn fill(&mut self, host: &str, numbered: NumberedEvent) -> Result<(), Problem> {
        if let Ok(id) = HostId::new(host) {
            let kept = behind(&self.service, &id, &self.cursor, usize::MAX).await?;
            self.ready.extend(kept.lost.map(Entry::Lost));
            for event in kept.events {
                self.push(host, event);
            }
        }
        let seen = self.cursor.seen(host);
        if numbered.seq > seen {
            // The host no longer keeps, or does not answer, what this reader was too slow to take.
            if numbered.seq > seen + 1 {
                self.ready.push_back(Entry::Lost(gap(host, seen, numbered.seq, "slow")));
            }
            self.push(host, numbered);
        }
        Ok(())
    }

    fn push(&mut self, host: &str, numbered: NumberedEvent) {
        self.cursor.advance(host, numbered.seq);
        let entry = EventEntry { cursor: self.cursor.to_string(), event: numbered.event };
        self.ready.push_back(Entry::Event(entry));
    }
}

impl Feed for EventFeed {
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            let message = self.live.next().await?;
            match serde_json::from_slice(&message.payload) {
                Ok(numbered) => {
                    if let Err(problem) = self.take(numbered).await {
                        return Some(Entry::Problem(problem.into()));
                    }
                }
                Err(error) => tracing::debug!(%error, "left out an event that is not understood"),
            }
        }
    }
}
