use super::super::key::KeyFile;
use super::*;
use umbel_core::Coded;
use umbel_core::code::secrets as code;

/// A vault that holds so many secrets of so many bytes each.
fn filled(folder: &Path, count: usize, bytes: usize) -> Vault {
    let vault = Vault::open(folder, &KeyFile::new(folder.join("key"))).unwrap();
    let secret = || Entry { secret: Arc::new(Secret::from(vec![0; bytes])), version: 1, put_unix_ms: 0 };
    let entry = |n: usize| ((Scope::Shared, n.to_string()), secret());
    vault.entries.store(Arc::new((0..count).map(entry).collect()));
    vault
}

#[test]
fn a_full_vault_takes_no_more_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (count, bytes) in [(SECRETS_MAX, 0), (TOTAL_BYTES_MAX / SECRET_BYTES_MAX - 1, SECRET_BYTES_MAX)] {
        let vault = filled(folder.path(), count, bytes);
        let refused = vault.put(&Scope::Shared, "more", vec![0; SECRET_BYTES_MAX].into(), 1).unwrap_err();
        assert_eq!(refused.code(), code::FULL, "{count} of {bytes}");
        assert!(vault.list().len() == count && vault.get(Scope::Shared, "more".into()).is_none());
        assert!(!vault.path.exists(), "nothing was written");
    }
}

#[test]
fn what_cannot_be_written_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let vault = filled(folder.path(), 1, 1);
    // A folder in the way of the new file, which a file cannot replace.
    fs::create_dir(with_suffix(&vault.path, ".new")).unwrap();
    let refused = vault.put(&Scope::Shared, "more", vec![0].into(), 1).unwrap_err();
    assert_eq!(refused.code(), code::IO);
    assert_eq!(vault.list().len(), 1);
    assert!(vault.del(&Scope::Shared, "0").is_err());
    assert_eq!(vault.list().len(), 1, "what is still sealed is still there");
    fs::remove_dir(with_suffix(&vault.path, ".new")).unwrap();
    vault.del(&Scope::Shared, "0").unwrap();
    assert_eq!(vault.list(), []);
}

#[test]
fn every_put_is_a_version_and_the_time_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let vault = filled(folder.path(), 0, 0);
    for (version, at) in [(1, 10), (2, 20)] {
        assert_eq!(vault.put(&Scope::Shared, "a", vec![0].into(), at).unwrap(), version);
    }
    vault.put(&Scope::Shared, "b", vec![0].into(), 30).unwrap();
    vault.del(&Scope::Shared, "b").unwrap();
    drop(vault);
    let vault = Vault::open(folder.path(), &KeyFile::new(folder.path().join("key"))).unwrap();
    assert_eq!(vault.notes(), [(Scope::Shared, "a".to_string(), 2, 20)]);
    assert_eq!(vault.put(&Scope::Shared, "b", vec![0].into(), 40).unwrap(), 1, "it was not there any more");
}
