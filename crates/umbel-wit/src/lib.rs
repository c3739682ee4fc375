//! Contracts: the names, types and values of WIT, and what it means to serve one.
//!
//! A call of a linked import is the same whoever serves it: a component in this host, a builtin provider, a provider process or another
//! host. It is a [`Call`] of [`Value`]s to something that implements [`Serve`]. This crate must not know the engine that makes values of a
//! guest's memory, nor the wire that carries them.
//!
//! Read in this order: [`name`] (`wasi:keyvalue/store@0.2.0`, and which version serves which) · [`types`] (what a function takes and
//! gives, and where two of them differ) · [`package`] (interfaces of WIT text) · [`value`] · [`text`] (values as people write them) · [`serve`].

pub mod name;
pub mod package;
pub mod serve;
pub mod text;
pub mod types;
pub mod value;

pub use name::InterfaceName;
pub use serve::{Call, Link, Serve};
pub use types::{Function, Interface, Mismatch, Type};
pub use value::{ByteStream, Resource, Value};
