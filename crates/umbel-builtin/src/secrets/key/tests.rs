use super::*;
use std::os::unix::fs::PermissionsExt;
use umbel_core::Coded;
use umbel_core::code::secrets as code;

#[test]
fn a_key_is_64_digits() {
    let key = Key::random().unwrap();
    let text = key.to_hex();
    assert_eq!(*Key::from_hex(&text).unwrap().0, *key.0);
    assert_eq!(*Key::from_hex(&format!(" {}\n", text.to_uppercase())).unwrap().0, *key.0);
    assert_ne!(*Key::random().unwrap().0, *key.0);
    for wrong in
        ["", "0", &text[1..], &format!("{}0", *text), &text.replacen(&text[..1], "g", 1), &"ä".repeat(32)]
    {
        assert!(Key::from_hex(wrong).is_none(), "{wrong}");
    }
    assert_eq!(format!("{key:?}"), "Key");
}

#[test]
fn a_file_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/key");
    let file = KeyFile::new(&path);
    assert!(file.load().unwrap().is_none());
    // What a crash left is no obstacle.
    make_folder(folder_of(&path)).unwrap();
    fs::write(with_suffix(&path, ".new"), "half").unwrap();
    let key = file.make().unwrap();
    assert_eq!(*file.load().unwrap().unwrap().0, *key.0);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder_of(&path)).unwrap().count(), 1, "nothing is left behind");
    assert!(file.make().is_err(), "a key is never replaced");
    assert_eq!(*file.load().unwrap().unwrap().0, *key.0);
}

#[test]
fn a_provided_file_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let error = KeyFile::provided(&path).load().unwrap_err();
    assert_eq!(error.code(), code::IO);
    assert!(error.to_string().contains("key") && !path.exists());
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let file = KeyFile::new(&path);
    file.make().unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(file.load().unwrap_err().code(), code::KEY_PERMISSIONS, "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    file.load().unwrap().expect("readable for its owner alone");
    // A link is as private as what it leads to.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    KeyFile::new(&link).load().unwrap().expect("a link to a private file");
    assert!(KeyFile::new(folder.path()).load().is_err(), "a folder is no key");
}

#[test]
fn what_is_no_key_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for text in [&b""[..], b"hunter2", &[0xff; 64], &[b'0'; 65], &[b'0'; 1_000_000]] {
        write_private(&path, text).unwrap();
        let error = KeyFile::new(&path).load().unwrap_err();
        assert_eq!(error.code(), code::KEY_INVALID);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
