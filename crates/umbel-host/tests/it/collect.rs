//! What stays on the disk and what goes.

use crate::bed::{Bed, name, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use umbel_core::digest::Digest;
use umbel_lattice::subjects::wadm;
use umbel_lattice::wadm::{DigestsReply, GetResult};
use umbel_testkit::{example, guest};

fn digest(path: &std::path::Path) -> String {
    Digest::of(&std::fs::read(path).expect("a file")).to_string()
}

fn files(bed: &Bed, folder: &str) -> usize {
    let entries = std::fs::read_dir(bed.folder.path().join("state").join(folder)).expect("a folder");
    entries.count()
}

/// What is stored, in the order of digests.
fn stored(bed: &Bed) -> Vec<String> {
    bed.host.0.store.list().expect("a store").iter().map(|artifact| artifact.digest.to_string()).collect()
}

#[tokio::test]
async fn what_runs_and_what_versions_refer_to_stays_and_the_rest_goes() {
    let bed = Bed::start_with(|config| config.collect = Duration::from_millis(20)).await;
    let lattice = bed.client.lattice().clone();
    let mut asked =
        lattice.queue_subscribe(&wadm::digests(&name()), wadm::GROUP).await.expect("a subscription");
    let (asks, known) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let [running, kept, other] = [example("hello"), guest("hello-v2"), guest("config")];
    let (counter, is_known, of_version) = (asks.clone(), known.clone(), digest(&kept));
    let mut answers = tokio::task::JoinSet::new();
    answers.spawn(async move {
        while let Some(message) = asked.next().await {
            let (result, digests) = match is_known.load(SeqCst) {
                true => (GetResult::Success, vec![of_version.clone()]),
                false => (GetResult::Error, Vec::new()),
            };
            let reply = DigestsReply { result, message: String::new(), digests };
            let body = serde_json::to_vec(&reply).expect("plain data");
            lattice.respond(&message, body.into()).await.expect("it is awaited");
            counter.fetch_add(1, SeqCst);
        }
    });
    bed.run("hello", &running).await;
    for path in [&kept, &other] {
        bed.client.inspect(bed.host.id(), path.to_str().expect("text")).await.expect("a component");
    }
    let mut all = [digest(&running), digest(&kept), digest(&other)];
    all.sort();
    let before = asks.load(SeqCst);
    until("it was asked often enough", async || (asks.load(SeqCst) > before + 3).then_some(())).await;
    assert_eq!(stored(&bed), all, "while nobody knows what is needed, nothing goes");
    known.store(true, SeqCst);
    let mut left = [digest(&running), digest(&kept)];
    left.sort();
    until("what nobody needs is gone", async || (stored(&bed) == left).then_some(())).await;
    // The code of what runs, its hash, and the secret; of the others nothing, because the limit is so.
    until("code beyond the limit is gone", async || (files(&bed, "code") == 3).then_some(())).await;
    // It goes when it does not run any more.
    let mut stop = bed.scale_of("hello", &running);
    stop.count = 0;
    bed.client.scale(&stop).await.expect("it stops");
    until("what ran is gone", async || (stored(&bed) == [digest(&kept)]).then_some(())).await;
}
