use super::super::*;
use crate::spec::Backoff;

/// Drives a machine with words and writes its effects as words.
///
/// Events: `begin`, `add P`, `ready K`, `ok K`, `fail K`, `stop K`, `start K` (restart by hand), `revive K`, `replace K`, `remove K`,
/// `shutdown`, `at SECONDS` (time passes, with all ticks on the way).
struct Script {
    machine: Machine,
    now: Time,
    keys: u64,
    policy: Policy,
}

fn policy() -> Policy {
    Policy {
        restart: Restart::Permanent,
        shutdown: Duration::from_secs(5),
        start_deadline: Duration::from_secs(30),
        waits_for_ready: true,
        backoff: Backoff::constant(Duration::from_secs(1)),
        intensity: None,
    }
}

impl Script {
    fn new(spec: SupervisorSpec, policy: Policy) -> Script {
        Script { machine: Machine::new(&spec, 1), now: Time::ZERO, keys: 0, policy }
    }

    fn run(&self, key: Key) -> Run {
        self.machine.child(key).map_or(Run(0), |child| child.run)
    }

    fn event(&mut self, words: &str) -> String {
        let (verb, key) = words.split_once(' ').unwrap_or((words, "0"));
        let number: u64 = if verb == "add" { 0 } else { key.parse().unwrap() };
        let key = Key(number);
        let run = self.run(key);
        let event = match verb {
            "begin" => Event::Begin,
            "add" => {
                self.keys += 1;
                let restart = match words.split_once(' ').map(|(_, word)| word) {
                    Some("transient") => Restart::Transient,
                    Some("temporary") => Restart::Temporary,
                    _ => self.policy.restart,
                };
                Event::Add { key: Key(self.keys), policy: Policy { restart, ..self.policy.clone() } }
            }
            "ready" => Event::Ready { key, run },
            "ok" => Event::Exited { key, run, exit: Ok(()) },
            "fail" => Event::Exited { key, run, exit: Err(Problem::new(code::CHILD_PANICKED, "boom")) },
            "stop" => Event::Stop { key },
            "start" => Event::Restart { key },
            "revive" => Event::Revive { key },
            "replace" => Event::Replace { key, policy: self.policy.clone() },
            "remove" => Event::Remove { key },
            "shutdown" => Event::Shutdown,
            "at" => return self.pass(Duration::from_secs(number)),
            other => panic!("no event `{other}`"),
        };
        let effects = self.machine.on_event(self.now, event);
        show(&effects)
    }

    fn pass(&mut self, until: Time) -> String {
        let mut effects = Vec::new();
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            effects.extend(self.machine.on_event(self.now, Event::Tick));
        }
        self.now = until;
        show(&effects)
    }
}

fn show(effects: &[Effect]) -> String {
    let words = effects.iter().filter_map(|effect| match effect {
        Effect::Start { key, cause, .. } => Some(match cause {
            Cause::First => format!("start {}", key.0),
            Cause::Failure => format!("restart {}", key.0),
            Cause::Group => format!("regroup {}", key.0),
            Cause::ByHand => format!("hand {}", key.0),
        }),
        Effect::Stop { key, .. } => Some(format!("stop {}", key.0)),
        Effect::Kill { key, .. } => Some(format!("kill {}", key.0)),
        Effect::Abandon { key, .. } => Some(format!("abandon {}", key.0)),
        Effect::Removed { key, .. } => Some(format!("removed {}", key.0)),
        Effect::Started => Some("started".to_string()),
        Effect::Ended { result: Ok(()) } => Some("ended".to_string()),
        Effect::Ended { result: Err(problem) } => Some(format!("ended {}", problem.code)),
        Effect::Changed { .. } | Effect::Failed { .. } => None,
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Each step is `event => effects`; both sides in the words above.
#[track_caller]
fn check(spec: SupervisorSpec, policy: Policy, steps: &[(&str, &str)]) -> Script {
    let mut script = Script::new(spec, policy);
    for (n, (event, expect)) in steps.iter().enumerate() {
        assert_eq!(script.event(event), *expect, "step {n}: {event}");
    }
    script
}

fn of(strategy: Strategy) -> SupervisorSpec {
    SupervisorSpec::new(strategy)
}

#[test]
fn starts_in_order_and_stops_in_reverse() {
    let script = check(
        of(Strategy::OneForOne),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "start 3"),
            ("ready 3", "started"),
            ("shutdown", "stop 3"),
            ("ok 3", "stop 2"),
            ("fail 2", "stop 1"),
            ("ok 1", "ended"),
        ],
    );
    assert!(script.machine.is_stopping());
}

#[test]
fn independent_children_start_and_stop_at_once() {
    check(
        of(Strategy::OneForOne).together(),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("begin", "start 1, start 2"),
            ("ready 2", ""),
            ("ready 1", "started"),
            ("add", "start 3"),
            ("shutdown", "stop 3, stop 2, stop 1"),
            ("ok 2", ""),
            ("ok 3", ""),
            ("ok 1", "ended"),
        ],
    );
}

#[test]
fn an_empty_supervisor_starts_and_ends() {
    check(
        of(Strategy::OneForOne),
        policy(),
        &[("begin", "started"), ("shutdown", "ended"), ("add", ""), ("shutdown", "")],
    );
    check(of(Strategy::OneForAll), policy(), &[("shutdown", "ended"), ("begin", "")]);
}

#[test]
fn one_for_one_restarts_the_child_alone_after_its_backoff() {
    let script = check(
        of(Strategy::OneForOne),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "started"),
            ("fail 1", ""),
            ("at 1", "restart 1"),
            ("ready 1", ""),
            ("ok 2", ""),
            ("at 2", "restart 2"),
        ],
    );
    let child = script.machine.child(Key(2)).unwrap();
    assert_eq!(child.restarts, 1);
    assert_eq!(
        child.last_exit.as_ref().unwrap().code,
        code::CHILD_ENDED,
        "permanent children must keep running"
    );
}

#[test]
fn one_for_all_restarts_everybody_in_order() {
    check(
        of(Strategy::OneForAll),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "start 3"),
            ("ready 3", "started"),
            ("fail 2", "stop 3"),
            ("ok 3", "stop 1"),
            ("at 3", ""),
            ("ok 1", "regroup 1"),
            ("ready 1", "restart 2"),
            ("ready 2", "regroup 3"),
            ("ready 3", ""),
        ],
    );
}

#[test]
fn rest_for_one_restarts_those_after() {
    check(
        of(Strategy::RestForOne),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "start 3"),
            ("ready 3", "started"),
            ("fail 2", "stop 3"),
            ("ok 3", ""),
            ("at 1", "restart 2"),
            ("ready 2", "regroup 3"),
            // A failure in the middle of the regrouping begins it anew.
            ("fail 2", "stop 3"),
            ("fail 3", ""),
            ("at 2", "restart 2"),
            ("ready 2", "regroup 3"),
            ("shutdown", "stop 3"),
            ("ok 3", "stop 2"),
            ("ok 2", "stop 1"),
            ("ok 1", "ended"),
        ],
    );
}

#[test]
fn transient_and_temporary_children_end_as_otp_says() {
    let script = check(
        of(Strategy::OneForOne).together(),
        policy(),
        &[
            ("add transient", ""),
            ("add transient", ""),
            ("add temporary", ""),
            ("add temporary", ""),
            ("begin", "start 1, start 2, start 3, start 4"),
            ("ok 1", ""),
            ("fail 2", ""),
            ("ok 3", "removed 3"),
            ("fail 4", "removed 4"),
            ("at 9", "restart 2"),
            ("ready 2", "started"),
        ],
    );
    assert_eq!(script.machine.child(Key(1)).unwrap().phase, Phase::Completed);
}

#[test]
fn a_completed_child_runs_again_with_its_group_and_a_stopped_one_does_not() {
    check(
        of(Strategy::OneForAll),
        policy(),
        &[
            ("add transient", ""),
            ("add", ""),
            ("add", ""),
            ("add temporary", ""),
            ("begin", "start 1"),
            ("ok 1", "start 2"),
            ("ready 2", "start 3"),
            ("ready 3", "start 4"),
            ("ready 4", "started"),
            ("stop 2", "stop 2"),
            ("ok 2", ""),
            ("fail 3", "stop 4"),
            ("ok 4", "removed 4"),
            ("at 1", "regroup 1"),
            ("ok 1", "restart 3"),
        ],
    );
}

#[test]
fn an_ordered_start_waits_for_a_child_that_fails_and_goes_on_without_it_when_it_is_given_up() {
    let spec = of(Strategy::OneForOne).intensity(Intensity::new(2, Duration::from_secs(100)));
    let script = check(
        spec,
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("fail 1", ""),
            ("at 1", "restart 1"),
            ("fail 1", ""),
            ("at 2", "restart 1"),
            ("fail 1", "start 2"),
            ("ready 2", "started"),
        ],
    );
    let child = script.machine.child(Key(1)).unwrap();
    assert_eq!(child.phase, Phase::CrashLoop);
    assert_eq!(child.why.as_deref(), Some("more than 2 restarts in 100 s"));
    assert_eq!(child.last_exit.as_ref().unwrap().message, "boom");
}

#[test]
fn a_crash_loop_ends_by_hand_or_by_another_specification() {
    for word in ["start 1", "revive 1", "replace 1"] {
        let spec = of(Strategy::OneForOne).intensity(Intensity::new(0, Duration::from_secs(100)));
        let script = check(
            spec,
            policy(),
            &[
                ("add", ""),
                ("begin", "start 1"),
                ("ready 1", "started"),
                ("fail 1", ""),
                ("at 1000", ""),
                (word, "hand 1"),
                ("ready 1", ""),
            ],
        );
        assert_eq!(script.machine.child(Key(1)).unwrap().why, None);
    }
}

#[test]
fn who_asks_for_a_child_in_its_last_moment_finds_no_crash_loop() {
    let own = Policy { intensity: Some(Intensity::new(1, Duration::from_secs(100))), ..policy() };
    let steps = [
        ("add", ""),
        ("begin", "start 1"),
        ("ready 1", "started"),
        ("fail 1", ""),
        ("at 1", "restart 1"),
        // The child lives, and nothing is done to it; its failure, which was on the way, would have been one too many.
        ("revive 1", ""),
        ("fail 1", ""),
        ("at 2", "restart 1"),
        ("ready 1", ""),
        ("revive 1", ""),
        ("ok 1", ""),
        // One that backs off does not wait any longer.
        ("revive 1", "hand 1"),
    ];
    check(of(Strategy::OneForOne), own.clone(), &steps);
    let without = [&steps[..5], &[("fail 1", ""), ("at 100", "")]].concat();
    let script = check(of(Strategy::OneForOne), own, &without);
    assert_eq!(script.machine.child(Key(1)).unwrap().phase, Phase::CrashLoop);
}

#[test]
fn the_sustained_number_counts_too() {
    let intensity = Intensity {
        burst: 2,
        burst_window: Duration::from_secs(10),
        sustained: 3,
        sustained_window: Duration::from_secs(1_000),
    };
    let own = Policy { intensity: Some(intensity), ..policy() };
    let script = check(
        of(Strategy::OneForOne).escalate(),
        own,
        &[
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "started"),
            ("fail 1", ""),
            ("at 1", "restart 1"),
            ("ready 1", ""),
            ("at 100", ""),
            ("fail 1", ""),
            ("at 101", "restart 1"),
            ("ready 1", ""),
            ("at 200", ""),
            ("fail 1", ""),
            ("at 201", "restart 1"),
            ("ready 1", ""),
            // A child with an intensity of its own never takes the tree down, even if the supervisor escalates.
            ("at 300", ""),
            ("fail 1", ""),
            ("at 2000", ""),
        ],
    );
    assert_eq!(script.machine.child(Key(1)).unwrap().phase, Phase::CrashLoop);
}

#[test]
fn a_supervisor_that_escalates_stops_all_and_fails() {
    let spec = of(Strategy::OneForOne).intensity(Intensity::new(1, Duration::from_secs(60))).escalate();
    check(
        spec,
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "started"),
            ("fail 2", ""),
            ("at 1", "restart 2"),
            ("ready 2", ""),
            // The count is the supervisor's: another child's failure is one too many.
            ("fail 1", "stop 2"),
            ("ok 2", "ended UM0706"),
        ],
    );
}

#[test]
fn a_crash_loop_holds_its_group_down_until_it_is_restarted() {
    let spec = of(Strategy::RestForOne).intensity(Intensity::new(0, Duration::from_secs(60)));
    let script = check(
        spec,
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "start 3"),
            ("ready 3", "started"),
            ("fail 2", "stop 3"),
            ("ok 3", ""),
            ("at 100", ""),
            ("start 2", "hand 2"),
            ("ready 2", "regroup 3"),
        ],
    );
    assert!(script.machine.child(Key(1)).unwrap().phase == Phase::Running);
}

#[test]
fn a_child_that_is_not_ready_in_time_has_failed() {
    let script = check(
        of(Strategy::OneForOne),
        policy(),
        &[
            ("add", ""),
            ("begin", "start 1"),
            ("at 29", ""),
            ("at 30", "stop 1"),
            ("ready 1", ""),
            ("ok 1", ""),
            ("at 31", "restart 1"),
        ],
    );
    assert_eq!(script.machine.child(Key(1)).unwrap().last_exit.as_ref().unwrap().code, code::START_TIMEOUT);
}

#[test]
fn a_child_that_does_not_stop_is_killed_and_then_abandoned() {
    let script = check(
        of(Strategy::OneForOne),
        policy(),
        &[
            ("add", ""),
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "start 2"),
            ("ready 2", "started"),
            ("shutdown", "stop 2"),
            ("at 5", "kill 2"),
            ("fail 2", "stop 1"),
            ("at 10", "kill 1"),
            ("at 11", "abandon 1, ended"),
        ],
    );
    let code_of = |key| script.machine.child(Key(key)).unwrap().last_exit.as_ref().unwrap().code;
    assert_eq!(code_of(2), code::CHILD_KILLED);
    assert_eq!(code_of(1), code::CHILD_ABANDONED);
    let brutal = Policy { shutdown: Duration::ZERO, ..policy() };
    check(
        of(Strategy::OneForOne),
        brutal,
        &[("add", ""), ("begin", "start 1"), ("shutdown", "stop 1, kill 1")],
    );
    let endless = Policy { shutdown: Duration::MAX, start_deadline: Duration::MAX, ..policy() };
    check(
        of(Strategy::OneForOne),
        endless,
        &[("add", ""), ("begin", "start 1"), ("shutdown", "stop 1"), ("at 99999999", "")],
    );
}

#[test]
fn requests_by_hand() {
    check(
        of(Strategy::OneForOne),
        policy(),
        &[
            ("begin", "started"),
            ("add", "start 1"),
            ("add", "start 2"),
            ("ready 1", ""),
            ("ready 2", ""),
            ("stop 1", "stop 1"),
            ("start 1", ""),
            ("ok 1", "hand 1"),
            ("start 1", "stop 1"),
            ("stop 1", ""),
            ("ok 1", ""),
            ("at 1000", ""),
            ("start 1", "hand 1"),
            ("fail 1", ""),
            ("stop 1", ""),
            ("at 2000", ""),
            ("fail 2", ""),
            ("start 2", "hand 2"),
            ("fail 2", ""),
            ("remove 2", "removed 2"),
            ("remove 1", "removed 1"),
            ("remove 1", ""),
            ("start 1", ""),
            ("stop 1", ""),
            ("ready 1", ""),
            ("fail 1", ""),
            ("add", "start 3"),
            ("remove 3", "stop 3"),
            ("start 3", ""),
            ("stop 3", ""),
            ("ok 3", "removed 3"),
        ],
    );
}

#[test]
fn what_is_told_of_an_earlier_run_is_ignored() {
    let mut script = check(
        of(Strategy::OneForOne),
        policy(),
        &[("add", ""), ("begin", "start 1"), ("fail 1", ""), ("at 1", "restart 1")],
    );
    let now = script.now;
    let old = Run(1);
    assert_eq!(script.machine.on_event(now, Event::Ready { key: Key(1), run: old }), []);
    assert_eq!(script.machine.on_event(now, Event::Exited { key: Key(1), run: old, exit: Ok(()) }), []);
    assert!(matches!(script.machine.child(Key(1)).unwrap().phase, Phase::Starting { .. }));
}

#[test]
fn the_backoff_grows_and_begins_anew_after_a_good_run() {
    let backoff = Backoff { jitter: 0.0, max: Duration::from_secs(4), ..Backoff::default() };
    let spec = of(Strategy::OneForOne).intensity(Intensity::new(100, Duration::from_secs(1)));
    let growing = Policy { backoff, ..policy() };
    check(
        spec,
        growing,
        &[
            ("add", ""),
            ("begin", "start 1"),
            ("ready 1", "started"),
            ("fail 1", "restart 1"),
            ("fail 1", ""),
            ("at 1", "restart 1"),
            ("fail 1", ""),
            ("at 2", ""),
            ("at 3", "restart 1"),
            ("fail 1", ""),
            ("at 6", ""),
            ("at 7", "restart 1"),
            ("ready 1", ""),
            ("at 20", ""),
            ("fail 1", "restart 1"),
        ],
    );
}
