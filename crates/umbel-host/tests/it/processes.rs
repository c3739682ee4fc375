//! Providers from archives: what is kept of them on the disk, and what they can be held by. None of them serves: they end at once.

use crate::bed::{Bed, provider_id, until};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use umbel_artifact::par::{Archive, Compression, Target};
use umbel_core::Coded;
use umbel_core::digest::Digest;
use umbel_core::grants::Grants;
use umbel_core::limits::{Containment, Limits, Sandbox};
use umbel_lattice::control::{StartProvider, StopProvider};
use umbel_testkit::guest;

/// An archive of a script, and the digest of its executable.
fn archive(bed: &Bed, name: &str, script: &str) -> (PathBuf, String) {
    let program = format!("#!/bin/sh\n{script}\n").into_bytes();
    let digest = Digest::of(&program).hex();
    let mut archive = Archive::new();
    archive.insert(Target::of_this_machine(), program);
    let path = bed.folder.path().join(format!("{name}.par"));
    archive.write(fs::File::create(&path).expect("a file"), Compression::None).expect("an archive");
    (path, digest)
}

fn start(bed: &Bed, id: &str, image: &Path) -> StartProvider {
    StartProvider::new(bed.host.id().clone(), provider_id(id), image.to_str().expect("text"))
}

/// The executables that are unpacked.
fn unpacked(bed: &Bed) -> BTreeSet<String> {
    let folder = fs::read_dir(bed.folder.path().join("state/programs/sha256")).into_iter().flatten();
    folder.flatten().map(|entry| entry.file_name().into_string().expect("text")).collect()
}

#[tokio::test]
async fn programs_of_archives_stay_as_long_as_a_provider_is_made_of_them() {
    let bed = Bed::start_with(|config| config.collect = Duration::from_millis(20)).await;
    let (one, first) = archive(&bed, "one", "exit 1");
    let (two, second) = archive(&bed, "two", "exit 2");
    bed.client.start_provider(&start(&bed, "one", &one)).await.expect("the order is taken");
    bed.client.start_provider(&start(&bed, "two", &two)).await.expect("the order is taken");
    // Neither runs, and both are ordered.
    let both = BTreeSet::from([first.clone(), second.clone()]);
    until("both are unpacked", async || (unpacked(&bed) == both).then_some(())).await;
    // What an earlier host has left goes, and says that it was looked.
    let stale = Digest::of(b"stale").hex();
    fs::write(bed.folder.path().join("state/programs/sha256").join(&stale), "stale").expect("a file");
    until("what nobody needs is gone", async || (!unpacked(&bed).contains(&stale)).then_some(())).await;
    assert_eq!(unpacked(&bed), both);
    let stop =
        StopProvider { host_id: bed.host.id().clone(), provider_id: provider_id("two"), generation: None };
    bed.client.stop_provider(&stop).await.expect("it stops");
    until("what is not ordered any more is gone", async || {
        (unpacked(&bed) == BTreeSet::from([first.clone()])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_process_is_refused_what_cannot_hold_it_by_name() {
    let bed = Bed::start().await;
    let (file, _) = archive(&bed, "ends", "exit 1");
    let refused = async |change: &dyn Fn(&mut StartProvider), image: &Path| {
        let mut order = start(&bed, "kv", image);
        change(&mut order);
        let error = bed.client.start_provider(&order).await.expect_err("it is refused");
        format!("{} {error}", error.code())
    };
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        move |order: &mut StartProvider| order.limits = Some(limits.clone())
    };
    for (change, named) in [
        (limits(|limits| limits.call_ms_max = 1), "`limits.call_time`"),
        (
            limits(|limits| (limits.instances_max, limits.waiting_max) = (1, 1)),
            "`limits.instances`, `limits.waiting`",
        ),
        (limits(|limits| limits.log_bytes_per_s_max = 1), "`limits.log_rate`"),
        (limits(|limits| limits.outbound_hosts.push("*".into())), "`limits.outbound_hosts`"),
        (limits(|limits| limits.memory_bytes_max = 1 << 20), "`limits.memory`"),
    ] {
        let said = refused(&change, &file).await;
        assert!(said.contains("UM0823") && said.contains(named), "{named}: {said}");
    }
    let said = refused(&|order| order.grants = Some(Grants::default()), &file).await;
    assert!(said.contains("UM0823") && said.contains("`grants`"), "{said}");
    // And a component what holds only processes.
    let strict = Containment { pids_max: Some(1), sandbox: Sandbox::Strict, ..Containment::default() };
    let component = guest("keyvalue-component");
    let said = refused(&|order| order.containment = Some(strict), &component).await;
    assert!(said.contains("UM0823") && said.contains("`limits.pids`, `sandbox`"), "{said}");
    let said = refused(&|order| order.containment = Some(strict), Path::new("builtin:fake")).await;
    assert!(said.contains("UM0823"), "{said}");
    let mut order = start(&bed, "kv", &file);
    order.containment = Some(Containment { pids_max: Some(9), ..strict });
    bed.client.start_provider(&order).await.expect("it can be held so");
}
