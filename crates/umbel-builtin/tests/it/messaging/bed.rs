//! Components that are closures, and the calls that a guest would make.

use futures::future::BoxFuture;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use umbel_builtin::messaging::Messaging;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::{Contract, Distance, ResolvedLink, Values};
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_supervisor::cores::Cores;
use umbel_wit::{Call, Link, Resource, Serve, Value};

/// Long enough for a loaded machine; reached only by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Answer = Result<Option<Value>, Problem>;

/// A component's export.
struct Export(Box<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>);

impl Serve for Export {
    fn call(&self, call: Call) -> BoxFuture<'static, Answer> {
        (self.0)(call)
    }
}

pub(crate) fn export<F, Fut>(answer: F) -> Arc<dyn Serve>
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    Arc::new(Export(Box::new(move |call| Box::pin(answer(call)))))
}

/// What runs in the host: exports by component and interface, applications by component.
#[derive(Default)]
pub(crate) struct Components {
    exports: Mutex<HashMap<(String, String), Arc<dyn Serve>>>,
}

impl Targets for Components {
    fn http(&self, _: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, component: &str, interface: &str) -> Option<Arc<dyn Serve>> {
        let exports = self.exports.lock().expect("no test panics with the lock held");
        exports.get(&(component.to_string(), interface.to_string())).cloned()
    }

    /// `chat-room` is of the application `chat`, `room` of none.
    fn application_of(&self, component: &str) -> Option<String> {
        component.split_once('-').map(|(application, _)| application.to_string())
    }
}

pub(crate) struct Bed {
    pub(crate) components: Arc<Components>,
    pub(crate) provider: Arc<dyn Provider>,
    _cores: Arc<Cores>,
}

/// The builtin on two cores.
pub(crate) fn builtin() -> (Messaging, Arc<Cores>) {
    let cores = Cores::start(2, "test").expect("threads");
    (Messaging::new(cores.clone()), cores)
}

pub(crate) fn values(items: &[(&str, &str)]) -> Values {
    items.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

pub(crate) fn link_to(component: &str, contract: Contract, config: &[(&str, &str)]) -> ResolvedLink {
    ResolvedLink::new(
        umbel_core::link::Link {
            source_id: "messaging".into(),
            target: component.into(),
            // One link for each component that is called.
            name: component.into(),
            contract,
            source_config: Vec::new(),
            target_config: Vec::new(),
            distance: Distance::Any,
        },
        values(config),
        Values::new(),
    )
}

pub(crate) fn handler() -> Contract {
    Contract::new("wasmcloud", "messaging", &["handler"])
}

pub(crate) fn incoming() -> Contract {
    Contract::new("wasi", "messaging", &["incoming-handler"])
}

impl Bed {
    pub(crate) async fn new(factory: Arc<dyn Factory>, cores: Arc<Cores>) -> Bed {
        Bed::with(factory, cores, &[]).await.expect("it starts")
    }

    pub(crate) async fn with(
        factory: Arc<dyn Factory>,
        cores: Arc<Cores>,
        config: &[(&str, &str)],
    ) -> Result<Bed, Problem> {
        let components = Arc::new(Components::default());
        let cx = StartContext {
            id: ProviderId::new("messaging").expect("an id"),
            config: values(config),
            secrets: Default::default(),
            targets: components.clone(),
            folder: PathBuf::new(),
        };
        let provider = factory.start(cx).await?;
        Ok(Bed { components, provider, _cores: cores })
    }

    pub(crate) fn set(&self, component: &str, interface: &str, export: Arc<dyn Serve>) {
        let key = (component.to_string(), interface.to_string());
        self.components.exports.lock().expect("no test panics with the lock held").insert(key, export);
    }

    /// A component with a handler of wasmcloud:messaging.
    pub(crate) async fn subscribe(&self, component: &str, config: &[(&str, &str)], handler: Arc<dyn Serve>) {
        self.set(component, "wasmcloud:messaging/handler", handler);
        self.provider.put_link(link_to(component, self::handler(), config)).await.expect("a good link");
    }

    /// A component that keeps what it hears.
    pub(crate) async fn ear(&self, component: &str, subscriptions: &str) -> Ear {
        self.ear_with(component, &[("subscriptions", subscriptions)]).await
    }

    pub(crate) async fn ear_with(&self, component: &str, config: &[(&str, &str)]) -> Ear {
        let (heard, ear) = mpsc::channel(4_096);
        let handler = export(move |call| {
            let heard = heard.clone();
            async move {
                // The test may have stopped listening.
                let _ = heard.try_send(Heard::of(call.args));
                Ok(Some(Value::unit()))
            }
        });
        self.subscribe(component, config, handler).await;
        Ear(ear)
    }

    /// A component that answers requests by what `answer` makes of the body.
    pub(crate) async fn answers(&self, component: &str, subscriptions: &str, answer: fn(&str) -> String) {
        let guest = self.guest(component);
        let handler = export(move |call| {
            let (guest, heard) = (guest.clone(), Heard::of(call.args));
            async move {
                let reply_to = heard.reply_to.clone().expect("a request has a reply-to");
                guest.publish(&reply_to, answer(&heard.body)).await.expect("a reply is published");
                Ok(Some(Value::unit()))
            }
        });
        self.subscribe(component, &[("subscriptions", subscriptions)], handler).await;
    }

    /// The calls of a component with a link to the provider.
    pub(crate) fn guest(&self, component: &str) -> Guest {
        self.guest_with(component, &[])
    }

    pub(crate) fn guest_with(&self, component: &str, config: &[(&str, &str)]) -> Guest {
        let link = Link {
            source_id: component.into(),
            name: "default".into(),
            application: self.components.application_of(component),
            values: values(config),
        };
        Guest { serve: self.provider.serve().expect("it serves"), link: Arc::new(link) }
    }
}

/// What a handler was called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) subject: String,
    pub(crate) body: String,
    pub(crate) reply_to: Option<String>,
}

impl Heard {
    pub(crate) fn of(mut args: Vec<Value>) -> Heard {
        assert_eq!(args.len(), 1, "handle-message takes one argument");
        Heard::of_record(args.remove(0))
    }

    pub(crate) fn of_record(record: Value) -> Heard {
        let Value::Record(fields) = record else { panic!("not a broker-message: {record:?}") };
        let [Value::String(subject), Value::Bytes(body), Value::Option(reply_to)] =
            <[Value; 3]>::try_from(fields).expect("three fields")
        else {
            panic!("not a broker-message")
        };
        let reply_to = reply_to.map(|value| match *value {
            Value::String(subject) => subject,
            other => panic!("not a subject: {other:?}"),
        });
        Heard { subject, body: String::from_utf8_lossy(&body).into_owned(), reply_to }
    }
}

pub(crate) struct Ear(mpsc::Receiver<Heard>);

impl Ear {
    pub(crate) async fn next(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.0.recv())
            .await
            .expect("a message")
            .expect("the component is there")
    }

    /// The subject and body of the next.
    pub(crate) async fn says(&mut self) -> (String, String) {
        let heard = self.next().await;
        (heard.subject, heard.body)
    }

    /// Whether nothing has come. Only after something that was published later has been heard elsewhere.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// What a component calls.
#[derive(Clone)]
pub(crate) struct Guest {
    serve: Arc<dyn Serve>,
    link: Arc<Link>,
}

impl Guest {
    pub(crate) async fn call(&self, interface: &str, function: &str, args: Vec<Value>) -> Answer {
        let call = Call {
            link: self.link.clone(),
            interface: interface.into(),
            version: None,
            function: function.into(),
            args,
            patience: Some(PATIENCE),
        };
        tokio::time::timeout(PATIENCE, self.serve.call(call)).await.expect("every call ends")
    }

    pub(crate) async fn publish_with(
        &self,
        subject: &str,
        body: impl Into<Vec<u8>>,
        reply_to: Option<&str>,
    ) -> Result<(), String> {
        let reply_to = reply_to.map_or_else(Value::none, |subject| Value::some(subject.into()));
        let record = Value::Record(vec![subject.into(), Value::bytes(body.into()), reply_to]);
        match self.call("wasmcloud:messaging/consumer", "publish", vec![record]).await.expect("no trap") {
            Some(Value::Result(Ok(None))) => Ok(()),
            Some(Value::Result(Err(Some(words)))) => Err(text(*words)),
            other => panic!("publish gives no {other:?}"),
        }
    }

    pub(crate) async fn publish(&self, subject: &str, body: impl Into<Vec<u8>>) -> Result<(), String> {
        self.publish_with(subject, body, None).await
    }

    pub(crate) async fn request(&self, subject: &str, body: &str, timeout_ms: u32) -> Result<Heard, String> {
        let args = vec![subject.into(), Value::bytes(body.as_bytes().to_vec()), timeout_ms.into()];
        match self.call("wasmcloud:messaging/consumer", "request", args).await.expect("no trap") {
            Some(Value::Result(Ok(Some(record)))) => Ok(Heard::of_record(*record)),
            Some(Value::Result(Err(Some(words)))) => Err(text(*words)),
            other => panic!("request gives no {other:?}"),
        }
    }

    /// A call of `wasi:messaging`.
    pub(crate) async fn wasi(&self, interface: &str, function: &str, args: Vec<Value>) -> Answer {
        self.call(&format!("wasi:messaging/{interface}"), function, args).await
    }

    /// `client.connect`.
    pub(crate) async fn connect(&self) -> Resource {
        let connected = self.wasi("types", "[static]client.connect", vec!["any".into()]).await;
        match connected.expect("no trap") {
            Some(Value::Result(Ok(Some(client)))) => resource(*client),
            other => panic!("connect gives no {other:?}"),
        }
    }

    /// A new message.
    pub(crate) async fn message(&self, body: &str) -> Resource {
        let data = vec![Value::bytes(body.as_bytes().to_vec())];
        resource(self.wasi("types", "[constructor]message", data).await.expect("no trap").expect("a message"))
    }

    /// A method of a message.
    pub(crate) async fn on(&self, message: &Resource, method: &str, mut args: Vec<Value>) -> Option<Value> {
        args.insert(0, Value::Borrow(message.clone()));
        self.wasi("types", &format!("[method]message.{method}"), args).await.expect("no trap")
    }

    /// The body of a message.
    pub(crate) async fn data(&self, message: &Resource) -> String {
        match self.on(message, "data", Vec::new()).await {
            Some(Value::Bytes(data)) => String::from_utf8_lossy(&data).into_owned(),
            other => panic!("data gives no {other:?}"),
        }
    }
}

pub(crate) fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}

pub(crate) fn resource(value: Value) -> Resource {
    match value {
        Value::Own(resource) => resource,
        other => panic!("not a resource: {other:?}"),
    }
}

/// Waits until the condition holds.
pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
