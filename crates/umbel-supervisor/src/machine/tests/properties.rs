use super::super::*;
use crate::spec::{Backoff, Strategy};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;

/// What somebody does to a supervisor at a time, chosen without knowing its state; what makes no sense is ignored.
#[derive(Debug, Clone)]
enum Act {
    Add(Policy),
    Ready(usize),
    Exit(usize, bool),
    Stop(usize),
    Restart(usize),
    Revive(usize),
    Replace(usize, Policy),
    Remove(usize),
    Pass(u64),
}

fn policies() -> impl Generate<Value = Policy> {
    let restart = prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)];
    let backoff = (0u64..3_000, 0u64..5_000, any::<bool>()).prop_map(|(first, max, immediate)| Backoff {
        first: Duration::from_millis(first),
        max: Duration::from_millis(max),
        factor: 2.0,
        jitter: 0.3,
        immediate,
    });
    (restart, backoff, 0u64..3_000, any::<bool>(), prop::option::weighted(0.3, intensities())).prop_map(
        |(restart, backoff, shutdown, waits_for_ready, intensity)| Policy {
            restart,
            shutdown: Duration::from_millis(shutdown),
            start_deadline: Duration::from_secs(20),
            waits_for_ready,
            backoff,
            intensity,
        },
    )
}

fn intensities() -> impl Generate<Value = Intensity> {
    (0u32..4, 1u64..20, 0u32..8, 1u64..120).prop_map(|(burst, window, sustained, sustained_window)| {
        Intensity {
            burst,
            burst_window: Duration::from_secs(window),
            sustained,
            sustained_window: Duration::from_secs(sustained_window),
        }
    })
}

fn specs() -> impl Generate<Value = SupervisorSpec> {
    let strategy =
        prop_oneof![Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)];
    let order = prop_oneof![3 => Just(Order::Sequential), 1 => Just(Order::Together)];
    (strategy, order, intensities(), any::<bool>()).prop_map(|(strategy, order, intensity, escalate)| {
        SupervisorSpec { strategy, order, intensity, escalate, children: Vec::new() }
    })
}

fn acts() -> impl Generate<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => policies().prop_map(Act::Add),
        8 => (0usize..8).prop_map(Act::Ready),
        8 => (0usize..8, any::<bool>()).prop_map(|(child, ok)| Act::Exit(child, ok)),
        1 => (0usize..8).prop_map(Act::Stop),
        1 => (0usize..8).prop_map(Act::Restart),
        1 => (0usize..8).prop_map(Act::Revive),
        1 => (0usize..8, policies()).prop_map(|(child, policy)| Act::Replace(child, policy)),
        1 => (0usize..8).prop_map(Act::Remove),
        6 => (1u64..5_000).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 0..120)
}

/// Performs effects as the task would, and holds what must always be true.
struct World {
    machine: Machine,
    spec: SupervisorSpec,
    now: Time,
    keys: u64,
    /// What runs: the run, and whether it was asked to stop.
    running: BTreeMap<Key, (Run, bool)>,
    ready: BTreeSet<Key>,
    /// Restarts after failures that count against the supervisor's intensity.
    restarts: Vec<Time>,
    own_restarts: BTreeMap<Key, (Intensity, Vec<Time>)>,
    stopping: bool,
    ended: bool,
    by_hand: bool,
}

impl World {
    fn new(spec: SupervisorSpec, first: Vec<Policy>) -> World {
        let mut world = World {
            machine: Machine::new(&spec, 7),
            spec,
            now: Time::ZERO,
            keys: 0,
            running: BTreeMap::new(),
            ready: BTreeSet::new(),
            restarts: Vec::new(),
            own_restarts: BTreeMap::new(),
            stopping: false,
            ended: false,
            by_hand: false,
        };
        for policy in first {
            world.add(policy);
        }
        world.on(Event::Begin);
        world
    }

    fn add(&mut self, policy: Policy) {
        self.keys += 1;
        self.on(Event::Add { key: Key(self.keys), policy });
    }

    fn on(&mut self, event: Event) {
        let stopping = self.machine.is_stopping();
        for effect in self.machine.on_event(self.now, event) {
            let starts = matches!(effect, Effect::Start { .. });
            assert!(!(stopping && starts), "nothing is started after a stop began: {effect:?}");
            assert!(!self.ended, "nothing happens after the end: {effect:?}");
            self.perform(effect);
        }
        if self.machine.next_deadline().is_some_and(|due| due <= self.now) {
            panic!("what is due is done: {:?}", self.machine.next_deadline());
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Start { key, run, cause } => {
                assert!(self.running.insert(key, (run, false)).is_none(), "two runs of one child");
                self.ready.remove(&key);
                self.check_turn(key, cause);
                if cause == Cause::Failure {
                    self.count(key);
                }
            }
            Effect::Stop { key, run } => {
                let (running, asked) = self.running.get_mut(&key).expect("only what runs is stopped");
                assert_eq!((*running, *asked), (run, false), "asked once");
                *asked = true;
                self.check_stop(key);
            }
            Effect::Kill { key, run } => assert_eq!(self.running.get(&key), Some(&(run, true))),
            Effect::Abandon { key, run } => assert_eq!(self.running.remove(&key), Some((run, true))),
            Effect::Removed { key, .. } => {
                assert!(!self.running.contains_key(&key), "what runs is not removed");
                self.own_restarts.remove(&key);
            }
            Effect::Ended { .. } => {
                assert!(self.running.is_empty(), "all children are down at the end");
                self.ended = true;
            }
            Effect::Started | Effect::Changed { .. } | Effect::Failed { .. } => {}
        }
    }

    /// In a sequential group restart or first start, whoever was started before is ready. Requests by hand are out of turn.
    fn check_turn(&self, key: Key, cause: Cause) {
        let ordered = self.spec.order == Order::Sequential && !self.by_hand;
        if ordered && cause == Cause::Group {
            for (other, (_, asked)) in &self.running {
                let rising = matches!(self.machine.child(*other).unwrap().phase, Phase::Starting { .. });
                assert!(
                    *other == key || *asked || !rising || self.ready.contains(other),
                    "{key:?} before {other:?} is ready"
                );
            }
        }
    }

    /// In a sequential shutdown everybody after the child is down already.
    fn check_stop(&self, key: Key) {
        if self.stopping && self.spec.order == Order::Sequential {
            assert!(
                self.running.range(key..).all(|(other, _)| *other == key),
                "{key:?} is stopped before those after it"
            );
        }
    }

    /// The promise of an intensity: in no window more restarts than it says.
    fn count(&mut self, key: Key) {
        let own = self.machine.child(key).unwrap().policy.intensity;
        let (intensity, times) = match own {
            None => (self.spec.intensity, &mut self.restarts),
            Some(own) => {
                let entry = self.own_restarts.entry(key).or_insert((own, Vec::new()));
                (own, &mut entry.1)
            }
        };
        times.push(self.now);
        for (limit, window) in
            [(intensity.burst, intensity.burst_window), (intensity.sustained, intensity.sustained_window)]
        {
            let within = times.iter().filter(|time| **time + window > self.now).count();
            assert!(within <= limit as usize, "{within} restarts within {window:?}, at most {limit}");
        }
    }

    fn act(&mut self, act: Act) {
        let pick = |n: usize| Key(n as u64 + 1);
        let run = |world: &World, key: Key| world.running.get(&key).map(|(run, _)| *run);
        match act {
            Act::Add(policy) => self.add(policy),
            Act::Ready(n) => {
                if let Some(run) = run(self, pick(n)) {
                    self.ready.insert(pick(n));
                    self.on(Event::Ready { key: pick(n), run });
                }
            }
            Act::Exit(n, ok) => {
                if let Some(run) = run(self, pick(n)) {
                    self.running.remove(&pick(n));
                    let exit = if ok { Ok(()) } else { Err(Problem::new(code::CHILD_PANICKED, "boom")) };
                    self.on(Event::Exited { key: pick(n), run, exit });
                }
            }
            Act::Stop(n) => self.hand(Event::Stop { key: pick(n) }),
            Act::Restart(n) => {
                self.own_restarts.remove(&pick(n));
                self.hand(Event::Restart { key: pick(n) });
            }
            Act::Revive(n) => {
                self.own_restarts.remove(&pick(n));
                self.hand(Event::Revive { key: pick(n) });
            }
            Act::Replace(n, policy) => {
                self.own_restarts.remove(&pick(n));
                self.hand(Event::Replace { key: pick(n), policy });
            }
            Act::Remove(n) => self.hand(Event::Remove { key: pick(n) }),
            Act::Pass(ms) => self.pass(Duration::from_millis(ms)),
        }
    }

    fn hand(&mut self, event: Event) {
        self.by_hand = true;
        self.on(event);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            assert!(due > self.now, "time does not stand still");
            self.now = due;
            self.on(Event::Tick);
        }
        self.now = until;
    }

    /// Whatever the children do now, the shutdown ends within the deadlines.
    fn shut_down(&mut self) {
        let deadlines = |machine: &Machine, keys: &BTreeMap<Key, (Run, bool)>| -> Duration {
            keys.keys().map(|key| machine.child(*key).unwrap().shutdown + KILL_GRACE).sum()
        };
        let within = deadlines(&self.machine, &self.running);
        self.stopping = true;
        self.on(Event::Shutdown);
        if !self.ended {
            self.pass(within + Duration::from_secs(1));
        }
        assert!(self.ended, "it ends although no child does: {:?}", self.running);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Under any history: intensities hold, no child runs twice, order is kept, and a shutdown ends in time.
    #[test]
    fn any_history(spec in specs(), first in prop::collection::vec(policies(), 0..5), acts in acts()) {
        let mut world = World::new(spec, first);
        for act in acts {
            if world.ended {
                break;
            }
            world.act(act);
        }
        if !world.ended {
            world.shut_down();
        }
        prop_assert!(world.running.is_empty());
    }

    /// A first start is strictly in order, however the children fail on the way.
    #[test]
    fn first_starts_are_in_order(first in prop::collection::vec(policies(), 1..6), acts in prop::collection::vec((0u8..4, 0usize..6), 0..80)) {
        let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(Intensity::new(3, Duration::from_secs(60)));
        let mut machine = Machine::new(&spec, 3);
        let count = first.len() as u64;
        for (n, policy) in first.into_iter().enumerate() {
            machine.on_event(Time::ZERO, Event::Add { key: Key(n as u64 + 1), policy: Policy { restart: Restart::Permanent, ..policy } });
        }
        let mut now = Time::ZERO;
        let mut effects = machine.on_event(now, Event::Begin);
        for (act, n) in acts {
            for effect in &effects {
                if let Effect::Start { key, cause: Cause::First, .. } = effect {
                    for before in 1..key.0 {
                        let phase = machine.child(Key(before)).unwrap().phase;
                        let was_up = machine.child(Key(before)).unwrap().run > Run(0);
                        prop_assert!(was_up, "{before} was started before {key:?}");
                        prop_assert!(!matches!(phase, Phase::Waiting(_)), "{phase:?}");
                    }
                }
            }
            let key = Key(n as u64 % count + 1);
            let run = machine.child(key).unwrap().run;
            effects = match act {
                0 | 1 => machine.on_event(now, Event::Ready { key, run }),
                2 => {
                    let exit = Err(Problem::new(code::CHILD_PANICKED, "boom"));
                    machine.on_event(now, Event::Exited { key, run, exit })
                }
                _ => {
                    now += Duration::from_millis(700);
                    machine.on_event(now, Event::Tick)
                }
            };
        }
    }

    /// Every child that is left alone gets where it belongs: with no failures at all, everything is up.
    #[test]
    fn without_failures_everything_comes_up(spec in specs(), count in 0u64..20) {
        let mut world = World::new(spec, Vec::new());
        let policy = Policy {
            restart: Restart::Permanent,
            shutdown: Duration::from_secs(1),
            start_deadline: Duration::from_secs(1),
            waits_for_ready: true,
            backoff: Backoff::NONE,
            intensity: None,
        };
        for _ in 0..count {
            world.add(policy.clone());
        }
        for _ in 0..count {
            for n in 0..count as usize {
                world.act(Act::Ready(n));
            }
        }
        for key in 1..=count {
            prop_assert_eq!(world.machine.child(Key(key)).unwrap().phase, Phase::Running);
        }
        world.shut_down();
    }
}
