//! The protocol of a NATS server, as far as a test speaks it without a client of ours: so it sees what others see.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the next message may take.
const NEXT_MAX: Duration = Duration::from_secs(10);

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it went.
    pub subject: String,
    /// Where an answer is expected.
    pub reply: Option<String>,
    /// Its body; what is no text is replaced.
    pub payload: String,
    /// Whether it has a status instead of a body, such as that nobody is there.
    pub is_status: bool,
}

/// A connection without credentials.
#[derive(Debug)]
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn open(address: SocketAddr) -> Result<Wire> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(NEXT_MAX))?;
        stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n")?;
        Ok(Wire(BufReader::new(stream)))
    }

    /// Hears what goes to a subject or pattern from now on.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn subscribe(&mut self, pattern: &str) -> Result<()> {
        write!(self.0.get_mut(), "SUB {pattern} 1\r\n")
    }

    /// Sends a message; an answer goes to `reply`.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn publish(&mut self, subject: &str, reply: &str, payload: &str) -> Result<()> {
        write!(self.0.get_mut(), "PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len())
    }

    /// The next message.
    ///
    /// # Errors
    /// When none comes within ten seconds, or the server refuses something.
    pub fn next_message(&mut self) -> Result<Heard> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.0.get_mut().write_all(b"PONG\r\n")?,
                ["MSG", subject, _, length] => return self.body(subject, None, "0", length),
                ["MSG", subject, _, reply, length] => return self.body(subject, Some(reply), "0", length),
                ["HMSG", subject, _, head, length] => return self.body(subject, None, head, length),
                ["HMSG", subject, _, reply, head, length] => {
                    return self.body(subject, Some(reply), head, length);
                }
                ["-ERR", ..] => return Err(Error::other(line)),
                [] if line.is_empty() => return Err(Error::other("the server has closed the connection")),
                _ => {}
            }
        }
    }

    fn body(&mut self, subject: &str, reply: Option<&&str>, head: &str, length: &str) -> Result<Heard> {
        let (head, length): (usize, usize) =
            (head.parse().map_err(Error::other)?, length.parse().map_err(Error::other)?);
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        let (head, body) =
            bytes.split_at_checked(head).ok_or_else(|| Error::other("a head without an end"))?;
        let first = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        Ok(Heard {
            subject: subject.to_string(),
            reply: reply.map(ToString::to_string),
            payload: String::from_utf8_lossy(body).into_owned(),
            is_status: first.len() > b"NATS/1.0".len(),
        })
    }
}
