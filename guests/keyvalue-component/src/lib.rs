//! Serves `wasi:keyvalue`, both drafts of it, as a provider that is a component.
//!
//! There is one instance for all that are linked to it, so its buckets can be in memory: a read touches no file. What is written goes to the
//! file of the bucket first. The folder `/data` is the provider's own, and outlives the instance.
//!
//! Read in this order: `log` (a bucket's file), `bucket` (what is in memory), `draft1` and `draft2` (the contract).

mod bucket;
mod draft1;
mod draft2;
mod log;

wit_bindgen::generate!({ path: "wit", world: "provider", generate_all });

struct Provider;

export!(Provider);
