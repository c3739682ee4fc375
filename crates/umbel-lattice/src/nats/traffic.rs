//! Messages, and the trait.

use super::bucket::JetBucket;
use super::link::{Shared, disconnected};
use super::spec::NatsSpec;
use super::{api, bucket, connect};
use crate::bucket::{Bucket, check_bucket_name};
use crate::error::{NatsProblem, shown};
use crate::lattice::{Lattice, Login, PAYLOAD_BYTES_MAX, STATUS, SubscribeOptions, check_payload};
use crate::subscription::{Pushed, Sender};
use crate::{Headers, LatticeError, Message, Result, Spawn, Subscription, subject};
use async_nats::client::{PublishErrorKind, Request, RequestErrorKind};
use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use umbel_core::id::LatticeName;

/// How long a message may wait for a connection that does not move before it is refused.
const SEND_MAX: Duration = Duration::from_secs(2);

/// How long closing may take to send what waits.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// The lattice over NATS. Clones are the same connection; it is closed with the last one that is dropped.
#[derive(Clone)]
pub struct Nats {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Nats {
    /// Connects, and sees that the server can carry a lattice. From then on the connection is made again whenever it is lost.
    ///
    /// Errors: `UM0622` the spec, `UM0623` nobody there, `UM0624` credentials, `UM0625` TLS, `UM0626` no JetStream, `UM0627` an old
    /// server.
    pub async fn connect(spec: &NatsSpec, name: LatticeName, spawn: Spawn) -> Result<Nats> {
        let connected = connect::connect(spec).await?;
        let shared = Arc::new(Shared::new(name, spec, connected, spawn));
        let inner = Arc::new(Inner { shared: shared.clone() });
        api::account(&shared).await?;
        let echo = shared.client.subscribe(shared.echo.subject.clone()).await;
        let echo = echo.map_err(|_| disconnected("echo"))?;
        (shared.spawn)(Box::pin(hear_echo(shared.clone(), echo)));
        Ok(Nats { inner })
    }

    /// Whether the connection is there at this moment.
    pub fn is_connected(&self) -> bool {
        self.shared().check("").is_ok()
    }

    /// How often the connection was lost since it was first made.
    pub fn losses(&self) -> u64 {
        self.shared().link().borrow().losses
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nats({} over {})", self.shared().name, self.shared().server)
    }
}

#[async_trait]
impl Lattice for Nats {
    fn name(&self) -> &LatticeName {
        &self.inner.shared.name
    }

    fn inbox(&self) -> String {
        self.shared().client.new_inbox()
    }

    async fn publish(&self, message: Message) -> Result<()> {
        self.shared().publish(message).await
    }

    fn payload_bytes_max(&self) -> usize {
        self.shared().client.max_payload().min(PAYLOAD_BYTES_MAX)
    }

    async fn subscribe_with(&self, pattern: &str, options: SubscribeOptions) -> Result<Subscription> {
        subject::check_pattern(pattern)?;
        let shared = self.shared();
        shared.check(pattern)?;
        shared.refused.remove(pattern);
        let subscribing = match options.group {
            Some(group) => {
                subject::check(&group)?;
                shared.client.queue_subscribe(pattern.to_string(), group).await
            }
            None => shared.client.subscribe(pattern.to_string()).await,
        };
        let subscriber = subscribing.map_err(|_| disconnected(pattern))?;
        let (stays, leaves) = oneshot::channel::<()>();
        let (sender, subscription) = Subscription::channel(options.queue_len_max, stays);
        let pattern = pattern.to_string();
        let handing = hand_over(shared.clone(), pattern.clone(), subscriber, sender, leaves);
        (shared.spawn)(Box::pin(handing));
        shared.round_trip(&pattern).await?;
        if shared.refused.contains(&pattern) {
            let reason = format!("it may not subscribe to `{}`", shown(&pattern));
            return Err(shared.problem(NatsProblem::Refused { reason }));
        }
        Ok(subscription)
    }

    async fn request_message(&self, message: Message, timeout: Duration) -> Result<Message> {
        let shared = self.shared();
        shared.admit(&message)?;
        let Message { subject, headers, payload, .. } = message;
        let mut request = Request::new().payload(payload).timeout(Some(timeout));
        if !headers.is_empty() {
            request = request.headers(to_wire(&headers)?);
        }
        let what = subject.clone();
        let late = || LatticeError::Timeout { subject: what.clone(), after: timeout };
        let asking = async {
            // The client's own deadline begins only when the request is on its way.
            let asked = shared.client.send_request(subject, request);
            match tokio::time::timeout(timeout, asked).await {
                Err(_) => Err(late()),
                Ok(Ok(answer)) => Ok(read(answer)),
                Ok(Err(error)) => Err(match error.kind() {
                    RequestErrorKind::TimedOut => late(),
                    RequestErrorKind::NoResponders => LatticeError::NoResponders { subject: what.clone() },
                    _ => disconnected(&what),
                }),
            }
        };
        shared.over(&what, asking).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn address(&self) -> String {
        self.shared().address()
    }

    fn login(&self) -> Option<Login> {
        self.shared().login.clone()
    }

    fn js_domain(&self) -> Option<String> {
        self.shared().domain.clone()
    }

    async fn request_all(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Vec<Message>> {
        let shared = self.shared();
        let inbox = self.inbox();
        let asking = async {
            let answers = shared.client.subscribe(inbox.clone()).await;
            let mut answers = answers.map_err(|_| disconnected(subject))?;
            shared.publish(Message::new(subject, payload).with_reply(inbox)).await?;
            let mut all = Vec::new();
            let collect = async {
                while let Some(answer) = answers.next().await {
                    if answer.status.is_some() {
                        // Nobody is there.
                        return;
                    }
                    all.push(read(answer));
                }
            };
            // The deadline is the normal end: who does not answer cannot be told from who is not there.
            let _ = tokio::time::timeout(wait, collect).await;
            Ok(all)
        };
        subject::check(subject)?;
        shared.over(subject, asking).await
    }

    async fn bucket(&self, name: &str) -> Result<Arc<dyn Bucket>> {
        check_bucket_name(name)?;
        if self.shared().is_closed() {
            return Err(LatticeError::Closed);
        }
        let real = bucket::real_name(&self.shared().name, name);
        Ok(Arc::new(JetBucket::new(self.shared().clone(), name, &real)))
    }

    async fn close(&self) {
        let shared = self.shared();
        if shared.is_closed() {
            return;
        }
        let _ = tokio::time::timeout(CLOSE_MAX, shared.client.flush()).await;
        shared.close().await;
        let _ = tokio::time::timeout(CLOSE_MAX, shared.client.drain()).await;
    }
}

impl Shared {
    /// Refuses what cannot be sent.
    fn admit(&self, message: &Message) -> Result<()> {
        subject::check(&message.subject)?;
        check_payload(&message.payload)?;
        let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        // `NATS/1.0` and the empty line after the last header count too.
        let bytes = message.payload.len() + if headers == 0 { 0 } else { headers + 12 };
        let bytes_max = self.client.max_payload();
        if bytes > bytes_max {
            return Err(LatticeError::TooLarge { what: "a message", bytes, bytes_max });
        }
        self.check(&message.subject)
    }

    pub(super) async fn publish(&self, message: Message) -> Result<()> {
        self.admit(&message)?;
        if let Some(reply) = &message.reply {
            subject::check(reply)?;
        }
        let headers = if message.headers.is_empty() { None } else { Some(to_wire(&message.headers)?) };
        let Message { subject, reply, payload, .. } = message;
        let what = subject.clone();
        let sending = async {
            match (reply, headers) {
                (None, None) => self.client.publish(subject, payload).await,
                (None, Some(headers)) => self.client.publish_with_headers(subject, headers, payload).await,
                (Some(reply), None) => self.client.publish_with_reply(subject, reply, payload).await,
                (Some(reply), Some(headers)) => {
                    self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
            }
        };
        match tokio::time::timeout(SEND_MAX, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == PublishErrorKind::InvalidSubject => {
                Err(LatticeError::InvalidSubject {
                    subject: shown(&what),
                    reason: "the server's client refuses it",
                })
            }
            _ => Err(disconnected(&what)),
        }
    }
}

/// Hands the messages of one subscription on, until either end goes.
async fn hand_over(
    shared: Arc<Shared>,
    pattern: String,
    mut subscriber: Subscriber,
    sender: Sender,
    mut leaves: oneshot::Receiver<()>,
) {
    let closed = shared.until_closed();
    let mut link = shared.link();
    let mut losses = link.borrow_and_update().losses;
    let refused = shared.refused.clone();
    drop(shared);
    tokio::pin!(closed);
    if refused.contains(&pattern) {
        return;
    }
    loop {
        tokio::select! {
            biased;
            // Nothing is ever sent: it ends with the subscription.
            _ = &mut leaves => return,
            () = &mut closed => return,
            changed = link.changed() => {
                let now = link.borrow_and_update().losses;
                if now != losses {
                    losses = now;
                    sender.interrupt();
                }
                // One that is refused hears nothing, ever: better that it ends.
                if changed.is_err() || refused.contains(&pattern) {
                    return;
                }
            }
            message = subscriber.next() => match message {
                Some(message) => {
                    if sender.push(read(message)) == Pushed::Gone {
                        return;
                    }
                }
                None => return,
            },
        }
    }
}

async fn hear_echo(shared: Arc<Shared>, mut echo: Subscriber) {
    let closed = shared.until_closed();
    let mut link = shared.link();
    tokio::pin!(closed);
    loop {
        tokio::select! {
            () = &mut closed => return,
            changed = link.changed() => {
                if !link.borrow_and_update().is_up {
                    shared.echo.forget();
                }
                if changed.is_err() {
                    return;
                }
            }
            message = echo.next() => match message {
                Some(message) => shared.echo.heard(&message.payload),
                None => return,
            },
        }
    }
}

fn to_wire(headers: &Headers) -> Result<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let pair = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        let Some((name, value)) = pair else {
            return Err(LatticeError::InvalidHeader { name: shown(name) });
        };
        map.append(name, value);
    }
    Ok(map)
}

/// A message as it came; a status of the server is a header of ours.
pub(super) fn read(message: async_nats::Message) -> Message {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if let Some(headers) = &message.headers {
        let all = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        pairs.extend(all.map(|(name, value)| (name.as_ref(), value.as_str())));
        // They come in no order; values of one name keep theirs.
        pairs.sort_by_key(|(name, _)| *name);
    }
    let mut headers = Headers::default();
    for (name, value) in pairs {
        headers.append(name, value);
    }
    if let Some(status) = message.status {
        headers.append(STATUS, status.as_u16().to_string());
    }
    Message {
        subject: message.subject.to_string(),
        reply: message.reply.map(|reply| reply.to_string()),
        headers,
        payload: message.payload,
    }
}
