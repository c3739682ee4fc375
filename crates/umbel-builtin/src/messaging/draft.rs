//! `wasi:messaging@0.2.0-draft`: messages are resources. wasmCloud 1.9 has the same interfaces as `wasmcloud:messaging@0.3.0`.
//!
//! ```text
//! types             resource client { connect: static func(name) -> result<client, error>; disconnect: func() -> result<_, error> }
//!                   variant error { timeout, connection(string), permission-denied(string), other(string) }
//!                   resource message { constructor(data); topic content-type set-content-type data set-data metadata
//!                                      add-metadata set-metadata remove-metadata }
//! producer          send: func(c: borrow<client>, topic, message) -> result<_, error>
//! request-reply     resource request-options { constructor(); set-timeout-ms: func(u32); set-expected-replies: func(u32) }
//!                   request: func(c: borrow<client>, topic, borrow<message>, option<request-options>) -> result<list<message>, error>
//!                   reply: func(reply-to: borrow<message>, message) -> result<_, error>
//! incoming-handler  handle: func(message) -> result<_, error>                       a component's export
//! ```
//!
//! A client belongs to the space of the component that connected, whatever name it gave: the link says where messages go.

use super::error::{MessagingError, words};
use super::held::{Charge, Meter};
use super::message::{Content, Message};
use super::route::Route;
use super::space::{Space, Wait};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::serve::Args;
use umbel_wit::{Call, Resource, Value};

/// The cases of `error`, by their places.
const ERROR_CASES: [&str; 4] = ["timeout", "connection", "permission-denied", "other"];

/// `client`.
struct Client {
    route: Arc<Route>,
    disconnected: AtomicBool,
}

/// `message`, as a component holds it.
struct Held {
    topic: Option<Arc<str>>,
    /// Where a reply goes, and in which space.
    reply_to: Option<(Weak<Space>, Arc<str>)>,
    state: Mutex<State>,
}

struct State {
    content: Arc<Content>,
    charge: Charge,
}

/// `request-options`.
#[derive(Default)]
struct Options(Mutex<(Option<u32>, Option<u32>)>);

/// Carries out a call of `types`, `producer` or `request-reply`.
pub(crate) async fn call(
    route: Result<Arc<Route>, MessagingError>,
    call: Call,
) -> Result<Option<Value>, Problem> {
    let mut args = Args::new(&call.function, call.args);
    let interface = call.interface.rsplit('/').next().unwrap_or_default();
    match (interface, &*call.function) {
        ("types", "[static]client.connect") => {
            args.string()?;
            let client = route.map(|route| Client { route, disconnected: AtomicBool::new(false) });
            done(client.map(|client| Value::ok(Value::Own(Resource::new(client)))))
        }
        ("types", "[method]client.disconnect") => {
            args.resource::<Client>()?.disconnected.store(true, Relaxed);
            done(Ok(Value::unit()))
        }
        ("types", "[constructor]message") => {
            let content = Content::new(args.bytes()?);
            Ok(Some(held(content.into(), None, None, &route?.meter)?))
        }
        ("types", function) if function.starts_with("[method]message.") => message(function, args),
        ("producer", "send") => {
            let (client, topic) = (args.resource::<Client>()?, args.string()?);
            let content = args.resource::<Held>()?.content();
            let message = Message { subject: topic.into(), reply_to: None, content };
            done(client.route().and_then(|route| route.publish(message)).map(|()| Value::unit()))
        }
        ("request-reply", "[constructor]request-options") => {
            Ok(Some(Value::Own(Resource::new(Options::default()))))
        }
        ("request-reply", "[method]request-options.set-timeout-ms") => {
            let (options, timeout_ms) = (args.resource::<Options>()?, args.u32()?);
            options.lock().0 = Some(timeout_ms);
            Ok(None)
        }
        ("request-reply", "[method]request-options.set-expected-replies") => {
            let (options, replies) = (args.resource::<Options>()?, args.u32()?);
            options.lock().1 = Some(replies);
            Ok(None)
        }
        ("request-reply", "request") => request(args, call.patience).await,
        ("request-reply", "reply") => {
            let (to, content) = (args.resource::<Held>()?, args.resource::<Held>()?.content());
            done(route.and_then(|route| to.reply(&route, content)).map(|()| Value::unit()))
        }
        (_, function) => Err(Problem::new(
            guest::UNSUPPORTED_CALL,
            format!("messaging does not have `{function}` in `{}`", call.interface),
        )),
    }
}

/// The methods of `message`.
fn message(function: &str, mut args: Args) -> Result<Option<Value>, Problem> {
    let held = args.resource::<Held>()?;
    let text = |text: Option<&str>| text.map_or_else(Value::none, |text| Value::some(text.into()));
    match function.trim_start_matches("[method]message.") {
        "topic" => Ok(Some(text(held.topic.as_deref()))),
        "content-type" => Ok(Some(text(held.content().content_type.as_deref()))),
        "data" => Ok(Some(Value::Bytes(held.content().body.clone()))),
        "metadata" => Ok(Some(held.content().metadata.as_deref().map_or_else(Value::none, pairs))),
        "set-content-type" => {
            let content_type = args.string()?;
            held.change(|content| content.content_type = Some(content_type))
        }
        "set-data" => {
            let body = args.bytes()?;
            held.change(|content| content.body = body)
        }
        "set-metadata" => {
            let metadata = args.list()?.into_iter().map(pair).collect::<Result<_, _>>()?;
            held.change(|content| content.metadata = Some(metadata))
        }
        "add-metadata" => {
            let (key, value) = (args.string()?, args.string()?);
            held.change(|content| {
                let metadata = content.metadata.get_or_insert_default();
                metadata.retain(|(other, _)| *other != key);
                metadata.push((key, value));
            })
        }
        "remove-metadata" => {
            let key = args.string()?;
            held.change(|content| content.metadata.iter_mut().for_each(|all| all.retain(|(k, _)| *k != key)))
        }
        other => Err(Problem::new(guest::UNSUPPORTED_CALL, format!("a message has no method `{other}`"))),
    }
}

async fn request(mut args: Args, patience: Option<Duration>) -> Result<Option<Value>, Problem> {
    let (client, topic) = (args.resource::<Client>()?, args.string()?);
    let content = args.resource::<Held>()?.content();
    let options = match args.option()? {
        None => (None, None),
        Some(Value::Own(options) | Value::Borrow(options)) => match options.get::<Options>() {
            Some(options) => *options.lock(),
            None => return Err(mismatch("request-options")),
        },
        Some(_) => return Err(mismatch("request-options")),
    };
    let route = match client.route() {
        Ok(route) => route,
        Err(error) => return done(Err(error)),
    };
    let timeout = options.0.map_or(route.settings.request_timeout, |ms| Duration::from_millis(ms.into()));
    let wait = Wait { timeout, replies: options.1.map_or(1, |count| count as usize) };
    let replies = match route.request(&topic, content, wait, patience).await {
        Ok(replies) => replies,
        Err(error) => return done(Err(error)),
    };
    let replies =
        replies.into_iter().map(|reply| received(reply, &route.meter, &Arc::downgrade(&route.space)));
    done(replies.collect::<Result<_, _>>().map(|replies| Value::ok(Value::List(replies))))
}

/// A message that came, as a resource of the component that it is handed to.
pub(crate) fn received(
    message: Message,
    meter: &Arc<Meter>,
    space: &Weak<Space>,
) -> Result<Value, MessagingError> {
    let reply_to = message.reply_to.map(|subject| (space.clone(), subject));
    held(message.content, Some(message.subject), reply_to, meter)
}

fn held(
    content: Arc<Content>,
    topic: Option<Arc<str>>,
    reply_to: Option<(Weak<Space>, Arc<str>)>,
    meter: &Arc<Meter>,
) -> Result<Value, MessagingError> {
    let charge = Charge::new(meter, content.size())?;
    Ok(Value::Own(Resource::new(Held { topic, reply_to, state: Mutex::new(State { content, charge }) })))
}

impl Client {
    fn route(&self) -> Result<&Arc<Route>, MessagingError> {
        if self.disconnected.load(Relaxed) { Err(MessagingError::Disconnected) } else { Ok(&self.route) }
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self) -> Arc<Content> {
        self.lock().content.clone()
    }

    /// Changes the message, unless its component would then hold too much.
    fn change(&self, change: impl FnOnce(&mut Content)) -> Result<Option<Value>, Problem> {
        let mut state = self.lock();
        let mut content = Content::clone(&state.content);
        change(&mut content);
        state.charge.resize(content.size())?;
        state.content = Arc::new(content);
        Ok(None)
    }

    /// A reply to nobody, or to one who no longer waits, goes nowhere, as the contract has it.
    fn reply(&self, route: &Route, content: Arc<Content>) -> Result<(), MessagingError> {
        let Some((space, subject)) = &self.reply_to else { return Ok(()) };
        let Some(space) = space.upgrade() else { return Ok(()) };
        let message = Message { subject: subject.clone(), reply_to: None, content };
        space.publish(message, route.settings.message_bytes_max).map(drop)
    }
}

impl Options {
    fn lock(&self) -> MutexGuard<'_, (Option<u32>, Option<u32>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result, or the `error` of the contract.
fn done(result: Result<Value, MessagingError>) -> Result<Option<Value>, Problem> {
    Ok(Some(result.unwrap_or_else(|error| {
        let case = match &error {
            MessagingError::NoReply { .. } => return Value::err(Value::Variant(0, None)),
            MessagingError::Disconnected | MessagingError::Unconnected | MessagingError::Stopped => 1,
            _ => 3,
        };
        Value::err(Value::case(case, words(&error).into()))
    })))
}

/// An `error` that a component returned, in words.
pub(crate) fn words_of(error: Value) -> String {
    let Value::Variant(case, payload) = error else { return String::new() };
    let case = ERROR_CASES.get(case as usize).copied().unwrap_or("error");
    match payload.map(|payload| *payload) {
        Some(Value::String(words)) => format!("{case}: {words}"),
        _ => case.into(),
    }
}

fn pairs(metadata: &[(String, String)]) -> Value {
    let pair =
        |(key, value): &(String, String)| Value::Tuple(vec![key.as_str().into(), value.as_str().into()]);
    Value::some(Value::List(metadata.iter().map(pair).collect()))
}

fn pair(value: Value) -> Result<(String, String), Problem> {
    if let Value::Tuple(pair) = value
        && let Ok([Value::String(key), Value::String(value)]) = <[Value; 2]>::try_from(pair)
    {
        return Ok((key, value));
    }
    Err(mismatch("metadata"))
}

fn mismatch(what: &str) -> Problem {
    Problem::new(guest::CONTRACT_MISMATCH, format!("what was given as `{what}` is something else"))
}
