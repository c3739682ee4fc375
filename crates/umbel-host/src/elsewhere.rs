//! Other hosts of the lattice: what runs there is called from here.
//!
//! A link whose target does not run on this host leads there, unless its distance is `local`. Which host that is, nobody here knows: hosts
//! that run the same component share its calls in a queue group. All calls have one client, so one subscription.
//!
//! Hosts and providers of wasmCloud 1.x are called in their own words: HTTP as `wrpc:http` always, `wasi:keyvalue` and `wasi:blobstore` as
//! `wrpc:` where nobody there says that he is one of ours.

use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use umbel_core::code::{guest, lattice as code};
use umbel_core::{Coded, Problem};
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing};
use umbel_lattice::{Lattice, Spawn};
use umbel_provider::http::{self, Handler, OutgoingOptions, Request, Response};
use umbel_provider::wrpc;
use umbel_supervisor::{Cores, Scope};
use umbel_wit::{Call, Interface, InterfaceName, Serve, Value};

/// How long a call of another host may take whose caller does not say: nobody here knows the limits of what is called.
pub const CALL_MAX: Duration = Duration::from_secs(60);

/// How long whoever serves a target has to say that he is one of ours.
const SAY_MAX: Duration = Duration::from_millis(500);

/// How long it counts that nobody has said so: one of ours may come.
const PLAIN_FOR: Duration = Duration::from_secs(10);

/// The way to other hosts. There is none where a lattice has one host.
pub struct Elsewhere {
    client: Client,
    spawn: Spawn,
    call_max: Duration,
}

impl Elsewhere {
    /// Makes the client for all calls. What they do, they do on the data path, as other calls. `call_max` is how long one may take whose
    /// caller does not say.
    pub async fn open(
        lattice: &Arc<dyn Lattice>,
        call_max: Duration,
        cores: &Arc<Cores>,
        tasks: &Scope,
    ) -> Result<Option<Elsewhere>, Problem> {
        if !lattice.is_shared() {
            return Ok(None);
        }
        let spawn = on_cores(cores, tasks);
        let client = Client::new(lattice.clone(), spawn.clone(), Lent::new(), ClientLimits::default()).await;
        let client = client.map_err(|error| Problem::from(&error as &dyn Coded))?;
        Ok(Some(Elsewhere { client, spawn, call_max }))
    }

    /// Where work of calls is started.
    pub fn spawn(&self) -> Spawn {
        self.spawn.clone()
    }

    /// Whatever serves `target`. `types` are those that the caller has of it.
    pub fn serve(
        &self,
        target: &str,
        types: impl IntoIterator<Item = (InterfaceName, Arc<Interface>)>,
    ) -> Arc<dyn Serve> {
        let catalog = Arc::new(Catalog::new(types));
        let is_spoken =
            |(name, _): &(InterfaceName, _)| wrpc::is_spoken(&name.unversioned, name.version.as_ref());
        let needs_words = catalog.interfaces().iter().any(is_spoken);
        let (client, call_max) = (self.client.clone(), self.call_max);
        let there = Arc::new(There { client, target: target.to_string(), catalog, call_max });
        match needs_words {
            true => Arc::new(Either {
                speaks: wrpc::Speaks::new(there.clone(), self.spawn.clone()),
                there,
                known: Arc::default(),
            }),
            false => there,
        }
    }

    /// Answers HTTP as `target` does.
    pub fn handler(&self, source: &str, target: &str) -> Arc<dyn Handler> {
        Arc::new(ThereHttp { client: self.client.clone(), called: outgoing(source, target) })
    }

    /// Sends a request over a link of `source` to `target`.
    pub fn send(
        &self,
        (source, link, target): (&str, &str, &str),
        request: Request,
        options: OutgoingOptions,
    ) -> BoxFuture<'static, Result<Response, Problem>> {
        let called = Outgoing { link: link.to_string(), ..outgoing(source, target) };
        let client = self.client.clone();
        Box::pin(async move {
            let sent = http::wire::send(&client, &called, request, options).await;
            sent.map_err(|problem| nobody(&called.target, problem))
        })
    }
}

fn outgoing(source: &str, target: &str) -> Outgoing {
    Outgoing {
        target: target.to_string(),
        source: source.to_string(),
        link: umbel_core::link::DEFAULT_LINK_NAME.into(),
        application: None,
        patience: Some(CALL_MAX),
    }
}

/// Something on another host that may be one of ours or of wasmCloud 1.x.
#[derive(Clone)]
struct Either {
    there: Arc<There>,
    speaks: wrpc::Speaks,
    known: Arc<Mutex<Option<Known>>>,
}

/// What was found out of it.
#[derive(Clone, Copy)]
enum Known {
    Ours,
    Plain(Instant),
}

impl Serve for Either {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        // Who has a resource has it of one of them.
        let has_any = |arg: &Value| matches!(arg, Value::Own(_) | Value::Borrow(_));
        if wrpc::has_spoken(&call.args) {
            return self.speaks.call(call);
        }
        if call.args.iter().any(has_any) || !wrpc::is_spoken(&call.interface, call.version.as_ref()) {
            return self.there.call(call);
        }
        let either = self.clone();
        Box::pin(async move {
            let answer = match either.is_ours().await {
                true => either.there.call(call).await,
                false => either.speaks.call(call).await,
            };
            // Whoever it was has gone: what comes in its place may be another.
            if answer.as_ref().is_err_and(|problem| problem.code == guest::NOT_RUNNING) {
                *either.known() = None;
            }
            answer
        })
    }
}

impl Either {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of ours serves the target.
    async fn is_ours(&self) -> bool {
        let known = *self.known();
        match known {
            Some(Known::Ours) => return true,
            Some(Known::Plain(since)) if since.elapsed() < PLAIN_FOR => return false,
            _ => {}
        }
        let is_ours = self.there.client.is_ours(&self.there.target, SAY_MAX).await;
        *self.known() = Some(if is_ours { Known::Ours } else { Known::Plain(Instant::now()) });
        is_ours
    }
}

/// Something on another host.
struct There {
    client: Client,
    target: String,
    catalog: Arc<Catalog>,
    call_max: Duration,
}

impl Serve for There {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let catalog = if wrpc::is_heard(&call) { wrpc::catalog() } else { &self.catalog };
        let signature = catalog.outgoing(&call.interface, call.version.as_ref(), &call.function);
        let client = self.client.clone();
        let called = Outgoing {
            target: self.target.clone(),
            source: call.link.source_id.clone(),
            link: call.link.name.clone(),
            application: call.link.application.clone(),
            patience: call.patience.or(Some(self.call_max)),
        };
        Box::pin(async move {
            let answer = client.call(&called, &*signature?, call.args).await;
            answer.map_err(|problem| nobody(&called.target, problem))
        })
    }
}

struct ThereHttp {
    client: Client,
    called: Outgoing,
}

impl Handler for ThereHttp {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, Problem>> {
        let (client, called) = (self.client.clone(), self.called.clone());
        Box::pin(async move {
            let answer = http::wire::handle(&client, &called, request).await;
            answer.map_err(|problem| nobody(&called.target, problem))
        })
    }
}

/// Nobody on the lattice serves it: said in the words of who asked.
fn nobody(target: &str, problem: Problem) -> Problem {
    if problem.code != code::NO_RESPONDERS {
        return problem;
    }
    let message = format!("no host of the lattice runs `{target}`");
    Problem::new(guest::NOT_RUNNING, message)
        .with_help(format!("`umbel ps` shows what runs, and where; deploy or start `{target}`"))
}

/// Starts tasks on the data path; where that takes no more, among the host's own.
pub fn on_cores(cores: &Arc<Cores>, tasks: &Scope) -> Spawn {
    let (cores, tasks) = (Arc::downgrade(cores), tasks.spawner());
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |task| {
        let Some(cores) = cores.upgrade() else { return };
        let core = Cores::current().unwrap_or_else(|| cores.quietest());
        let waiting = Arc::new(Mutex::new(Some(task)));
        let taken = waiting.clone();
        let take = move || taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        let run = take.clone();
        let started = cores.spawn(core, move || async move {
            if let Some(task) = run() {
                task.await;
            }
        });
        if started.is_err()
            && let Some(task) = take()
        {
            let _entered = runtime.enter();
            tasks.spawn(task);
        }
    })
}
