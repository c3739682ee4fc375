//! Secrets by hand: handed to whichever builtin keeps them. A value is in a message's body and nowhere else: not in what is logged, told as
//! an event, or answered.

use crate::fetch::blocking;
use crate::shared::Shared;
use std::sync::Arc;
use umbel_core::Problem;
use umbel_core::code::host::NO_KEEPER;
use umbel_lattice::Message;
use umbel_lattice::extension::{SecretKey, SecretOwner, SecretPut, SecretView};
use umbel_provider::Factory;
use umbel_provider::secrets::{Keeper, Kept, Owner};
use zeroize::Zeroizing;

/// Keeps a secret; its value is the body of the message, what it is called is in a header.
pub async fn put(shared: &Arc<Shared>, message: &Message) -> Result<String, Problem> {
    let SecretPut { key, is_text } = SecretPut::of(message).map_err(Problem::from)?;
    let value = Zeroizing::new(message.payload.to_vec());
    let (owner, name) = (owner(key.owner), key.name);
    let said = name.clone();
    let version = with_keeper(shared, move |keeper| keeper.put(&owner, &name, value, is_text)).await?;
    shared.given.has_changed();
    Ok(format!("secret {said} is kept, version {version}"))
}

/// Deletes a secret.
pub async fn del(shared: &Arc<Shared>, key: SecretKey) -> Result<String, Problem> {
    let (owner, name) = (owner(key.owner), key.name);
    let said = name.clone();
    with_keeper(shared, move |keeper| keeper.del(&owner, &name)).await?;
    shared.given.has_changed();
    Ok(format!("secret {said} is deleted"))
}

/// Names and versions.
pub async fn list(shared: &Arc<Shared>) -> Result<Vec<SecretView>, Problem> {
    let kept = with_keeper(shared, |keeper| keeper.list()).await?;
    let view = |kept: Kept| SecretView {
        owner: match kept.owner {
            Owner::Application(name) => SecretOwner::Application(name),
            Owner::Component(id) => SecretOwner::Component(id),
            Owner::Shared => SecretOwner::Shared,
        },
        name: kept.name,
        version: kept.version,
        put_unix_ms: (kept.put_unix_ms > 0).then_some(kept.put_unix_ms),
    };
    Ok(kept.into_iter().map(view).collect())
}

fn owner(owner: SecretOwner) -> Owner {
    match owner {
        SecretOwner::Application(name) => Owner::Application(name),
        SecretOwner::Component(id) => Owner::Component(id),
        SecretOwner::Shared => Owner::Shared,
    }
}

async fn with_keeper<T: Send + 'static>(
    shared: &Arc<Shared>,
    ask: impl FnOnce(&dyn Keeper) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let is_keeper = |factory: &&Arc<dyn Factory>| factory.keeper().is_some();
    let factory = shared.factories.iter().find(is_keeper).cloned();
    blocking(move || match factory.as_ref().and_then(|factory| factory.keeper()) {
        Some(keeper) => ask(keeper),
        None => Err(Problem::new(NO_KEEPER, "no builtin of this build keeps secrets")),
    })
    .await
}
