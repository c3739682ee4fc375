//! Where the process's memory is: what instances hold, compiled code, and the rest.
//!
//! The kernel knows what is resident, and in which mapping; which mappings are the pool's is noted when the pool is made.

use crate::engine::Engine;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;

/// Mappings smaller than this are no part of a pool.
const POOL_BYTES_MIN: u64 = 16 << 20;

/// Resident memory of the process, in bytes. The three parts are all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// Linear memories, tables and stacks of the pool's slots, also of those that wait for their next instance. 0 where instances
    /// are allocated on demand: then they are in the rest.
    pub instances_bytes: u64,
    /// Machine code of components.
    pub code_bytes: u64,
    /// Everything else: the program, the heap, threads.
    pub rest_bytes: u64,
}

impl Resident {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.instances_bytes + self.code_bytes + self.rest_bytes
    }
}

impl Engine {
    /// What is resident at this moment. Waits for the kernel, which walks all mappings.
    pub fn resident(&self) -> std::io::Result<Resident> {
        // Line by line: a pool has thousands of mappings, and their text would itself be megabytes of memory.
        let space: Vec<Range<u64>> = self.space().cloned().collect();
        sum(BufReader::new(File::open("/proc/self/smaps")?), &space)
    }
}

fn sum(mut smaps: impl BufRead, pool: &[Range<u64>]) -> std::io::Result<Resident> {
    let mut resident = Resident::default();
    let (mut is_pool, mut is_code) = (false, false);
    let mut bytes = Vec::new();
    while smaps.read_until(b'\n', &mut bytes)? > 0 {
        // A path may be anything.
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches('\n');
        if let Some(rss) = line.strip_prefix("Rss:") {
            let kib: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            let place = match (is_pool, is_code) {
                (true, _) => &mut resident.instances_bytes,
                (_, true) => &mut resident.code_bytes,
                _ => &mut resident.rest_bytes,
            };
            *place += kib << 10;
        } else if let Some((range, _)) = mapping(line) {
            is_pool = pool.iter().any(|pool| pool.start <= range.start && range.end <= pool.end);
            is_code = line.trim_end_matches(" (deleted)").ends_with(".cwasm");
        }
        bytes.clear();
    }
    Ok(resident)
}

/// The addresses and permissions of a mapping, if the line is the head of one.
fn mapping(line: &str) -> Option<(Range<u64>, &str)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?..address(end)?, words.next()?))
}

/// Makes a pool, and finds the address space that it reserved: what nobody may touch afterwards and was not there before.
pub(crate) fn reserved_by<T>(make: impl FnOnce() -> T) -> (T, Vec<Range<u64>>) {
    let before = reserved();
    let made = make();
    let mut after = reserved();
    // What was there may have grown, because the kernel joins neighbours: then all of it counts, and most of it is new.
    after.retain(|range| !before.contains(range));
    (made, after)
}

fn reserved() -> Vec<Range<u64>> {
    // Without /proc everything is in the rest.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mappings = maps.lines().filter_map(mapping);
    let large = mappings
        .filter(|(range, access)| access.starts_with("---") && range.end - range.start >= POOL_BYTES_MIN);
    large.map(|(range, _)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mapping_is_in_one_part() {
        let smaps = "1000-3000 rw-p 00000000 00:00 0 \nSize: 8 kB\nRss:                   8 kB\nPss: 8 kB\n\
                     3000-4000 rw-p 00000000 00:01 7    /memfd:wasm-memory-image (deleted)\nRss: 4 kB\n\
                     8000-9000 r-xp 00000000 00:01 8    /s/code/ab.cwasm\nRss: 16 kB\n\
                     9000-a000 r-xp 00000000 00:01 8    /s/code/cd.cwasm (deleted)\nRss: 1 kB\n\
                     b000-c000 rw-p 00000000 00:00 0    [heap]\nRss: 32 kB\n";
        let pool = std::slice::from_ref(&(0x1000..0x4000));
        let resident = sum(smaps.as_bytes(), pool).unwrap();
        let expect = Resident { instances_bytes: 12 << 10, code_bytes: 17 << 10, rest_bytes: 32 << 10 };
        assert_eq!(resident, expect);
        assert_eq!(resident.total_bytes(), 61 << 10);
    }
}
