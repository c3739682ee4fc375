//! A server that answers as a test says, on a port of the loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `GET /v2/…`.
    pub(crate) line: String,
    /// Headers, names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The connection is closed after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// After what it sends it says nothing more, and does not close.
    pub(crate) hangs: bool,
}

impl Told {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Told {
        Told { status: 200, body: body.into(), ..Told::default() }
    }

    pub(crate) fn status(status: u16) -> Told {
        Told { status, ..Told::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Told {
        self.headers.push((name.into(), value.into()));
        self
    }
}

type Answers = dyn Fn(&Asked) -> Told + Send + Sync;

/// The server, and what it was asked.
pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Liar {
    pub(crate) async fn start(answers: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Asked>>>::default());
        let (answers, heard) = (Arc::<Answers>::from(Box::new(answers) as Box<Answers>), asked.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, answers.clone(), heard.clone()));
            }
        });
        Liar { address, asked, _tasks: tasks }
    }

    /// What it was asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(stream: TcpStream, answers: Arc<Answers>, heard: Arc<Mutex<Vec<Asked>>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        match stream.read_line(&mut header).await {
            Ok(3..) => {}
            _ => break,
        }
        if let Some((name, value)) = header.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
    }
    let asked = Asked { line: line.trim_end().trim_end_matches(" HTTP/1.1").into(), headers };
    let told = answers(&asked);
    heard.lock().unwrap().push(asked);
    let mut head = format!("HTTP/1.1 {} Said\r\n", told.status);
    if !told.headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding") {
        head.push_str(&format!("content-length: {}\r\n", told.body.len()));
    }
    for (name, value) in &told.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &told.body[..told.cut.unwrap_or(told.body.len()).min(told.body.len())];
    // Whoever asked may have gone.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    if told.hangs {
        let _ = stream.read(&mut [0]).await;
    }
}
