//! `hashable-f64`: a float as mantissa, exponent of two, and sign, as `integer_decode` of the crate `num-traits` gives them.

/// The parts of a double.
pub(super) fn of_f64(number: f64) -> (u64, i16, i8) {
    let bits = number.to_bits();
    let sign = if bits >> 63 == 0 { 1 } else { -1 };
    let exponent = ((bits >> 52) & 0x7ff) as i16;
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if exponent == 0 { fraction << 1 } else { fraction | 1 << 52 };
    (mantissa, exponent - (1023 + 52), sign)
}

/// The parts of a single.
pub(super) fn of_f32(number: f32) -> (u64, i16, i8) {
    let bits = number.to_bits();
    let sign = if bits >> 31 == 0 { 1 } else { -1 };
    let exponent = ((bits >> 23) & 0xff) as i16;
    let fraction = bits & ((1 << 23) - 1);
    let mantissa = if exponent == 0 { fraction << 1 } else { fraction | 1 << 23 };
    (mantissa.into(), exponent - (127 + 23), sign)
}

/// The double of these parts. Parts that [`of_f64`] or [`of_f32`] made of what is no number give that again.
pub(super) fn to_f64((mantissa, exponent, sign): (u64, i16, i8)) -> f64 {
    let sign = if sign < 0 { -1.0 } else { 1.0 };
    match (mantissa, exponent) {
        (0x10_0000_0000_0000, 972) | (0x80_0000, 105) => return sign * f64::INFINITY,
        (0x10_0000_0000_0001.., 972) => return f64::NAN,
        (0x80_0001..0x100_0000, 105) => return f64::NAN,
        _ => {}
    }
    // In two steps, since two to such a power may be no double when the product is one.
    let half = i32::from(exponent) / 2;
    sign * (mantissa as f64) * 2f64.powi(half) * 2f64.powi(i32::from(exponent) - half)
}

/// As PostgreSQL reads it.
pub(super) fn text(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".into(),
        _ if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ => format!("{number:e}"),
    }
}
