use super::{BIG, BITS_32, BITS_64, Kind, LITTLE, look};
use crate::par::{ParError, Target};
use proptest::prelude::*;
use umbel_core::Coded;
use umbel_core::code::artifact::PAR_NOT_EXECUTABLE;

fn elf(class: u8, order: u8, kind: u16, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0x7f, b'E', b'L', b'F', class, order, 1];
    bytes.resize(16, 0);
    for number in [kind, machine] {
        bytes.extend(if order == BIG { number.to_be_bytes() } else { number.to_le_bytes() });
    }
    bytes
}

#[track_caller]
fn check(target: &str, bytes: &[u8], expect: Result<Kind, &str>) {
    let found = look(&Target::new(target).unwrap(), bytes).map_err(|error| match error {
        ParError::NotExecutable { reason, .. } => reason,
        other => panic!("{other}"),
    });
    assert_eq!(found.as_ref().map_err(String::as_str), expect.as_ref().map_err(|text| *text), "{target}");
}

#[test]
fn executables_of_the_target_are_taken_and_others_are_not() {
    let x86_64 = elf(BITS_64, LITTLE, 3, 62);
    let arm = elf(BITS_64, LITTLE, 2, 183);
    check("x86_64-linux", &x86_64, Ok(Kind::Elf));
    check("aarch64-linux", &arm, Ok(Kind::Elf));
    check("s390x-linux", &elf(BITS_64, BIG, 2, 22), Ok(Kind::Elf));
    check("x86_64-linux", &arm, Err("the file is an executable for `aarch64`"));
    check("aarch64-linux", &x86_64, Err("the file is an executable for `x86_64`"));
    check("x86-linux", &x86_64, Err("the file is an executable for `x86_64`"));
    check("x86_64-linux", &elf(BITS_32, LITTLE, 2, 3), Err("the file is an executable for `x86`"));
    let foreign = elf(BITS_64, LITTLE, 2, 9_999);
    check("x86_64-linux", &foreign, Err("the file is an executable for another machine (ELF machine 9999)"));
    for kind in [0, 1, 4] {
        let object = elf(BITS_64, LITTLE, kind, 62);
        check("x86_64-linux", &object, Err("the file is an object or a core file, which cannot be started"));
    }
}

#[test]
fn what_is_no_executable_is_named() {
    check("x86_64-linux", b"#!/bin/sh\n", Ok(Kind::Script));
    check("x86_64-linux", b"", Err("the file is empty"));
    check("x86_64-linux", b"\x7fELF\x02", Err("the file ends in its header"));
    check("x86_64-linux", b"hello", Err("the file is neither an ELF executable nor a script with `#!`"));
    check("x86_64-linux", b"MZ\x90", Err("the file is an executable for Windows"));
}

#[test]
fn other_systems_and_processors_are_not_looked_into() {
    check("x86_64-windows", b"MZ\x90", Ok(Kind::NotLookedInto));
    check("aarch64-macos", b"anything", Ok(Kind::NotLookedInto));
    check("vax-linux", &elf(BITS_32, LITTLE, 2, 75), Ok(Kind::NotLookedInto));
    check("aarch64-macos", b"", Err("the file is empty"));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_with_a_code(bytes: Vec<u8>, cut in 0_usize..30) {
        let target = Target::new("x86_64-linux").unwrap();
        let mut headed = elf(BITS_64, LITTLE, 3, 62);
        headed.extend(&bytes);
        headed.truncate(cut);
        for bytes in [bytes, headed] {
            if let Err(error) = look(&target, &bytes) {
                prop_assert_eq!(error.code(), PAR_NOT_EXECUTABLE);
            }
        }
    }
}
