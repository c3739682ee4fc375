use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use umbel_core::grants::Folder;

struct Bed {
    root: tempfile::TempDir,
}

impl Bed {
    fn new() -> Bed {
        let bed = Bed { root: tempfile::tempdir().expect("a folder") };
        for name in ["state", "data/inner", "elsewhere"] {
            fs::create_dir_all(bed.path(name)).expect("a folder");
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().expect("it is there").join(name)
    }

    fn open(&self, path: &Path, writable: &[&str]) -> Result<Granted, String> {
        let folder = Folder { path: path.display().to_string(), at: "/f".into(), writable: false };
        let grants = Grants { folders: vec![folder], ..Grants::default() };
        let writable = writable.iter().map(|name| self.path(name)).collect();
        Granted::open(grants, Around { closed: self.path("state"), writable })
            .map_err(|causes| causes.concat())
    }
}

fn seen(granted: &Granted) -> PathBuf {
    let place = granted.folders().next().expect("one folder").expect("it can be opened");
    fs::read_link(place.path()).expect("a descriptor's path")
}

#[test]
fn a_link_that_a_guest_could_have_made_is_not_followed() {
    let bed = Bed::new();
    fs::remove_dir(bed.path("data/inner")).unwrap();
    symlink("../elsewhere", bed.path("data/inner")).unwrap();
    let said = bed.open(&bed.path("data/inner"), &["data"]).unwrap_err();
    assert!(said.contains("symbolic link that a component could have made"), "{said}");
    // By another way to the same place, too.
    symlink(bed.path("data"), bed.path("way")).unwrap();
    let said = bed.open(&bed.path("way/inner"), &["data"]).unwrap_err();
    assert!(said.contains("symbolic link that a component could have made"), "{said}");
    // Where no guest writes, a link is whoever made it meant.
    assert_eq!(seen(&bed.open(&bed.path("data/inner"), &[]).unwrap()), bed.path("elsewhere"));
    assert_eq!(seen(&bed.open(&bed.path("way"), &["data"]).unwrap()), bed.path("data"));
}

#[test]
fn what_is_open_stays_the_same_folder() {
    let bed = Bed::new();
    let granted = bed.open(&bed.path("data/inner"), &["data"]).unwrap();
    fs::rename(bed.path("data/inner"), bed.path("data/moved")).unwrap();
    symlink("../state", bed.path("data/inner")).unwrap();
    assert_eq!(seen(&granted), bed.path("data/moved"));
    // Deleted, its path is looked at again, and what is there now is not taken.
    fs::remove_dir(bed.path("data/moved")).unwrap();
    let said = granted.folders().next().unwrap().err().expect("it is a link now");
    assert!(said.contains("symbolic link"), "{said}");
    fs::remove_file(bed.path("data/inner")).unwrap();
    fs::create_dir(bed.path("data/inner")).unwrap();
    assert_eq!(seen(&granted), bed.path("data/inner"));
}

#[test]
fn the_closed_folder_is_not_given_by_any_way() {
    let bed = Bed::new();
    symlink(bed.path("state"), bed.path("door")).unwrap();
    fs::create_dir(bed.path("state/sub")).unwrap();
    for name in ["state", "door", "state/sub", "door/sub", "", "data/../state"] {
        let said = bed.open(&bed.path(name), &[]).unwrap_err();
        assert!(said.contains("own state"), "{name}: {said}");
    }
}

#[test]
fn what_is_no_folder_is_told() {
    let bed = Bed::new();
    fs::write(bed.path("file"), "").unwrap();
    symlink("ring", bed.path("ring")).unwrap();
    for (path, reason) in [
        (bed.path("nothing"), "No such file"),
        (bed.path("file"), "Not a directory"),
        (bed.path("ring"), "Too many levels"),
        (PathBuf::from("data"), "not absolute"),
    ] {
        let said = bed.open(&path, &[]).unwrap_err();
        assert!(said.contains(reason), "{}: {said}", path.display());
    }
}
