//! Where a secret's value comes from: never an argument. What is read is wiped when it is let go of.

use crate::fail::Failure;
use crate::text::neutral;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use umbel_core::Problem;
use umbel_core::code::{api, secrets};
use zeroize::Zeroizing;

/// More than this no secret has.
const VALUE_BYTES_MAX: usize = 64 << 10;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACES: [u8; 2] = [8, 127];

/// The bytes of a file, as they are.
pub(super) fn from_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("`{}` cannot be read", neutral(&path.display().to_string()));
        Problem::new(api::FILE_UNREADABLE, message).with_cause(error.to_string())
    };
    whole(File::open(path).map_err(unreadable)?, unreadable)
}

/// What is piped in, or typed unseen. One line end at its end is not a part of it.
pub(crate) fn from_stdin(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let stdin = std::io::stdin();
    let unreadable = |error: std::io::Error| {
        Problem::new(api::FILE_UNREADABLE, "standard input cannot be read").with_cause(error.to_string())
    };
    let mut value = if stdin.is_terminal() { prompt(name)? } else { whole(stdin.lock(), unreadable)? };
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
    Ok(value)
}

/// All of it, into room that does not move while it is filled: nothing is left behind.
fn whole(
    source: impl Read,
    unreadable: impl FnOnce(std::io::Error) -> Problem,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // One byte more than may be, and the room that reading to the end wants besides.
    let mut value = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX + 64));
    source.take(VALUE_BYTES_MAX as u64 + 1).read_to_end(&mut value).map_err(unreadable)?;
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("the secret has more than {VALUE_BYTES_MAX} bytes");
        return Err(Problem::new(secrets::TOO_LARGE, message).into());
    }
    Ok(value)
}

/// A terminal that shows nothing, until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> rustix::io::Result<Unseen> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut unseen = before.clone();
        // Also Ctrl-C comes as a byte, so that the terminal is never left as it is now.
        unseen.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
        unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &unseen)?;
        Ok(Unseen(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put right.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Flush, &self.0);
        drop(writeln!(std::io::stderr()));
    }
}

fn prompt(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: rustix::io::Errno| {
        Problem::new(api::FILE_UNREADABLE, "the terminal cannot be read unseen")
            .with_cause(error.to_string())
            .with_help("pipe the value in, or name a file with `--from-file`")
    };
    drop(write!(std::io::stderr(), "value of {} (not shown): ", neutral(name)));
    let _unseen = Unseen::begin().map_err(failed)?;
    let mut value = Zeroizing::new(Vec::with_capacity(VALUE_BYTES_MAX));
    let mut byte = [0_u8];
    loop {
        match rustix::io::read(std::io::stdin().as_fd(), &mut byte) {
            Ok(0) => return Ok(value),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error).into()),
            Ok(_) => match byte[0] {
                CTRL_C => return Err(Failure::Stopped),
                b'\r' | b'\n' | CTRL_D => return Ok(value),
                CTRL_U => value.clear(),
                typed if BACKSPACES.contains(&typed) => erase(&mut value),
                _ if value.len() >= VALUE_BYTES_MAX => {
                    return Err(
                        Problem::new(secrets::TOO_LARGE, "more was typed than a secret may have").into()
                    );
                }
                typed => value.push(typed),
            },
        }
    }
}

/// Takes the last character away, whole.
fn erase(value: &mut Vec<u8>) {
    while value.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_whole_and_never_beyond_its_limit() {
        let gone = |error: std::io::Error| Problem::new(api::FILE_UNREADABLE, error.to_string());
        let read = |bytes: &[u8]| whole(bytes, gone).map(|value| value.to_vec());
        assert_eq!(read(b"a\0b\n").unwrap(), b"a\0b\n");
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(&vec![b'x'; VALUE_BYTES_MAX]).unwrap().len(), VALUE_BYTES_MAX);
        assert_eq!(read(&vec![b'x'; VALUE_BYTES_MAX + 1]).unwrap_err().code(), Some(secrets::TOO_LARGE));
    }

    #[test]
    fn a_backspace_takes_one_character() {
        let mut value = "aü🦀".as_bytes().to_vec();
        for left in ["aü", "a", "", ""] {
            erase(&mut value);
            assert_eq!(value, left.as_bytes());
        }
    }
}
