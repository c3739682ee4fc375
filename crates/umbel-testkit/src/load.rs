//! Load at a fixed rate, as the world makes it: a request is due when it is due, however slow the answers before it were, and
//! its latency counts from then.

use crate::http::{Answer, Connection};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How many failures are kept in words.
const EXAMPLES_MAX: usize = 5;

/// What to ask, how often, for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The host name to ask for.
    pub host: String,
    /// The path to ask for.
    pub path: String,
    /// Requests per second, over all connections.
    pub rate: f64,
    /// Connections, each with a thread.
    pub connections: u32,
    /// When to end; [`Load::run`]'s flag can end it earlier.
    pub duration: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that were answered with 200.
    pub succeeded: u64,
    /// All others.
    pub failed: u64,
    /// Those of them that ended within an answer: some of it had come, and then not the rest.
    pub cut: u64,
    /// And those of which nobody answered anything: nobody took the connection, or it was closed before the first byte.
    pub unanswered: u64,
    /// Requests that were sent again, because the server had closed a kept connection before it saw them.
    pub resent: u64,
    /// The first failures in words.
    pub examples: Vec<String>,
    /// From when the request was due to the last byte of the answer, sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency that this share of the requests did not exceed: 0.99 is p99.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }

    /// Takes in what came of another load.
    pub fn add(&mut self, other: Outcome) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cut += other.cut;
        self.unanswered += other.unanswered;
        self.resent += other.resent;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
    }

    /// Counts a failure that came within an answer, and says so.
    fn failure(&mut self, connection: &Connection, error: io::Error) -> io::Error {
        if !connection.answered {
            self.unanswered += u64::from(closed(&error));
            return error;
        }
        self.cut += 1;
        io::Error::new(error.kind(), format!("an answer was cut: {error}"))
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(why);
        }
    }
}

impl Load {
    /// Makes the load; returns when the time is over or the flag is set.
    pub fn run(&self, stop: &AtomicBool) -> Outcome {
        let start = Instant::now();
        let mut all = Outcome::default();
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.connections)
                .map(|lane| scope.spawn(move || self.run_lane(lane, start, stop)))
                .collect();
            for lane in lanes {
                all.add(lane.join().expect("a lane does not panic"));
            }
        });
        all
    }

    fn run_lane(&self, lane: u32, start: Instant, stop: &AtomicBool) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = None;
        for turn in 0u64.. {
            let number = turn * u64::from(self.connections) + u64::from(lane);
            let due = start + Duration::from_secs_f64(number as f64 / self.rate);
            if due.duration_since(start) >= self.duration || stop.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            match self.ask(&mut connection, &mut outcome) {
                Ok(answer) if answer.status == 200 => {
                    outcome.succeeded += 1;
                    outcome.latencies.push(due.elapsed());
                }
                Ok(answer) => outcome.fail(format!("{}: {}", answer.status, answer.text().trim())),
                Err(error) => outcome.fail(error.to_string()),
            }
        }
        outcome
    }

    fn ask(&self, kept: &mut Option<Connection>, outcome: &mut Outcome) -> io::Result<Answer> {
        if let Some(mut connection) = kept.take() {
            match connection.request("GET", &self.path, &[], None) {
                Ok(answer) => {
                    self.keep(connection, &answer, kept);
                    return Ok(answer);
                }
                // Closed between two requests, as HTTP allows: every client sends such a request again.
                Err(error) if closed(&error) && !connection.answered => outcome.resent += 1,
                Err(error) => return Err(outcome.failure(&connection, error)),
            }
        }
        let opened = Connection::open(self.address, &self.host);
        let mut connection = opened.inspect_err(|error| outcome.unanswered += u64::from(closed(error)))?;
        let answer = connection.request("GET", &self.path, &[], None);
        let answer = answer.map_err(|error| outcome.failure(&connection, error))?;
        self.keep(connection, &answer, kept);
        Ok(answer)
    }

    fn keep(&self, connection: Connection, answer: &Answer, kept: &mut Option<Connection>) {
        if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            *kept = Some(connection);
        }
    }
}

fn closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | ConnectionRefused | BrokenPipe
    )
}

#[cfg(test)]
mod tests;
