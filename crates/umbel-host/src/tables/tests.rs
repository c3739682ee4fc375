use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use umbel_core::link::{Contract, Distance};
use umbel_lattice::{InProcess, Watch};

fn link(source: &str, target: &str) -> Link {
    Link {
        source_id: source.into(),
        target: target.into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", &["handler"]),
        source_config: Vec::new(),
        target_config: Vec::new(),
        distance: Distance::Any,
    }
}

#[test]
fn links_are_found_from_both_ends_as_they_come_and_go() {
    let mut tables = Tables::default();
    let found = |tables: &Tables, id: &str| {
        let mut found: Vec<String> =
            tables.links_with(id).iter().map(|l| format!("{}>{}", l.link.source_id, l.link.target)).collect();
        found.sort();
        found.join(" ")
    };
    tables.set_links("http", vec![link("http", "a"), link("http", "b")]);
    tables.set_links("a", vec![link("a", "client"), link("a", "a")]);
    tables.set_links("b", vec![link("b", "client")]);
    for (id, expected) in
        [("http", "http>a http>b"), ("a", "a>a a>client http>a"), ("client", "a>client b>client"), ("c", "")]
    {
        assert_eq!(found(&tables, id), expected, "{id}");
    }
    tables.set_links("a", vec![link("a", "b")]);
    tables.set_links("http", Vec::new());
    for (id, expected) in [("http", ""), ("a", "a>b"), ("b", "a>b b>client"), ("client", "b>client")] {
        assert_eq!(found(&tables, id), expected, "{id}");
    }
    tables.set_links("a", Vec::new());
    tables.set_links("b", Vec::new());
    assert!(tables.by_source.is_empty() && tables.sources_of.is_empty());
}

/// A bucket in which somebody else is always faster.
struct Contended(Arc<dyn Bucket>, AtomicUsize);

#[async_trait]
impl Bucket for Contended {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn get(&self, key: &str) -> umbel_lattice::Result<Option<Entry>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes) -> umbel_lattice::Result<u64> {
        self.0.put(key, value).await
    }

    async fn create(&self, key: &str, _: Bytes) -> umbel_lattice::Result<u64> {
        self.1.fetch_add(1, SeqCst);
        Err(LatticeError::WrongRevision {
            bucket: self.name().into(),
            key: key.into(),
            expected: 0,
            actual: None,
        })
    }

    async fn update(&self, key: &str, value: Bytes, _: u64) -> umbel_lattice::Result<u64> {
        self.create(key, value).await
    }

    async fn delete(&self, key: &str, expected: Option<u64>) -> umbel_lattice::Result<()> {
        self.0.delete(key, expected).await
    }

    async fn entries(&self, prefix: &str) -> umbel_lattice::Result<Vec<Entry>> {
        self.0.entries(prefix).await
    }

    async fn watch(&self, prefix: &str) -> umbel_lattice::Result<Watch> {
        self.0.watch(prefix).await
    }

    async fn watch_from(&self, prefix: &str, after: u64) -> umbel_lattice::Result<Watch> {
        self.0.watch_from(prefix, after).await
    }
}

#[tokio::test]
async fn a_write_that_is_always_overtaken_is_given_up() {
    let name = LatticeName::new("default").expect("a name");
    let lattice = InProcess::ephemeral(name.clone());
    let mut records = Records::open(&lattice, &name).await.expect("two buckets");
    let contended = Arc::new(Contended(records.links.clone(), AtomicUsize::new(0)));
    records.links = contended.clone();
    let problem = records.put_link(&link("a", "b")).await.expect_err("it is given up");
    assert_eq!(problem.code, umbel_core::code::lattice::WRONG_REVISION);
    assert_eq!(contended.1.load(SeqCst), ATTEMPTS_MAX);
    assert_eq!(records.del_link(&link("a", "b").key()).await.expect("there is nothing to write"), None);
}
