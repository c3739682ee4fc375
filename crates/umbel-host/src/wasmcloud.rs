//! What a host of wasmCloud 1.x is told and ours honours where its tools expect it, and the builtins that stand in for its providers.

use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::host as code;
use umbel_core::reference::{Image, Location, Reference};
use umbel_lattice::control::{Scale, StartProvider};
use umbel_provider::Factory;

/// Settings by which a host resembles one of wasmCloud 1.x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wasmcloud {
    /// Whether builtins stand in for well-known providers of it: a start request for `…/http-server:0.27.0` starts ours.
    pub stand_ins: bool,
    /// Whether files of this machine are loaded for whoever asks on the lattice, and not for managers of ours alone.
    pub file_load: bool,
    /// How long calls may take that leave this host and do not say so, and what provider processes are told of it.
    pub rpc_timeout: Option<Duration>,
    /// How long a call of a component may take whose order does not say.
    pub execution_max: Option<Duration>,
}

impl Default for Wasmcloud {
    /// Ours as it is without tools of wasmCloud.
    fn default() -> Wasmcloud {
        Wasmcloud { stand_ins: true, file_load: true, rpc_timeout: None, execution_max: None }
    }
}

/// The builtin that stands in for the image, if one does.
pub fn stand_in<'s>(shared: &'s Shared, image: &Image) -> Option<&'s Arc<dyn Factory>> {
    if !shared.config.wasmcloud.stand_ins {
        return None;
    }
    shared.factories.iter().find(|factory| factory.stands_in_for().contains(&image.name()))
}

/// Fails for a component of a file that is not to be loaded.
pub fn check_component(shared: &Shared, order: &Scale) -> Result<(), Problem> {
    match order.count {
        0 => Ok(()),
        _ => check(shared, &order.component_ref, order.generation),
    }
}

/// Fails for a provider of a file that is not to be loaded.
pub fn check_provider(shared: &Shared, order: &StartProvider) -> Result<(), Problem> {
    check(shared, &order.provider_ref, order.generation)
}

/// Managers of ours, which number what they order, read files that a user of this machine has named.
pub fn check(shared: &Shared, reference: &str, generation: Option<u64>) -> Result<(), Problem> {
    if shared.config.wasmcloud.file_load || generation.is_some() {
        return Ok(());
    }
    match Reference::new(reference) {
        Ok(parsed) if matches!(parsed.location(), Location::File(_)) => {
            let message =
                format!("`{reference}` is a file, and this host loads none for clients of the lattice");
            Err(Problem::new(code::FILE_LOAD, message))
        }
        // What is none is told where it is read.
        _ => Ok(()),
    }
}
