//! Archives that are not good, each with its code.

use super::*;
use umbel_core::claims::CLAIMS_BYTES_MAX;

#[test]
fn names_that_lead_out_are_refused() {
    let names: [&[u8]; 16] = [
        b"../x86_64-linux.bin",
        b"a/../../x86_64-linux.bin",
        b"./../x86_64-linux.bin",
        b"..",
        b"/x86_64-linux.bin",
        b"//x86_64-linux.bin",
        b"C:\\x86_64-linux.bin",
        b"..\\x86_64-linux.bin",
        b"a//b",
        b"a/./b",
        b"folder/",
        b"",
        b"\xff\xfe.bin",
        b"\x1b[2Jx86_64-linux.bin",
        b"a\nb",
        b"x86_64-linux.bin\x7f",
    ];
    for name in names {
        let bytes =
            pack(&[(name, EntryType::Regular, b"bad"), (b"x86_64-linux.bin", EntryType::Regular, b"ok")]);
        assert_eq!(refused(&bytes, &format!("{name:?}")), "UM0322");
    }
    // A header's name ends at its first zero, for every reader: what follows is not part of it.
    let bytes = pack(&[(b"x86_64-linux.bin\0/../../etc/passwd", EntryType::Regular, b"ok")]);
    let info = look(&bytes).expect("an archive");
    assert_eq!(info.targets.keys().collect::<Vec<_>>(), [&linux()]);
}

#[test]
fn long_names_are_refused_unread() {
    let long = [b"a".repeat(5_000), b".bin\0".to_vec()].concat();
    for kind in [EntryType::GNULongName, EntryType::GNULongLink] {
        let bytes =
            pack(&[(b"././@LongLink", kind, &long), (b"x86_64-linux.bin", EntryType::Regular, b"ok")]);
        assert_eq!(refused(&bytes, "a long name"), "UM0322");
    }
    for record in ["31 path=../../x86_64-linux.bin\n", "13 size=1000\n", "22 linkpath=/etc/pass\n", "rubbish"]
    {
        let entries: [(&[u8], EntryType, &[u8]); 2] = [
            (b"PaxHeaders/x", EntryType::XHeader, record.as_bytes()),
            (b"x86_64-linux.bin", EntryType::Regular, b"ok"),
        ];
        assert_eq!(refused(&pack(&entries), record), "UM0320");
    }
    let huge = vec![b'1'; 100 << 10];
    let bytes = pack(&[(b"PaxHeaders/x", EntryType::XHeader, &huge)]);
    assert_eq!(refused(&bytes, "a large extended header"), "UM0320");
}

#[test]
fn what_is_not_a_file_is_refused() {
    let kinds = [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
        EntryType::GNUSparse,
        EntryType::new(b'V'),
        EntryType::new(0xff),
    ];
    for kind in kinds {
        for name in [b"x86_64-linux.bin".as_slice(), b"claims.jwt", b"folder"] {
            let bytes = pack(&[(b"aarch64-linux.bin", EntryType::Regular, b"ok"), (name, kind, b"")]);
            assert_eq!(refused(&bytes, &format!("{kind:?}")), "UM0323");
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "x86_64-linux.bin", "/etc/passwd").expect("appends");
    assert_eq!(refused(&tar.into_inner().expect("writes"), "a link out"), "UM0323");
}

#[test]
fn names_stand_once() {
    for name in ["x86_64-linux.bin", "claims.jwt", "world.wasm", "README"] {
        let jwt = jwt(&[("x86_64-linux", b"one")], |_| {});
        let content = if name == "claims.jwt" { jwt.as_bytes() } else { b"one" };
        let dotted = format!("./{name}");
        let bytes = files(&[(name, content), ("other", b""), (&dotted, content)]);
        assert_eq!(refused(&bytes, name), "UM0324");
    }
}

#[test]
fn bombs_are_noticed_while_they_are_unpacked() {
    let nothing = vec![0; 16 << 20];
    let bomb = gzip(&files(&[("x86_64-linux.bin", &nothing)]));
    assert!(bomb.len() < 100 << 10, "{} bytes unpack to 16 MiB", bomb.len());
    assert_eq!(refused(&bomb, "much of nothing"), "UM0326");
    // Behind the end, where nothing is unpacked to.
    let tail = gzip(&[files(&[("x86_64-linux.bin", b"ok")]), nothing.clone()].concat());
    assert_eq!(refused(&tail, "much of nothing behind the end"), "UM0326");
    // In a file that nobody needs.
    assert_eq!(
        refused(&gzip(&files(&[("x86_64-linux.bin", b"ok"), ("README", &nothing)])), "unread"),
        "UM0326"
    );
    // A bomb in a bomb stays packed.
    let nested = files(&[("x86_64-linux.bin", &gzip(&nothing))]);
    assert_eq!(Bed::new().extract(&nested).expect("bytes as any").size, gzip(&nothing).len() as u64);

    let bed = Bed::new();
    let limits = Limits { bytes_max: 10_000, ..Limits::default() };
    let plain = files(&[("x86_64-linux.bin", &[7; 20_000])]);
    for bytes in [gzip(&plain), plain] {
        let extracted = bed.executables.extract(Cursor::new(&bytes), &linux(), &policy(), &limits);
        assert_eq!(code_of(extracted), "UM0325");
        assert_eq!(bed.files().len(), 0);
    }
}

#[test]
fn a_head_may_promise_what_it_likes() {
    for size in [1 << 40, u64::MAX / 2, u64::MAX] {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..16].copy_from_slice(b"x86_64-linux.bin");
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_cksum();
        let bytes = [header.as_bytes().as_slice(), &[0; 4096]].concat();
        let code = refused(&bytes, "more than there is");
        assert!(["UM0320", "UM0321"].contains(&code.as_str()), "{size}: {code}");
    }
}

#[test]
fn there_is_an_end_to_entries() {
    let entries: Vec<String> = (0..5_000).map(|n| format!("file-{n}")).collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    assert_eq!(refused(&files(&entries), "thousands of files"), "UM0327");
    let folders = vec![(b"./".as_slice(), EntryType::Directory, b"".as_slice()); 300];
    assert_eq!(refused(&pack(&folders), "the same folder again and again"), "UM0327");
}

#[test]
fn what_is_cut_off_is_noticed_wherever() {
    let content: Vec<u8> = (0..5_000u32).map(|n| ((n * n) >> 3) as u8).collect();
    let jwt = jwt(&[("x86_64-linux", &content)], |_| {});
    let whole = files(&[("claims.jwt", jwt.as_bytes()), ("x86_64-linux.bin", &content)]);
    let end = whole.len() - 1024;
    for at in (1..end).step_by(97).chain([511, 512, 513, end - 1, end]) {
        let code = refused(&whole[..at], &format!("cut at {at}"));
        assert!(code == "UM0321" || (at < 512 && code == "UM0320"), "cut at {at}: {code}");
    }
    let packed = gzip(&whole);
    for at in (20..packed.len()).step_by(53).chain([packed.len() - 1, packed.len() - 8]) {
        assert_eq!(refused(&packed[..at], &format!("gzip cut at {at}")), "UM0321");
    }
    let mut wrong = packed.clone();
    let sum = wrong.len() - 6;
    wrong[sum] ^= 1;
    assert_eq!(refused(&wrong, "a wrong sum"), "UM0320");
    assert_eq!(
        refused(&[packed, b"more than the head of a gzip".to_vec()].concat(), "something behind gzip"),
        "UM0320"
    );
    assert_eq!(refused(&[whole, b"more".to_vec()].concat(), "something behind tar"), "UM0320");
}

#[test]
fn other_files_are_no_archives() {
    let texts: [&[u8]; 7] =
        [b"", b"\x1f", b"\x1f\x8b", b"PK\x03\x04 zip", b"\0asm\x0d\0\x01\0", &[b'x'; 5_000], &[0; 100]];
    for bytes in texts {
        let code = refused(bytes, &format!("{bytes:.20?}"));
        assert!(code == "UM0320" || code == "UM0321", "{bytes:.20?}: {code}");
    }
    assert_eq!(refused(&files(&[]), "nothing in it"), "UM0328");
    assert_eq!(refused(&[0; 1024], "nothing but its end"), "UM0328");
}

#[test]
fn an_executable_for_this_machine_is_missed_with_a_list() {
    let bytes =
        files(&[("aarch64-macos.bin", b"a"), ("aarch64-linux.bin", b"b"), ("x86_64-linux.exe", b"c")]);
    let error = Bed::new().extract(&bytes).expect_err("none for this machine");
    assert_eq!(error.code().to_string(), "UM0328");
    let told = error.to_string();
    assert!(told.ends_with("for x86_64-linux, only for aarch64-linux, aarch64-macos"), "{told}");
    assert!(error.help().contains("--binary x86_64-linux=PATH"), "{}", error.help());
}

#[test]
fn claims_are_about_the_bytes_of_each_target() {
    let other = jwt(&[("x86_64-linux", b"another")], |_| {});
    let bytes = files(&[("claims.jwt", other.as_bytes()), ("x86_64-linux.bin", b"one")]);
    let bed = Bed::new();
    assert_eq!(code_of(bed.extract(&bytes)), "UM0126");
    assert_eq!(code_of(Archive::read(&*bytes, &Limits::default())), "UM0126");
    let info = look(&bytes).expect("it can be looked at");
    assert_eq!(info.check_hashes().expect_err("other bytes").code().to_string(), "UM0126");

    // The hash of another target's executable is not the hash of this one's.
    let swapped = jwt(&[("x86_64-linux", b"two"), ("aarch64-linux", b"one")], |_| {});
    let all =
        [("claims.jwt", swapped.as_bytes()), ("x86_64-linux.bin", b"one"), ("aarch64-linux.bin", b"two")];
    assert_eq!(code_of(bed.extract(&files(&all))), "UM0126");
    let little = jwt(&[("aarch64-linux", b"one")], |_| {});
    let bytes = files(&[("x86_64-linux.bin", b"one"), ("claims.jwt", little.as_bytes())]);
    assert_eq!(code_of(bed.extract(&bytes)), "UM0128");
    // Claims may stand behind what they are about, in small letters too.
    let last = jwt(&[("x86_64-linux", b"one")], |claims| {
        claims.wascap.target_hashes.values_mut().for_each(|hash| hash.make_ascii_lowercase());
    });
    bed.extract(&files(&[("x86_64-linux.bin", b"one"), ("claims.jwt", last.as_bytes())])).expect("good");
    assert_eq!(bed.files().len(), 1);
}

#[test]
fn claims_that_are_not_good_are_refused() {
    let one: (&str, &[u8]) = ("x86_64-linux.bin", b"one");
    let good = jwt(&[("x86_64-linux", b"one")], |_| {});
    let expired = jwt(&[("x86_64-linux", b"one")], |claims| claims.expires = Some(NOW.as_secs()));
    let early = jwt(&[("x86_64-linux", b"one")], |claims| claims.not_before = Some(NOW.as_secs() + 1));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (_, other) = expired.rsplit_once('.').expect("three parts");
    let forged = format!("{head}.{other}");
    let unsigned = format!("{head}.");
    let none =
        format!("eyJ0eXAiOiJqd3QiLCJhbGciOiJub25lIn0.{}.{signature}", head.split_once('.').expect("two").1);
    let huge = "a".repeat(CLAIMS_BYTES_MAX + 1);
    let cases: [(&str, &[u8], &str); 9] = [
        ("expired", expired.as_bytes(), "UM0124"),
        ("early", early.as_bytes(), "UM0125"),
        ("forged", forged.as_bytes(), "UM0123"),
        ("without a signature", unsigned.as_bytes(), "UM0123"),
        ("of the algorithm none", none.as_bytes(), "UM0122"),
        ("huge", huge.as_bytes(), "UM0121"),
        ("empty", b"", "UM0120"),
        ("no text", b"\xff\xfe", "UM0120"),
        ("rubbish", b"a.b.c", "UM0120"),
    ];
    for (what, claims, code) in cases {
        for bytes in [files(&[("claims.jwt", claims), one]), files(&[one, ("claims.jwt", claims)])] {
            assert_eq!(refused(&bytes, what), code, "{what}");
        }
    }
    Bed::new().extract(&files(&[("claims.jwt", format!("{good}\n").as_bytes()), one])).expect("good");
}

#[test]
fn a_host_may_ask_for_claims() {
    let bed = Bed::new();
    let bytes = files(&[("x86_64-linux.bin", b"one")]);
    let policy = Policy { signed_only: true, ..policy() };
    let extracted = bed.executables.extract(Cursor::new(&bytes), &linux(), &policy, &Limits::default());
    assert_eq!(code_of(extracted), "UM0329");
    assert_eq!(bed.files().len(), 0);
}

#[test]
fn a_folder_that_fails_is_named() {
    let dir = TempDir::new().expect("a folder");
    fs::write(dir.path().join("file"), "").expect("writes");
    let error = Executables::open(dir.path().join("file/providers")).expect_err("below a file");
    assert_eq!(error.code().to_string(), "UM0331");
    assert!(error.help().contains("file/providers"), "{}", error.help());
}

proptest! {
    #[test]
    fn rubbish_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..3_000), packed: bool) {
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let bed = Bed::new();
        prop_assert!(bed.extract(&bytes).is_err());
        prop_assert_eq!(bed.files().len(), 0);
        let _ = look(&bytes);
    }

    #[test]
    fn a_changed_archive_is_refused_or_says_the_same(at in 0usize..5_000, bit in 0u8..8, packed: bool) {
        let mut bytes = if packed { WASH_GZIP.to_vec() } else { WASH.to_vec() };
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(executable) = Bed::new().extract(&bytes) {
            // The claims hold the executable; times, owners and comments may change.
            let claims = executable.claims.expect("what has lost its claims has lost an entry");
            claims.check_target("x86_64-linux", &executable.digest).expect("what was signed");
        }
    }

    #[test]
    fn files_come_back(
        files in prop::collection::btree_map("[a-z0-9_]{1,12}-[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..2_000), 1..6),
        compressed: bool,
    ) {
        let mut archive = Archive::new();
        for (name, bytes) in &files {
            archive.insert(target(name), bytes.clone());
        }
        let mut bytes = Vec::new();
        let compression = if compressed { Compression::Gzip } else { Compression::None };
        archive.write(&mut bytes, compression).expect("writes");
        let info = look(&bytes).expect("its own");
        for (name, bytes) in &files {
            let packed = info.targets[&target(name)];
            prop_assert_eq!((packed.digest, packed.size), (Digest::of(bytes), bytes.len() as u64));
        }
        prop_assert_eq!(info.targets.len(), files.len());
    }
}
