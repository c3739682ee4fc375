use super::{BUCKETS, RouteStats, Shard, bucket, bucket_bound_us};
use std::time::Duration;

#[test]
fn buckets_hold_what_their_bounds_say() {
    let mut below = 0;
    for index in 0..BUCKETS - 1 {
        let bound = bucket_bound_us(index).expect("not the last");
        assert!(bound > below);
        assert_eq!(bucket(bound - 1), index, "{bound}");
        assert_eq!(bucket(bound), index + 1, "{bound}");
        below = bound;
    }
    assert_eq!(bucket(0), 0);
    assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    assert!(below > 60_000_000, "the last bound is above a minute: {below}");
}

#[test]
fn shards_add_up() {
    let shards = [Shard::default(), Shard::default()];
    for (number, shard) in shards.iter().enumerate() {
        for status in [200, 204, 404, 503, 0] {
            shard.begin();
            shard.end(status, Duration::from_micros(100 * (number as u64 + 1)));
        }
        shard.begin();
    }
    let mut sum = RouteStats::default();
    shards.iter().for_each(|shard| sum.add(shard));
    assert_eq!((sum.requests, sum.in_flight), (12, 2));
    assert_eq!(sum.statuses, [2, 0, 4, 0, 2, 2]);
    assert_eq!(sum.latency.iter().sum::<u64>(), 10);
    assert_eq!(sum.latency_us_sum, 1500);
    assert!(sum.quantile_us(0.5).expect("there are some") >= 100);
    assert_eq!(RouteStats::default().quantile_us(0.5), None);
}
