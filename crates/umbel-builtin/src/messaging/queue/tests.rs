use super::{Pushed, Queue};
use crate::messaging::message::{Content, Message};
use proptest::prelude::*;

fn message(bytes: usize) -> Message {
    Message::new("s", Content::new(vec![0; bytes]))
}

#[test]
fn it_is_bounded_in_messages() {
    let mut queue = Queue::new(2, usize::MAX, 1);
    assert_eq!(queue.push(message(1)), Pushed::StartWorker);
    assert_eq!(queue.push(message(1)), Pushed::Waits);
    assert_eq!(queue.push(message(1)), Pushed::Full);
    assert!(queue.next().is_some());
    assert_eq!(queue.push(message(1)), Pushed::Waits, "a place is free again");
}

#[test]
fn it_is_bounded_in_bytes_and_takes_one_message_of_any_size() {
    let mut queue = Queue::new(10, 100, 1);
    assert_eq!(queue.push(message(1_000)), Pushed::StartWorker);
    assert_eq!(queue.push(message(0)), Pushed::Full);
    assert!(queue.next().is_some());
    assert_eq!(queue.push(message(50)), Pushed::Waits);
    assert_eq!(queue.push(message(49)), Pushed::Full, "the subject counts as well");
    assert_eq!(queue.push(message(40)), Pushed::Waits);
}

#[test]
fn a_worker_that_finds_nothing_ends_and_the_next_message_starts_one() {
    let mut queue = Queue::new(10, 100, 2);
    assert_eq!(queue.push(message(1)), Pushed::StartWorker);
    assert!(queue.next().is_some());
    assert!(queue.next().is_none());
    assert_eq!(queue.at_work(), 0);
    assert_eq!(queue.push(message(1)), Pushed::StartWorker);
}

#[test]
fn a_lost_worker_is_replaced_while_something_waits() {
    let mut queue = Queue::new(10, 100, 1);
    queue.push(message(1));
    queue.push(message(1));
    assert!(queue.next().is_some());
    assert!(queue.worker_lost(), "one message waits");
    assert!(queue.next().is_some());
    assert!(!queue.worker_lost());
    assert_eq!(queue.at_work(), 0);
}

#[test]
fn without_any_worker_nothing_is_left_to_wait_for_ever() {
    let mut queue = Queue::new(10, 100, 1);
    queue.push(message(1));
    assert_eq!(queue.no_worker(), 1);
    assert_eq!((queue.waiting(), queue.at_work()), (0, 0));
}

proptest! {
    #[test]
    fn what_waits_never_exceeds_the_limits_and_nothing_waits_without_a_worker(
        steps in prop::collection::vec((0_u8..4, 0_usize..60), 0..200),
    ) {
        let (messages_max, bytes_max, workers_max) = (5, 100, 3);
        let mut queue = Queue::new(messages_max, bytes_max, workers_max);
        for (step, size) in steps {
            match step {
                0 | 1 => drop(queue.push(message(size))),
                2 if queue.at_work() > 0 => drop(queue.next()),
                3 if queue.at_work() > 0 => drop(queue.worker_lost()),
                _ => {}
            }
            prop_assert!(queue.waiting() <= messages_max && queue.at_work() <= workers_max);
            let bytes: usize = queue.waiting.iter().map(Message::size).sum();
            prop_assert_eq!(bytes, queue.bytes);
            prop_assert!(bytes <= bytes_max || queue.waiting() == 1);
            prop_assert!(queue.waiting() == 0 || queue.at_work() > 0, "something waits and nobody is at work");
        }
    }
}
