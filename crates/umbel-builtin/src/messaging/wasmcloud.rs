//! `wasmcloud:messaging@0.2.0`: messages are records, and errors are texts.
//!
//! ```text
//! types     record broker-message { subject: string, body: list<u8>, reply-to: option<string> }
//! consumer  request: func(subject: string, body: list<u8>, timeout-ms: u32) -> result<broker-message, string>
//!           publish: func(msg: broker-message) -> result<_, string>
//! handler   handle-message: func(msg: broker-message) -> result<_, string>      a component's export
//! ```

use super::error::{MessagingError, words};
use super::message::{Content, Message};
use super::route::Route;
use super::space::Wait;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::guest;
use umbel_wit::serve::Args;
use umbel_wit::{Call, Value};

/// Carries out a call of `consumer`. Whether there is a route is an error that the contract can say.
pub(crate) async fn consumer(
    route: Result<Arc<Route>, MessagingError>,
    call: Call,
) -> Result<Option<Value>, Problem> {
    let mut args = Args::new(&call.function, call.args);
    let result = match &*call.function {
        "publish" => {
            let message = message(args.value()?)?;
            route.and_then(|route| route.publish(message)).map(|()| Value::unit())
        }
        "request" => {
            let (subject, body, timeout_ms) = (args.string()?, args.bytes()?, args.u32()?);
            let wait = Wait { timeout: Duration::from_millis(timeout_ms.into()), replies: 1 };
            request(route, &subject, Content::new(body), wait, call.patience).await
        }
        other => {
            return Err(Problem::new(
                guest::UNSUPPORTED_CALL,
                format!("messaging does not have `{other}` in `{}`", call.interface),
            ));
        }
    };
    Ok(Some(result.unwrap_or_else(|error| Value::err(words(&error).into()))))
}

async fn request(
    route: Result<Arc<Route>, MessagingError>,
    subject: &str,
    content: Content,
    wait: Wait,
    patience: Option<Duration>,
) -> Result<Value, MessagingError> {
    let replies = route?.request(subject, Arc::new(content), wait, patience).await?;
    let reply = replies.into_iter().next();
    reply
        .map(|reply| Value::ok(record(&reply)))
        .ok_or_else(|| MessagingError::NoReply { subject: subject.into(), after: wait.timeout })
}

/// A `broker-message`.
pub(crate) fn record(message: &Message) -> Value {
    let reply_to =
        message.reply_to.as_deref().map_or_else(Value::none, |subject| Value::some(subject.into()));
    Value::Record(vec![(&*message.subject).into(), Value::Bytes(message.content.body.clone()), reply_to])
}

fn message(record: Value) -> Result<Message, Problem> {
    let bad = || Problem::new(guest::CONTRACT_MISMATCH, "`publish` was called without a `broker-message`");
    let Value::Record(fields) = record else { return Err(bad()) };
    let fields: [Value; 3] = fields.try_into().map_err(|_| bad())?;
    let [Value::String(subject), Value::Bytes(body), Value::Option(reply_to)] = fields else {
        return Err(bad());
    };
    let reply_to = match reply_to.map(|value| *value) {
        None => None,
        Some(Value::String(subject)) => Some(subject.into()),
        Some(_) => return Err(bad()),
    };
    Ok(Message { subject: subject.into(), reply_to, content: Arc::new(Content::new(body)) })
}
