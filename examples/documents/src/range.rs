//! `Range: bytes=…` of one part.

/// The first and the last byte that are wanted of so many. Nothing if all are: there is no range, several, or one that is not understood.
/// An error if it begins behind the end.
pub fn read(header: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    let (start, end) = match (first, last) {
        ("", last) => (size.checked_sub(number(last)?).unwrap_or(0), u64::MAX),
        (first, "") => (number(first)?, u64::MAX),
        (first, last) => (number(first)?, number(last)?),
    };
    if end < start {
        return None;
    }
    Some(if start < size { Ok((start, end.min(size - 1))) } else { Err(()) })
}
