use super::*;
use crate::WatchEvent;
use disk::{Disk, Loaded};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use umbel_core::Coded;
use umbel_core::code::lattice as code;

/// A disk whose power can fail: what was not synced may be there, or not, or in part.
#[derive(Debug, Default)]
struct Sim {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    syncs: usize,
    /// Writes and syncs until the failure, and the failure.
    fails: Option<(usize, io::ErrorKind)>,
}

#[derive(Debug, Clone, Default)]
struct SimDisk(Arc<Mutex<Sim>>);

impl SimDisk {
    fn sim(&self) -> std::sync::MutexGuard<'_, Sim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail_after(&self, steps: usize, kind: io::ErrorKind) {
        self.sim().fails = Some((steps, kind));
    }

    fn repair(&self) {
        self.sim().fails = None;
    }

    /// The power is gone and comes back: a part of what was not synced has reached the disk.
    fn power_cycle(&self, seed: u64) {
        let mut random = seed;
        let mut sim = self.sim();
        let mut found = std::mem::take(&mut sim.durable);
        for (offset, data) in std::mem::take(&mut sim.pending) {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let kept = match (random >> 33) % 4 {
                0 => 0,
                1 => usize::try_from(random >> 40).unwrap_or_default() % (data.len() + 1),
                _ => data.len(),
            };
            // A file that was made longer but not synced may be short, or have zeros where the data should be.
            if found.len() < offset + kept {
                found.resize(offset + kept, 0);
            }
            found[offset..offset + kept].copy_from_slice(&data[..kept]);
        }
        let len = sim.current.len().max(found.len());
        found.resize(len, 0);
        sim.current.clone_from(&found);
        sim.durable = found;
        sim.fails = None;
    }
}

impl Sim {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.fails {
            Some((0, kind)) => Err((*kind).into()),
            Some((steps, _)) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.sim().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        let sim = self.sim();
        out.copy_from_slice(sim.current.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sim = self.sim();
        sim.step()?;
        sim.current.resize(usize::try_from(len).expect("small"), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sim = self.sim();
        sim.step()?;
        sim.syncs += 1;
        sim.durable = sim.current.clone();
        sim.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        let mut sim = self.sim();
        sim.step()?;
        sim.current[offset..offset + data.len()].copy_from_slice(data);
        sim.pending.push((offset, data.to_vec()));
        Ok(())
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("simulated.redb")
    }

    fn open(&mut self) -> Result<Loaded> {
        if self.sim().current.is_empty() {
            disk::create(self.clone(), Path::new("simulated.redb"))?;
        }
        disk::verify(self.sim().current.clone(), Path::new("simulated.redb"))?;
        disk::load(self.clone(), Path::new("simulated.redb"))
    }
}

fn contents(state: &State) -> BTreeMap<String, String> {
    let entries = state.entries("b", "").expect("entries");
    entries.into_iter().map(|e| (e.key, String::from_utf8_lossy(&e.value).into_owned())).collect()
}

async fn put(state: &State, key: &str, value: String) -> Result<u64> {
    state.write("b", key, Write::Put(value.into())).await
}

#[tokio::test]
async fn power_failures_lose_nothing_that_was_acknowledged() {
    for seed in 0..120_u64 {
        let disk = SimDisk::default();
        let state = State::open_with(disk.clone()).await.expect("open");
        let mut expect = BTreeMap::new();
        let mut last = None;
        // Somewhere in the first dozen commits, at any of their steps.
        disk.fail_after(usize::try_from(seed * 7 % 160).expect("small"), io::ErrorKind::Other);
        for n in 0..1_000 {
            let (key, value) = (format!("k{}", n % 6), format!("{n} {}", "x".repeat(n * 37 % 3_000)));
            match put(&state, &key, value.clone()).await {
                Ok(_) => drop(expect.insert(key, value)),
                Err(error) => {
                    assert_eq!(error.code(), code::STATE_IO, "{error:?}");
                    last = Some((key, value));
                    break;
                }
            }
        }
        let (key, value) = last.expect("the power has failed");
        drop(state);
        disk.power_cycle(seed);
        let state = State::open_with(disk).await.unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        let found = contents(&state);
        let mut with_last = expect.clone();
        with_last.insert(key, value);
        assert!(found == expect || found == with_last, "seed {seed}: acknowledged writes are lost");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    // The disk is full at every step of a commit in turn.
    for steps in 0..24 {
        let disk = SimDisk::default();
        let state = State::open_with(disk.clone()).await.expect("open");
        for n in 0..5 {
            put(&state, &format!("k{n}"), "before".into()).await.expect("put");
        }
        let mut watch = state.watch("b", "", None).expect("watch");
        disk.fail_after(steps, io::ErrorKind::StorageFull);
        let mut refused = 0;
        for n in 0..10 {
            match put(&state, &format!("n{n}"), "x".repeat(2_000)).await {
                Ok(_) => assert_eq!(refused, 0, "it was full before"),
                Err(error) => {
                    assert_eq!(error.code(), code::STATE_DISK_FULL, "after {steps}: {error:?}");
                    refused += 1;
                }
            }
            assert_eq!(contents(&state)["k3"], "before", "what is there can be read");
        }
        assert!(refused > 0);
        disk.repair();
        let last = put(&state, "after", "there is space again".into()).await.expect("put");
        let shown = contents(&state);
        let mut watched = BTreeMap::new();
        loop {
            match watch.next().await.expect("the watch goes on") {
                WatchEvent::Put(entry) => {
                    watched.insert(entry.key, String::from_utf8_lossy(&entry.value).into_owned());
                    if entry.revision == last {
                        break;
                    }
                }
                WatchEvent::Delete { key, .. } => drop(watched.remove(&key)),
                WatchEvent::InSync => {}
            }
        }
        assert_eq!(watched, shown, "after {steps}: the watch adds up to what is there");
        drop(state);
        let state = State::open_with(disk).await.expect("open");
        assert_eq!(contents(&state), shown, "after {steps}: what was shown is what is on disk");
    }
}

#[tokio::test]
async fn a_read_only_disk_is_named() {
    let disk = SimDisk::default();
    let state = State::open_with(disk.clone()).await.expect("open");
    disk.fail_after(0, io::ErrorKind::ReadOnlyFilesystem);
    let error = put(&state, "k", "v".into()).await.expect_err("read-only");
    assert_eq!(error.code(), code::STATE_READ_ONLY, "{error:?}");
    assert_eq!(contents(&state), BTreeMap::new(), "what was refused is not shown");
}

#[tokio::test]
async fn writes_that_wait_share_their_syncs() {
    let disk = SimDisk::default();
    let state = State::open_with(disk.clone()).await.expect("open");
    put(&state, "first", "x".into()).await.expect("put");
    let before = disk.sim().syncs;
    put(&state, "second", "x".into()).await.expect("put");
    let of_one = disk.sim().syncs - before;
    assert!(of_one >= 1, "a write is synced before it is answered");
    let before = disk.sim().syncs;
    let keys: Vec<String> = (0..500).map(|n| format!("k{n}")).collect();
    let writes = futures::future::join_all(keys.iter().map(|key| put(&state, key, "x".into()))).await;
    assert!(writes.iter().all(Result::is_ok));
    let of_all = disk.sim().syncs - before;
    assert!(of_all < 500 * of_one / 5, "500 writes took {of_all} syncs, one takes {of_one}");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_undo_its_write() {
    let disk = SimDisk::default();
    let state = State::open_with(disk.clone()).await.expect("open");
    {
        let write = put(&state, "k", "v".into());
        futures::pin_mut!(write);
        // Polled once, so that it is in the queue, and dropped.
        let _ = futures::poll!(write);
    }
    put(&state, "later", "v".into()).await.expect("put");
    assert_eq!(contents(&state).len(), 2);
}

#[test]
fn errors_of_the_machine_are_told_apart() {
    use std::io::ErrorKind as E;
    for (kind, expect) in [
        (E::StorageFull, code::STATE_DISK_FULL),
        (E::QuotaExceeded, code::STATE_DISK_FULL),
        (E::PermissionDenied, code::STATE_READ_ONLY),
        (E::ReadOnlyFilesystem, code::STATE_READ_ONLY),
        (E::NotFound, code::STATE_IO),
        (E::Other, code::STATE_IO),
    ] {
        assert_eq!(io_problem(Path::new("p"), kind.into()).code(), expect, "{kind:?}");
    }
}
