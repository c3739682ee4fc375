use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use umbel_core::id::LatticeName;
use umbel_core::nkey::{KeyKind, KeyPair};
use umbel_lattice::InProcess;

fn lattice() -> Arc<dyn Lattice> {
    Arc::new(InProcess::ephemeral(LatticeName::new("default").expect("a name")))
}

fn host() -> HostId {
    HostId::new(KeyPair::generate(KeyKind::Host).public_key().as_str()).expect("a key is an id")
}

/// A folder and the store in it.
fn store() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("artifacts")).expect("a store");
    (folder, Arc::new(store))
}

fn put(store: &Store, bytes: &[u8]) -> Digest {
    let mut incoming = store.begin().expect("it begins");
    incoming.write(bytes).expect("it is written");
    store.complete(incoming, |_| Ok::<_, ArtifactError>(())).expect("it is stored").0.digest
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| u8::try_from((n * 31 + n / 251) % 256).expect("below 256")).collect()
}

fn giver(lattice: &Arc<dyn Lattice>, store: &Arc<Store>) -> Giver {
    Giver { lattice: lattice.clone(), store: store.clone(), host_id: host() }
}

/// Takes while the givers give.
async fn taken(
    lattice: &Arc<dyn Lattice>,
    to: &Arc<Store>,
    digest: Digest,
    givers: impl Future<Output = ()>,
) -> Result<Option<Artifact>, Problem> {
    tokio::select! {
        biased;
        () = givers => panic!("the lattice is there"),
        taken = take(lattice, to, &digest, |_| Ok(())) => Ok(taken?.map(|(artifact, ())| artifact)),
    }
}

async fn gives(giver: Giver) {
    let ended = giver.give(|| ()).await;
    assert!(ended.is_err(), "it gives until the lattice ends");
}

#[tokio::test]
async fn bytes_of_every_length_come_whole() {
    let (lattice, (_from, from), (_to, to)) = (lattice(), store(), store());
    let piece = usize::try_from(PIECE_BYTES_MAX).expect("it fits");
    for count in [0, 1, piece - 1, piece, piece + 1, 5 * piece + 7] {
        let digest = put(&from, &bytes(count));
        let artifact = taken(&lattice, &to, digest, gives(giver(&lattice, &from))).await;
        let artifact = artifact.expect("it comes").expect("somebody has it");
        assert_eq!((artifact.digest, artifact.size), (digest, count as u64));
        assert_eq!(std::fs::read(&artifact.path).expect("it is there"), bytes(count));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_is_nothing() {
    let (lattice, (_from, from), (_to, to)) = (lattice(), store(), store());
    let nobody = taken(&lattice, &to, Digest::of(b"x"), std::future::pending()).await;
    assert_eq!(nobody.expect("that is no error"), None);
    let others = taken(&lattice, &to, Digest::of(b"x"), gives(giver(&lattice, &from))).await;
    assert_eq!(others.expect("that is no error"), None);
}

#[tokio::test]
async fn other_bytes_are_refused_and_not_kept() {
    let (lattice, (_from, from), (_to, to)) = (lattice(), store(), store());
    let digest = put(&from, &bytes(1_000));
    let blob = from.find(&digest).expect("it is stored").path;
    std::fs::remove_file(&blob).expect("it goes");
    std::fs::write(&blob, bytes(999)).expect("other bytes");
    let problem = taken(&lattice, &to, digest, gives(giver(&lattice, &from))).await.expect_err("not these");
    assert_eq!(problem.code, code::GIVEN_BYTES);
    assert!(to.list().expect("a list").is_empty());
}

#[tokio::test]
async fn what_one_host_has_begun_another_goes_on_with() {
    let (lattice, (_from, from), (_to, to)) = (lattice(), store(), store());
    let piece = usize::try_from(PIECE_BYTES_MAX).expect("it fits");
    let digest = put(&from, &bytes(8 * piece));
    // Says that it has them, gives two pieces, and then refuses; the other one is slower to say so.
    let (failing, given, offered) = (giver(&lattice, &from), AtomicUsize::new(0), AtomicUsize::new(0));
    let name = lattice.name();
    let mut asked = lattice.subscribe(&umbel::artifact_find(name)).await.expect("a subscription");
    let mut reads =
        lattice.subscribe(&umbel::artifact_read(name, &failing.host_id)).await.expect("a subscription");
    let good = giver(&lattice, &from);
    let mut good_reads =
        lattice.subscribe(&umbel::artifact_read(name, &good.host_id)).await.expect("a subscription");
    let mut resumed = None;
    let answers = async {
        loop {
            let (message, answer) = tokio::select! {
                message = asked.next() => {
                    let message = message.expect("it is open");
                    let first = offered.fetch_add(1, SeqCst) == 0;
                    let answer = if first { failing.offer(&message).await } else { good.offer(&message).await };
                    (message, answer)
                }
                message = reads.next() => {
                    let message = message.expect("it is open");
                    let refusal = Message::new("", CtlResponse::<()>::unsupported().to_bytes());
                    let is_given = given.fetch_add(1, SeqCst) < 2;
                    let answer = if is_given { failing.piece(&message).await } else { Some(refusal) };
                    (message, answer)
                }
                message = good_reads.next() => {
                    let message = message.expect("it is open");
                    let asked: ArtifactRead = read(&message).expect("it is a request");
                    resumed.get_or_insert(asked.offset);
                    let answer = good.piece(&message).await;
                    (message, answer)
                }
            };
            let answer = answer.expect("an answer");
            let subject = message.reply.expect("it is a request");
            lattice.publish(Message { subject, ..answer }).await.expect("it is open");
        }
    };
    let artifact = taken(&lattice, &to, digest, answers).await.expect("it comes").expect("somebody has it");
    assert_eq!(artifact.digest, digest);
    assert_eq!(resumed, Some(2 * PIECE_BYTES_MAX), "what came is not asked for again");
}
