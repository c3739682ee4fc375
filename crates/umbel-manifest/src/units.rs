//! Sizes, durations, shares and rates as people write them.

/// `64MiB`, `512KiB`, `1GB`, or plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "" | "B" => 1,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "KB" | "kB" | "K" | "k" => 1_000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        other => return Err(format!("`{other}` is no unit of size; use KiB, MiB or GiB")),
    };
    number.checked_mul(scale).ok_or_else(|| "it is too large".to_owned())
}

/// `500ms`, `5s`, `2m`, `1h`, in milliseconds.
pub(crate) fn duration_ms(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => return Err("it has no unit; use ms, s, m or h".to_owned()),
        other => return Err(format!("`{other}` is no unit of time; use ms, s, m or h")),
    };
    number.checked_mul(scale).ok_or_else(|| "it is too long".to_owned())
}

/// `50%` of one core, `200%` for two.
pub(crate) fn percent(text: &str) -> Result<u64, String> {
    match split(text)? {
        (number, "%") => Ok(number),
        _ => Err("it has no `%`; 100% is one core".to_owned()),
    }
}

/// `64KiB/s`, in bytes per second.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let per_second = text.trim().strip_suffix("/s").ok_or("it does not end in `/s`")?;
    size(per_second)
}

/// The digits, and what follows them.
fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err("it does not begin with a number".to_owned());
    }
    let unit = text[digits..].trim_start();
    if unit.starts_with(['.', ',', '_']) {
        return Err("only whole numbers are allowed; use a smaller unit".to_owned());
    }
    let number = text[..digits].parse().map_err(|_| "the number is too large".to_owned())?;
    Ok((number, unit))
}
