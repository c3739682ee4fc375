//! What a link asks of the messaging provider.

use super::delivery::Handler;
use super::error::MessagingError;
use umbel_core::link::Contract;

/// What components call.
const CALLED: &[&str] = &["consumer", "types", "producer", "request-reply"];

/// The handler that a link from the provider to a component names.
pub(crate) fn handler(contract: &Contract) -> Result<Handler, MessagingError> {
    let has = |interface: &str| contract.interfaces.iter().any(|name| name == interface);
    match (contract.namespace.as_str(), contract.package.as_str()) {
        ("wasmcloud", "messaging") if has("handler") => Ok(Handler::record()),
        (namespace @ ("wasmcloud" | "wasi"), "messaging") if has("incoming-handler") => {
            Ok(Handler::resource(namespace))
        }
        _ => Err(MessagingError::Contract { contract: contract.to_string() }),
    }
}

/// Checks the contract of a link from a component to the provider.
pub(crate) fn check_called(contract: &Contract) -> Result<(), MessagingError> {
    let ours = matches!(
        (contract.namespace.as_str(), contract.package.as_str()),
        ("wasmcloud" | "wasi", "messaging")
    );
    if ours && contract.interfaces.iter().any(|name| CALLED.contains(&name.as_str())) {
        return Ok(());
    }
    Err(MessagingError::Contract { contract: contract.to_string() })
}
