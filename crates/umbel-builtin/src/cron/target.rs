//! How a component is called when a job is due.

use super::config::Job;
use super::error::CronError;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::clock::rfc3339;
use umbel_core::code::guest;
use umbel_core::link::Contract;
use umbel_provider::Targets;
use umbel_provider::http::{Body, Handler, Request};
use umbel_wit::{Call, Link, Serve, Value};

/// How often a component that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How much of what a component says is told.
const WORDS_MAX: usize = 200;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// `wasmcloud:cron/scheduler@0.1.0`: `invoke: func(payload: list<u8>) -> result<_, string>`.
    Scheduler,
    /// `wasi:http/incoming-handler`: a POST of the payload, with the job's name in `x-umbel-cron`.
    Http,
    /// `wasi:cli/run`: `run: func() -> result`. The payload is not seen.
    Run,
}

impl Face {
    /// The face that a link from the provider to a component names.
    pub(crate) fn of(contract: &Contract) -> Result<Face, CronError> {
        let has = |interface: &str| contract.interfaces.iter().any(|name| name == interface);
        match (contract.namespace.as_str(), contract.package.as_str()) {
            ("wasmcloud", "cron") if has("scheduler") => Ok(Face::Scheduler),
            ("wasi", "http") if has("incoming-handler") || has("handler") => Ok(Face::Http),
            ("wasi", "cli") if has("run") => Ok(Face::Run),
            _ => Err(CronError::Contract { contract: contract.to_string() }),
        }
    }

    fn interface(self) -> &'static str {
        match self {
            Face::Scheduler => "wasmcloud:cron/scheduler",
            Face::Http => "wasi:http/incoming-handler",
            Face::Run => "wasi:cli/run",
        }
    }
}

/// A component, and how it is called.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) targets: Arc<dyn Targets>,
    pub(crate) component: String,
    pub(crate) face: Face,
    pub(crate) link: Arc<Link>,
    pub(crate) path: String,
    pub(crate) timeout: Duration,
    /// How long a component that is not there is waited for.
    pub(crate) patience: Duration,
}

/// What is found of a component.
enum Found {
    Export(Arc<dyn Serve>),
    Http(Arc<dyn Handler>),
}

/// Why a run did not end well.
pub(crate) struct Failure {
    pub(crate) error: CronError,
    pub(crate) cause: Option<Problem>,
}

impl Target {
    /// Runs the job once, for the time `due` of its schedule.
    pub(crate) async fn run(&self, job: &Job, due: Duration) -> Result<(), Failure> {
        let found = self.find(job).await.map_err(|error| Failure { error, cause: None })?;
        let call = async {
            match found {
                Found::Export(export) => self.invoke(&*export, job).await,
                Found::Http(handler) => self.post(&*handler, job, due).await,
            }
        };
        let (name, component) = (job.name.clone(), self.component.clone());
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(words))) => {
                Err(Failure { error: CronError::Failed { job: name, component, words }, cause: None })
            }
            Ok(Err(problem)) => {
                let error = CronError::Failed { job: name, component, words: problem.message.clone() };
                Err(Failure { error, cause: Some(problem) })
            }
            Err(_) => {
                let error = CronError::Timeout { job: name, component, after: self.timeout };
                Err(Failure { error, cause: None })
            }
        }
    }

    /// The component's export. One that is being started or replaced at this very moment is waited for.
    async fn find(&self, job: &Job) -> Result<Found, CronError> {
        let end = tokio::time::Instant::now() + self.patience;
        loop {
            let found = match self.face {
                Face::Http => self.targets.http(&self.component).map(Found::Http),
                face => self.targets.export(&self.component, face.interface()).map(Found::Export),
            };
            if let Some(found) = found {
                return Ok(found);
            }
            if tokio::time::Instant::now() >= end {
                return Err(CronError::TargetDown {
                    job: job.name.clone(),
                    component: self.component.clone(),
                    interface: self.face.interface().into(),
                });
            }
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + LOOK_AGAIN)).await;
        }
    }

    /// What the component said, if it returned an error.
    async fn invoke(&self, export: &dyn Serve, job: &Job) -> Result<Option<String>, Problem> {
        let (function, args) = match self.face {
            Face::Run => ("run", Vec::new()),
            _ => ("invoke", vec![Value::Bytes(job.payload.clone())]),
        };
        let call = Call {
            link: self.link.clone(),
            interface: self.face.interface().into(),
            version: None,
            function: function.into(),
            args,
            patience: Some(self.timeout),
        };
        match export.call(call).await? {
            Some(Value::Result(Ok(_))) => Ok(None),
            Some(Value::Result(Err(error))) => match error.map(|error| *error) {
                Some(Value::String(words)) => Ok(Some(shortened(&words))),
                _ => Ok(Some("it returned an error".into())),
            },
            _ => Err(Problem::new(guest::CONTRACT_MISMATCH, format!("`{function}` gave no `result`"))),
        }
    }

    /// The status, if it says that the job failed.
    async fn post(&self, handler: &dyn Handler, job: &Job, due: Duration) -> Result<Option<String>, Problem> {
        let response = handler.call(self.request(job, due)?).await?;
        let status = response.status();
        let mut body = response.into_body();
        // To its end, because the component may do its work while it writes; but nobody reads it.
        while let Some(frame) = body.frame().await {
            if let Err(error) = frame {
                return Ok(Some(shortened(&format!("its answer broke off: {error}"))));
            }
        }
        let failed = status.is_client_error() || status.is_server_error();
        Ok(failed.then(|| format!("it answered with the status {status}")))
    }

    fn request(&self, job: &Job, due: Duration) -> Result<Request, Problem> {
        // A header has visible letters only; names with others are shown as they can be.
        let name: String =
            job.name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        http::Request::post(&self.path)
            .header(http::header::HOST, "cron.localhost")
            .header(http::header::CONTENT_LENGTH, job.payload.len())
            .header("x-umbel-cron", name.trim())
            .header("x-umbel-cron-time", rfc3339(due))
            .body(body(job.payload.clone()))
            .map_err(|error| Problem::new(guest::INVALID_REQUEST, error.to_string()))
    }
}

fn body(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes).map_err(|never| match never {}))
}

fn shortened(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}
