//! `umbel spy`: the messages of the lattice, decoded, as they come.

use super::logs::lost_line;
use crate::context::Context;
use crate::fail::Failure;
use crate::render::{Style, Tone};
use crate::text::{self, neutral, parse_duration};
use clap::builder::PossibleValuesParser;
use std::time::Duration;
use umbel_api::client::{Followed, SpyStream};
use umbel_api::document::{Lost, SpyEntry};
use umbel_api::query::{SPY_BYTES_MAX, SpyQuery};
use umbel_api::{SpyFeed, SpyFilter};
use umbel_core::id::LatticeName;
use umbel_core::{Coded, Problem};
use umbel_lattice::spy::Kind;
use umbel_lattice::{Lattice, Nats, NatsSpec};
use umbel_provider::sdk::spawn_in;
use umbel_supervisor::Scope;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is one message: its kind, which step it is (request, answer; of calls also accept, params, result, stream), what it asks or
tells, who sent it to whom, how long after the request, its size, and what tells of it. Values of calls are not decoded: they travel
without their types. Nothing secret is shown: of secrets, configs, manifests and credentials only the sizes, whatever --bytes says.

Calls between components of one host, and to builtins, stay in its process and are no messages: `umbel link explain` shows those.
Calls of processes (providers from archives, `isolation: process`) and of other hosts are messages.

Without --nats this listens in the platform that runs here, which notices nothing. With --nats it is a client of that server, which
cannot know that it only listens: a request that nobody serves is then not refused at once, but ends at its deadline. So no more is
subscribed to than what --only names; `--only events` disturbs nothing.

Examples:
  umbel spy
  umbel spy --only calls --component shop-keyvalue
  umbel spy --only calls,events --for 10s -o jsonl
  umbel spy --nats nats://127.0.0.1:4222 --only control,events
  umbel spy --only calls --bytes 64 --limit 20"
)]
pub(crate) struct Args {
    /// Listen at this NATS server: nats://[USER:PASSWORD@]HOST[:PORT]; without it, in the platform that runs here
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// The name of the lattice at the NATS server
    #[arg(long, value_name = "NAME", default_value = "default", requires = "nats")]
    lattice: String,
    /// Only messages of these kinds [default: all but state, logs and other]
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    only: Vec<String>,
    /// Only messages that have to do with this component, provider or host: its whole id
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    /// Show the first N bytes of payloads that cannot be secret, as hex
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SPY_BYTES_MAX)))]
    bytes: Option<u32>,
    /// End after N messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// End after this time, e.g. 10s
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    time: Option<Duration>,
}

fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(Kind::ALL.map(Kind::as_str))
}

/// Where messages are heard.
enum Source {
    Platform(SpyStream),
    Server {
        feed: Box<SpyFeed>,
        /// What keeps the connection and its tasks.
        _kept: (Nats, Scope),
    },
}

impl Source {
    async fn open(args: &Args, context: &Context) -> Result<Source, Failure> {
        let query = SpyQuery {
            only: (!args.only.is_empty()).then(|| args.only.join(",")),
            component: args.component.clone(),
            bytes: args.bytes,
        };
        let Some(url) = &args.nats else {
            return Ok(Source::Platform(context.client()?.spy(&query).await?));
        };
        let filter = SpyFilter::new(query)?;
        let name = LatticeName::new(&args.lattice).map_err(coded)?;
        let tasks = Scope::new("spy");
        let mut spec = NatsSpec::parse(url).map_err(coded)?;
        spec.name = "umbel spy".into();
        let nats = Nats::connect(&spec, name, spawn_in(&tasks)).await.map_err(coded)?;
        let feed = Box::new(SpyFeed::listen(&nats as &dyn Lattice, filter).await?);
        Ok(Source::Server { feed, _kept: (nats, tasks) })
    }

    async fn next(&mut self) -> Result<Option<Result<SpyEntry, Lost>>, Failure> {
        Ok(match self {
            Source::Platform(stream) => stream.next().await?.map(|followed| match followed {
                Followed::Item(entry) => Ok(entry),
                Followed::Lost(lost) => Err(lost),
            }),
            Source::Server { feed, .. } => feed.follow().await,
        })
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut source = Source::open(&args, context).await?;
    context.progress.note("listening; Ctrl-C ends it");
    let following = async {
        let mut shown = 0;
        while args.limit.is_none_or(|limit| shown < limit) {
            match source.next().await? {
                Some(Ok(entry)) => {
                    context.show_entry(&entry, line)?;
                    shown += 1;
                }
                Some(Err(lost)) => context.show_entry(&lost, lost_line)?,
                None => {
                    context.progress.note("the lattice has ended");
                    break;
                }
            }
        }
        Ok(())
    };
    let over = async {
        match args.time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = following => outcome,
        () = over => Ok(()),
        _ = tokio::signal::ctrl_c() => Err(Failure::Stopped),
    }
}

fn line(entry: &SpyEntry, style: Style) -> String {
    let time = style.paint(Tone::Faint, &text::time(entry.unix_us / 1_000));
    let told = neutral(&entry.line);
    let told = if entry.ok == Some(false) { style.paint(Tone::Bad, &told) } else { told };
    format!("{time} {told}\n")
}

fn coded(error: impl Coded) -> Problem {
    Problem::from(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_no_terminal_obeys() {
        let entry = SpyEntry {
            unix_us: 1_795_248_898_123_456,
            line: "calls request  a\x1b[2J.get\n2026".into(),
            ..SpyEntry::default()
        };
        assert_eq!(
            line(&entry, Style::PLAIN),
            "2026-11-21T08:14:58.123Z calls request  a\\u{1b}[2J.get\\n2026\n"
        );
    }
}
