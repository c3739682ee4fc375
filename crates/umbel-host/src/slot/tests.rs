use super::*;
use umbel_core::nkey::{KeyKind, KeyPair};

fn slot() -> Slot {
    let key = KeyPair::generate(KeyKind::Host);
    let host = umbel_core::id::HostId::new(key.public_key().as_str()).expect("a host's key");
    Slot::new(Scale::new(host, ComponentId::new("hello").expect("an id"), "hello.wasm", 1))
}

#[test]
fn whoever_calls_too_early_or_too_late_is_told_which() {
    let slot = slot();
    for (state, code, message) in [
        (PartState::Starting, guest::STARTING, "hello is starting"),
        (PartState::Compiling, guest::STARTING, "hello is compiling"),
        (PartState::Draining, guest::STOPPING, "hello is draining"),
        (PartState::Stopped, guest::STOPPING, "hello is stopped"),
        (PartState::Failed, guest::NOT_RUNNING, "hello is failed"),
        (PartState::Completed, guest::NOT_RUNNING, "hello is completed"),
    ] {
        slot.update(|status| status.state = state);
        let problem = not_running(&slot);
        assert_eq!((problem.code, problem.message.as_str()), (code, message));
        assert_eq!(problem.kind.http_status(), 503);
    }
}

#[test]
fn whoever_calls_what_failed_is_told_why_unless_it_is_tried_again() {
    let slot = slot();
    let why = Problem::new(umbel_core::code::runtime::NOT_WASM, "it is a shell script");
    slot.update(|status| {
        status.state = PartState::Failed;
        status.problem = Some(why.clone());
    });
    assert_eq!(not_running(&slot).causes, [why.to_string()]);
    assert_eq!(not_running(&slot).help, why.help);
    slot.update(|status| status.state = PartState::Starting);
    assert_eq!(not_running(&slot).code, guest::STARTING);
}
