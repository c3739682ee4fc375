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

/// Whether the pipe that this writes to has no reader any more: without a change nothing is written that would tell.
fn nobody_reads() -> bool {
    let stdout = std::io::stdout();
    let mut waited = [rustix::event::PollFd::new(&stdout, rustix::event::PollFlags::empty())];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut waited, Some(&now)).is_ok()
        && waited[0].revents().intersects(rustix::event::PollFlags::ERR | rustix::event::PollFlags::HUP)
}

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
            if nobody_reads() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        outcome = looking => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Stopped),
    }
}
