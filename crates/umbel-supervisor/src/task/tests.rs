//! Trees that run: behaviour by examples, and restarts against shutdowns by simulation.

mod examples;
mod simulation;
