//! `-w`: the same picture again whenever it changes.

use crate::args::Output;
use crate::context::Context;
use crate::fail::Failure;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Clears the screen and goes to its top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows the picture until Ctrl-C: on a terminal always in the same place, elsewhere one after the other.
pub(super) async fn repeat<F>(context: &Context, mut picture: F) -> Result<(), Failure>
where
    F: AsyncFnMut() -> Result<String, Failure>,
{
    let in_place = context.output == Output::Table && std::io::stdout().is_terminal();
    let mut last = String::new();
    let looking = async {
        loop {
            let text = picture().await?;
            if text != last {
                context.print(&if in_place { format!("{CLEAR}{text}") } else { text.clone() })?;
                last = text;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        outcome = looking => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Stopped),
    }
}
