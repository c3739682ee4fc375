//! Text for terminals and scripts: what comes from guests is neutralised, numbers are made readable.

use serde_json::Value;
use std::time::Duration;
use umbel_core::Problem;
use umbel_core::code::api;

/// The text on one line, with everything that a terminal could take for a command made visible.
pub(crate) fn neutral(text: &str) -> String {
    text.chars().map(Shown).map(|shown| shown.to_string()).collect()
}

/// One character as it may be printed.
struct Shown(char);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            '\t' => f.write_str("    "),
            c if is_harmful(c) => write!(f, "{}", c.escape_default()),
            c => write!(f, "{c}"),
        }
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what reorders or hides text (Unicode's bidirectional
/// controls and invisible formatting characters).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{061c}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A JSON document on one line.
pub(crate) fn json_line(document: &Value) -> String {
    escape_in_strings(document.to_string())
}

/// A JSON document for reading.
pub(crate) fn json_pretty(document: &Value) -> String {
    // Values with string keys cannot fail to be printed; the short form would be as right.
    escape_in_strings(serde_json::to_string_pretty(document).unwrap_or_else(|_| document.to_string()))
}

/// JSON escapes only the controls below U+0020. The others that a terminal obeys can only be inside strings, where `\u` is the
/// same character to whoever parses it.
pub(crate) fn escape_in_strings(json: String) -> String {
    if !json.chars().any(|c| is_harmful(c) && c != '\n') {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmful(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{s} s"),
        120..7_200 => format!("{} min {} s", s / 60, s % 60),
        7_200..172_800 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// `512 B`, `1.5 KiB`, `64.0 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T08:14:58.123Z`.
pub(crate) fn time(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Days since 1970-01-01 as a date of the Gregorian calendar. Counting years from March puts the leap day last, so that the
/// months before it follow one linear rule.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// `250ms`, `30s`, `10m`, `2h`, `1d`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unknown = || format!("`{}` is not a duration such as 30s, 10m or 2h", neutral(text));
    let number: u64 = number.parse().map_err(|_| unknown())?;
    let ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(unknown()),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(unknown)
}

/// `512MiB`, `4GiB`; a bare number is bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unknown = || format!("`{}` is not a size such as 512MiB or 4GiB", neutral(text));
    let number: u64 = number.parse().map_err(|_| unknown())?;
    let bytes: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(unknown()),
    };
    number.checked_mul(bytes).ok_or_else(unknown)
}

/// The word as a POSIX shell reads it back.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The help of a code with the application's name where the catalogue can only say APP.
pub(crate) fn for_application(help: &str, name: &str) -> String {
    help.replace(" APP`", &format!(" {name}`"))
}

/// A problem about an argument that clap cannot check alone.
pub(crate) fn bad_argument(message: impl Into<String>) -> Problem {
    Problem::new(api::BAD_ARGUMENT, message)
}

#[cfg(test)]
mod tests;
