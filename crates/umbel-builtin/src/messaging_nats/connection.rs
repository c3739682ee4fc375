//! One connection to a server: commands, carried out one after another by a task.

use super::config::Server;
use crate::http_client::{self, tls_config};
use crate::messaging::config::wrong;
use crate::messaging::error::MessagingError;
use crate::messaging::message::Message;
use crate::messaging::subscription::Subscription;
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use umbel_supervisor::scope::Spawner;
use zeroize::Zeroizing;

/// Commands that may wait, and how many KiB of messages they may hold.
const WAITING_MAX: usize = 4_096;
const WAITING_KIB_MAX: u32 = 64 << 10;

/// Between two attempts to connect.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// One attempt to connect, and how long a connection that is being made counts as being there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to answer what nobody subscribes to.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// A message as it stands on the wire.
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) reply: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Makes messages of what comes for a subscription.
pub(super) type Read = Arc<dyn Fn(async_nats::Message) -> Option<Message> + Send + Sync>;

/// What the task is asked to do, in this order.
pub(super) enum Command {
    Publish(Outgoing, OwnedSemaphorePermit),
    /// Answered with the inbox, once the request is sent.
    Request(Outgoing, oneshot::Sender<Subscriber>, OwnedSemaphorePermit),
    Subscribe(Arc<Subscription>, String, Read),
    Unsubscribe(Arc<Subscription>),
    /// Answered when all before is done.
    Settle(oneshot::Sender<()>),
}

/// A connection.
pub(super) struct Connection {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    client: Arc<OnceLock<Client>>,
    opened: Instant,
    pub(super) inbox_prefix: String,
}

impl Connection {
    /// Begins to connect.
    pub(super) fn open(server: &Server, tasks: Spawner) -> Result<Connection, MessagingError> {
        let options = options(server)?;
        let (commands, waiting) = mpsc::channel(WAITING_MAX);
        let client: Arc<OnceLock<Client>> = Arc::default();
        let (shared, uris, spawner) = (client.clone(), server.bare_uris(), tasks.clone());
        tasks.spawn(async move {
            let connected = match options.connect(uris).await {
                Ok(connected) => connected,
                // With attempts that never end, only what cannot become right is an error: a seed that is none.
                Err(error) => {
                    tracing::error!(%error, "a message server cannot be connected to with this config");
                    return;
                }
            };
            let connected = shared.get_or_init(|| connected).clone();
            Task { client: connected, tasks: spawner, readers: HashMap::new() }.run(waiting).await;
        });
        let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
        let inbox_prefix = format!("{}.", server.inbox_prefix);
        Ok(Connection { commands, room, client, opened: Instant::now(), inbox_prefix })
    }

    /// Whether there is no connection. One that is just being made for the first time is not counted as lost.
    pub(super) fn is_lost(&self) -> bool {
        let state = self.client.get().map(Client::connection_state);
        let is_first = self.client.get().is_none_or(|client| client.try_server_info().is_none());
        state != Some(State::Connected) && !(is_first && self.opened.elapsed() < CONNECT_TIMEOUT)
    }

    /// The most bytes of a message that the server takes, if it has said so.
    pub(super) fn bytes_max(&self) -> Option<usize> {
        self.client.get()?.try_server_info().map(|info| info.max_payload)
    }

    /// Room for a message that waits.
    pub(super) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, MessagingError> {
        if self.is_lost() {
            return Err(MessagingError::Unconnected);
        }
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).clamp(1, WAITING_KIB_MAX);
        self.room.clone().try_acquire_many_owned(kib).map_err(|_| full())
    }

    /// Asks the task to do something.
    pub(super) fn ask(&self, command: Command) -> Result<(), MessagingError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => full(),
            mpsc::error::TrySendError::Closed(_) => MessagingError::Unconnected,
        })
    }

    /// Waits until everything that was asked is done.
    pub(super) async fn settle(&self) {
        let (done, all) = oneshot::channel();
        if self.commands.send(Command::Settle(done)).await.is_ok() {
            let _ = all.await;
        }
    }
}

fn full() -> MessagingError {
    MessagingError::Limit { what: "messages that wait for the server", max: WAITING_MAX }
}

fn options(server: &Server) -> Result<ConnectOptions, MessagingError> {
    let settings =
        http_client::Settings { ca_file: server.ca_file.clone(), ..http_client::Settings::default() };
    let mut tls = tls_config(&settings).map_err(|error| wrong("tls_ca_file", error.to_string()))?;
    tls.alpn_protocols.clear();
    let mut options = ConnectOptions::new()
        .name("umbel")
        .tls_client_config(tls)
        .ping_interval(server.ping_interval)
        .connection_timeout(CONNECT_TIMEOUT)
        .custom_inbox_prefix(&server.inbox_prefix)
        .retry_on_initial_connect()
        .reconnect_delay_callback(|attempts| {
            let factor = 1 << attempts.saturating_sub(1).min(10);
            RETRY_MIN.saturating_mul(factor).min(RETRY_MAX)
        })
        .event_callback(|event| async move {
            match event {
                async_nats::Event::Connected => tracing::info!("connected to the message server"),
                async_nats::Event::Disconnected => {
                    tracing::warn!("the connection to the message server is lost")
                }
                // Among them what refuses a connection; it is tried again every few seconds.
                event @ (async_nats::Event::ClientError(_) | async_nats::Event::ServerError(_)) => {
                    tracing::warn!(%event, "the message server");
                }
                event => tracing::debug!(%event, "the message server"),
            }
        });
    let bad = || wrong("client_seed", "it is not the seed of a user, `SU…`".into());
    if server.seed.as_ref().is_some_and(|seed| !seed.starts_with("SU") || seed.len() != 58) {
        return Err(bad());
    }
    options = match (&server.jwt, &server.seed) {
        (Some(jwt), Some(seed)) => {
            // The client reads both from the text of a credentials file.
            let text = Zeroizing::new(format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            ));
            options.credentials(&text).map_err(|_| bad())?
        }
        (None, Some(seed)) => options.nkey(seed.clone()),
        _ => match server.user() {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        },
    };
    Ok(options)
}

/// The task.
struct Task {
    client: Client,
    tasks: Spawner,
    /// By the address of the subscription.
    readers: HashMap<usize, Reader>,
}

/// What hands the messages of a subscription on.
struct Reader {
    stop: oneshot::Sender<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Command>) {
        let mut ending = Vec::new();
        while let Some(command) = waiting.recv().await {
            match command {
                Command::Publish(message, _room) => self.publish(message).await,
                Command::Request(message, inbox, _room) => self.request(message, inbox).await,
                Command::Subscribe(subscription, subject, read) => {
                    self.subscribe(subscription, subject, read).await;
                }
                Command::Unsubscribe(subscription) => {
                    if let Some(ended) = self.unsubscribe(&subscription).await {
                        ending.push(ended);
                    }
                }
                Command::Settle(done) => {
                    for ended in ending.drain(..) {
                        let _ = ended.await;
                    }
                    let _ = self.client.flush().await;
                    let _ = done.send(());
                }
            }
        }
    }

    async fn publish(&self, message: Outgoing) {
        let Outgoing { subject, reply, headers, body } = message;
        let sent = match (reply, headers.is_empty()) {
            (None, true) => self.client.publish(subject, body).await,
            (None, false) => self.client.publish_with_headers(subject, headers, body).await,
            (Some(reply), true) => self.client.publish_with_reply(subject, reply, body).await,
            (Some(reply), false) => {
                self.client.publish_with_reply_and_headers(subject, reply, headers, body).await
            }
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "a message was not sent to the server");
        }
    }

    async fn request(&self, mut message: Outgoing, inbox: oneshot::Sender<Subscriber>) {
        let subject = self.client.new_inbox();
        match self.client.subscribe(subject.clone()).await {
            Ok(replies) => {
                message.reply = Some(subject);
                self.publish(message).await;
                // Who asked may have gone away.
                let _ = inbox.send(replies);
            }
            Err(error) => tracing::warn!(%error, "an inbox was not opened"),
        }
    }

    async fn subscribe(&mut self, subscription: Arc<Subscription>, subject: String, read: Read) {
        let subscribed = match subscription.group.as_deref() {
            Some(group) => self.client.queue_subscribe(subject, group.to_string()).await,
            None => self.client.subscribe(subject).await,
        };
        let messages = match subscribed {
            Ok(messages) => messages,
            Err(error) => {
                tracing::error!(%error, pattern = subscription.pattern, "not subscribed at the message server");
                return;
            }
        };
        let ((stop, stopped), (ending, ended)) = (oneshot::channel(), oneshot::channel());
        let address = Arc::as_ptr(&subscription) as usize;
        self.tasks.spawn(async move {
            hand_on(messages, subscription, read, stopped).await;
            let _ = ending.send(());
        });
        self.readers.insert(address, Reader { stop, ended });
    }

    /// Takes a subscription away after everything that was published before has come.
    async fn unsubscribe(&mut self, subscription: &Arc<Subscription>) -> Option<oneshot::Receiver<()>> {
        let reader = self.readers.remove(&(Arc::as_ptr(subscription) as usize))?;
        self.round_trip().await;
        let (told, done) = oneshot::channel();
        if reader.stop.send(told).is_ok() {
            let _ = done.await;
        }
        Some(reader.ended)
    }

    /// The server's answer to what nobody subscribes to comes behind everything that it has sent before.
    async fn round_trip(&self) {
        let ask = async_nats::Request::new().timeout(Some(ROUND_TRIP));
        let _ = self.client.send_request(format!("_UMBEL.{}", self.client.new_inbox()), ask).await;
    }
}

/// Offers a subscription what comes, until it is stopped and has what came before.
async fn hand_on(
    mut messages: Subscriber,
    subscription: Arc<Subscription>,
    read: Read,
    mut stopped: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            told = &mut stopped, if !stopping => {
                stopping = true;
                let _ = messages.drain().await;
                if let Ok(told) = told {
                    let _ = told.send(());
                }
            }
            message = messages.next() => {
                let Some(message) = message else { break };
                if let Some(message) = read(message)
                    && !subscription.offer(message)
                {
                    subscription.missed(1);
                }
            }
        }
    }
    subscription.close();
}
