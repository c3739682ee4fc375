//! Serves the application requests of wadm (`facts/wasmcloud.md` §4.7), and `rollback` and `digests`, which are ours.
//!
//! Requests change desired state and wake the task; none of them waits for hosts, but for a put that fetches images.

use crate::catalog::Catalog;
use crate::desired::Desired;
use crate::error::ManagerError;
use crate::observe::Observer;
use crate::plan::plan;
use crate::put::Putter;
use crate::status::{Failures, status};
use crate::store::{AppRecord, Owned};
use crate::task::{View, Wake};
use crate::world::World;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;
use umbel_core::Problem;
use umbel_core::id::AppName;
use umbel_lattice::control::{Pages, PartState};
use umbel_lattice::wadm::{
    CONTENT_TYPE, DelReply, DelResult, DeployReply, DeployResult, DigestsReply, FILE_NAME, GetReply,
    GetResult, ListReply, PartKind, PartStatus, PutReply, PutResult, Status, StatusInfo, StatusReply,
    StatusResult, StatusType, Summary, VersionInfo, VersionRequest, VersionsReply,
};
use umbel_lattice::{Lattice, LatticeError, Message};

/// Answers application requests. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    /// Where they come from.
    pub lattice: Arc<dyn Lattice>,
    /// Desired state.
    pub catalog: Arc<Catalog>,
    /// Stores manifests.
    pub putter: Arc<Putter>,
    /// Looks at the lattice.
    pub observer: Arc<Observer>,
    /// Answers that are longer than a message.
    pub pages: Pages,
    /// Wakes the task.
    pub wake: Arc<Wake>,
    /// What the task has found.
    pub view: watch::Receiver<Arc<View>>,
}

impl Server {
    /// Answers one request.
    pub async fn answer(&self, message: Message) {
        let payload = self.answer_to(&message).await;
        let mut given = self.pages.respond(&self.lattice, &message, payload).await;
        if let Err(error @ (LatticeError::TooLarge { .. } | LatticeError::Busy { .. })) = &given {
            let problem = Problem::from(error as &dyn umbel_core::Coded);
            let refused =
                body(&json!({"result": "error", "message": problem.to_string(), "problems": [problem]}));
            given = self.lattice.respond(&message, refused).await.map(|()| None);
        }
        match given {
            Ok(Some(rest)) => rest.hand_out().await,
            Ok(None) => {}
            Err(error) => tracing::warn!(subject = message.subject, %error, "an answer could not be sent"),
        }
    }

    async fn answer_to(&self, message: &Message) -> bytes::Bytes {
        let mut words = message.subject.split('.').skip_while(|word| *word != "model").skip(1);
        let (verb, name) = (words.next().unwrap_or_default(), words.next());
        let is_over = words.next().is_some();
        match (verb, name) {
            _ if is_over => body(&bad_request(message, "the subject has too many parts")),
            ("put", None) => body(&self.put(message).await),
            ("list", None) => body(&self.list().await.unwrap_or_default()),
            ("get", None) => body(&self.get_all().await),
            ("get", Some(name)) => body(&self.get(name, message).await),
            ("versions", Some(name)) => body(&self.versions(name).await),
            ("deploy", Some(name)) => body(&self.deploy(name, message).await),
            ("undeploy", Some(name)) => body(&self.undeploy(name).await),
            ("rollback", Some(name)) => body(&self.roll_back(name).await),
            ("digests", None) => body(&self.digests().await),
            ("status", Some(name)) => body(&self.status(name).await),
            ("del", Some(name)) => body(&self.del(name, message).await),
            _ => body(&bad_request(message, "it names no operation")),
        }
    }

    async fn put(&self, message: &Message) -> PutReply {
        let is_json = message.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
        let default = if is_json { "manifest.json" } else { "manifest.yaml" };
        let file = message.headers.get(FILE_NAME).filter(|file| file.len() <= 4_096).unwrap_or(default);
        match self.putter.put(file, &message.payload).await {
            Ok(reply) => reply,
            Err(error) => {
                let problems = error.problems();
                PutReply {
                    result: PutResult::Error,
                    total_versions: 0,
                    current_version: String::new(),
                    message: told(&problems),
                    name: String::new(),
                    unchanged: false,
                    problems,
                }
            }
        }
    }

    async fn list(&self) -> Result<Vec<Summary>, ManagerError> {
        let records = self.catalog.store().apps().await?;
        let world = self.observer.recent().await.unwrap_or_default();
        let mut list = Vec::with_capacity(records.len());
        for (name, record) in &records {
            match record {
                Ok(record) if record.deleted => {}
                Ok(record) => list.push(self.summary(record, &world).await),
                Err(error) => list.push(unreadable(name, error)),
            }
        }
        Ok(list)
    }

    async fn summary(&self, record: &AppRecord, world: &World) -> Summary {
        let status = self.status_of(record, world).await;
        let newest = record.newest().map(|meta| meta.version.clone()).unwrap_or_default();
        let shown = record.deployed.clone().unwrap_or_else(|| newest.clone());
        let version = self.catalog.version(record, &shown).await.ok();
        Summary {
            name: record.name.to_string(),
            version: newest,
            description: version.and_then(|version| version.application.description().map(str::to_owned)),
            deployed_version: record.deployed.clone(),
            status: status.status.kind,
            status_message: status.status.message.clone(),
            detailed_status: status,
        }
    }

    async fn get_all(&self) -> ListReply {
        match self.list().await {
            Ok(models) => ListReply { result: GetResult::Success, message: String::new(), models },
            Err(error) => {
                ListReply { result: GetResult::Error, message: error.to_string(), models: Vec::new() }
            }
        }
    }

    async fn get(&self, name: &str, message: &Message) -> GetReply {
        match self.try_get(name, message).await {
            Ok(manifest) => GetReply {
                result: GetResult::Success,
                message: String::new(),
                manifest: Some(manifest),
                problems: Vec::new(),
            },
            Err(error) => {
                let problems = error.problems();
                GetReply { result: get_result(&error), message: told(&problems), manifest: None, problems }
            }
        }
    }

    async fn try_get(&self, name: &str, message: &Message) -> Result<Value, ManagerError> {
        let name = app_name(name)?;
        let record = self.catalog.store().existing(&name).await?;
        let version = wanted_version(&record, message)?;
        let version = self.catalog.version(&record, &version).await?;
        let mut manifest = version.application.to_json();
        manifest["metadata"]["annotations"]["version"] = json!(version.record.version);
        Ok(manifest)
    }

    async fn versions(&self, name: &str) -> VersionsReply {
        let record = async { self.catalog.store().existing(&app_name(name)?).await }.await;
        match record {
            Ok(record) => {
                let info = |meta: &crate::store::VersionMeta| VersionInfo {
                    version: meta.version.clone(),
                    deployed: record.deployed.as_ref() == Some(&meta.version),
                    created_unix_ms: Some(meta.created_unix_ms),
                };
                let versions = record.versions.iter().map(info).collect();
                VersionsReply {
                    result: GetResult::Success,
                    message: String::new(),
                    versions,
                    problems: Vec::new(),
                }
            }
            Err(error) => {
                let problems = error.problems();
                VersionsReply {
                    result: get_result(&error),
                    message: told(&problems),
                    versions: Vec::new(),
                    problems,
                }
            }
        }
    }

    /// What hosts must keep. One version that cannot be read is the error of all: it may refer to anything.
    async fn digests(&self) -> DigestsReply {
        let (result, message, digests) = match self.catalog.store().digests().await {
            Ok(digests) => (GetResult::Success, String::new(), digests.into_iter().collect()),
            Err(error) => (GetResult::Error, error.to_string(), Vec::new()),
        };
        DigestsReply { result, message, digests }
    }

    async fn deploy(&self, name: &str, message: &Message) -> DeployReply {
        let deployed = async {
            let app = app_name(name)?;
            let store = self.catalog.store();
            let failed = self.failed(&store.existing(&app).await?).await;
            let change = |record: &mut AppRecord| {
                if record.deleted || record.versions.is_empty() {
                    return Err(ManagerError::ApplicationNotFound { name: name.to_owned() });
                }
                let version = wanted_version(record, message)?;
                record.desire(Some(version.clone()), failed == Some(record.generation));
                Ok(version)
            };
            Ok((app.clone(), store.change(&app, change).await?.1))
        };
        self.deploy_reply(name, deployed.await, "deploying version")
    }

    async fn roll_back(&self, name: &str) -> DeployReply {
        let deployed = async {
            let app = app_name(name)?;
            let store = self.catalog.store();
            store.existing(&app).await?;
            let nothing = || ManagerError::NothingToRollBack { name: name.to_owned() };
            let (_, version) = store.change(&app, |record| record.roll_back().ok_or_else(nothing)).await?;
            Ok((app, version))
        };
        self.deploy_reply(name, deployed.await, "rolling back to version")
    }

    async fn undeploy(&self, name: &str) -> DeployReply {
        let undeployed = async {
            let app = app_name(name)?;
            let store = self.catalog.store();
            let failed = self.failed(&store.existing(&app).await?).await;
            let change = |record: &mut AppRecord| {
                if record.deployed.is_some() {
                    record.desire(None, failed == Some(record.generation));
                }
                Ok(String::new())
            };
            Ok((app.clone(), store.change(&app, change).await?.1))
        };
        self.deploy_reply(name, undeployed.await, "undeploying")
    }

    fn deploy_reply(
        &self,
        name: &str,
        outcome: Result<(AppName, String), ManagerError>,
        doing: &str,
    ) -> DeployReply {
        match outcome {
            Ok((app, version)) => {
                self.wake.app(app);
                DeployReply {
                    result: DeployResult::Acknowledged,
                    message: format!("{doing} {version}").trim_end().to_owned(),
                    name: name.to_owned(),
                    version: Some(version),
                    problems: Vec::new(),
                }
            }
            Err(error) => {
                let problems = error.problems();
                let result = if is_not_found(&error) { DeployResult::NotFound } else { DeployResult::Error };
                DeployReply {
                    result,
                    message: told(&problems),
                    name: name.to_owned(),
                    version: None,
                    problems,
                }
            }
        }
    }

    async fn status(&self, name: &str) -> StatusReply {
        let status = async {
            let record = self.catalog.store().existing(&app_name(name)?).await?;
            let world = self.observer.recent().await?;
            Ok::<_, ManagerError>(self.status_of(&record, &world).await)
        };
        match status.await {
            Ok(status) => StatusReply {
                result: StatusResult::Ok,
                message: String::new(),
                status: Some(status),
                problems: Vec::new(),
            },
            Err(error) => {
                let problems = error.problems();
                let result = if is_not_found(&error) { StatusResult::NotFound } else { StatusResult::Error };
                StatusReply { result, message: told(&problems), status: None, problems }
            }
        }
    }

    /// The generation of the application, if what it desires has failed as far as is known.
    async fn failed(&self, record: &AppRecord) -> Option<u64> {
        record.deployed.as_ref()?;
        let world = self.observer.recent().await.ok()?;
        let status = self.status_of(record, &world).await;
        (status.status.kind == StatusType::Failed).then_some(record.generation)
    }

    async fn status_of(&self, record: &AppRecord, world: &World) -> Status {
        let seen = self.view.borrow().apps.get(&record.name).cloned();
        // What the task found by an older generation says nothing about this one.
        let seen = seen.filter(|seen| seen.generation == record.generation);
        if let Some(problem) = seen.as_ref().and_then(|seen| seen.problem.clone()) {
            return failed_status(record, problem);
        }
        match self.catalog.desired(record).await {
            Ok(desired) => {
                let world =
                    self.observer.with_configs(&desired, world).await.unwrap_or_else(|_| world.clone());
                let failures = seen.as_ref().map(|seen| seen.failures.clone()).unwrap_or_default();
                let mut status = current_status(&desired, &world, &failures, seen.is_some());
                self.name_what_serves(record, &desired, &world, &mut status).await;
                status
            }
            Err(error) => failed_status(record, error.problems().remove(0)),
        }
    }

    /// Where a component cannot become what is wanted, what ran before goes on: its version is named.
    async fn name_what_serves(
        &self,
        record: &AppRecord,
        desired: &Desired,
        world: &World,
        status: &mut Status,
    ) {
        status.previous = record.previous().cloned();
        let is_held_back = |part: &&mut PartStatus| {
            part.problem.is_some() && part.state == PartState::Running && part.kind == PartKind::Component
        };
        for part in status.parts.iter_mut().filter(is_held_back) {
            let wanted = desired.parts.iter().find(|wanted| wanted.id == part.id);
            let inventory = part.host_id.as_ref().and_then(|host| world.hosts.get(host));
            let view = inventory.and_then(|inventory| inventory.component(&part.id));
            if let (Some(wanted), Some(view)) = (wanted, view) {
                part.serving = self.catalog.serving(record, wanted, view).await;
            }
        }
    }

    async fn del(&self, name: &str, message: &Message) -> DelReply {
        match self.try_del(name, message).await {
            Ok((result, message, undeploy)) => DelReply { result, message, undeploy, problems: Vec::new() },
            Err(error) => {
                let problems = error.problems();
                let result = if is_not_found(&error) { DelResult::NotFound } else { DelResult::Error };
                DelReply { result, message: told(&problems), undeploy: false, problems }
            }
        }
    }

    async fn try_del(
        &self,
        name: &str,
        message: &Message,
    ) -> Result<(DelResult, String, bool), ManagerError> {
        let app = app_name(name)?;
        let store = self.catalog.store();
        let wanted = version_request(message)?.version;
        // What cannot be read can be deleted all the same: that is the way out.
        let existing = store.existing(&app).await;
        if wanted.is_none() && matches!(store.owned(&app).await, Err(ManagerError::BadRecord { .. })) {
            store.put_owned(&app, &Owned::default()).await?;
        }
        match existing {
            Err(ManagerError::BadRecord { .. }) if wanted.is_none() => return self.bury(app).await,
            existing => drop(existing?),
        }
        let (_, (was_deployed, meta)) = store
            .change(&app, |record| {
                let is_deployed =
                    record.deployed.is_some() && (wanted.is_none() || record.deployed == wanted);
                if is_deployed || wanted.is_none() {
                    record.desire(None, false);
                }
                let meta = wanted.as_ref().and_then(|version| record.version(version)).cloned();
                match &wanted {
                    None => record.deleted = true,
                    Some(version) if meta.is_some() => {
                        record.versions.retain(|meta| meta.version != *version);
                        record.history.retain(|other| other != version);
                        record.deleted = record.versions.is_empty();
                    }
                    Some(version) => {
                        let (name, version) = (name.to_owned(), version.clone());
                        return Err(ManagerError::VersionNotFound { name, version });
                    }
                }
                Ok((is_deployed, meta))
            })
            .await?;
        let told = match &wanted {
            Some(version) => {
                if let Some(meta) = meta {
                    store.del_version(&app, &meta).await?;
                }
                format!("deleted version {version} of `{name}`")
            }
            None => format!("deleted `{name}`"),
        };
        self.wake.app(app);
        Ok((DelResult::Deleted, told, was_deployed))
    }

    /// Deletes an application of which nothing is known but its name. Milliseconds since 1970 are more than anybody has counted
    /// deploys, so that hosts take what comes next for newer than all that they know.
    async fn bury(&self, app: AppName) -> Result<(DelResult, String, bool), ManagerError> {
        let now = self.putter.clock.unix_time().as_millis();
        self.catalog.store().bury(&app, u64::try_from(now).unwrap_or(u64::MAX)).await?;
        let told = format!("deleted `{app}`, whose record could not be read");
        self.wake.app(app);
        Ok((DelResult::Deleted, told, true))
    }
}

/// An application whose record cannot be read: what runs of it is left alone.
fn unreadable(name: &AppName, error: &ManagerError) -> Summary {
    let status = failed_status(&AppRecord::new(name.clone()), error.problems().remove(0));
    Summary {
        name: name.to_string(),
        version: String::new(),
        description: None,
        deployed_version: None,
        status: status.status.kind,
        status_message: status.status.message.clone(),
        detailed_status: status,
    }
}

/// A status in which everything that is still to be seen counts as under way.
fn current_status(desired: &Desired, world: &World, failures: &Failures, is_seen: bool) -> Status {
    let plan = plan(desired, world);
    let mut status = status(desired, world, &plan, failures);
    if !is_seen && status.status.kind == StatusType::Deployed && !plan.steps.is_empty() {
        status.status.kind = StatusType::Reconciling;
    }
    status
}

/// A status of an application that could not be looked at: it waits if time may heal that.
fn failed_status(record: &AppRecord, problem: Problem) -> Status {
    let kind = if problem.kind.is_retryable() { StatusType::Waiting } else { StatusType::Failed };
    Status {
        status: StatusInfo { kind, message: problem.message.clone() },
        version: record.deployed.clone().unwrap_or_default(),
        previous: record.previous().cloned(),
        problems: vec![problem],
        generation: Some(record.generation),
        ..Status::default()
    }
}

fn app_name(name: &str) -> Result<AppName, ManagerError> {
    AppName::new(name).map_err(|error| ManagerError::Manifest { problems: vec![Problem::from(&error)] })
}

fn version_request(message: &Message) -> Result<VersionRequest, ManagerError> {
    if message.payload.is_empty() {
        return Ok(VersionRequest::default());
    }
    serde_json::from_slice::<Option<VersionRequest>>(&message.payload).map(Option::unwrap_or_default).map_err(
        |error| ManagerError::BadRequest { subject: message.subject.clone(), reason: error.to_string() },
    )
}

/// The version that the request names, or the newest.
fn wanted_version(record: &AppRecord, message: &Message) -> Result<String, ManagerError> {
    let not_found = |version: &str| ManagerError::VersionNotFound {
        name: record.name.to_string(),
        version: version.to_owned(),
    };
    match version_request(message)?.version.filter(|version| !version.is_empty() && version != "latest") {
        Some(version) if record.has(&version) => Ok(version),
        Some(version) => Err(not_found(&version)),
        None => record.newest().map(|meta| meta.version.clone()).ok_or_else(|| not_found("latest")),
    }
}

fn is_not_found(error: &ManagerError) -> bool {
    matches!(error, ManagerError::ApplicationNotFound { .. } | ManagerError::VersionNotFound { .. })
}

fn get_result(error: &ManagerError) -> GetResult {
    if is_not_found(error) { GetResult::NotFound } else { GetResult::Error }
}

/// One text for clients that show no problems.
fn told(problems: &[Problem]) -> String {
    let line = |problem: &Problem| match &problem.span {
        Some(span) => format!("{span}: {problem}"),
        None => problem.to_string(),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("; ")
}

fn bad_request(message: &Message, reason: &str) -> Value {
    let error = ManagerError::BadRequest { subject: message.subject.clone(), reason: reason.to_owned() };
    let problems = error.problems();
    json!({"result": "error", "message": told(&problems), "problems": problems})
}

fn body<T: Serialize>(reply: &T) -> bytes::Bytes {
    serde_json::to_vec(reply).expect("replies are structs with string keys").into()
}
