//! What handlers ask of the lattice.

use crate::convert;
use crate::document as doc;
use crate::problem::Problems;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use umbel_core::code::{Code, api};
use umbel_core::id::{AppName, HostId};
use umbel_core::link::Link;
use umbel_core::{Coded, Problem};
use umbel_lattice::control::{self, Host};
use umbel_lattice::{Lattice, LatticeError, wadm};
use umbel_supervisor::Stop;

/// A request to a host or the manager. Shorter than [`crate::serve::REQUEST_TIMEOUT`], so that its problem is the answer.
const LATTICE_TIMEOUT: Duration = Duration::from_secs(20);
/// Until every host has answered a ping.
const PING_WAIT: Duration = Duration::from_secs(1);

/// What is shared by all requests.
pub(crate) struct Service {
    pub(crate) lattice: Arc<dyn Lattice>,
    pub(crate) control: control::Client,
    pub(crate) applications: wadm::Client,
    pub(crate) version: String,
    pub(crate) shutdown: Arc<dyn Fn(&str) + Send + Sync>,
    /// Streams end when it is requested.
    pub(crate) stop: Stop,
    ping: control::Client,
}

impl Service {
    pub(crate) fn new(
        lattice: Arc<dyn Lattice>,
        version: String,
        shutdown: Arc<dyn Fn(&str) + Send + Sync>,
        stop: Stop,
    ) -> Service {
        Service {
            control: control::Client::new(lattice.clone(), LATTICE_TIMEOUT),
            ping: control::Client::new(lattice.clone(), PING_WAIT),
            applications: wadm::Client::new(lattice.clone(), LATTICE_TIMEOUT),
            lattice,
            version,
            shutdown,
            stop,
        }
    }

    /// The hosts that answer, in the order of their ids. None is no failure.
    pub(crate) async fn hosts(&self) -> Result<Vec<Host>, Problem> {
        let mut hosts = match self.ping.hosts().await {
            Ok(hosts) => hosts,
            Err(control::ControlError::Lattice(LatticeError::NoResponders { .. })) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        hosts.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(hosts)
    }

    /// The hosts that answer: at least one.
    pub(crate) async fn some_hosts(&self) -> Result<Vec<Host>, Problem> {
        let hosts = self.hosts().await?;
        if hosts.is_empty() {
            return Err(Problem::new(
                api::NO_HOST,
                format!("no host answers on the lattice `{}`", self.lattice.name()),
            ));
        }
        Ok(hosts)
    }

    /// What runs, by host. A host that ends while it is asked is left out.
    pub(crate) async fn inventories(&self) -> Result<Vec<doc::Host>, Problem> {
        let hosts = self.hosts().await?;
        let asked = join_all(hosts.iter().map(|host| self.control.inventory(&host.id))).await;
        let mut inventories = Vec::with_capacity(asked.len());
        for outcome in asked {
            match outcome {
                Ok(inventory) => inventories.push(convert::host(inventory)),
                Err(control::ControlError::Lattice(LatticeError::NoResponders { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(inventories)
    }

    /// The host that the component runs on.
    pub(crate) async fn host_of(&self, component: &str) -> Result<HostId, Problem> {
        for host in self.some_hosts().await? {
            let inventory = self.control.inventory(&host.id).await?;
            if inventory.components.iter().any(|view| view.id.as_str() == component) {
                return Ok(host.id);
            }
        }
        Err(Problem::new(api::NO_SUCH_NAME, format!("there is no component `{component}`")))
    }

    /// The host that knows most of a component or provider: the one that it runs on, or else the first.
    pub(crate) async fn host_of_part(&self, id: &str) -> Result<HostId, Problem> {
        let hosts = self.some_hosts().await?;
        for host in &hosts {
            let inventory = self.control.inventory(&host.id).await?;
            let mut providers = inventory.providers.iter().map(|view| view.id.as_str());
            if inventory.components.iter().any(|view| view.id.as_str() == id)
                || providers.any(|known| known == id)
            {
                return Ok(host.id.clone());
            }
        }
        let first = hosts.into_iter().next().map(|host| host.id);
        first.ok_or_else(|| Problem::new(api::NO_HOST, "no host answers"))
    }

    /// The hosts that have the provider: at least one.
    pub(crate) async fn hosts_of_provider(&self, id: &str) -> Result<Vec<HostId>, Problem> {
        let mut found = Vec::new();
        for host in self.some_hosts().await? {
            let inventory = self.control.inventory(&host.id).await?;
            if inventory.providers.iter().any(|view| view.id.as_str() == id) {
                found.push(host.id);
            }
        }
        if found.is_empty() {
            let message = format!("there is no provider `{}`", id.escape_debug());
            let help = "list the providers with `umbel provider list`";
            return Err(Problem::new(api::NO_SUCH_NAME, message).with_help(help));
        }
        Ok(found)
    }

    /// What all hosts warn of; what one of them refuses is refused.
    pub(crate) async fn check_link(&self, link: &Link) -> Result<Vec<String>, Problem> {
        let mut warnings: Option<Vec<String>> = None;
        for host in self.some_hosts().await? {
            let checked = self.control.check_link(&host.id, link).await?;
            // What is unknown to one host may run on another.
            warnings = Some(match warnings {
                None => checked.warnings,
                Some(known) => known.into_iter().filter(|text| checked.warnings.contains(text)).collect(),
            });
        }
        Ok(warnings.unwrap_or_default())
    }

    /// The application's versions, oldest first.
    pub(crate) async fn versions(&self, name: &AppName) -> Result<Vec<wadm::VersionInfo>, Problems> {
        let reply = managed(self.applications.versions(name.as_str()).await)?;
        match reply.result {
            wadm::GetResult::Success => Ok(reply.versions),
            wadm::GetResult::NotFound => Err(refused(reply.problems, not_found(name))),
            wadm::GetResult::Error => Err(refused(reply.problems, failed(reply.message))),
        }
    }

    /// Deploys a version, or the newest.
    pub(crate) async fn deploy(
        &self,
        name: &AppName,
        version: Option<&str>,
    ) -> Result<doc::Deployed, Problems> {
        let reply = managed(self.applications.deploy(name.as_str(), version).await)?;
        deployed(name, version, reply)
    }
}

/// The answer to a deploy or an undeploy.
pub(crate) fn deployed(
    name: &AppName,
    version: Option<&str>,
    reply: wadm::DeployReply,
) -> Result<doc::Deployed, Problems> {
    match reply.result {
        wadm::DeployResult::Acknowledged => {
            Ok(doc::Deployed { name: name.to_string(), version: reply.version, message: reply.message })
        }
        wadm::DeployResult::NotFound => {
            let problem = match version {
                Some(version) => no_version(name, version),
                None => not_found(name),
            };
            Err(refused(reply.problems, problem))
        }
        wadm::DeployResult::Error => Err(refused(reply.problems, failed(reply.message))),
    }
}

/// What the manager gave as problems, or else ours.
pub(crate) fn refused(problems: Vec<Problem>, fallback: Problem) -> Problems {
    Problems::from_list(problems).unwrap_or_else(|| fallback.into())
}

pub(crate) fn not_found(name: &AppName) -> Problem {
    Problem::new(api::NO_SUCH_APPLICATION, format!("there is no application `{name}`"))
}

pub(crate) fn no_version(name: &AppName, version: &str) -> Problem {
    Problem::new(
        api::NO_SUCH_APPLICATION,
        format!("there is no version `{}` of the application `{name}`", version.escape_debug()),
    )
    .with_help(format!("list the versions with `umbel inspect {name}`"))
}

pub(crate) fn failed(message: String) -> Problem {
    let message = if message.is_empty() { api::MANAGER_ANSWER.entry().title.to_string() } else { message };
    Problem::new(api::MANAGER_ANSWER, message)
}

/// What the manager answered; that nobody did is said in words that help.
pub(crate) fn managed<T>(outcome: Result<T, control::ControlError>) -> Result<T, Problems> {
    outcome.map_err(|error| match error {
        control::ControlError::Lattice(LatticeError::NoResponders { .. }) => {
            problem(api::NO_MANAGER, "no application manager answers on the lattice")
        }
        other => other.into(),
    })
}

impl From<control::ControlError> for Problems {
    fn from(error: control::ControlError) -> Problems {
        Problem::from(error).into()
    }
}

impl From<LatticeError> for Problems {
    fn from(error: LatticeError) -> Problems {
        Problem::from(&error).into()
    }
}

/// Checks a name or an id that came in a path or a body.
pub(crate) fn checked<T, E: Coded>(outcome: Result<T, E>) -> Result<T, Problems> {
    outcome.map_err(|error| Problem::from(&error).into())
}

/// A problem of one of the API's own codes.
pub(crate) fn problem(code: Code, message: impl Into<String>) -> Problems {
    Problem::new(code, message).into()
}
