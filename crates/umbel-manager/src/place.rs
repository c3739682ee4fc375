//! Which hosts run how many of a part. Pure, and the same for the same input: nothing moves without need.

use std::collections::{BTreeMap, BTreeSet};
use umbel_core::digest::Digest;
use umbel_core::id::HostId;
use umbel_core::limits::Limits;
use umbel_manifest::{PartKind, Scale, Spread};

/// What placing needs to know of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many parts run there.
    pub load: usize,
    /// Whether the part to place runs there already.
    pub has_part: bool,
    /// How many parts of the same application run there, or were just placed there: calls between them stay in the host.
    pub kin: usize,
}

/// Instances by host; only hosts that get some.
pub type Placement = BTreeMap<HostId, u32>;

/// Places the part with that id. The second result is the rules of its scaler that no host matches.
pub fn place<'s>(
    id: &str,
    kind: PartKind,
    scale: &'s Scale,
    limits: Option<&Limits>,
    sites: &BTreeMap<HostId, Site>,
) -> (Placement, Vec<&'s str>) {
    match scale {
        Scale::Single => (single(kind, limits, sites), Vec::new()),
        Scale::Spread { instances: 0, .. } | Scale::Daemon { instances: 0, .. } => Default::default(),
        Scale::Spread { instances, spread } => by_weight(kind, *instances, spread, &ranked(id, sites)),
        Scale::Daemon { instances, spread } => everywhere(kind, *instances, spread, sites),
    }
}

/// The host that has it, else the one with the most parts of its application, else the one with the fewest parts.
fn single(kind: PartKind, limits: Option<&Limits>, sites: &BTreeMap<HostId, Site>) -> Placement {
    let instances = unscaled(kind, limits);
    let best = sites
        .iter()
        .min_by_key(|(host, site)| (!site.has_part, std::cmp::Reverse(site.kin), site.load, *host));
    best.map(|(host, _)| (host.clone(), instances)).into_iter().collect()
}

/// How many instances a part has that says none.
fn unscaled(kind: PartKind, limits: Option<&Limits>) -> u32 {
    match kind {
        PartKind::Component => {
            limits.map_or_else(|| Limits::default().instances_max, |limits| limits.instances_max)
        }
        PartKind::Provider => 1,
    }
}

/// On each of the hosts, because what links to it by a local link is there.
pub fn beside<'h>(
    kind: PartKind,
    limits: Option<&Limits>,
    hosts: impl IntoIterator<Item = &'h HostId>,
) -> Placement {
    let instances = unscaled(kind, limits);
    hosts.into_iter().map(|host| (host.clone(), instances)).collect()
}

/// All hosts in an order of the part's own (rendezvous hashing): parts meet different hosts first, and the order of two hosts
/// does not depend on what runs there or on other hosts.
fn ranked<'h>(id: &str, sites: &'h BTreeMap<HostId, Site>) -> Vec<(&'h HostId, &'h Site)> {
    let mut hosts: Vec<_> = sites.iter().collect();
    hosts.sort_by_cached_key(|(host, _)| Digest::of(format!("{id} {host}").as_bytes()));
    hosts
}

fn matching<'h>(rule: &Spread, hosts: &[(&'h HostId, &Site)]) -> Vec<&'h HostId> {
    let fits = |site: &Site| rule.requirements.iter().all(|(key, value)| site.labels.get(key) == Some(value));
    hosts.iter().filter(|(_, site)| fits(site)).map(|(host, _)| *host).collect()
}

/// Every rule gets its share of the instances by weight, and divides it over the hosts that match.
fn by_weight<'s>(
    kind: PartKind,
    instances: u32,
    spread: &'s [Spread],
    ranked: &[(&HostId, &Site)],
) -> (Placement, Vec<&'s str>) {
    if spread.is_empty() {
        let hosts: Vec<&HostId> = ranked.iter().map(|(host, _)| *host).collect();
        return (divide(kind, instances, &hosts, Placement::new()), Vec::new());
    }
    let weights: Vec<u32> = spread.iter().map(|rule| rule.weight).collect();
    let mut placement = Placement::new();
    let mut unmatched = Vec::new();
    for (rule, share) in spread.iter().zip(shares(instances, &weights)) {
        let hosts = matching(rule, ranked);
        if hosts.is_empty() && share > 0 {
            unmatched.push(rule.name.as_str());
        }
        placement = divide(kind, share, &hosts, placement);
    }
    (placement, unmatched)
}

/// Adds `share` instances, divided evenly, the first hosts taking what is left over. A provider is on a host once.
fn divide(kind: PartKind, share: u32, hosts: &[&HostId], mut placement: Placement) -> Placement {
    let count = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return placement;
    }
    for (index, host) in (0u32..).zip(hosts) {
        let instances = share / count + u32::from(index < share % count);
        if instances > 0 {
            let has = placement.entry((*host).clone()).or_insert(0);
            *has = if kind == PartKind::Provider { 1 } else { *has + instances };
        }
    }
    placement
}

/// Whole numbers in the proportion of the weights that add up to `total`: the largest remainders get what rounding left.
pub(crate) fn shares(total: u32, weights: &[u32]) -> Vec<u32> {
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: &u32| u64::from(total) * u64::from(*weight);
    let mut shares: Vec<u32> = weights
        .iter()
        .map(|weight| u32::try_from(exact(weight) / sum).expect("a share is at most the total"))
        .collect();
    let left = total - shares.iter().sum::<u32>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(exact(&weights[*i]) % sum), *i));
    for i in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        shares[i] += 1;
    }
    shares
}

/// So many instances on every host that matches one of the rules.
fn everywhere<'s>(
    kind: PartKind,
    instances: u32,
    spread: &'s [Spread],
    sites: &BTreeMap<HostId, Site>,
) -> (Placement, Vec<&'s str>) {
    let mut unmatched = Vec::new();
    let all: Vec<(&HostId, &Site)> = sites.iter().collect();
    let mut hosts: BTreeSet<&HostId> = BTreeSet::new();
    if spread.is_empty() {
        hosts.extend(sites.keys());
    }
    for rule in spread {
        let found = matching(rule, &all);
        if found.is_empty() {
            unmatched.push(rule.name.as_str());
        }
        hosts.extend(found);
    }
    let instances = if kind == PartKind::Provider { 1 } else { instances };
    (hosts.into_iter().map(|host| (host.clone(), instances)).collect(), unmatched)
}
