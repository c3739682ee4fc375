//! The blobstore on the file system: the contract, and what is its own: spaces, roots, limits, crashes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod contract;
mod crash;
mod guest;
mod memory;
#[cfg(feature = "blobstore_s3")]
mod s3;

use contract::{ODD_NAMES, all, bytes, link, longest};
use futures::future::BoxFuture;
use guest::{Container, Guest};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use umbel_builtin::blobstore::Blobstore;
use umbel_core::Problem;
use umbel_core::id::ProviderId;
use umbel_core::link::Values;
use umbel_provider::http::Handler;
use umbel_provider::{Factory, Provider, StartContext, Targets};
use umbel_wit::{Call, Link, Serve, Value};

/// A blobstore calls nobody.
struct Nobody;

impl Targets for Nobody {
    fn http(&self, _component: &str) -> Option<Arc<dyn Handler>> {
        None
    }

    fn export(&self, _component: &str, _interface: &str) -> Option<Arc<dyn Serve>> {
        None
    }

    fn application_of(&self, _component: &str) -> Option<String> {
        None
    }
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

async fn start(folder: &Path, config: &[(&str, &str)]) -> Result<Arc<dyn Provider>, Problem> {
    start_of(&Blobstore::new(), folder, config).await
}

async fn start_of(
    factory: &dyn Factory,
    folder: &Path,
    config: &[(&str, &str)],
) -> Result<Arc<dyn Provider>, Problem> {
    let cx = StartContext {
        id: ProviderId::new("blobs").expect("an id"),
        config: values(config),
        secrets: Default::default(),
        targets: Arc::new(Nobody),
        folder: folder.to_owned(),
    };
    factory.start(cx).await
}

/// What a running provider serves. It runs as long as this is kept, as in a host.
struct Running {
    serve: Arc<dyn Serve>,
    _provider: Arc<dyn Provider>,
}

impl Serve for Running {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Option<Value>, Problem>> {
        self.serve.call(call)
    }
}

async fn serving(folder: &Path) -> Arc<dyn Serve> {
    let provider = start(folder, &[]).await.expect("it starts");
    Arc::new(Running { serve: provider.serve().expect("it serves"), _provider: provider })
}

async fn container(folder: &Path) -> Container {
    Guest::new(serving(folder).await, link("app")).create_container("box").await.expect("a container")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let folder = folder();
    all(serving(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_on_several_threads() {
    let folder = folder();
    all(serving(folder.path()).await).await;
}

#[tokio::test]
async fn what_is_stored_outlives_the_provider() {
    let folder = folder();
    let first = container(folder.path()).await;
    first.put("a", b"1").await.unwrap();
    first.put(&longest('a'), b"2").await.unwrap();
    let info = first.info().await.unwrap();
    drop(first);
    let second = container(folder.path()).await;
    assert_eq!(second.info().await.unwrap(), info);
    assert_eq!(second.all_names().await, ["a".to_string(), longest('a')]);
    assert_eq!(second.get(&longest('a')).await.unwrap(), b"2");
}

#[tokio::test]
async fn applications_have_spaces_of_their_own_unless_they_share_one() {
    let folder = folder();
    let serve = serving(folder.path()).await;
    let guest = |link: Link| Guest::new(serve.clone(), link);
    let alone = |id: &str| Link { source_id: id.into(), application: None, ..Link::default() };
    let sharing =
        |application: &str, space: &str| Link { values: values(&[("space", space)]), ..link(application) };
    let guests = [
        guest(link("one")),
        guest(link("two")),
        guest(alone("one")),
        guest(alone("two")),
        guest(sharing("one", "one")),
        guest(sharing("one", "two")),
        guest(link("../app-one")),
    ];
    for (number, guest) in guests.iter().enumerate() {
        assert!(!guest.container_exists("box").await.unwrap(), "guest {number} sees what is not its own");
        guest.create_container("box").await.unwrap().put("mine", &[number as u8]).await.unwrap();
    }
    for (number, guest) in guests.iter().enumerate() {
        assert_eq!(guest.get_container("box").await.unwrap().get("mine").await.unwrap(), [number as u8]);
    }
    // Another component of the same application, and another application with the same space.
    for (link, number) in [(Link { source_id: "other".into(), ..link("one") }, 0), (sharing("two", "one"), 4)]
    {
        let container = guest(link).get_container("box").await.unwrap();
        assert_eq!(container.get("mine").await.unwrap(), [number]);
    }
}

#[tokio::test]
async fn a_link_may_have_a_root_of_its_own() {
    let (folder, root) = (folder(), folder());
    let provider = start(folder.path(), &[]).await.unwrap();
    let text = root.path().join("made").join("here").display().to_string();
    let rooted = Link { values: values(&[("root", &text)]), ..link("app") };
    let guest = Guest::new(provider.serve().unwrap(), rooted);
    guest.create_container("box").await.unwrap().put("a", b"1").await.unwrap();
    assert!(!files(root.path()).is_empty());
    assert!(!Guest::new(provider.serve().unwrap(), link("app")).container_exists("box").await.unwrap());
    // The provider's config does the same for all links.
    let other = start(folder.path(), &[("root", &text)]).await.unwrap();
    let guest = Guest::new(other.serve().unwrap(), link("app"));
    assert_eq!(guest.get_container("box").await.unwrap().get("a").await.unwrap(), b"1");
}

#[tokio::test]
async fn a_value_may_become_an_object_of_another_root() {
    let (folder, root) = (folder(), tempfile::tempdir_in("/dev/shm").expect("another file system"));
    let provider = start(folder.path(), &[]).await.unwrap();
    let text = root.path().display().to_string();
    let here = Guest::new(provider.serve().unwrap(), link("app"));
    let there =
        Guest::new(provider.serve().unwrap(), Link { values: values(&[("root", &text)]), ..link("app") });
    let container = there.create_container("box").await.unwrap();
    let value = here.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    stream.write(b"from afar").await;
    container.write_data("a", &value).await.unwrap();
    drop(stream);
    value.finish().await.unwrap();
    assert_eq!(container.get("a").await.unwrap(), b"from afar");
}

#[tokio::test]
async fn wrong_config_is_told_before_anything_is_served() {
    let folder = folder();
    for config in [("root", "relative"), ("bucket", "x"), ("object_bytes_max", "many")] {
        let Err(problem) = start(folder.path(), &[config]).await else { panic!("{config:?} is taken") };
        assert_eq!(problem.code.to_string(), "UM1132", "{problem}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(problem) = start(&file, &[]).await else { panic!("a file is no folder") };
    assert_eq!(problem.code.to_string(), "UM1128");
    assert!(!problem.causes.is_empty());
    // A link's config is told with its calls as well.
    let wrong = Link { values: values(&[("rot", "/x")]), ..link("app") };
    let guest = Guest::new(serving(folder.path()).await, wrong);
    let told = guest.container_exists("box").await.unwrap_err();
    assert!(told.starts_with("UM1132: config `rot`"), "{told}");
}

#[tokio::test]
async fn an_object_may_not_be_larger_than_the_config_says() {
    let folder = folder();
    let limited = Link { values: values(&[("object_bytes_max", "1000")]), ..link("app") };
    let guest = Guest::new(serving(folder.path()).await, limited);
    let container = guest.create_container("box").await.unwrap();
    container.put("a", &bytes(1000, 1)).await.unwrap();
    let told = container.put("a", &bytes(1001, 2)).await.unwrap_err();
    assert!(told.starts_with("UM1124: "), "{told}");
    assert!(container.get("a").await.unwrap() == bytes(1000, 1), "what was there is untouched");
}

#[tokio::test]
async fn an_object_that_would_fill_the_disk_is_refused_and_nothing_else_is_hurt() {
    let folder = folder();
    let serve = serving(folder.path()).await;
    let greedy = Link { values: values(&[("free_bytes_min", &u64::MAX.to_string())]), ..link("app") };
    let container = Guest::new(serve.clone(), greedy).create_container("box").await.unwrap();
    let told = container.put("a", b"1").await.unwrap_err();
    assert!(told.starts_with("UM1127: "), "{told}");
    assert!(!container.has_object("a").await.unwrap());
    let modest = Guest::new(serve, link("app")).get_container("box").await.unwrap();
    modest.put("a", b"1").await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_for_a_list_can_be_streamed() {
    let folder = folder();
    let container = container(folder.path()).await;
    container.put("a", b"").await.unwrap();
    // A sparse file of 1 GiB in its place.
    let objects =
        files(folder.path()).into_iter().find(|path| path.ends_with("objects/a")).expect("the object");
    std::fs::remove_file(&objects).unwrap();
    std::fs::File::create(&objects).unwrap().set_len(1 << 30).unwrap();
    let told = container.get("a").await.unwrap_err();
    assert!(told.starts_with("UM1125: "), "{told}");
    assert_eq!(container.get_data("a", 0, 9).await.unwrap().sync().await.unwrap(), [0; 10]);
    let value = container.get_data("a", (1 << 30) - 5, u64::MAX).await.unwrap();
    assert_eq!(guest::collect(value.stream().await.unwrap()).await.unwrap(), [0; 5]);
}

#[tokio::test]
async fn an_object_that_is_cut_off_is_an_error_and_not_a_shorter_object() {
    let folder = folder();
    let container = container(folder.path()).await;
    container.put("a", &bytes(1_000_000, 1)).await.unwrap();
    let value = container.get_data("a", 0, u64::MAX).await.unwrap();
    let path = files(folder.path()).into_iter().find(|path| path.ends_with("objects/a")).expect("the object");
    // Nobody but the owner may do that, and root may do anything.
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, writable).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(500_000).unwrap();
    let problem = guest::collect(value.stream().await.unwrap()).await.unwrap_err();
    assert_eq!(problem.code.to_string(), "UM1128");
}

#[tokio::test]
async fn a_guest_that_leaks_values_has_no_more_of_them_and_its_neighbour_does_not_notice() {
    let folder = folder();
    let serve = serving(folder.path()).await;
    let container = Guest::new(serve.clone(), link("leaky")).create_container("box").await.unwrap();
    container.put("a", b"1").await.unwrap();
    let mut leaked = Vec::new();
    let told = loop {
        match container.get_data("a", 0, 0).await {
            Ok(value) => leaked.push(value),
            Err(told) => break told,
        }
    };
    assert_eq!(leaked.len(), 512);
    assert!(told.starts_with("UM1126: "), "{told}");
    let Err(told) = container.list_objects().await else { panic!("a list is an open file, too") };
    assert!(told.starts_with("UM1126: "), "{told}");
    let value = Guest::new(serve.clone(), link("leaky")).outgoing().await;
    assert!(value.write_body().await.is_err());

    let neighbour = Guest::new(serve, link("neighbour")).create_container("box").await.unwrap();
    neighbour.put("a", b"2").await.unwrap();
    assert_eq!(neighbour.get("a").await.unwrap(), b"2");
    // What is dropped may be opened anew.
    leaked.pop();
    assert_eq!(container.get("a").await.unwrap(), b"1");
}

#[tokio::test]
async fn nothing_is_left_of_values_that_are_dropped() {
    let folder = folder();
    let container = container(folder.path()).await;
    let guest = Guest::new(serving(folder.path()).await, link("app"));
    for named in [false, true] {
        let value = guest.outgoing().await;
        let mut stream = value.write_body().await.unwrap();
        stream.write(&bytes(100_000, 1)).await;
        if named {
            container.write_data("a", &value).await.unwrap();
        }
        drop(value);
        // The other end of its stream goes with it.
        while stream.send(b"more"[..].into()).await {
            tokio::task::yield_now().await;
        }
    }
    let partial = folder.path().join("partial");
    super::bed::wait_for("the partial files are gone", || files(&partial).is_empty()).await;
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_others_are_writing_is_not() {
    let folder = folder();
    let left = folder.path().join("partial").join("7");
    std::fs::create_dir_all(left.join("a container")).unwrap();
    std::fs::write(left.join("0"), "half an obj").unwrap();
    std::fs::write(left.with_file_name("8"), "a file").unwrap();
    let first = serving(folder.path()).await;
    assert!(!left.exists() && !left.with_file_name("8").exists());

    let guest = Guest::new(first, link("app"));
    let container = guest.create_container("box").await.unwrap();
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    stream.write(b"begun, ").await;
    container.write_data("a", &value).await.unwrap();
    // Another provider with the same root.
    let _second = serving(folder.path()).await;
    stream.write(b"ended").await;
    drop(stream);
    value.finish().await.unwrap();
    assert_eq!(container.get("a").await.unwrap(), b"begun, ended");
}

#[tokio::test]
async fn files_of_others_in_its_folders_are_neither_served_nor_touched() {
    let folder = folder();
    let container = container(folder.path()).await;
    container.put("a", b"1").await.unwrap();
    let objects = folder.path().join("app-app").join("box").join("objects");
    for foreign in [".hidden", "UPPER", "%zz", "%%0000", "sp ace"] {
        std::fs::write(objects.join(foreign), "foreign").unwrap();
    }
    assert_eq!(container.all_names().await, ["a"]);
    assert!(!container.has_object("UPPER").await.unwrap());
    assert!(!container.has_object("../name").await.unwrap());
    assert!(!container.has_object(".hidden").await.unwrap());
    assert_eq!(std::fs::read(objects.join("UPPER")).unwrap(), b"foreign");
}

#[tokio::test]
async fn files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let outer = folder();
    let folder = outer.path().join("state");
    let container = container(&folder).await;
    container.put("a", b"1").await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder) & 0o077, 0);
    for file in files(&folder).iter().filter(|file| file.ends_with("a")) {
        assert_eq!(mode(file) & 0o277, 0, "nobody else may read it, and nobody may write it");
    }
}

#[tokio::test]
async fn a_stopped_provider_finishes_what_is_being_written() {
    let folder = folder();
    let provider = start(folder.path(), &[]).await.unwrap();
    let guest = Guest::new(provider.serve().unwrap(), link("app"));
    let container = guest.create_container("box").await.unwrap();
    let value = guest.outgoing().await;
    let mut stream = value.write_body().await.unwrap();
    container.write_data("a", &value).await.unwrap();
    stream.write(b"1").await;
    let finish = async {
        stream.write(b"2").await;
        drop(stream);
        value.finish().await.unwrap();
    };
    tokio::join!(provider.stop(Duration::from_secs(30)), finish);
    assert_eq!(container.get("a").await.unwrap(), b"12");
    // Reading needs no task, and writing is refused.
    let value = guest.outgoing().await;
    assert!(value.write_body().await.is_err());
}

fn some_name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(ODD_NAMES).prop_map(str::to_string),
        any::<String>(),
        "[a-zA-Z0-9./%]{0,300}",
        "\\PC{150,255}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Containers and objects of any names are what was written under exactly these names, and no file is outside of the folder.
    #[test]
    fn any_names_are_kept_apart_and_inside(names in prop::collection::btree_set((some_name(), some_name()), 1..12)) {
        let outer = folder();
        let root = outer.path().join("in").join("root");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let guest = Guest::new(serving(&root).await, link("app"));
            for (container, object) in &names {
                let content = format!("{container:?} {object:?}");
                guest.create_container(container).await.unwrap().put(object, content.as_bytes()).await.unwrap();
            }
            for (container, object) in &names {
                let expected = format!("{container:?} {object:?}");
                let container = guest.get_container(container).await.unwrap();
                assert_eq!(container.get(object).await.unwrap(), expected.as_bytes());
                assert!(container.all_names().await.contains(object));
            }
        });
        let stray: Vec<PathBuf> = files(outer.path()).into_iter().filter(|path| !path.starts_with(&root)).collect();
        prop_assert!(stray.is_empty(), "{:?}", stray);
        prop_assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    }
}
