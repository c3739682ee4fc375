//! The runtime against real components: those of `guests/` and `examples/`, and small ones written here as text.

mod bad_input;
mod calls;
mod code;
mod commands;
mod layouts;
mod limits;
mod links;
mod load;
mod modules;
mod names;
mod outside;
mod residents;
mod resources;
mod rig;
mod rings;
mod storm;
mod streaming;
mod streams;
