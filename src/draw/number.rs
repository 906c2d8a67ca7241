//! Number formats for figures.

/// Numbers at least this large are written with a power of ten, because an f64 does not hold their last digits.
const LARGE: f64 = 1e15;

/// Numbers at least this large are written with a power of ten on an axis if that is shorter.
const WIDE: f64 = 1e7;

/// Formats a number with a true minus sign; zero has none. A very large number is written with a power of ten.
pub fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() && value.abs() >= LARGE {
        return scientific(value, 3);
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) => {
            format!("\u{2212}{digits}")
        }
        Some(digits) => digits.to_string(),
        None => text,
    }
}

/// Formats a number without trailing zeros.
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = number(value, decimals);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// Formats a number with about three significant digits.
pub fn three_digits(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 {
        return if value.abs() < 1e-3 {
            scientific(value, 2)
        } else {
            trimmed(value, (2.0 - value.abs().log10().floor()) as usize)
        };
    }
    number(
        value,
        if value.abs() >= 100.0 {
            0
        } else if value.abs() >= 10.0 {
            1
        } else {
            2
        },
    )
}

/// Formats a number on a scale with steps of `step`, with enough digits to distinguish neighbours.
pub fn in_steps(value: f64, step: f64) -> String {
    let decimals = -(step.abs() * 1.000_001).log10().floor();
    let digits = (value.abs() / step.abs()).log10().ceil();
    let plain = number(value, decimals.clamp(0.0, 9.0) as usize);
    if value != 0.0 && (decimals > 9.0 || value.abs() >= WIDE) && digits.is_finite() {
        let short = scientific(value, digits.clamp(0.0, 12.0) as usize);
        if decimals > 9.0 || value.abs() >= LARGE || short.chars().count() <= plain.chars().count() {
            return short;
        }
    }
    plain
}

/// Formats a number times a power of ten, with at most `decimals` decimals.
pub fn scientific(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$e}");
    let Some((digits, power)) = text.split_once('e') else { return text };
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let power = power_of_ten(power.parse().unwrap_or(0));
    format!("{}\u{b7}{power}", digits.replace('-', "\u{2212}"))
}

/// Formats a power of ten with superscript digits.
pub fn power_of_ten(power: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = |letter: char| letter.to_digit(10).map_or('⁻', |digit| RAISED[digit as usize]);
    match power {
        0 => "1".to_string(),
        _ => format!("10{}", power.to_string().chars().map(raised).collect::<String>()),
    }
}

/// Rounds a positive step to 1, 1.5, 2, 2.5, 3, 4, 5, 6 or 8 times a power of ten.
pub fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let rounds = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let far = |round: &f64| (round - step / power).abs();
    rounds.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).unwrap_or(1.0) * power
}

/// The letter of a coin or component: A, B, …, Z, then its number.
pub fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(small) if small < 26 => char::from(b'A' + small).to_string(),
        _ => (index + 1).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_true_minus_sign_and_no_negative_zero() {
        assert_eq!(number(-1.25, 1), "\u{2212}1.2");
        assert_eq!(number(-0.001, 2), "0.00");
        assert_eq!((trimmed(2.50, 3), trimmed(20.0, 0)), ("2.5".to_string(), "20".to_string()));
    }

    #[test]
    fn small_and_large_numbers_keep_three_digits() {
        let shown = [0.0, 0.25, 0.0123456, 0.00123456, 4e-4, -4.5678e-7, 1234.5].map(three_digits);
        assert_eq!(
            shown,
            ["0.00", "0.25", "0.0123", "0.00123", "4\u{b7}10⁻⁴", "\u{2212}4.57\u{b7}10⁻⁷", "1234"]
        );
    }

    #[test]
    fn wide_numbers_on_an_axis_have_a_power_of_ten() {
        assert_eq!(in_steps(450_500_000.0, 500_000.0), "4.505\u{b7}10⁸");
        assert_eq!(in_steps(-123_456_700.0, 100.0), "\u{2212}123456700"); // shorter than with a power
        assert_eq!((in_steps(1_000_000.0, 500_000.0), in_steps(0.0, 5e7)), ("1000000".into(), "0".into()));
    }

    #[test]
    fn round_step_returns_a_nearby_round_number() {
        assert!((round_step(0.0078) - 0.008).abs() < 1e-12 && (round_step(97.0) - 100.0).abs() < 1e-9);
    }
}
