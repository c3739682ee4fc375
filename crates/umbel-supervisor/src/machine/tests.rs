//! The machine by examples, and by properties under random histories.

mod examples;
mod properties;
