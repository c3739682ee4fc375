use crate::error::ManagerError;
use crate::store::{AppRecord, HISTORY_MAX, Owned, Pin, Store, VersionMeta, VersionRecord};
use std::sync::Arc;
use umbel_core::id::{AppName, LatticeName};
use umbel_lattice::{InProcess, Lattice};

async fn store() -> Store {
    let lattice: Arc<dyn Lattice> = Arc::new(InProcess::ephemeral(LatticeName::new("default").unwrap()));
    Store::open(&lattice).await.unwrap()
}

fn name() -> AppName {
    AppName::new("hello").unwrap()
}

fn meta(version: &str) -> VersionMeta {
    VersionMeta { version: version.to_owned(), created_unix_ms: 1, key: format!("K{}", version.len()) }
}

#[test]
fn deploys_are_counted_and_remembered() {
    let mut app = AppRecord::new(name());
    app.versions = ["v1", "v2", "v3"].map(meta).into();
    for version in ["v1", "v2", "v2", "v3"] {
        app.desire(Some(version.to_owned()), false);
    }
    assert_eq!((app.generation, app.history.clone()), (4, vec!["v1".to_owned(), "v2".to_owned()]));
    assert_eq!(app.roll_back().as_deref(), Some("v2"));
    app.versions.retain(|meta| meta.version != "v1");
    assert_eq!(app.roll_back(), None, "v1 is gone");
    app.desire(None, false);
    assert_eq!((app.roll_back().as_deref(), app.generation), (Some("v2"), 7));
    for i in 0..3 * HISTORY_MAX {
        app.desire(Some(format!("v{i}")), false);
    }
    assert_eq!(app.history.len(), HISTORY_MAX);
}

#[test]
fn a_rollback_leaves_out_versions_that_had_failed() {
    let mut app = AppRecord::new(name());
    app.versions = ["v1", "v2", "v3"].map(meta).into();
    for (version, failed_before) in [("v1", false), ("v2", false), ("v3", true)] {
        app.desire(Some(version.to_owned()), failed_before);
    }
    assert_eq!(app.roll_back().as_deref(), Some("v1"), "v2 had failed");
    assert_eq!(app.previous(), None);
}

#[tokio::test]
async fn changes_of_many_at_once_are_all_made() {
    let store = store().await;
    let changes = (0..20).map(|_| {
        let store = store.clone();
        async move {
            let name = name();
            let count = |app: &mut AppRecord| {
                app.generation += 1;
                Ok(())
            };
            store.change(&name, count).await
        }
    });
    let done = futures::future::join_all(changes).await;
    let made = done.iter().filter(|result| result.is_ok()).count();
    let contended = done.iter().filter(|r| matches!(r, Err(ManagerError::Contended { .. }))).count();
    assert_eq!(made + contended, 20);
    let generation = store.app(&name()).await.unwrap().unwrap().generation;
    assert_eq!(usize::try_from(generation).unwrap(), made, "every acknowledged change counts");
}

#[tokio::test]
async fn a_version_is_written_once() {
    let store = store().await;
    let pin = Pin { reference: "a".into(), digest: None, size: Some(1) };
    let record = VersionRecord {
        version: "1.0.0+2".to_owned(),
        named: None,
        manifest: "text".into(),
        file: "f".into(),
        created_unix_ms: 7,
        pins: [("a".to_owned(), pin)].into(),
    };
    store.put_version(&name(), &meta("1.0.0+2"), &record).await.unwrap();
    assert!(store.put_version(&name(), &meta("1.0.0+2"), &record).await.is_err());
    assert_eq!(store.version(&name(), &meta("1.0.0+2")).await.unwrap(), Some(record));
    store.del_version(&name(), &meta("1.0.0+2")).await.unwrap();
    assert_eq!(store.version(&name(), &meta("1.0.0+2")).await.unwrap(), None);
}

#[tokio::test]
async fn a_deleted_application_leaves_nothing_and_a_revived_one_stays() {
    let store = store().await;
    let end = |app: &mut AppRecord| {
        (app.deleted, app.generation) = (true, 7);
        Ok(())
    };
    store.change(&name(), end).await.unwrap();
    store.put_owned(&name(), &Owned { configs: ["c".to_owned()].into(), links: [].into() }).await.unwrap();
    assert!(matches!(store.existing(&name()).await, Err(ManagerError::ApplicationNotFound { .. })));
    store.forget(&name()).await.unwrap();
    assert_eq!(store.app(&name()).await.unwrap(), None);
    assert!(store.owned(&name()).await.unwrap().is_empty());
    let begin = |app: &mut AppRecord| {
        app.versions.push(meta("v1"));
        Ok(app.generation)
    };
    assert_eq!(store.change(&name(), begin).await.unwrap().1, 7, "newer than what was there before");
    store.forget(&name()).await.unwrap();
    assert!(store.app(&name()).await.unwrap().unwrap().has("v1"));
}
