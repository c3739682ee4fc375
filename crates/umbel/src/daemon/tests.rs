use super::*;
use std::future::{pending, ready};

#[tokio::test]
async fn a_stop_ends_by_itself_by_a_second_signal_or_at_its_deadline() {
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(1));
    assert_eq!(stopped(ready(()), pending(), long).await, Ok(()));
    for (again, deadline, cause) in [(true, long, "second signal"), (false, short, "had not stopped")] {
        let signal = async { if again { ready(()).await } else { pending().await } };
        let problem = stopped(pending(), signal, deadline).await.unwrap_err();
        assert_eq!(problem.code, api::STOP_CUT);
        assert!(problem.causes[0].contains(cause), "{problem:?}");
    }
}
