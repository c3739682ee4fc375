//! The control protocol of wasmCloud 1.x (`facts/wasmcloud.md` §4.2) with our extension fields.
//!
//! An extension field has a default and is left out when it has it, so that what we send to other hosts, and what other tools
//! read from ours, is what they know. Read in this order: [`message`] what is asked, [`view`] what is told, [`client`] who asks, `roll` who is there,
//! [`response`] how it is answered, [`pages`] when that is longer than a message.

pub mod client;
pub mod error;
pub mod message;
pub mod pages;
pub mod response;
mod roll;
pub mod view;

pub use client::Client;
pub use error::ControlError;
pub use message::{
    ComponentAuction, ComponentAuctionAck, ComponentLimits, LabelKey, LabelValue, ProviderAuction,
    ProviderAuctionAck, Registry, RegistryAnswer, RegistryPut, RegistryQuery, Scale, StartProvider, StopHost,
    StopProvider, Update, link_body, links_body,
};
pub use pages::Pages;
pub use response::{CtlResponse, parse_request};
pub use view::{
    ComponentView, Endpoint, Host, Inventory, LinkTrouble, PartState, ProcessView, ProviderKind,
    ProviderView, Usage,
};
