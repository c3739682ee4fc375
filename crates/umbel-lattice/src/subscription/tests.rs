use super::*;

#[test]
fn few_large_messages_fill_a_queue_as_many_small_ones_do() {
    let (sender, mut subscription) = Subscription::channel(4_096, ());
    let large = || Message::new("s", vec![0; QUEUE_BYTES_MAX / 4]);
    let pushed: Vec<Pushed> = (0..6).map(|_| sender.push(large())).collect();
    assert_eq!(pushed[..4], [Pushed::Queued; 4]);
    assert_eq!(pushed[4..], [Pushed::Lost; 2]);
    assert_eq!(subscription.lost(), 2);
    assert!(subscription.try_next().is_some());
    assert_eq!(sender.push(large()), Pushed::Queued, "there is room again");
    while subscription.try_next().is_some() {}
    // What is too large for a queue is not too large to be heard.
    assert_eq!(sender.push(Message::new("s", vec![0; QUEUE_BYTES_MAX + 1])), Pushed::Queued);
    assert_eq!(sender.push(Message::new("s", "x")), Pushed::Lost);
    assert!(subscription.try_next().is_some());
    assert_eq!(sender.push(Message::new("s", "x")), Pushed::Queued);
}
