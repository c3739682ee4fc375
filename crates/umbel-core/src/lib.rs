//! The vocabulary of Umbel: what every other crate means by a host, a component, a link or an error.
//!
//! Everything here is plain data with parsing, printing and checking. It must not know async, I/O, wasm engines,
//! or how anything is done.
//!
//! Read in this order:
//! [`id`] names things · [`nkey`] and [`claims`] say who vouches for them · [`mod@reference`] and [`digest`] say where and which their bytes are ·
//! [`link`] binds an importer to a server, [`settings`] is what both are told · [`limits`] bounds what one may use, [`grants`] says what of the machine · [`event`] tells what happened ·
//! [`error`] and [`code`] tell what went wrong and what to do · [`clock`] says when.

pub mod claims;
pub mod clock;
pub mod code;
pub mod digest;
pub mod error;
pub mod event;
pub mod grants;
pub mod id;
pub mod limits;
pub mod link;
pub mod nkey;
pub mod reference;
pub mod settings;

pub use clock::{Clock, SystemClock};
pub use code::Code;
pub use digest::Digest;
pub use error::{Coded, Kind, Problem};
