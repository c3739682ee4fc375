//! The one task that owns a supervisor's state and performs what the machine decides.

mod rows;

use crate::contain::contain;
use crate::context::{Bell, ChildContext, Note, Ready};
use crate::error::SupervisorError;
use crate::handle::{Command, Env, Handle, Progress, Reply, Shared};
use crate::machine::{Effect, Event, Key, Machine, Phase, Policy, Run, Time};
use crate::scope::Scope;
use crate::spec::{BoxFuture, ChildSpec, Start, SupervisorSpec};
use crate::stop::Stop;
use rows::{Row, Rows};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use umbel_core::Problem;
use umbel_core::code::supervisor as code;

type Exit = Result<(), Problem>;

/// Runs a supervisor to its end: `Err` when it escalates.
///
/// Boxed, because a supervisor can be a child of a supervisor.
pub(crate) fn run(
    shared: Arc<Shared>,
    spec: Arc<SupervisorSpec>,
    env: Env,
    stop: Stop,
    commands: mpsc::Receiver<Command>,
    parent: Option<Parent>,
) -> BoxFuture<Exit> {
    Box::pin(async move {
        // However the run ends, even when it is aborted, handles must not wait for it.
        let end = EndGuard { shared: shared.clone() };
        let task = Task::new(shared, &spec, env, stop, parent);
        let result = task.live(&spec.children, commands).await;
        end.shared.close();
        end.shared.progress.send_replace(Progress::Ended(result.clone()));
        result
    })
}

/// What a sub-supervisor has of the supervisor above it.
pub(crate) struct Parent {
    /// Tells it that the first children are started.
    pub(crate) ready: Ready,
    /// Requested when it stops, or one above it: then nothing may be started any more, although the turn to stop comes later.
    pub(crate) closing: Stop,
}

struct EndGuard {
    shared: Arc<Shared>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.progress.send_if_modified(|progress| {
            let open = !matches!(progress, Progress::Ended(_));
            if open {
                let killed = Problem::new(code::CHILD_KILLED, "the supervisor was ended by force");
                *progress = Progress::Ended(Err(killed));
            }
            open
        });
    }
}

/// What somebody waits for.
enum Wait {
    Up(Reply),
    Down(Reply),
}

/// What runs of one child.
struct Running {
    run: Run,
    stop: Stop,
    abort: AbortHandle,
}

struct Task {
    shared: Arc<Shared>,
    env: Env,
    stop: Stop,
    parent: Option<Parent>,
    /// Tells the sub-supervisors to start nothing any more.
    closing: Stop,
    machine: Machine,
    epoch: Instant,
    bell: Arc<Bell>,
    ids: HashMap<Arc<str>, Key>,
    next_key: u64,
    rows: Rows,
    running: HashMap<Key, Running>,
    tasks: JoinSet<Exit>,
    task_keys: HashMap<Id, (Key, Run)>,
    waits: HashMap<Key, Vec<Wait>>,
    ended: Option<Exit>,
}

impl Task {
    fn new(shared: Arc<Shared>, spec: &SupervisorSpec, env: Env, stop: Stop, parent: Option<Parent>) -> Task {
        Task {
            machine: Machine::new(spec, env.seed),
            epoch: Instant::now(),
            bell: Arc::default(),
            ids: HashMap::new(),
            next_key: 0,
            rows: Rows::new(shared.clone(), env.clone()),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            task_keys: HashMap::new(),
            waits: HashMap::new(),
            ended: None,
            shared,
            env,
            stop,
            parent,
            closing: Stop::new(),
        }
    }

    async fn live(mut self, children: &[ChildSpec], mut commands: mpsc::Receiver<Command>) -> Exit {
        for child in children {
            if self.ids.contains_key(&child.id) {
                return Err(Problem::new(
                    code::CHILD_EXISTS,
                    format!("the child `{}` is listed twice", child.id),
                ));
            }
            self.add(child.clone());
        }
        self.on(Event::Begin);
        let stop = self.stop.clone();
        let bell = self.bell.clone();
        let above = self.parent.as_ref().map(|parent| parent.closing.clone()).unwrap_or_default();
        let mut mute = false;
        while self.ended.is_none() {
            let (stopping, frozen) = (self.machine.is_stopping(), self.machine.is_frozen());
            let due = self.machine.next_deadline().and_then(|time| self.epoch.checked_add(time));
            let publish = self.rows.publish_at();
            // Stop comes first, so that nothing is started after it was requested; exits come before commands.
            tokio::select! {
                biased;
                () = stop.requested(), if !stopping => self.on(Event::Shutdown),
                () = above.requested(), if !frozen => self.on(Event::Freeze),
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.on_ended(ended),
                () = bell.rung() => self.on_notes(),
                () = until(due) => self.on(Event::Tick),
                () = until(publish) => self.rows.publish(),
                command = commands.recv(), if !mute => match command {
                    Some(command) if !frozen => self.on_command(command),
                    // Whoever asks a supervisor that is ending learns by the dropped reply that it is not running.
                    Some(_) => {}
                    None if frozen => mute = true,
                    None => self.on(Event::Shutdown),
                },
            }
            if !frozen && self.machine.is_frozen() {
                self.shared.close();
                commands.close();
            }
        }
        self.rows.finish();
        self.ended.take().expect("the loop ends when it is there")
    }

    fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    fn on(&mut self, event: Event) {
        let effects = self.machine.on_event(self.now(), event);
        if self.machine.is_frozen() {
            self.closing.request();
        }
        for effect in effects {
            self.perform(effect);
        }
    }

    fn on_ended(&mut self, ended: Result<(Id, Exit), JoinError>) {
        let (id, exit) = match ended {
            Ok((id, exit)) => (id, exit),
            // The machine knows whether it was killed; otherwise the runtime itself is going down.
            Err(error) => (error.id(), Err(Problem::new(code::CHILD_KILLED, "it was ended by force"))),
        };
        // An abandoned run is not known any more.
        if let Some((key, run)) = self.task_keys.remove(&id) {
            self.running.remove(&key);
            self.on(Event::Exited { key, run, exit });
        }
    }

    fn on_notes(&mut self) {
        for note in self.bell.take() {
            match note {
                Note::Ready(key, run) => self.on(Event::Ready { key, run }),
                Note::Changed(key) => self.rows.touch(key),
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Add { spec, reply, .. } if self.ids.contains_key(&spec.id) => {
                let supervisor = self.shared.id.to_string();
                // A caller that does not wait for its answer any more is not told.
                let _ = reply.send(Err(SupervisorError::Exists { supervisor, id: spec.id.to_string() }));
            }
            Command::Add { spec, wait, reply } => {
                let key = Key(self.next_key);
                if wait {
                    self.waits.entry(key).or_default().push(Wait::Up(reply));
                } else {
                    let _ = reply.send(Ok(()));
                }
                self.add(spec);
            }
            Command::Replace { spec, reply } => {
                if let Some((key, reply)) = self.find(&spec.id.clone(), reply) {
                    let policy = Policy::from(&spec);
                    let sub = self.shared.sub(&spec, &self.env);
                    self.rows.replace(key, spec, sub);
                    self.waits.entry(key).or_default().push(Wait::Up(reply));
                    self.on(Event::Replace { key, policy });
                }
            }
            Command::Stop { id, reply } => self.command(&id, reply, Wait::Down, |key| Event::Stop { key }),
            Command::Remove { id, reply } => {
                self.command(&id, reply, Wait::Down, |key| Event::Remove { key })
            }
            Command::Restart { id, reply } => {
                self.command(&id, reply, Wait::Up, |key| Event::Restart { key })
            }
            Command::Revive { id, reply } => {
                if let Some((key, reply)) = self.find(&id, reply) {
                    let _ = reply.send(Ok(()));
                    self.on(Event::Revive { key });
                }
            }
        }
    }

    fn command(&mut self, id: &Arc<str>, reply: Reply, wait: fn(Reply) -> Wait, event: fn(Key) -> Event) {
        if let Some((key, reply)) = self.find(id, reply) {
            self.waits.entry(key).or_default().push(wait(reply));
            self.on(event(key));
        }
    }

    fn find(&self, id: &Arc<str>, reply: Reply) -> Option<(Key, Reply)> {
        if let Some(key) = self.ids.get(id) {
            return Some((*key, reply));
        }
        let unknown = SupervisorError::Unknown { supervisor: self.shared.id.to_string(), id: id.to_string() };
        let _ = reply.send(Err(unknown));
        None
    }

    fn add(&mut self, spec: ChildSpec) {
        let key = Key(self.next_key);
        self.next_key += 1;
        self.ids.insert(spec.id.clone(), key);
        let policy = Policy::from(&spec);
        let sub = self.shared.sub(&spec, &self.env);
        self.rows.insert(key, Row::new(spec, sub, &self.bell, key));
        self.on(Event::Add { key, policy });
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start { key, run, cause } => {
                tracing::debug!(supervisor = %self.shared.id, child = %self.rows.id(key), ?cause, "start");
                self.start(key, run);
            }
            Effect::Stop { key, run } => {
                if let Some(running) = self.running.get(&key).filter(|running| running.run == run) {
                    running.stop.request();
                }
            }
            Effect::Kill { key, run } => {
                if let Some(running) = self.running.get(&key).filter(|running| running.run == run) {
                    running.abort.abort();
                }
            }
            Effect::Abandon { key, run } => {
                self.running.remove(&key);
                self.task_keys.retain(|_, known| *known != (key, run));
            }
            Effect::Changed { key, phase } => self.changed(key, phase),
            Effect::Failed { key, problem } => {
                let (supervisor, child) = (&self.shared.id, self.rows.id(key));
                tracing::warn!(%supervisor, %child, %problem, causes = ?problem.causes, "a child failed");
            }
            Effect::Removed { key, problem } => self.removed(key, problem),
            Effect::Started => {
                self.shared.progress.send_if_modified(|progress| {
                    let starting = matches!(progress, Progress::Starting);
                    *progress = Progress::Started;
                    starting
                });
                self.rows.started();
                if let Some(parent) = &self.parent {
                    parent.ready.notify();
                }
            }
            Effect::Ended { result } => self.ended = Some(result),
        }
    }

    fn start(&mut self, key: Key, run: Run) {
        let row = self.rows.get(key);
        let stop = Stop::new();
        let ready = Ready::new(self.bell.clone(), key, run);
        let task = match &row.spec.start {
            Start::Task(make) => {
                let context = ChildContext {
                    id: row.spec.id.clone(),
                    stop: stop.clone(),
                    ready,
                    detail: row.detail.clone(),
                    scope: Scope::new(row.spec.id.clone()),
                    shutdown: row.spec.shutdown,
                    supervisor: Handle::inner(self.shared.clone()),
                };
                let make = make.clone();
                let tasks = context.scope.spawner();
                Box::pin(async move {
                    // `make` runs inside too: it may panic before there is a future.
                    let exit = contain(async move { make(context).await }).await;
                    // What the child has started ends before the child counts as ended.
                    tasks.abort_all();
                    tasks.ended_soon().await;
                    exit.unwrap_or_else(|panic| Err(Problem::new(code::CHILD_PANICKED, panic)))
                })
            }
            Start::Supervisor(spec) => {
                let sub = row.sub.clone().expect("a supervisor child has a shared part");
                sub.lock().parent = Some((self.bell.clone(), key));
                let env = Env { clock: self.env.clock.clone(), seed: self.env.seed ^ (key.0 << 32 | run.0) };
                let mailbox = sub.open(stop.clone());
                let parent = Parent { ready, closing: self.closing.clone() };
                self::run(sub, spec.clone(), env, stop.clone(), mailbox, Some(parent))
            }
        };
        let abort = self.tasks.spawn(task);
        self.task_keys.insert(abort.id(), (key, run));
        self.running.insert(key, Running { run, stop, abort });
    }

    fn changed(&mut self, key: Key, phase: Phase) {
        let Some(child) = self.machine.child(key) else { return };
        self.rows.update(key, child, self.now());
        if phase == Phase::CrashLoop {
            let (supervisor, child_id) = (&self.shared.id, self.rows.id(key));
            tracing::error!(%supervisor, child = %child_id, why = child.why, "a child is in a crash loop and stays down");
        }
        self.answer_if_settled(key, phase);
    }

    /// Answers those who wait for the child, if it is where they want it, or cannot come there.
    fn answer_if_settled(&mut self, key: Key, phase: Phase) {
        let Some(child) = self.machine.child(key) else { return };
        let Some(waits) = self.waits.remove(&key) else { return };
        let id = || self.rows.id(key).to_string();
        let failed = || match &child.last_exit {
            Some(problem) => Err(SupervisorError::Failed { id: id(), problem: Box::new(problem.clone()) }),
            None => Err(SupervisorError::Stopped { id: id() }),
        };
        let mut left = Vec::new();
        for wait in waits {
            match (wait, phase) {
                (Wait::Up(reply), Phase::Running | Phase::Completed) => drop(reply.send(Ok(()))),
                (Wait::Up(reply), Phase::BackingOff { .. } | Phase::CrashLoop) => drop(reply.send(failed())),
                (Wait::Up(reply), Phase::Stopped { .. }) => {
                    drop(reply.send(Err(SupervisorError::Stopped { id: id() })));
                }
                (Wait::Down(reply), phase) if !phase.is_live() => drop(reply.send(Ok(()))),
                (wait, _) => left.push(wait),
            }
        }
        if !left.is_empty() {
            self.waits.insert(key, left);
        }
    }

    fn removed(&mut self, key: Key, problem: Option<Problem>) {
        let id = self.rows.id(key);
        for wait in self.waits.remove(&key).unwrap_or_default() {
            let (reply, answer) = match (wait, &problem) {
                (Wait::Down(reply), _) => (reply, Ok(())),
                (Wait::Up(reply), Some(problem)) => {
                    let problem = Box::new(problem.clone());
                    (reply, Err(SupervisorError::Failed { id: id.to_string(), problem }))
                }
                (Wait::Up(reply), None) => (reply, Err(SupervisorError::Stopped { id: id.to_string() })),
            };
            let _ = reply.send(answer);
        }
        self.ids.remove(&id);
        self.shared.lock().subs.remove(&id);
        self.rows.remove(key);
    }
}

/// Sleeps until then; for ever if there is no then.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending::<()>().await,
    }
}

/// The least time between two publications of a snapshot: small trees are fresh, big ones are not copied all the time.
fn publish_pause(children: usize) -> Duration {
    Duration::from_millis(5) + Duration::from_micros(20) * u32::try_from(children).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
