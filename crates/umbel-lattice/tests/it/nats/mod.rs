//! The lattice over a real nats-server.

mod calls;
mod contract;
mod credentials;
mod faults;
mod state;
mod watches;

use std::time::Duration;
use umbel_lattice::{LatticeError, Watch, WatchEvent};

/// Whatever must happen has happened by then, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited {SOON:?} for {what}"))
}

async fn event(watch: &mut Watch) -> WatchEvent {
    soon("a watch event", watch.next()).await.expect("the watch has not ended")
}

/// Asks again while the connection is being made; anything else is an answer.
async fn connected<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, LatticeError>>,
{
    soon("the connection", async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(LatticeError::Disconnected { .. } | LatticeError::Timeout { .. }) => {}
                // The server is there, and its JetStream comes back.
                Err(LatticeError::Nats { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
