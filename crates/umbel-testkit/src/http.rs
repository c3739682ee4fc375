//! A small HTTP/1.1 client that blocks: enough to ask a server under test, and free of the code under test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Long enough for a first call that compiles; a broken server must not hang a test.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
    /// Trailer fields, names in lower case.
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks once, on a connection of its own.
pub fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Answer> {
    Connection::open(address, host)?.request("GET", path, &[], None)
}

/// Sends a body once, on a connection of its own.
pub fn post(address: SocketAddr, host: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    Connection::open(address, host)?.request("POST", path, &[], Some(body))
}

/// A connection that is kept between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
    /// Whether any of the latest answer has come.
    pub(crate) answered: bool,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr, host: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Connection { stream: BufReader::new(stream), host: host.to_owned(), answered: false })
    }

    /// Waits so long for what comes next, instead of 30 s.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))
    }

    /// Sends a request and reads the whole answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body.unwrap_or_default());
        self.send(&message)?;
        self.receive()
    }

    /// Sends bytes as they are, for requests that this client does not know how to write.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answered = false;
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one answer.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let mut answer = self.receive_head()?;
        let status = answer.status;
        if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            self.chunks(&mut answer.body)?;
            answer.trailers = self.fields()?;
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().map_err(|_| damaged("content-length"))?;
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body)?;
        } else if !matches!(status, 100..200 | 204 | 304) {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads the head of one answer. What follows is read from the connection itself, as it comes.
    pub fn receive_head(&mut self) -> io::Result<Answer> {
        // An answer that is cut within its first line has begun, too.
        self.answered = !self.stream.fill_buf()?.is_empty();
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| damaged(&format!("status line {status_line:?}")))?;
        let headers = self.fields()?;
        Ok(Answer { status, headers, ..Answer::default() })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| damaged(&format!("field {line:?}")))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size =
                usize::from_str_radix(size, 16).map_err(|_| damaged(&format!("chunk size {line:?}")))?;
            if size == 0 {
                return Ok(());
            }
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.line()?;
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {what}"))
}

#[cfg(test)]
mod tests;
