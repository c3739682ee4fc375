use super::*;

#[tokio::test(start_paused = true)]
async fn waits_until_it_holds() {
    let mut asked = 0;
    let answer = wait_for_some("three", || {
        asked += 1;
        (asked == 3).then_some("three")
    });
    assert_eq!(answer.await, "three");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in vain: the moon")]
async fn says_what_it_waited_for() {
    wait_for("the moon", || false).await;
}
