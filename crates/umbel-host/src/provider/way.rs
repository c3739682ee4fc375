//! The way to a provider: who serves its calls at this moment.
//!
//! ```text
//!  call ──▶ Way ──▶ Serving (the provider that runs) ──▶ result ── its resources and streams remember who made them
//!            │                                                            │
//!            └─ moving: the call waits until the next one serves          └─ a later call that brings one goes to its maker
//! ```
//!
//! Whoever is replaced is kept by what it still has to do: every call, resource and stream of it holds it, and it is idle when nothing
//! does. All three kinds of providers are called so, also those that are components, which others call without a message.

mod held;

use super::Body;
use arc_swap::ArcSwapOption;
use futures::StreamExt;
use futures::future::BoxFuture;
use held::Held;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::code::{guest, host as code};
use umbel_core::id::ProviderId;
use umbel_core::link::LinkKey;
use umbel_provider::Provider;
use umbel_provider::http::{Outgoing, OutgoingOptions, Request, Response};
use umbel_runtime::{Component, Use, Uses};
use umbel_wit::value::Input;
use umbel_wit::{Call, Resource, Serve, Value};

/// How long a call waits for a provider that is being replaced.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// One provider while it runs.
pub struct Serving {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The same, of one that is a component: calls of components go to that directly.
    component: Option<Component>,
    serve: Option<Arc<dyn Serve>>,
    http: Option<Arc<dyn Outgoing>>,
    /// Calls, resources and streams of it.
    uses: Uses,
    is_over: AtomicBool,
}

impl Serving {
    fn new(provider: Arc<dyn Provider>, body: &Body) -> Arc<Serving> {
        let (serve, http) = (provider.serve(), provider.http_outgoing());
        let (component, uses) = match body {
            // One count of what comes over the way, and of what it knows of itself.
            Body::Component(component) => (Some(component.component().clone()), component.uses().clone()),
            Body::Code | Body::Process(_) => (None, Uses::default()),
        };
        Arc::new(Serving { provider, component, serve, http, uses, is_over: AtomicBool::new(false) })
    }

    /// Its resources lead nowhere from now on.
    pub fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// Waits until no call, resource or stream of it is left, at most for `calls`; once only resources are left, at most for `resources`.
    /// Says whether it is idle. Calls do not lead to it any more.
    pub async fn idle(&self, calls: Duration, resources: Duration) -> bool {
        self.uses.idle(calls, resources).await
    }
}

/// Whoever serves, for as long as somebody needs that one: it is not ended before.
#[derive(Clone)]
pub struct Hold {
    serving: Arc<Serving>,
    used: Use,
}

impl Hold {
    fn call(serving: Arc<Serving>) -> Hold {
        Hold { used: serving.uses.call(), serving }
    }

    fn resource(&self) -> Hold {
        Hold { used: self.serving.uses.resource(), serving: self.serving.clone() }
    }

    /// Where a call goes, which it is held for.
    pub fn found(self) -> Found {
        match &self.serving.component {
            Some(component) => Found::Component(component.clone(), self.used),
            None => Found::Served(self.serving.serve.is_some()),
        }
    }
}

/// A resource, and whose it is.
struct Made {
    inner: Resource,
    by: Hold,
}

/// Whether a provider made the resource that is called over a way.
pub fn is_of_a_way(resource: &Resource) -> bool {
    resource.get::<Made>().is_some()
}

/// Whether calls get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// To whoever serves; if nobody does, they are refused.
    Open,
    /// They wait: the next one is about to serve.
    Moving,
    /// They are refused: it was stopped by hand.
    Stopped,
}

/// Where a call over a way goes at its moment.
pub enum Found {
    /// Over the way itself, if whoever serves does so for contracts: who that is then is found and held by the call.
    Served(bool),
    /// To the component that serves, and what keeps that.
    Component(Component, Use),
    /// To the next one, which is about to serve.
    Moves,
    /// Nobody serves.
    Nobody,
}

/// Who is seen at the end of a way.
enum Seen {
    Serving(Hold),
    Moving,
    Nobody,
}

/// The way to one provider. Cheap to clone; all clones are the same way.
#[derive(Clone)]
pub struct Way(Arc<Inner>);

struct Inner {
    id: ProviderId,
    now: ArcSwapOption<Serving>,
    gate: watch::Sender<Gate>,
}

impl Way {
    /// A way that leads nowhere yet.
    pub fn new(id: ProviderId) -> Way {
        Way(Arc::new(Inner { id, now: ArcSwapOption::empty(), gate: watch::Sender::new(Gate::Open) }))
    }

    /// Leads calls to the provider from now on, and those that wait. Returns who served until now.
    pub fn lead_to(&self, provider: Arc<dyn Provider>, body: &Body) -> Option<Arc<Serving>> {
        let before = self.0.now.swap(Some(Serving::new(provider, body)));
        self.0.gate.send_replace(Gate::Open);
        before
    }

    /// Has new calls wait. Returns who served until now: what was begun with it goes on.
    pub fn hold(&self) -> Option<Arc<Serving>> {
        // First the gate: a call that finds nobody must see that it has to wait.
        self.0.gate.send_replace(Gate::Moving);
        self.0.now.swap(None)
    }

    /// Nobody serves: calls are refused, those that wait too.
    pub fn close(&self) {
        self.0.now.store(None);
        self.0.gate.send_if_modified(|gate| std::mem::replace(gate, Gate::Open) != Gate::Open);
    }

    /// The same, because somebody stopped it.
    pub fn stop(&self) {
        self.0.now.store(None);
        self.0.gate.send_replace(Gate::Stopped);
    }

    /// Who serves now.
    pub fn now(&self) -> Option<Arc<Serving>> {
        self.0.now.load_full()
    }

    /// Who serves now, held for a call.
    pub fn take(&self) -> Option<Hold> {
        loop {
            let hold = Hold::call(self.now()?);
            let now = self.0.now.load();
            // One that was replaced before it was held may be gone already.
            if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, &hold.serving)) {
                return Some(hold);
            }
        }
    }

    /// Where a call goes.
    pub fn find(&self) -> Result<Found, Problem> {
        if let Some(serving) = &*self.0.now.load()
            && serving.component.is_none()
        {
            return Ok(Found::Served(serving.serve.is_some()));
        }
        Ok(match self.look()? {
            Seen::Serving(hold) => hold.found(),
            Seen::Moving => Found::Moves,
            Seen::Nobody => Found::Nobody,
        })
    }

    /// Who serves, held for a call. Otherwise why not, if somebody has stopped it.
    fn look(&self) -> Result<Seen, Problem> {
        if let Some(hold) = self.take() {
            return Ok(Seen::Serving(hold));
        }
        match *self.0.gate.borrow() {
            Gate::Moving => Ok(Seen::Moving),
            Gate::Stopped => Err(stopped(&self.0.id)),
            // It may have come between the two looks.
            Gate::Open => Ok(self.take().map_or(Seen::Nobody, Seen::Serving)),
        }
    }

    /// Whether a call of a contract would be served, or wait for it. Otherwise why not, if somebody has stopped it.
    pub fn check(&self) -> Result<bool, Problem> {
        Ok(match self.find()? {
            Found::Served(serves) => serves,
            Found::Component(..) | Found::Moves => true,
            Found::Nobody => false,
        })
    }

    /// Whether a request of HTTP would be served, or wait for it. Otherwise why not, if somebody has stopped it.
    pub fn check_http(&self) -> Result<bool, Problem> {
        Ok(match self.look()? {
            Seen::Serving(hold) => hold.serving.http.is_some(),
            Seen::Moving => true,
            Seen::Nobody => false,
        })
    }

    /// Sends a request of HTTP over it. Whoever serves it is held until the body of the response has ended.
    pub fn send(
        &self,
        link: &LinkKey,
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let (way, link) = (self.clone(), link.clone());
        Box::pin(async move {
            let hold = way.arrive(WAIT_MAX).await?;
            match &hold.serving.http {
                Some(http) => Ok(Held::body(http.send(&link, request, options).await?, hold)),
                None => Err(way.away()),
            }
        })
    }

    /// Who serves, held for a call, and waited for while it moves.
    pub async fn arrive(&self, patience: Duration) -> Result<Hold, Problem> {
        let mut gate = self.0.gate.subscribe();
        let begun = Instant::now();
        loop {
            gate.mark_unchanged();
            match self.look()? {
                Seen::Serving(hold) => return Ok(hold),
                Seen::Moving => {}
                Seen::Nobody => return Err(self.away()),
            }
            let left = patience.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left, gate.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.away()),
                Err(_) => {
                    let message =
                        format!("`{}` is being replaced, and no other served within {patience:?}", self.0.id);
                    return Err(Problem::new(code::PROVIDER_MOVES, message).of_provider(self.0.id.as_str()));
                }
            }
        }
    }

    fn away(&self) -> Problem {
        let message = format!("`{}` does not serve now", self.0.id);
        // Not a link that is missing: that passes.
        Problem::new(guest::NOT_RUNNING, message)
            .with_help("`umbel provider list` shows its state and the reason")
    }
}

/// It was stopped by hand.
pub fn stopped(id: &ProviderId) -> Problem {
    Problem::new(code::PROVIDER_STOPPED, format!("the provider `{id}` was stopped by hand"))
        .with_help(format!("`umbel provider start {id}` starts it again"))
}

impl Serve for Way {
    fn call(&self, mut call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let maker = match take_maker(&mut call.args) {
            Ok(maker) => maker,
            Err(gone) => {
                let message = format!("`{}` of `{}`, {gone}", call.function, self.0.id);
                return Box::pin(async move { Err(Problem::new(code::HANDLE_GONE, message)) });
            }
        };
        match maker.or_else(|| self.take()) {
            Some(hold) => carry_out(hold, call, || self.away()),
            None => {
                let way = self.clone();
                Box::pin(async move {
                    let begun = Instant::now();
                    let hold = way.arrive(call.patience.unwrap_or(WAIT_MAX).min(WAIT_MAX)).await?;
                    call.patience = call.patience.map(|patience| patience.saturating_sub(begun.elapsed()));
                    carry_out(hold, call, || way.away()).await
                })
            }
        }
    }
}

fn carry_out(
    hold: Hold,
    call: Call,
    away: impl FnOnce() -> Problem,
) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
    let Some(server) = &hold.serving.serve else {
        let problem = away();
        return Box::pin(async move { Err(problem) });
    };
    let outcome = server.call(call);
    Box::pin(async move {
        let mut result = outcome.await?;
        if let Some(value) = &mut result {
            each(value, &mut |value| claim(value, &hold));
        }
        Ok(result)
    })
}

/// Marks a resource as made by the provider; a stream of it holds it.
fn claim(value: &mut Value, by: &Hold) {
    match value {
        Value::Own(inner) => {
            *inner = Resource::new(Made { inner: inner.clone(), by: by.resource() });
        }
        Value::Input(_) | Value::Stream(_) => {
            let held = by.clone();
            let hold = |input: Input| {
                Input::new(
                    input
                        .into_stream()
                        .inspect(move |_| {
                            let _ = &held;
                        })
                        .boxed(),
                )
            };
            *value = match std::mem::replace(value, Value::Bool(false)) {
                Value::Input(input) => Value::Input(hold(input)),
                Value::Stream(input) => Value::Stream(hold(input)),
                other => other,
            };
        }
        _ => {}
    }
}

/// Takes the marks off the resources of a call. They are all of one provider: resources of two cannot be in one call.
fn take_maker(args: &mut [Value]) -> Result<Option<Hold>, &'static str> {
    let mut maker: Option<Hold> = None;
    let mut problem = None;
    let mut take = |value: &mut Value| {
        let (Value::Own(resource) | Value::Borrow(resource)) = value else { return };
        let Some(made) = resource.get::<Made>() else { return };
        let by = &made.by.serving;
        if by.is_over.load(Relaxed) {
            problem = Some("its handle is of a provider that has been replaced and has ended");
        } else if maker.as_ref().is_some_and(|maker| !Arc::ptr_eq(&maker.serving, by)) {
            problem = Some("its handles are of two providers, one of which has replaced the other");
        }
        // Held by the handle until it is held for the call.
        maker.get_or_insert_with(|| Hold::call(by.clone()));
        *resource = made.inner.clone();
    };
    args.iter_mut().for_each(|arg| each(arg, &mut take));
    problem.map_or(Ok(maker), Err)
}

/// Calls `visit` for every resource and stream.
fn each(value: &mut Value, visit: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Own(_) | Value::Borrow(_) | Value::Input(_) | Value::Stream(_) => visit(value),
        // The elements have one type: where the first is plain, all are.
        Value::List(values) if values.first().is_none_or(is_plain) => {}
        Value::List(values) => values.iter_mut().for_each(|value| each(value, visit)),
        Value::Tuple(values) | Value::Record(values) => {
            values.iter_mut().for_each(|value| each(value, visit))
        }
        // Keys are never resources.
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| each(value, visit)),
        Value::Variant(_, Some(value))
        | Value::Option(Some(value))
        | Value::Result(Ok(Some(value)) | Err(Some(value))) => each(value, visit),
        _ => {}
    }
}

/// Whether values of its type never contain a resource or a stream.
fn is_plain(value: &Value) -> bool {
    !matches!(
        value,
        Value::Own(_)
            | Value::Borrow(_)
            | Value::Input(_)
            | Value::Stream(_)
            | Value::Output(_)
            | Value::List(_)
            | Value::Tuple(_)
            | Value::Record(_)
            | Value::Map(_)
            | Value::Variant(..)
            | Value::Option(_)
            | Value::Result(_)
    )
}

#[cfg(test)]
mod tests;
