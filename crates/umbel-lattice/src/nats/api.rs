//! What JetStream is asked, and how it refuses.

use super::link::Shared;
use crate::error::NatsProblem;
use crate::{LatticeError, Result};
use async_nats::jetstream::account::Account;
use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{Error, ErrorCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why JetStream did not do something.
#[derive(Debug)]
pub(super) enum Refused {
    /// It says why.
    Api(Error),
    /// It was not reached, or not in time.
    Lattice(LatticeError),
}

impl Refused {
    pub(super) fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Refused::Api(error) if error.error_code() == code)
    }

    /// The error for whoever asked.
    pub(super) fn of(self, shared: &Shared) -> LatticeError {
        match self {
            Refused::Lattice(error) => error,
            Refused::Api(error) => {
                let off = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
                let reason = error.to_string();
                shared.problem(if off.contains(&error.error_code()) {
                    NatsProblem::NoJetStream { domain: shared.domain.clone(), reason }
                } else {
                    NatsProblem::State { reason }
                })
            }
        }
    }
}

impl Shared {
    pub(super) fn problem(&self, problem: NatsProblem) -> LatticeError {
        LatticeError::Nats { server: self.server.clone(), problem }
    }

    /// The root of JetStream's subjects.
    pub(super) fn api_root(&self) -> String {
        match &self.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".into(),
        }
    }

    /// Asks JetStream. `what` is a subject without the root.
    pub(super) async fn api<T, B>(&self, what: &str, body: &B) -> Result<T, Refused>
    where
        T: DeserializeOwned,
        B: Serialize + Sync + ?Sized,
    {
        let asking = async {
            let subject = what.to_string();
            let response: Result<Response<T>, _> = self.context.request(subject, body).await;
            match response {
                Ok(Response::Ok(answer)) => Ok(Ok(answer)),
                Ok(Response::Err { error }) => Ok(Err(error)),
                Err(error) => Err(match error.kind() {
                    RequestErrorKind::TimedOut => {
                        LatticeError::Timeout { subject: what.to_string(), after: super::link::STATE_MAX }
                    }
                    RequestErrorKind::NoResponders => self.problem(NatsProblem::NoJetStream {
                        domain: self.domain.clone(),
                        reason: "nobody answers for it".into(),
                    }),
                    _ => self.problem(NatsProblem::State { reason: error.to_string() }),
                }),
            }
        };
        match self.over(what, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Refused::Api(error)),
            Err(error) => Err(Refused::Lattice(error)),
        }
    }
}

/// Sees that there is JetStream.
pub(super) async fn account(shared: &Shared) -> Result<()> {
    let asked: Result<Account, Refused> = shared.api("INFO", &()).await;
    match asked.map_err(|refused| refused.of(shared)) {
        Ok(_) => Ok(()),
        // Without JetStream nobody may be there to say no.
        Err(LatticeError::Timeout { .. }) => Err(shared.problem(NatsProblem::NoJetStream {
            domain: shared.domain.clone(),
            reason: "it does not answer".into(),
        })),
        Err(error) => Err(error),
    }
}
