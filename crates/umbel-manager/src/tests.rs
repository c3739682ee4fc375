//! The pure machines: planning and placing.

mod place;
mod plan;
mod store;
mod world;
