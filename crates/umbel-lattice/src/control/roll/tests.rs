use super::*;
use crate::InProcess;
use std::sync::Arc;
use umbel_core::id::LatticeName;

const WAIT: Duration = Duration::from_secs(1);

async fn lattice() -> Arc<InProcess> {
    let folder = tempfile::tempdir().unwrap().keep();
    let name = LatticeName::new("default").unwrap();
    Arc::new(InProcess::open(folder.join("lattice.redb"), name).await.unwrap())
}

/// A host that answers after a while, until it is aborted.
fn host(lattice: &Arc<InProcess>, id: &'static str, after: Duration) -> tokio::task::AbortHandle {
    let lattice = lattice.clone();
    let runtime = tokio::runtime::Handle::current();
    let task = runtime.spawn(async move {
        let mut asked = lattice.subscribe("ping").await.unwrap();
        while let Some(message) = asked.next().await {
            tokio::time::sleep(after).await;
            lattice.respond(&message, Bytes::from(id)).await.unwrap();
        }
    });
    task.abort_handle()
}

async fn call(roll: &Roll, lattice: &InProcess) -> (Vec<String>, Duration) {
    let begun = Instant::now();
    let id_of = |message: &Message| {
        let id = String::from_utf8(message.payload.to_vec()).ok()?;
        Some((id.clone(), id))
    };
    let mut all = roll.call(lattice, "ping", WAIT, id_of).await.unwrap();
    all.sort();
    (all, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn those_that_are_known_are_waited_for_and_no_longer() {
    let (lattice, roll) = (lattice().await, Roll::default());
    let near = host(&lattice, "near", Duration::from_millis(1));
    let _far = host(&lattice, "far", Duration::from_millis(200));
    tokio::task::yield_now().await;
    let (all, took) = call(&roll, &lattice).await;
    assert_eq!((all, took), (vec!["far".to_string(), "near".into()], WAIT), "nobody is known yet");
    let (all, took) = call(&roll, &lattice).await;
    assert_eq!(all, ["far", "near"]);
    assert!(took >= Duration::from_millis(200) && took < WAIT / 2, "{took:?}");

    near.abort();
    let (all, took) = call(&roll, &lattice).await;
    assert_eq!((all, took), (vec!["far".to_string()], WAIT), "one that was there may still come");
    let (_, took) = call(&roll, &lattice).await;
    assert!(took < WAIT / 2, "{took:?}");

    let _new = host(&lattice, "new", Duration::from_millis(500));
    tokio::task::yield_now().await;
    assert_eq!(call(&roll, &lattice).await.0, ["far"], "one that is new and slow is not known yet");
    tokio::time::advance(WHOLE_EVERY).await;
    assert_eq!(call(&roll, &lattice).await.0, ["far", "new"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_nobody() {
    let (lattice, roll) = (lattice().await, Roll::default());
    for _ in 0..3 {
        assert!(call(&roll, &lattice).await.0.is_empty());
    }
}
