//! Answers that are longer than a message: whoever says that it reads pages is given the first of them, and asks for the others.
//!
//! All pages are of the same answer: it is kept until the last one was asked for, or for a moment. Tools of wasmCloud 1.x know nothing of
//! this; they are answered in one message or told that it does not fit.
//!
//! ```text
//!  asks, `Umbel-Pages: 1` ─────▶ who answers
//!  ◀─ first page, `Umbel-Page: 1/3`, `Umbel-More: _INBOX.…`
//!  `2` to that inbox ──────────▶
//!  ◀─ second page …
//! ```

use crate::{Lattice, LatticeError, Message, Result, Subscription};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The header of a request whose sender reads pages.
pub const PAGES: &str = "Umbel-Pages";
/// The header that says which page it is, of how many: `1/3`.
pub const PAGE: &str = "Umbel-Page";
/// The header that says where further pages are asked for, by their numbers.
pub const MORE: &str = "Umbel-More";

/// The longest answer, all pages together, in bytes.
pub const WHOLE_BYTES_MAX: usize = 64 << 20;

/// Answers that are kept at once.
const KEPT_MAX: usize = 16;
/// How long the next page may not be asked for.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Room for the headers of a page, in bytes.
const HEAD_BYTES: usize = 512;

/// Gives answers, however long.
#[derive(Debug, Clone)]
pub struct Pages {
    places: Arc<Semaphore>,
}

impl Default for Pages {
    fn default() -> Pages {
        Pages { places: Arc::new(Semaphore::new(KEPT_MAX)) }
    }
}

impl Pages {
    /// Answers a request. What is returned hands out the other pages, if there are any.
    ///
    /// # Errors
    /// [`LatticeError::TooLarge`] if it does not fit and the sender reads no pages, or if it is longer than all pages together may be;
    /// [`LatticeError::Busy`] if too many others are read at this moment; and what publishing fails with.
    pub async fn respond(
        &self,
        lattice: &Arc<dyn Lattice>,
        request: &Message,
        body: Bytes,
    ) -> Result<Option<Rest>> {
        let bytes_max = lattice.payload_bytes_max();
        if body.len() <= bytes_max {
            lattice.respond(request, body).await?;
            return Ok(None);
        }
        let Some(reply) = &request.reply else { return Ok(None) };
        let reads_pages = request.headers.get(PAGES).is_some();
        if !reads_pages || body.len() > WHOLE_BYTES_MAX {
            let bytes_max = if reads_pages { WHOLE_BYTES_MAX } else { bytes_max };
            return Err(LatticeError::TooLarge { what: "an answer", bytes: body.len(), bytes_max });
        }
        let busy = |_| LatticeError::Busy { subject: request.subject.clone() };
        let place = self.places.clone().try_acquire_owned().map_err(busy)?;
        let page_bytes = bytes_max.saturating_sub(HEAD_BYTES).max(1);
        let (count, more) = (body.len().div_ceil(page_bytes), lattice.inbox());
        let asks = lattice.subscribe(&more).await?;
        let rest = Rest { lattice: lattice.clone(), asks, body, page_bytes, count, _place: place };
        let first = Message::new(reply.clone(), rest.page(1))
            .with_header(PAGE, format!("1/{count}"))
            .with_header(MORE, more);
        lattice.publish(first).await?;
        Ok(Some(rest))
    }
}

/// An answer whose first page was given.
pub struct Rest {
    lattice: Arc<dyn Lattice>,
    asks: Subscription,
    body: Bytes,
    page_bytes: usize,
    count: usize,
    _place: OwnedSemaphorePermit,
}

impl Rest {
    /// Hands out the pages. Ends with the last one, or when nobody asks any more.
    pub async fn hand_out(mut self) {
        while let Ok(Some(ask)) = tokio::time::timeout(IDLE_MAX, self.asks.next()).await {
            let number = std::str::from_utf8(&ask.payload).ok().and_then(|text| text.parse().ok());
            let Some(number) = number.filter(|number| (1..=self.count).contains(number)) else { continue };
            // Whoever asked for it finds that nothing comes.
            let is_sent = self.lattice.respond(&ask, self.page(number)).await.is_ok();
            if is_sent && number == self.count {
                return;
            }
        }
    }

    fn page(&self, number: usize) -> Bytes {
        let begin = (number - 1) * self.page_bytes;
        self.body.slice(begin..self.body.len().min(begin + self.page_bytes))
    }
}

/// Sends a request and reads the whole answer, all its pages within the time.
pub(crate) async fn request_whole(
    lattice: &dyn Lattice,
    request: Message,
    timeout: Duration,
) -> Result<Message> {
    let end = Instant::now() + timeout;
    let subject = request.subject.clone();
    let first = lattice.request_message(request.with_header(PAGES, "1"), timeout).await?;
    let Some(more) = first.headers.get(MORE).map(str::to_owned) else { return Ok(first) };
    let count = first.headers.get(PAGE).and_then(|page| page.split_once('/')?.1.parse::<usize>().ok());
    let mut whole = first.payload.to_vec();
    for number in 2..=count.unwrap_or(1) {
        let left = end.saturating_duration_since(Instant::now());
        let page =
            lattice.request(&more, number.to_string().into(), left).await.map_err(|error| match error {
                // Whoever kept the answer is gone: it is as if it had not answered.
                LatticeError::NoResponders { .. } | LatticeError::Timeout { .. } => {
                    LatticeError::Timeout { subject: subject.clone(), after: timeout }
                }
                other => other,
            })?;
        if whole.len() + page.payload.len() > WHOLE_BYTES_MAX {
            let bytes = whole.len() + page.payload.len();
            return Err(LatticeError::TooLarge { what: "an answer", bytes, bytes_max: WHOLE_BYTES_MAX });
        }
        whole.extend_from_slice(&page.payload);
    }
    Ok(Message { payload: whole.into(), ..first })
}
