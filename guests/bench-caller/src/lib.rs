//! Calls over links as often as its request asks, and says in ns what the calls took: `/turn?calls=`, `/swap?calls=`, `/length?calls=&size=`, `/get?calls=`,
//! `/set?calls=&key=`. The answer is `p50 p99`, for `/length` followed by the p50 of copying as many bytes here.

use bindings::umbel::bench::ops::{self, Point};
use bindings::umbel::tiny::ops as tiny;
use bindings::wasi::keyvalue::store;
use guest::wasip2::clocks::monotonic_clock::now;
use std::hint::black_box;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package umbel:bench@0.1.0;

            interface ops {
                record point { x: u32, y: u32 }
                turn: func(p: point) -> point;
                length: func(bytes: list<u8>) -> u32;
            }

            world caller {
                import ops;
                import umbel:tiny/ops@0.1.0;
                import wasi:keyvalue/store@0.2.0-draft;
            }

            package umbel:tiny@0.1.0 {
                interface ops {
                    swap: func(p: tuple<u32, u32>) -> tuple<u32, u32>;
                }
            }

            package wasi:keyvalue@0.2.0-draft {
                interface store {
                    variant error { no-such-store, access-denied, other(string) }
                    record key-response { keys: list<string>, cursor: option<u64> }
                    open: func(identifier: string) -> result<bucket, error>;
                    resource bucket {
                        get: func(key: string) -> result<option<list<u8>>, error>;
                        set: func(key: string, value: list<u8>) -> result<_, error>;
                        delete: func(key: string) -> result<_, error>;
                        exists: func(key: string) -> result<bool, error>;
                        list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                    }
                }
            }
        ",
        world: "umbel:bench/caller",
        generate_all,
    });
}

fn answer(request: &guest::IncomingRequest) -> String {
    let calls = guest::number(request, "calls", 1_000);
    match guest::path(request).as_str() {
        "/turn" => {
            let mut at = Point { x: 1, y: 2 };
            measured(calls, || at = ops::turn(at))
        }
        "/swap" => {
            let mut at = (1, 2);
            measured(calls, || at = tiny::swap(at))
        }
        "/length" => {
            let bytes = vec![7u8; guest::number(request, "size", 1 << 20) as usize];
            let called = measured(calls, || assert_eq!(ops::length(&bytes) as usize, bytes.len()));
            let mut copy = vec![0u8; bytes.len()];
            let copied = measured(calls, || {
                black_box(&mut copy).copy_from_slice(black_box(&bytes));
            });
            format!("{called} {}", copied.split(' ').next().unwrap_or_default())
        }
        "/get" => {
            let bucket = store::open("bench").expect("a bucket");
            bucket.set("key", &[7; 100]).expect("it is written");
            measured(calls, || assert!(bucket.get("key").expect("it is read").is_some()))
        }
        "/set" => {
            let bucket = store::open("bench").expect("a bucket");
            let key = guest::query(request, "key").unwrap_or_default();
            measured(calls, || bucket.set(&key, &[7; 100]).expect("it is written"))
        }
        _ => "no such thing".into(),
    }
}

/// Does it so often; p50 and p99 in ns.
fn measured(calls: u64, mut what: impl FnMut()) -> String {
    let mut took: Vec<u64> = (0..calls.max(1))
        .map(|_| {
            let begun = now();
            what();
            now() - begun
        })
        .collect();
    took.sort_unstable();
    format!("{} {}", took[took.len() / 2], took[took.len() * 99 / 100])
}

guest::serve!(answer);
