//! Files that belong to one process at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// How long a lock may be about to go.
const PATIENCE: Duration = Duration::from_millis(250);

/// Locks the file until it is closed. False: another process has it.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            // A process that is just being started holds a copy of its parent's files, and so their locks, until it runs its
            // program. That is over in a moment; a real owner is not.
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => std::thread::sleep(PATIENCE / 25),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
