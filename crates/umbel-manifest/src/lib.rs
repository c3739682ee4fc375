//! The application manifest: what an application is made of, in the form that wadm users already have (OAM,
//! `core.oam.dev/v1beta1`), read from YAML or JSON.
//!
//! [`parse`] answers with the whole [`Application`] or with every [`Problem`](umbel_core::Problem) at once, each with its
//! line, column, code and help. Reading is bounded: size, depth, and what aliases may grow to. The crate must not know
//! placement: where parts run, which of them runs already, and whether an image exists.
//!
//! ```text
//! bytes ─ load ─▶ nodes with spans ─ read ─▶ Application ─ check ─▶ Application
//!           │                          │                     │
//!           └──────────── every problem with file:line:column and help
//! ```
//!
//! Read in this order: [`model`] is what comes out · `load` makes nodes of text · `fields` and `report` say what is wrong with
//! one · `read` knows the fields, `part` and `traits` those of a part · `units` reads `64MiB` and `5s` · `check` compares
//! parts with one another · `canonical` writes a manifest · [`launch`] makes one for a single component.

mod canonical;
mod check;
mod fields;
mod grants;
pub mod launch;
mod load;
pub mod model;
mod part;
mod read;
mod report;
mod traits;
mod units;

#[cfg(test)]
mod tests;

pub use model::{Application, Config, Link, Part, PartKind, Policy, Scale, Secret, Source, Spread};
pub use read::{DEPTH_MAX, EXPANDED_BYTES_MAX, NODES_MAX, PROBLEMS_MAX, TEXT_BYTES_MAX, parse};
