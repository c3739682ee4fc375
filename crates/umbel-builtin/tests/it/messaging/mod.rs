//! Messaging: the promises of the contracts, and what holds of this implementation.

mod bed;
mod contract;
mod limits;
#[cfg(feature = "messaging_nats")]
mod nats;

use bed::Bed;
use std::sync::Arc;

#[tokio::test]
async fn the_builtin_keeps_the_contract() {
    contract::suite(|| {
        let (messaging, cores) = bed::builtin();
        Bed::new(Arc::new(messaging), cores)
    })
    .await;
}
