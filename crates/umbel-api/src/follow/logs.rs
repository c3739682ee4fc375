//! Log lines.

use super::{Entry, Feed};
use crate::convert;
use crate::document::{LogEntry, Lost};
use crate::query::{LOG_LINES_DEFAULT, LOG_LINES_MAX, LogQuery};
use crate::service::Service;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::api;
use umbel_core::id::ComponentId;
use umbel_lattice::extension::{LogLine, LogsRequest};
use umbel_lattice::{Subscription, subjects};

/// Levels, in the order of their gravity.
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub(crate) struct LogFilter {
    application: Option<String>,
    component: Option<ComponentId>,
    level: usize,
    since_unix_ms: u64,
    limit: usize,
}

impl LogFilter {
    pub(crate) fn new(query: LogQuery) -> Result<LogFilter, Problem> {
        let level = match query.level.as_deref() {
            None => 0,
            Some(level) => LEVELS.iter().position(|known| *known == level).ok_or_else(|| {
                let message = format!("`{}` is not a level: {}", level.escape_debug(), LEVELS.join(", "));
                Problem::new(api::BAD_REQUEST, message)
            })?,
        };
        let component =
            query.component.map(ComponentId::new).transpose().map_err(|error| Problem::from(&error))?;
        let limit = query.limit.unwrap_or(LOG_LINES_DEFAULT).min(LOG_LINES_MAX) as usize;
        Ok(LogFilter {
            application: query.application,
            component,
            level,
            since_unix_ms: query.since_unix_ms.unwrap_or(0),
            limit,
        })
    }

    fn wants(&self, line: &LogLine) -> bool {
        // A level that is not known is shown rather than hidden.
        let level = LEVELS.iter().position(|known| *known == line.level).unwrap_or(LEVELS.len());
        level >= self.level
            && line.unix_ms >= self.since_unix_ms
            && self.component.as_ref().is_none_or(|component| *component == line.component)
            && self.application.as_ref().is_none_or(|wanted| line.application.as_ref() == Some(wanted))
    }

    /// The newest lines that are kept, oldest first.
    pub(crate) async fn history(&self, service: &Service) -> Result<Vec<LogEntry>, Problem> {
        if self.limit == 0 {
            return Ok(Vec::new());
        }
        // The host counts before this filter does, so it is asked for all that it may have.
        let is_plain = self.level == 0 && self.since_unix_ms == 0;
        let request = LogsRequest {
            component: self.component.clone(),
            application: self.application.clone(),
            limit: if is_plain { self.limit } else { LOG_LINES_MAX as usize },
            since_seq: None,
        };
        let mut lines = Vec::new();
        for host in service.hosts().await? {
            lines.extend(service.control.logs(&host.id, &request).await?);
        }
        lines.retain(|line| self.wants(line));
        lines.sort_by_key(|line| line.unix_ms);
        lines.drain(..lines.len().saturating_sub(self.limit));
        Ok(lines.into_iter().map(convert::log).collect())
    }
}

/// Lines that are kept, then those to come.
pub(crate) struct LogFeed {
    filter: LogFilter,
    live: Subscription,
    lost: u64,
    ready: VecDeque<Entry>,
    /// Lines that were in the history, which may come once more.
    shown: HashSet<(String, u64, u64)>,
}

impl LogFeed {
    pub(crate) async fn open(service: Arc<Service>, filter: LogFilter) -> Result<LogFeed, Problem> {
        let subject = match &filter.component {
            Some(component) => subjects::umbel::log(service.lattice.name(), component),
            None => subjects::umbel::log_any(service.lattice.name()),
        };
        let live = service.lattice.observe(&subject).await.map_err(|error| Problem::from(&error))?;
        let history = filter.history(&service).await?;
        let shown = history.iter().map(|entry| (entry.component.clone(), entry.seq, entry.unix_ms)).collect();
        Ok(LogFeed { filter, live, lost: 0, ready: history.into_iter().map(Entry::Log).collect(), shown })
    }
}

impl Feed for LogFeed {
    async fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            let message = self.live.next().await?;
            let lost = self.live.lost();
            if lost > self.lost {
                let count = lost - std::mem::replace(&mut self.lost, lost);
                let lost = Lost { host_id: None, count: Some(count), reason: "slow".into() };
                self.ready.push_back(Entry::Lost(lost));
            }
            match serde_json::from_slice::<LogLine>(&message.payload) {
                Ok(line) if self.filter.wants(&line) => {
                    let entry = convert::log(line);
                    if !self.shown.remove(&(entry.component.clone(), entry.seq, entry.unix_ms)) {
                        self.ready.push_back(Entry::Log(entry));
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "left out a log line that is not understood"),
            }
        }
    }
}
