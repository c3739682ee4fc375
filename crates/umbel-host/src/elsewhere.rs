//! Other hosts of the lattice: what runs there is called from here.
//!
//! A link whose target does not run on this host leads there, unless its distance is `local`. Which host that is, nobody here knows: hosts
//! that run the same component share its calls in a queue group. All calls have one client, so one subscription.

use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use umbel_core::code::{guest, lattice as code};
use umbel_core::{Coded, Problem};
use umbel_lattice::wrpc::{Catalog, Client, ClientLimits, Lent, Outgoing};
use umbel_lattice::{Lattice, Spawn};
use umbel_provider::http::{self, Handler, OutgoingOptions, Request, Response};
use umbel_supervisor::{Cores, Scope};
use umbel_wit::{Call, Interface, InterfaceName, Serve, Value};

/// How long a call of another host may take whose caller does not say: nobody here knows the limits of what is called.
pub const CALL_MAX: Duration = Duration::from_secs(60);

/// The way to other hosts. There is none where a lattice has one host.
pub struct Elsewhere {
    client: Client,
    spawn: Spawn,
}

impl Elsewhere {
    /// Makes the client for all calls. What they do, they do on the data path, as other calls.
    pub async fn open(
        lattice: &Arc<dyn Lattice>,
        cores: &Arc<Cores>,
        tasks: &Scope,
    ) -> Result<Option<Elsewhere>, Problem> {
        if !lattice.is_shared() {
            return Ok(None);
        }
        let spawn = on_cores(cores, tasks);
        let client = Client::new(lattice.clone(), spawn.clone(), Lent::new(), ClientLimits::default()).await;
        Ok(Some(Elsewhere { client: client.map_err(|error| Problem::from(&error as &dyn Coded))?, spawn }))
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
        Arc::new(There {
            client: self.client.clone(),
            target: target.to_string(),
            catalog: Arc::new(Catalog::new(types)),
        })
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

/// Something on another host.
struct There {
    client: Client,
    target: String,
    catalog: Arc<Catalog>,
}

impl Serve for There {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        let signature = self.catalog.outgoing(&call.interface, call.version.as_ref(), &call.function);
        let client = self.client.clone();
        let called = Outgoing {
            target: self.target.clone(),
            source: call.link.source_id.clone(),
            link: call.link.name.clone(),
            application: call.link.application.clone(),
            patience: call.patience.or(Some(CALL_MAX)),
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
