//! The host as its callers see it: orders over the lattice, events back, and calls through what it runs.

mod bed;
mod collect;
mod commands;
mod compile;
mod component_providers;
mod components;
mod history;
mod hostile;
mod links;
mod orders;
mod processes;
mod registries;
mod swap;
mod wasmcloud;
