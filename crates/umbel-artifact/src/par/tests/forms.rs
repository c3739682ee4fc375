//! Archives that are good.

use super::*;

#[test]
fn archives_of_wash_are_read() {
    for bytes in [WASH, WASH_GZIP] {
        let info = look(bytes).expect("an archive");
        let targets: Vec<&str> = info.targets.keys().map(Target::as_str).collect();
        assert_eq!(targets, ["aarch64-linux", "aarch64-macos", "x86_64-linux"]);
        assert_eq!(info.targets[&linux()].size, 22);
        assert_eq!((&info.world, info.others.len()), (&None, 0));
        info.check_hashes().expect("the claims are about these executables");
        let token = info.claims.expect("signed");
        token.check_time(NOW).expect("good for ever");
        let claimed = &token.claims().wascap;
        assert_eq!((claimed.name.as_deref(), claimed.vendor.as_str()), (Some("Keyvalue"), "Acme"));
        assert_eq!((claimed.rev, claimed.ver.as_deref()), (Some(3), Some("0.2.0")));
        assert_eq!(claimed.config_schema.as_ref().and_then(|schema| schema["type"].as_str()), Some("object"));

        let bed = Bed::new();
        let signed = Policy { signed_only: true, ..policy() };
        let mut reader = Cursor::new(bytes);
        let executable =
            bed.executables.extract(&mut reader, &linux(), &signed, &Limits::default()).expect("ours");
        assert_eq!(fs::read(&executable.path).expect("reads"), b"#!/bin/sh\necho x86_64\n");
        assert_eq!(executable.claims.expect("signed").claims().subject, token.claims().subject);
    }
}

#[test]
fn only_the_executable_is_unpacked_once_and_it_is_ready_to_start() {
    let bed = Bed::new();
    let bytes = files(&[("README", b"hello"), ("x86_64-linux.bin", b"one"), ("world.wasm", b"\0asm")]);
    let first = bed.extract(&bytes).expect("unsigned, as 1.x allows");
    assert_eq!(bed.files(), std::slice::from_ref(&first.path));
    assert_eq!((first.size, &first.claims), (3, &None));
    let metadata = fs::metadata(&first.path).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o700);
    assert!(first.path.ends_with(format!("sha256/{}", Digest::of(b"one").hex())));

    let again = bed.extract(&gzip(&bytes)).expect("the same from gzip");
    assert_eq!(again, first);
    assert_eq!(fs::metadata(&again.path).expect("a file").ino(), metadata.ino(), "it was not written again");

    // What was changed meanwhile is put right, whatever it has become.
    fs::write(&first.path, b"two").expect("ours");
    bed.extract(&bytes).expect("again");
    assert_eq!(digest_of(&first.path).expect("reads"), first.digest);
    fs::set_permissions(&first.path, fs::Permissions::from_mode(0o4755)).expect("ours");
    bed.extract(&bytes).expect("again");
    assert_eq!(fs::metadata(&first.path).expect("a file").permissions().mode() & 0o7777, 0o700);
    fs::remove_file(&first.path).expect("ours");
    std::os::unix::fs::symlink("/etc/passwd", &first.path).expect("a link");
    bed.extract(&bytes).expect("again");
    assert!(fs::symlink_metadata(&first.path).expect("a file").is_file());
}

#[test]
fn what_nobody_needs_any_more_is_removed() {
    let bed = Bed::new();
    let keep = bed.extract(&files(&[("x86_64-linux.bin", b"one")])).expect("one");
    let gone = bed.extract(&files(&[("x86_64-linux.bin", b"two")])).expect("two");
    let foreign = bed.dir.path().join("state/providers/sha256/notes");
    fs::write(&foreign, "mine").expect("writes");
    assert_eq!(bed.executables.collect(&HashSet::from([keep.digest])).expect("collects"), 1);
    assert!(keep.path.exists() && foreign.exists() && !gone.path.exists());

    fs::write(bed.dir.path().join("state/providers/partial/7"), "half").expect("writes");
    drop(Executables::open(bed.dir.path().join("state/providers")).expect("opens again"));
    assert!(!bed.dir.path().join("state/providers/partial/7").exists());
}

#[test]
fn an_archive_is_made_changed_and_signed() {
    let (account, subject) = (KeyPair::generate(KeyKind::Account), KeyPair::generate(KeyKind::Provider));
    let mut archive = Archive::new();
    archive.insert(target("aarch64-linux"), b"arm".to_vec());
    archive.insert(linux(), b"intel".to_vec());
    archive.set_world(b"\0asm".to_vec());
    archive.sign(signing(&subject), &account).expect("signs");

    for compression in [Compression::None, Compression::Gzip] {
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        archive.write(&mut bytes, compression).expect("writes");
        archive.clone().write(&mut again, compression).expect("writes");
        assert_eq!(bytes, again, "the same archive gives the same bytes");
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), compression == Compression::Gzip);
        assert_eq!(Archive::read(&*bytes, &Limits::default()).expect("its own"), archive);

        let info = look(&bytes).expect("its own");
        info.check_hashes().expect("its own claims");
        assert_eq!(info.world.map(|world| world.size), Some(4));
        let claims = info.claims.expect("signed");
        assert_eq!(
            (&claims.claims().issuer, &claims.claims().subject),
            (account.public_key(), subject.public_key())
        );
    }

    let mut plain = Vec::new();
    archive.write(&mut plain, Compression::None).expect("writes");
    let mut tar = tar::Archive::new(&*plain);
    let entries = tar.entries().expect("tar").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!((header.mtime().ok(), header.uid().ok(), header.gid().ok()), (Some(0), Some(0), Some(0)));
        entry.path().expect("a path").display().to_string()
    });
    let names = ["claims.jwt", "aarch64-linux.bin", "x86_64-linux.bin", "world.wasm"];
    assert_eq!(entries.collect::<Vec<_>>(), names);

    archive.insert(linux(), b"intel, fixed".to_vec());
    assert_eq!(archive.claims(), None, "nobody vouches for what was changed");
    let wrong = KeyPair::generate(KeyKind::Host);
    assert_eq!(code_of(archive.sign(signing(&subject), &wrong)), "UM0127");
    assert_eq!(code_of(archive.sign(signing(&account), &account)), "UM0127");
}

#[test]
fn what_other_packers_add_is_passed_over() {
    let pax = b"20 mtime=1234567890\n".as_slice();
    let bytes = pack(&[
        (b"./", EntryType::Directory, b""),
        (b"pax_global_header", EntryType::XGlobalHeader, b"20 comment=whatever\n"),
        (b"PaxHeaders/x86_64-linux.bin", EntryType::XHeader, pax),
        (b"./x86_64-linux.bin", EntryType::Regular, b"one"),
        (b"doc/README", EntryType::Regular, b"read me"),
    ]);
    // Python's and GNU's fill up with zeros.
    let padded = [bytes, vec![0; 10 * 512]].concat();
    for bytes in [gzip(&padded), padded] {
        let info = look(&bytes).expect("an archive");
        assert_eq!((info.targets.len(), info.others.as_slice()), (1, ["doc/README".to_string()].as_slice()));
        Bed::new().extract(&bytes).expect("an executable");
    }
}

#[test]
fn a_target_is_two_words() {
    for text in ["x86_64-linux", "aarch64-macos", "riscv64gc-freebsd", "x86_64-windows", "a-b"] {
        assert_eq!(target(text).to_string(), text);
    }
    let long = format!("{}-linux", "a".repeat(60));
    for text in
        ["", "-", "x86_64", "x86_64-", "-linux", "X86-linux", "x86-linux-gnu", "../x-y", "a-b/c", &long]
    {
        assert_eq!(code_of(Target::new(text)), "UM0330", "{text}");
    }
    let here = Target::of_this_machine();
    assert_eq!(Target::new(here.as_str()).expect("a target"), here);
}

#[test]
fn a_large_executable_goes_through_little_memory() {
    // More than is read at once, and less than the limit: every byte arrives.
    let bytes: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let bed = Bed::new();
    let packed = gzip(&files(&[("x86_64-linux.bin", &bytes)]));
    let executable = bed.extract(&packed).expect("an executable");
    assert_eq!((executable.digest, executable.size), (Digest::of(&bytes), bytes.len() as u64));
    let mut read = Vec::new();
    fs::File::open(&executable.path).and_then(|mut file| file.read_to_end(&mut read)).expect("reads");
    assert!(read == bytes);
}

#[test]
fn a_file_is_opened_without_waiting() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("provider.par");
    fs::write(&path, WASH_GZIP).expect("writes");
    assert_eq!(inspect_file(&path, &Limits::default()).expect("an archive").targets.len(), 3);
    assert_eq!(code_of(inspect_file(&dir.path().join("missing"), &Limits::default())), "UM0301");
    assert_eq!(code_of(inspect_file(dir.path(), &Limits::default())), "UM0302");
    assert_eq!(code_of(inspect_file(Path::new("/dev/zero"), &Limits::default())), "UM0302");
}
