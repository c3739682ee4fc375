use super::world::host_id;
use crate::place::{Site, place, shares};
use std::collections::BTreeMap;
use umbel_core::id::HostId;
use umbel_manifest::{PartKind, Scale, Spread};

fn sites(hosts: &[(&str, &str, usize, bool)]) -> BTreeMap<HostId, Site> {
    let site = |(name, zone, load, has_part): &(&str, &str, usize, bool)| {
        let labels = [("zone".to_owned(), (*zone).to_owned())].into();
        (host_id(name), Site { labels, load: *load, has_part: *has_part, kin: 0 })
    };
    hosts.iter().map(site).collect()
}

fn rule(name: &str, zone: &str, weight: u32) -> Spread {
    Spread { name: name.to_owned(), weight, requirements: [("zone".to_owned(), zone.to_owned())].into() }
}

#[track_caller]
fn check(
    kind: PartKind,
    scale: &Scale,
    hosts: &[(&str, &str, usize, bool)],
    expected: &[(&str, u32)],
    unmatched: &[&str],
) {
    let sites = sites(hosts);
    let (placement, missing) = place("app-part", kind, scale, None, &sites);
    let found: Vec<(&str, u32)> = placement.iter().map(|(host, count)| (host.as_str(), *count)).collect();
    assert_eq!(found, expected);
    assert_eq!(missing, unmatched);
}

#[test]
fn parts_are_placed_by_label_and_weight() {
    use PartKind::{Component, Provider};
    let two = [("NA", "east", 3, false), ("NB", "west", 1, false)];
    let three = [("NA", "east", 0, false), ("NB", "west", 0, false), ("NC", "west", 0, false)];
    check(Component, &Scale::Single, &two, &[("NB", 100)], &[]);
    check(Provider, &Scale::Single, &[("NA", "e", 3, true), ("NB", "w", 1, false)], &[("NA", 1)], &[]);
    check(Component, &Scale::Single, &[], &[], &[]);
    let spread = |instances, spread| Scale::Spread { instances, spread };
    check(Component, &spread(5, vec![]), &two, &[("NA", 2), ("NB", 3)], &[]);
    check(Component, &spread(0, vec![]), &two, &[], &[]);
    let weighted = vec![rule("e", "east", 40), rule("w", "west", 60)];
    check(Component, &spread(10, weighted.clone()), &three, &[("NA", 4), ("NB", 3), ("NC", 3)], &[]);
    check(Provider, &spread(10, weighted), &three, &[("NA", 1), ("NB", 1), ("NC", 1)], &[]);
    let moon = vec![rule("e", "east", 50), rule("moon", "moon", 50)];
    check(Component, &spread(2, moon.clone()), &three, &[("NA", 1)], &["moon"]);
    let daemon = |instances, spread| Scale::Daemon { instances, spread };
    check(Component, &daemon(3, vec![]), &two, &[("NA", 3), ("NB", 3)], &[]);
    check(Component, &daemon(3, moon), &three, &[("NA", 3)], &["moon"]);
    check(Provider, &daemon(3, vec![rule("w", "west", 1)]), &three, &[("NB", 1), ("NC", 1)], &[]);
}

#[test]
fn shares_add_up() {
    for (total, weights, expected) in [
        (10, vec![50, 50], vec![5, 5]),
        (5, vec![40, 40, 20], vec![2, 2, 1]),
        (1, vec![1, 1, 1], vec![1, 0, 0]),
        (7, vec![0, 1], vec![0, 7]),
        (7, vec![0, 0], vec![0, 0]),
        (u32::MAX, vec![u32::MAX, u32::MAX], vec![u32::MAX / 2 + 1, u32::MAX / 2]),
    ] {
        assert_eq!(shares(total, &weights), expected);
    }
}
