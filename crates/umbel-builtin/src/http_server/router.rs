//! From host name and path to a route: an immutable table per listener, built anew whenever links change.
//!
//! ```text
//! known host ──▶ its longest path prefix ──▶ route, or nothing
//! unknown host ─▶ *.localhost? ──yes──▶ nothing: it names an application that is not here
//!                     └─no─▶ `any`: every host of an own listener; on the shared one the only application, if it is only one
//! ```

use super::authority::HostName;
use super::link::{Claim, On};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use umbel_core::link::LinkKey;

/// The routes of one listener. `R` is what is found; tests use plain values.
#[derive(Debug)]
pub(crate) struct Table<R> {
    /// No two tables have the same, so that a connection can keep what it looked up in one.
    version: u64,
    /// Host names, and which of `groups` is theirs.
    hosts: HashMap<Box<[u8]>, Group, BuildHasherDefault<HostHasher>>,
    /// The first is `any`.
    groups: Vec<Paths<R>>,
    /// What is known here, for the answer that says that nothing was found: host (empty: every host) and path.
    known: Vec<(String, String)>,
    /// Nothing is found here because nothing is known yet.
    is_held: bool,
}

/// The routes of one host, as [`Table::group`] found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(usize);

const ANY: Group = Group(0);

static VERSIONS: AtomicU64 = AtomicU64::new(1);

/// Path prefixes, the longest first.
type Paths<R> = Vec<(Box<str>, R)>;

impl<R> Default for Table<R> {
    fn default() -> Table<R> {
        let version = VERSIONS.fetch_add(1, Relaxed);
        Table {
            version,
            hosts: HashMap::default(),
            groups: vec![Vec::new()],
            known: Vec::new(),
            is_held: false,
        }
    }
}

impl<R: Clone> Table<R> {
    /// A table for the time until the routes are known.
    pub(crate) fn held() -> Table<R> {
        Table { is_held: true, ..Table::default() }
    }

    /// Builds the table of the listener `on` from all claims, which must not conflict.
    pub(crate) fn build<'a>(claims: impl Iterator<Item = (&'a Claim, R)>, on: On) -> Table<R> {
        let mut table = Table::default();
        let mut applications = BTreeSet::new();
        let mut all: BTreeMap<&str, R> = BTreeMap::new();
        for (claim, route) in claims.filter(|(claim, _)| claim.on == on) {
            applications.insert(claim.application.as_deref().unwrap_or(&claim.component));
            for path in &claim.paths {
                for host in &claim.hosts {
                    table.add(host, path, route.clone());
                    table.known.push((host.clone(), path.clone()));
                }
                if claim.hosts.is_empty() {
                    table.groups[ANY.0].push((path.as_str().into(), route.clone()));
                    table.known.push((String::new(), path.clone()));
                }
                all.entry(path).or_insert_with(|| route.clone());
            }
        }
        if on == On::Shared && applications.len() == 1 {
            table.groups[ANY.0] = all.into_iter().map(|(path, route)| (path.into(), route)).collect();
        }
        for paths in &mut table.groups {
            paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        table.known.sort();
        table.known.dedup();
        table
    }

    fn add(&mut self, host: &str, path: &str, route: R) {
        let next = Group(self.groups.len());
        let group = *self.hosts.entry(host.as_bytes().into()).or_insert(next);
        if group == next {
            self.groups.push(Vec::new());
        }
        self.groups[group.0].push((path.into(), route));
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The routes for a host; `None` is 404. A request without a host (HTTP/1.0) is for `any`.
    pub(crate) fn group(&self, host: Option<&HostName>) -> Option<Group> {
        let Some(host) = host else { return Some(ANY) };
        match self.hosts.get(host.as_bytes()) {
            Some(group) => Some(*group),
            None if host.names_an_application() && !self.hosts.is_empty() => None,
            None => Some(ANY),
        }
    }

    /// The route for a path within a group of this table; `None` is 404.
    pub(crate) fn route(&self, group: Group, path: &str) -> Option<&R> {
        self.groups[group.0].iter().find(|(prefix, _)| covers(prefix, path)).map(|(_, route)| route)
    }

    /// Whether it is for the time until the routes are known.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Host and path of everything that answers here; an empty host is every host.
    pub(crate) fn known(&self) -> &[(String, String)] {
        &self.known
    }
}

/// Whether `path` is `prefix` or below it: `/api` covers `/api` and `/api/x`, not `/apix`.
pub(crate) fn covers(prefix: &str, path: &str) -> bool {
    match path.as_bytes().strip_prefix(prefix.as_bytes()) {
        Some(rest) => prefix.is_empty() || rest.is_empty() || rest[0] == b'/',
        None => false,
    }
}

/// The first claim of another component that has an address which `new` wants as well, and that address. Two links that lead to
/// one component agree: so a link can get another name without a moment in which nothing answers.
pub(crate) fn conflict<'a>(
    claims: impl Iterator<Item = &'a Claim>,
    new: &Claim,
) -> Option<(LinkKey, String, String)> {
    let other = |held: &&Claim| held.key != new.key && held.component != new.component && held.on == new.on;
    for held in claims.filter(other) {
        let everywhere = held.hosts.is_empty() && new.hosts.is_empty();
        let host = new.hosts.iter().find(|host| held.hosts.contains(host));
        if host.is_none() && !everywhere {
            continue;
        }
        if let Some(path) = new.paths.iter().find(|path| held.paths.contains(path)) {
            let host = host.map_or_else(|| String::from("*"), Clone::clone);
            return Some((held.key.clone(), held.component.clone(), format!("{host}{path}/")));
        }
    }
    None
}

/// FNV-1a over a host name. The table's keys are chosen by who deploys, not by who asks, so that no client can make it slow.
#[derive(Debug)]
pub(crate) struct HostHasher(u64);

impl Default for HostHasher {
    fn default() -> HostHasher {
        HostHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for HostHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests;
