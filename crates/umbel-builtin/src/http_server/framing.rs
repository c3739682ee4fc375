//! Where one HTTP/1.1 request ends and the next begins, read strictly and before the real parser sees a byte.
//!
//! RFC 9112 lets a recipient be lenient (a bare line feed, folded headers, a length beside a transfer coding, the same length
//! twice). Two lenient programs in a row may then disagree about where a request ends: that is request smuggling. This
//! machine refuses all of it. It also knows whether a connection is between two requests or within a head, which is what the
//! timeouts ask.
//!
//! ```text
//! Between ──byte──▶ Head ──no body──▶ Between
//!                    ├──Content-Length──▶ Sized ──────────────────────────────▶ Between
//!                    └──chunked──▶ ChunkSize ──▶ ChunkData ──▶ ChunkEnd ─▶ ChunkSize
//!                                      └──0──▶ Trailers ──empty line──────────▶ Between
//! ```

/// How many hex digits a chunk's size may have: 2^60 bytes are enough.
const CHUNK_DIGITS_MAX: usize = 15;
/// The longest line that gives a chunk's size, with extensions.
const CHUNK_LINE_MAX: usize = 256;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Not well-formed, or ambiguous: 400.
    Malformed(&'static str),
    /// Too many bytes or headers: 431.
    HeadTooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Head,
    Sized(u64),
    ChunkSize,
    ChunkData(u64),
    /// The CR LF behind a chunk's data, and how many bytes of it have been seen.
    ChunkEnd(u8),
    Trailers,
}

/// What the head has said about the body so far.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    lines: usize,
    bytes: usize,
    length: Option<u64>,
    chunked: bool,
}

/// The machine. It is fed what is read from the socket, in any pieces.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    head: Head,
    /// The part of a line that came in an earlier piece.
    partial: Vec<u8>,
    head_bytes_max: usize,
    headers_max: usize,
}

impl Framing {
    pub(crate) fn new(head_bytes_max: usize, headers_max: usize) -> Framing {
        Framing {
            state: State::Between,
            head: Head::default(),
            partial: Vec::new(),
            head_bytes_max,
            headers_max,
        }
    }

    /// Whether a head has begun and is not complete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Whether no byte of another request is there.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Takes the next bytes. After a violation the connection must end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Between => self.between(bytes)?,
                State::Head if self.partial.is_empty() => self.head(bytes)?,
                State::Head => self.line(bytes, Framing::head_line)?,
                State::Sized(left) => self.skip(bytes, left, State::Sized, State::Between),
                State::ChunkSize => self.line(bytes, Framing::chunk_line)?,
                State::ChunkData(left) => self.skip(bytes, left, State::ChunkData, State::ChunkEnd(0)),
                State::ChunkEnd(seen) => self.chunk_end(bytes, seen)?,
                State::Trailers => self.line(bytes, Framing::trailer_line)?,
            };
        }
        Ok(())
    }

    fn between<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        self.state = State::Head;
        self.head = Head::default();
        Ok(bytes)
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, same: fn(u64) -> State, next: State) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - here as u64;
        self.state = if left == 0 { next } else { same(left) };
        &bytes[here..]
    }

    /// Cuts the next line off `bytes` and hands it, without its CR LF, to `take`.
    fn line<'a>(
        &mut self,
        bytes: &'a [u8],
        take: fn(&mut Framing, &[u8]) -> Result<(), Violation>,
    ) -> Result<&'a [u8], Violation> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.count(bytes.len())?;
            self.partial.extend_from_slice(bytes);
            return Ok(&[]);
        };
        self.count(end + 1)?;
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.partial.is_empty() {
            let line =
                line.strip_suffix(b"\r").ok_or(Violation::Malformed("a line ends in a bare line feed"))?;
            take(self, line)?;
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(line);
            let line =
                whole.strip_suffix(b"\r").ok_or(Violation::Malformed("a line ends in a bare line feed"))?;
            take(self, line)?;
            whole.clear();
            self.partial = whole;
        }
        Ok(rest)
    }

    /// The lines of a head that are complete in `bytes`, in one pass: what nearly every request is.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Violation> {
        // Looking no further than the limit makes counting per line needless.
        let within = &bytes[..bytes.len().min(self.head_bytes_max - self.head.bytes)];
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', within) {
            let [line @ .., b'\r'] = &within[begin..end] else {
                return Err(Violation::Malformed("a line ends in a bare line feed"));
            };
            begin = end + 1;
            self.head_line(line)?;
            if self.state != State::Head {
                return Ok(&bytes[begin..]);
            }
        }
        self.head.bytes += begin;
        let rest = &bytes[begin..];
        self.count(rest.len())?;
        self.partial.extend_from_slice(rest);
        Ok(&[])
    }

    fn count(&mut self, bytes: usize) -> Result<(), Violation> {
        self.head.bytes += bytes;
        let max = if self.state == State::ChunkSize { CHUNK_LINE_MAX } else { self.head_bytes_max };
        match self.head.bytes > max {
            true if self.state == State::ChunkSize => {
                Err(Violation::Malformed("a chunk's size line is too long"))
            }
            true => Err(Violation::HeadTooLarge),
            false => Ok(()),
        }
    }

    #[inline]
    fn head_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        if line.is_empty() {
            // Empty lines before a request line are allowed (RFC 9112 §2.2); their bytes count.
            return if self.head.lines == 0 { Ok(()) } else { self.end_of_head() };
        }
        self.head.lines += 1;
        if self.head.lines == 1 {
            return Ok(());
        }
        if self.head.lines > self.headers_max + 1 {
            return Err(Violation::HeadTooLarge);
        }
        match line[0] {
            b' ' | b'\t' => Err(Violation::Malformed("a header is folded over two lines")),
            b'c' | b'C' => match value_of(line, b"content-length") {
                Some(value) => self.content_length(value),
                None => Ok(()),
            },
            b't' | b'T' => match value_of(line, b"transfer-encoding") {
                Some(value) if value.eq_ignore_ascii_case(b"chunked") && !self.head.chunked => {
                    self.head.chunked = true;
                    Ok(())
                }
                Some(_) => Err(Violation::Malformed("the only transfer coding of requests is chunked")),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.head.length.is_some() {
            return Err(Violation::Malformed("there is more than one Content-Length"));
        }
        if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err(Violation::Malformed("the Content-Length is not a number"));
        }
        self.head.length = Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Violation> {
        self.state = match (self.head.chunked, self.head.length) {
            (true, Some(_)) => {
                return Err(Violation::Malformed("there are both Content-Length and Transfer-Encoding"));
            }
            (true, None) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Sized(length),
            (false, _) => State::Between,
        };
        self.head.bytes = 0;
        Ok(())
    }

    fn chunk_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let extension = &line[digits..];
        let sound = (1..=CHUNK_DIGITS_MAX).contains(&digits)
            && (extension.is_empty() || extension[0] == b';')
            && !extension.contains(&b'\r');
        if !sound {
            return Err(Violation::Malformed("a chunk's size is not a hexadecimal number"));
        }
        let size = line[..digits]
            .iter()
            .fold(0, |sum, digit| sum * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or_default()));
        self.head.bytes = 0;
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }

    fn chunk_end<'a>(&mut self, bytes: &'a [u8], seen: u8) -> Result<&'a [u8], Violation> {
        let expected = if seen == 0 { b'\r' } else { b'\n' };
        if bytes[0] != expected {
            return Err(Violation::Malformed("a chunk is longer than its size"));
        }
        self.state = if seen == 0 { State::ChunkEnd(1) } else { State::ChunkSize };
        Ok(&bytes[1..])
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        match line.first() {
            None => {
                self.state = State::Between;
                self.head.bytes = 0;
                Ok(())
            }
            Some(b' ' | b'\t') => Err(Violation::Malformed("a header is folded over two lines")),
            Some(_) => Ok(()),
        }
    }
}

/// The value of the header line when its name is `name`, without the blanks around it.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(name).then(|| trim(value))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
