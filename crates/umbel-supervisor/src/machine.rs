//! What a supervisor decides, without doing it: events in, effects out, time as an argument.
//!
//! Everything that takes time is level-triggered: the machine keeps what is still to stop and to start, and after every event
//! does as much of it as the order allows.
//!
//! ```text
//! to_stop ─▶ leaving ─▶ (down)          stops come before starts
//! to_start ─▶ rising ─▶ (ready)         sequential: one at a time; together: all
//! ```
//!
//! The cost of an event does not depend on the number of children, except where it concerns all of them.

mod child;
mod rate;

pub(crate) use child::{Child, Goal, Phase, Policy};

use crate::spec::{Intensity, Order, Restart, Strategy, SupervisorSpec};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rate::Rate;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::supervisor as code;

/// Time since the supervisor began.
pub(crate) type Time = Duration;

/// How long a killed child may take to be gone before it is given up: a task that never yields cannot be ended.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(1);

/// Names a child; later children have greater keys, and keys are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

/// Counts the runs of one child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Run(pub(crate) u64);

/// Why a child is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// For the first time.
    First,
    /// It failed. Only these starts count against an intensity.
    Failure,
    /// A sibling failed, and the strategy says that it is restarted too.
    Group,
    /// Somebody asked for it.
    ByHand,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Begin the ordered start of the children that were added so far.
    Begin,
    /// A new child. Its key must be greater than every key before.
    Add { key: Key, policy: Policy },
    /// Another specification for a child: it is stopped and started again, forgiven.
    Replace { key: Key, policy: Policy },
    /// The child said that it is ready.
    Ready { key: Key, run: Run },
    /// The child ended.
    Exited { key: Key, run: Run, exit: Result<(), Problem> },
    /// Somebody asked to stop it.
    Stop { key: Key },
    /// Somebody asked to start it again.
    Restart { key: Key },
    /// Somebody asked that it runs.
    Revive { key: Key },
    /// Somebody asked to take it off the list.
    Remove { key: Key },
    /// Start nothing any more: a supervisor above is stopping, and the turn of this one will come.
    Freeze,
    /// Stop everything.
    Shutdown,
    /// Time has passed.
    Tick,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start this run.
    Start { key: Key, run: Run, cause: Cause },
    /// Ask it to end.
    Stop { key: Key, run: Run },
    /// End it by force.
    Kill { key: Key, run: Run },
    /// Forget it: it does not even end by force.
    Abandon { key: Key, run: Run },
    /// It has come to this phase; it may be in another when all effects of the event are performed.
    Changed { key: Key, phase: Phase },
    /// It failed; for the log.
    Failed { key: Key, problem: Problem },
    /// It is off the list; why it ended if that was a failure.
    Removed { key: Key, problem: Option<Problem> },
    /// The ordered start is complete.
    Started,
    /// All children are down, and the supervisor ends with this.
    Ended { result: Result<(), Problem> },
}

#[derive(Debug)]
enum Mode {
    /// Children are added, nothing is started.
    Idle,
    Serving,
    Stopping(Result<(), Problem>),
    Ended,
}

/// The decisions of one supervisor.
pub(crate) struct Machine {
    strategy: Strategy,
    order: Order,
    intensity: Intensity,
    escalate: bool,
    children: BTreeMap<Key, Child>,
    timers: BTreeSet<(Time, Key)>,
    live: usize,
    to_stop: BTreeSet<Key>,
    leaving: BTreeSet<Key>,
    to_start: BTreeSet<Key>,
    rising: BTreeSet<Key>,
    /// The child whose backoff its group waits for.
    hold: Option<Key>,
    rate: Rate,
    mode: Mode,
    frozen: bool,
    announced: bool,
    chance: SmallRng,
    effects: Vec<Effect>,
}

impl Machine {
    pub(crate) fn new(spec: &SupervisorSpec, seed: u64) -> Machine {
        Machine {
            strategy: spec.strategy,
            order: spec.order,
            intensity: spec.intensity,
            escalate: spec.escalate,
            children: BTreeMap::new(),
            timers: BTreeSet::new(),
            live: 0,
            to_stop: BTreeSet::new(),
            leaving: BTreeSet::new(),
            to_start: BTreeSet::new(),
            rising: BTreeSet::new(),
            hold: None,
            rate: Rate::default(),
            mode: Mode::Idle,
            frozen: false,
            announced: false,
            chance: SmallRng::seed_from_u64(seed),
            effects: Vec::new(),
        }
    }

    pub(crate) fn child(&self, key: Key) -> Option<&Child> {
        self.children.get(&key)
    }

    /// Whether it starts nothing any more. It stays so until it ends.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Whether it stops its children, or has.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping(_) | Mode::Ended)
    }

    /// When the next [`Event::Tick`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// Decides. `now` never goes backwards.
    pub(crate) fn on_event(&mut self, now: Time, event: Event) -> Vec<Effect> {
        match event {
            Event::Begin => {
                if matches!(self.mode, Mode::Idle) {
                    self.mode = Mode::Serving;
                }
            }
            Event::Add { key, policy } => self.add(now, key, policy),
            Event::Replace { key, policy } => {
                if let Some(child) = self.children.get_mut(&key) {
                    child.policy = policy;
                    self.restart_by_hand(now, key);
                }
            }
            Event::Ready { key, run } => {
                if let Some(child) = self.children.get_mut(&key)
                    && child.run == run
                    && matches!(child.phase, Phase::Starting { .. })
                {
                    child.ready_at = Some(now);
                    self.enter(key, Phase::Running);
                }
            }
            Event::Exited { key, run, exit } => {
                if self.children.get(&key).is_some_and(|child| child.run == run && child.phase.is_live()) {
                    self.down(now, key, exit);
                }
            }
            Event::Stop { key } => self.stop_by_hand(now, key, Goal::Down),
            Event::Remove { key } => self.stop_by_hand(now, key, Goal::Remove),
            Event::Restart { key } => self.restart_by_hand(now, key),
            Event::Revive { key } => self.revive(now, key),
            Event::Freeze => self.freeze(),
            Event::Shutdown => self.begin_stop(Ok(())),
            Event::Tick => {}
        }
        self.settle(now);
        std::mem::take(&mut self.effects)
    }

    fn add(&mut self, now: Time, key: Key, policy: Policy) {
        self.children.insert(key, Child::new(policy));
        if self.frozen {
            self.enter(key, Phase::Stopped { held: false });
        } else if matches!(self.mode, Mode::Idle) || !self.group_is_settled() {
            self.to_start.insert(key);
        } else {
            self.start(now, key, Cause::First);
        }
    }

    /// Whether a child may be started out of turn: always when children do not depend on one another's restarts.
    fn group_is_settled(&self) -> bool {
        self.strategy == Strategy::OneForOne
            || (self.to_stop.is_empty()
                && self.leaving.is_empty()
                && self.to_start.is_empty()
                && self.rising.is_empty())
    }

    fn restart_by_hand(&mut self, now: Time, key: Key) {
        if self.frozen {
            return;
        }
        let Some(child) = self.children.get_mut(&key) else { return };
        child.forgive();
        match child.phase {
            Phase::Starting { .. } | Phase::Running => {
                child.goal = Goal::Again;
                self.ask_to_stop(now, key);
            }
            Phase::Stopping { .. } if child.goal == Goal::Remove => {}
            Phase::Stopping { .. } => child.goal = Goal::Again,
            Phase::Waiting(_) => {}
            _ if self.strategy == Strategy::OneForOne => self.start(now, key, Cause::ByHand),
            _ => {
                self.release_held();
                self.queue(key, Cause::ByHand);
            }
        }
    }

    /// Starts a child that is down. One that lives goes on, its failures forgiven: if its end is already on the way, it is not
    /// the one that was too many.
    fn revive(&mut self, now: Time, key: Key) {
        match self.children.get_mut(&key) {
            Some(child) if matches!(child.phase, Phase::Starting { .. } | Phase::Running) => child.forgive(),
            _ => self.restart_by_hand(now, key),
        }
    }

    /// Lets those start again that were held down by a sibling in a crash loop.
    fn release_held(&mut self) {
        let held = self.children.iter().filter(|(_, child)| child.phase == Phase::Stopped { held: true });
        let keys: Vec<Key> = held.map(|(key, _)| *key).collect();
        for key in keys {
            self.queue(key, Cause::Group);
        }
    }

    fn queue(&mut self, key: Key, cause: Cause) {
        self.enter(key, Phase::Waiting(cause));
        self.to_start.insert(key);
    }

    fn stop_by_hand(&mut self, now: Time, key: Key, goal: Goal) {
        let Some(child) = self.children.get_mut(&key) else { return };
        let remove = goal == Goal::Remove || child.goal == Goal::Remove;
        match child.phase {
            Phase::Starting { .. } | Phase::Running => {
                child.goal = goal;
                self.ask_to_stop(now, key);
            }
            Phase::Stopping { .. } => child.goal = if remove { Goal::Remove } else { Goal::Down },
            _ if remove => self.remove(key, None),
            _ => self.enter(key, Phase::Stopped { held: false }),
        }
    }

    fn begin_stop(&mut self, result: Result<(), Problem>) {
        if self.is_stopping() {
            return;
        }
        self.freeze();
        self.mode = Mode::Stopping(result);
        for (key, child) in &mut self.children {
            if child.phase.is_live() {
                if child.goal != Goal::Remove {
                    child.goal = Goal::Down;
                }
                self.to_stop.insert(*key);
            }
        }
    }

    /// From now on whatever goes down stays down.
    fn freeze(&mut self) {
        if self.frozen {
            return;
        }
        self.frozen = true;
        self.to_start.clear();
        self.rising.clear();
        let keys: Vec<Key> = self.children.keys().copied().collect();
        for key in keys {
            let child = self.children.get_mut(&key).expect("the keys were just read");
            if matches!(child.goal, Goal::Again | Goal::Regroup | Goal::Held | Goal::Fault(_)) {
                child.goal = Goal::Down;
            }
            if matches!(child.phase, Phase::Waiting(_) | Phase::BackingOff { .. }) {
                self.enter(key, Phase::Stopped { held: false });
            }
        }
    }

    /// Acts on what is due and on what the order allows, until nothing more can be done now.
    fn settle(&mut self, now: Time) {
        loop {
            self.fire(now);
            self.advance(now);
            if self.next_deadline().is_none_or(|due| due > now) {
                return;
            }
        }
    }

    fn fire(&mut self, now: Time) {
        while let Some((due, key)) = self.timers.first().copied()
            && due <= now
        {
            let child = self.children.get_mut(&key).expect("a timer belongs to a child");
            let run = child.run;
            match child.phase {
                // Its turn to be stopped comes anyway.
                Phase::Starting { .. } if child.goal != Goal::Up => {
                    self.enter(key, Phase::Starting { until: None })
                }
                Phase::Starting { .. } => {
                    let waited = child.policy.start_deadline.as_secs_f64();
                    let message = format!("it was not ready within {waited} s");
                    child.goal = Goal::Fault(Box::new(Problem::new(code::START_TIMEOUT, message)));
                    self.ask_to_stop(now, key);
                }
                Phase::BackingOff { .. } if self.to_start.contains(&key) => {
                    self.enter(key, Phase::Waiting(Cause::Failure));
                }
                Phase::BackingOff { .. } => self.start(now, key, Cause::Failure),
                Phase::Stopping { killed: false, .. } => {
                    self.effects.push(Effect::Kill { key, run });
                    self.enter(key, Phase::Stopping { until: after(now, KILL_GRACE), killed: true });
                }
                Phase::Stopping { killed: true, .. } => {
                    self.effects.push(Effect::Abandon { key, run });
                    let message = "it did not end when it was killed, and was abandoned";
                    self.down(now, key, Err(Problem::new(code::CHILD_ABANDONED, message)));
                }
                _ => unreachable!("only these phases have a deadline"),
            }
        }
    }

    fn advance(&mut self, now: Time) {
        let together = self.order == Order::Together;
        loop {
            while !self.to_stop.is_empty() && (together || self.leaving.is_empty()) {
                let key = self.to_stop.pop_last().expect("it is not empty");
                let phase = self.children.get(&key).map(|child| child.phase);
                if phase.is_some_and(Phase::is_live) {
                    self.leaving.insert(key);
                }
                if phase.is_some_and(Phase::is_up) {
                    self.ask_to_stop(now, key);
                }
            }
            if !self.leaving.is_empty() {
                return;
            }
            match &mut self.mode {
                Mode::Idle | Mode::Ended => return,
                Mode::Stopping(result) => {
                    if self.live == 0 {
                        let result = std::mem::replace(result, Ok(()));
                        self.mode = Mode::Ended;
                        self.effects.push(Effect::Ended { result });
                    }
                    return;
                }
                Mode::Serving => {}
            }
            self.advance_starts(now, together);
            // A start may have been one too many, and then the group comes down.
            if self.to_stop.is_empty() && !self.is_stopping() {
                return;
            }
        }
    }

    fn advance_starts(&mut self, now: Time, together: bool) {
        let phase_of = |machine: &Machine, key: Key| machine.children.get(&key).map(|child| child.phase);
        if self.hold.is_some_and(|key| matches!(phase_of(self, key), Some(Phase::BackingOff { .. }))) {
            return;
        }
        self.hold = None;
        while !self.to_start.is_empty() && (together || self.rising.is_empty()) && self.to_stop.is_empty() {
            let key = self.to_start.pop_first().expect("it is not empty");
            match phase_of(self, key) {
                Some(Phase::Waiting(cause)) => {
                    self.rising.insert(key);
                    self.start(now, key, cause);
                }
                Some(Phase::BackingOff { .. } | Phase::Starting { .. } | Phase::Stopping { .. }) => {
                    self.rising.insert(key);
                }
                _ => {}
            }
        }
        if !self.announced && !self.frozen && self.to_start.is_empty() && self.rising.is_empty() {
            self.announced = true;
            self.effects.push(Effect::Started);
        }
    }

    fn start(&mut self, now: Time, key: Key, cause: Cause) {
        let child = self.children.get_mut(&key).expect("only known children are started");
        if cause == Cause::Failure {
            let (intensity, rate) = match &child.policy.intensity {
                Some(own) => (own, &mut child.rate),
                None => (&self.intensity, &mut self.rate),
            };
            if let Err(why) = rate.check(intensity, now) {
                return self.give_up(key, why);
            }
            rate.record(intensity, now);
        }
        if matches!(cause, Cause::Failure | Cause::Group) {
            child.restarts = child.restarts.saturating_add(1);
        }
        child.run = Run(child.run.0 + 1);
        child.shutdown = child.policy.shutdown;
        child.goal = Goal::Up;
        child.why = None;
        child.ready_at = (!child.policy.waits_for_ready).then_some(now);
        let phase = match child.policy.waits_for_ready {
            true => Phase::Starting { until: after(now, child.policy.start_deadline) },
            false => Phase::Running,
        };
        self.effects.push(Effect::Start { key, run: child.run, cause });
        self.enter(key, phase);
    }

    fn ask_to_stop(&mut self, now: Time, key: Key) {
        let child = self.children.get_mut(&key).expect("only known children are stopped");
        let until = after(now, child.shutdown);
        self.effects.push(Effect::Stop { key, run: child.run });
        self.enter(key, Phase::Stopping { until, killed: false });
    }

    /// A run has ended: what now?
    fn down(&mut self, now: Time, key: Key, exit: Result<(), Problem>) {
        let child = self.children.get_mut(&key).expect("only known children end");
        let killed = matches!(child.phase, Phase::Stopping { killed: true, .. });
        let exit = match exit {
            Err(problem) if problem.code == code::CHILD_ABANDONED => Err(problem),
            _ if killed => {
                let waited = child.shutdown.as_secs_f64();
                Err(Problem::new(
                    code::CHILD_KILLED,
                    format!("it did not stop within {waited} s and was killed"),
                ))
            }
            exit => exit,
        };
        let goal = std::mem::take(&mut child.goal);
        if let Err(problem) = &exit
            && !matches!(goal, Goal::Up | Goal::Fault(_))
        {
            child.last_exit = Some(problem.clone());
            self.effects.push(Effect::Failed { key, problem: problem.clone() });
        }
        match goal {
            Goal::Up => self.decide(now, key, exit),
            Goal::Fault(problem) => {
                let problem = match exit {
                    Err(other) => problem.with_cause(other.to_string()),
                    Ok(()) => *problem,
                };
                self.decide(now, key, Err(problem));
            }
            Goal::Down => self.enter(key, Phase::Stopped { held: false }),
            Goal::Held => self.enter(key, Phase::Stopped { held: true }),
            Goal::Remove => self.remove(key, exit.err()),
            Goal::Regroup => self.enter(key, Phase::Waiting(Cause::Group)),
            Goal::Again if self.group_is_settled() => self.start(now, key, Cause::ByHand),
            Goal::Again => self.queue(key, Cause::ByHand),
        }
    }

    /// A child that should run has ended: its restart policy decides.
    fn decide(&mut self, now: Time, key: Key, exit: Result<(), Problem>) {
        let child = self.children.get_mut(&key).expect("only known children end");
        let restart = child.policy.restart;
        let problem = match exit {
            Ok(()) if restart == Restart::Transient => return self.enter(key, Phase::Completed),
            Ok(()) if restart == Restart::Temporary => return self.remove(key, None),
            Ok(()) => Problem::new(code::CHILD_ENDED, "it ended, but must keep running"),
            Err(problem) => problem,
        };
        self.effects.push(Effect::Failed { key, problem: problem.clone() });
        if restart == Restart::Temporary {
            return self.remove(key, Some(problem));
        }
        child.last_exit = Some(problem);
        if self.frozen {
            return self.enter(key, Phase::Stopped { held: false });
        }
        if child.ready_at.is_some_and(|ready| now.saturating_sub(ready) > child.policy.backoff.max) {
            child.failures = 0;
        }
        let wait = child.policy.backoff.delay(child.failures, self.chance.random());
        child.failures = child.failures.saturating_add(1);
        let until = now.saturating_add(wait);
        let checked = match &child.policy.intensity {
            Some(own) => child.rate.check(own, until),
            None => self.rate.check(&self.intensity, until),
        };
        match checked {
            Err(why) => self.give_up(key, why),
            Ok(()) => {
                self.enter(key, Phase::BackingOff { until });
                self.regroup(key);
            }
        }
    }

    /// The siblings that the strategy restarts together with `key`.
    fn group_of(&self, key: Key) -> Vec<Key> {
        match self.strategy {
            Strategy::OneForOne => Vec::new(),
            Strategy::OneForAll => self.children.keys().copied().filter(|other| *other != key).collect(),
            Strategy::RestForOne => {
                self.children.range(key..).map(|(other, _)| *other).filter(|k| *k != key).collect()
            }
        }
    }

    /// Stops the group of a failed child, to be started in order once its backoff is over.
    fn regroup(&mut self, key: Key) {
        if self.strategy == Strategy::OneForOne {
            return;
        }
        self.hold = Some(key);
        self.rising.remove(&key);
        self.to_start.insert(key);
        for other in self.group_of(key) {
            let child = self.children.get_mut(&other).expect("the keys were just read");
            let temporary = child.policy.restart == Restart::Temporary;
            match child.phase {
                Phase::Starting { .. } | Phase::Running => {
                    child.goal = if temporary { Goal::Remove } else { Goal::Regroup };
                    self.to_stop.insert(other);
                }
                Phase::Stopping { .. } if matches!(child.goal, Goal::Again | Goal::Fault(_)) => {
                    child.goal = Goal::Regroup
                }
                Phase::Completed => self.enter(other, Phase::Waiting(Cause::Group)),
                Phase::Waiting(_) | Phase::BackingOff { .. } => {}
                Phase::Stopping { .. } | Phase::Stopped { .. } | Phase::CrashLoop => continue,
            }
            self.rising.remove(&other);
            if !temporary {
                self.to_start.insert(other);
            }
        }
    }

    /// The child has failed too often.
    fn give_up(&mut self, key: Key, why: String) {
        let child = self.children.get_mut(&key).expect("only known children fail");
        let own = child.policy.intensity.is_some();
        child.why = Some(why.clone());
        let last_exit = child.last_exit.clone();
        self.enter(key, Phase::CrashLoop);
        if self.escalate && !own {
            let mut problem =
                Problem::new(code::INTENSITY_EXCEEDED, format!("its children failed too often: {why}"));
            if let Some(cause) = last_exit {
                problem = problem.with_cause(cause.to_string());
                problem.causes.extend(cause.causes);
            }
            return self.begin_stop(Err(problem));
        }
        for other in self.group_of(key) {
            let child = self.children.get_mut(&other).expect("the keys were just read");
            match child.phase {
                Phase::Starting { .. } | Phase::Running => {
                    child.goal =
                        if child.policy.restart == Restart::Temporary { Goal::Remove } else { Goal::Held };
                    self.to_stop.insert(other);
                }
                Phase::Stopping { .. }
                    if matches!(child.goal, Goal::Again | Goal::Fault(_) | Goal::Regroup) =>
                {
                    child.goal = Goal::Held;
                }
                Phase::Waiting(_) | Phase::BackingOff { .. } => {
                    self.enter(other, Phase::Stopped { held: true })
                }
                _ => {}
            }
            self.to_start.remove(&other);
            self.rising.remove(&other);
        }
    }

    /// Moves a child into a phase, and keeps timers, counts and sets true.
    fn enter(&mut self, key: Key, phase: Phase) {
        let child = self.children.get_mut(&key).expect("only known children change");
        let before = std::mem::replace(&mut child.phase, phase);
        if let Some(due) = before.deadline() {
            self.timers.remove(&(due, key));
        }
        if let Some(due) = phase.deadline() {
            self.timers.insert((due, key));
        }
        self.live = self.live + usize::from(phase.is_live()) - usize::from(before.is_live());
        if !phase.is_live() {
            self.leaving.remove(&key);
        }
        if !matches!(phase, Phase::Starting { .. } | Phase::BackingOff { .. } | Phase::Stopping { .. }) {
            self.rising.remove(&key);
        }
        self.effects.push(Effect::Changed { key, phase });
    }

    fn remove(&mut self, key: Key, problem: Option<Problem>) {
        let Some(child) = self.children.remove(&key) else { return };
        if let Some(due) = child.phase.deadline() {
            self.timers.remove(&(due, key));
        }
        self.live -= usize::from(child.phase.is_live());
        for set in [&mut self.to_stop, &mut self.leaving, &mut self.to_start, &mut self.rising] {
            set.remove(&key);
        }
        self.effects.push(Effect::Removed { key, problem });
    }
}

/// The end of a deadline; a deadline that nobody lives to see has none.
fn after(now: Time, deadline: Duration) -> Option<Time> {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    (deadline < NEVER).then(|| now + deadline)
}

#[cfg(test)]
mod tests;
