//! Waiting for a condition, with a deadline that only a broken test meets.

use std::time::Duration;
use tokio::time::Instant;

/// Long enough for a loaded machine, short enough to wait for in a failing test.
const DEADLINE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(5);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within 30 s; `what` says what was waited for.
pub async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for_some(what, || condition().then_some(())).await;
}

/// Waits until there is an answer.
///
/// # Panics
/// When there is none within 30 s; `what` says what was waited for.
pub async fn wait_for_some<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {} s in vain: {what}", DEADLINE.as_secs());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the condition holds, in a test without a runtime.
///
/// # Panics
/// When it does not within 30 s; `what` says what was waited for.
pub fn block_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited {} s in vain: {what}", DEADLINE.as_secs());
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests;
