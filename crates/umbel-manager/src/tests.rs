//! The pure machines: planning and placing.

mod hold;
mod place;
mod plan;
mod store;
mod world;
