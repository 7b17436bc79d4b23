//! Numbers as people read them: three significant digits, a unit, separators between thousands.

use quorumeter_record::Quantiles;

/// Stands for what cannot be told.
pub const UNTOLD: &str = "-";

/// A duration with three significant digits, in ns, µs, ms or s: `1.23 ms`.
pub fn duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let magnitude = ns.unsigned_abs();
    if magnitude < 1000 {
        return format!("{sign}{magnitude} ns");
    }
    // Three leading digits and how many follow them; rounding may carry into a fourth.
    let mut following = magnitude.ilog10() - 2;
    let mut leading = (magnitude + 10_u64.pow(following) / 2) / 10_u64.pow(following);
    if leading == 1000 {
        leading = 100;
        following += 1;
    }
    let unit = following.div_ceil(3).min(3);
    let name = ["ns", "µs", "ms", "s"][unit as usize];
    // How many of the three digits are behind the point: 0 for 123 µs, 2 for 1.23 ms.
    match (unit * 3).checked_sub(following) {
        None | Some(0) => format!("{sign}{} {name}", count(leading * 10_u64.pow(following - unit * 3))),
        Some(decimals) => {
            let scale = 10_u64.pow(decimals);
            format!("{sign}{}.{:0width$} {name}", leading / scale, leading % scale, width = decimals as usize)
        }
    }
}

/// What lies between two figures, their unit said once where it is the same: `410…431 ms`, `980 ms…1.02 s`.
pub fn between(low: &str, high: &str) -> String {
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number}…{high}"),
        _ => format!("{low}…{high}"),
    }
}

/// A duration that somebody chose, without the zeros that a measured one shows: `30 s`, `1.5 s`.
pub fn span(ns: u64) -> String {
    let text = duration(i64::try_from(ns).unwrap_or(i64::MAX));
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

/// One statistic of a distribution: `1.23 ms`, `≥1.23 ms` where it is a lower bound, `-` where it cannot be told.
pub fn statistic(quantiles: &Quantiles, name: &str) -> String {
    match quantiles.get(name) {
        None => UNTOLD.to_owned(),
        Some(ns) if quantiles.is_lower_bound(name) => format!("≥{}", duration(ns)),
        Some(ns) => duration(ns),
    }
}

/// A count with separators between thousands: `12,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that is not a count, with three significant digits where it has a fraction: `0`, `9.99`, `12,346`.
pub fn decimal(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number == 0.0 { "0".to_owned() } else { UNTOLD.to_owned() };
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let number = number.abs();
    for decimals in [2, 1] {
        let text = format!("{number:.decimals$}");
        if text.len() <= 4 {
            return format!("{sign}{text}");
        }
    }
    format!("{sign}{}", count(number.round() as u64))
}

/// A rate: `12,346/s`.
pub fn rate(per_s: f64) -> String {
    format!("{}/s", decimal(per_s))
}

/// A share (0 to 1) as a percentage: `12.3 %`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent != 0.0 && percent < 0.01 { "<0.01 %".to_owned() } else { format!("{} %", decimal(percent)) }
}

/// A size in bytes, with binary prefixes from 10 KiB on: `256 B`, `1,024 B`, `1.50 MiB`.
pub fn bytes(bytes: f64) -> String {
    const PREFIXES: [(f64, &str); 3] = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    if bytes >= 10.0 * 1024.0 {
        for (scale, name) in PREFIXES {
            if bytes >= scale {
                return format!("{} {name}", decimal(bytes / scale));
            }
        }
    }
    let whole = bytes.fract() == 0.0;
    if whole { format!("{} B", count(bytes as u64)) } else { format!("{} B", decimal(bytes)) }
}

/// A count and its noun: `1 op`, `2 ops`. The noun forms its plural with an s.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_significant_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234, "1.23 µs"),
            (1_235, "1.24 µs"),
            (9_994, "9.99 µs"),
            (9_995, "10.0 µs"),
            (12_345, "12.3 µs"),
            (123_456, "123 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (2_000_000, "2.00 ms"),
            (1_002_000_000, "1.00 s"),
            (59_960_000_000, "60.0 s"),
            (999_600_000_000, "1,000 s"),
            (3_600_000_000_000, "3,600 s"),
            (-1_500, "-1.50 µs"),
        ] {
            assert_eq!(duration(ns), text, "{ns}");
        }
        assert!(duration(i64::MAX).ends_with(" s"));
        assert!(duration(i64::MIN).starts_with('-'));
    }

    #[test]
    fn chosen_durations_have_no_needless_zeros() {
        for (ns, text) in [
            (30_000_000_000, "30 s"),
            (1_500_000_000, "1.5 s"),
            (500_000_000, "500 ms"),
            (600_000_000_000, "600 s"),
            (0, "0 ns"),
        ] {
            assert_eq!(span(ns), text, "{ns}");
        }
    }

    #[test]
    fn a_unit_is_said_once() {
        for (low, high, text) in [
            ("410 ms", "431 ms", "410…431 ms"),
            ("980 ms", "1.02 s", "980 ms…1.02 s"),
            ("410 ms", "> 60.0 s", "410 ms…> 60.0 s"),
            ("-", "-", "-…-"),
        ] {
            assert_eq!(between(low, high), text);
        }
    }

    #[test]
    fn a_lower_bound_and_the_untold_are_marked() {
        let quantiles = Quantiles {
            p50: Some(1_000_000),
            max: Some(1_200_000_000),
            at_least: vec!["max".to_owned()],
            ..Quantiles::default()
        };
        assert_eq!(statistic(&quantiles, "p50"), "1.00 ms");
        assert_eq!(statistic(&quantiles, "p99"), "-");
        assert_eq!(statistic(&quantiles, "max"), "≥1.20 s");
    }

    #[test]
    fn numbers_have_separators_and_few_digits() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (n, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (12_345.6, "12,346"),
            (-2.5, "-2.50"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(decimal(n), text, "{n}");
        }
        assert_eq!(rate(20_000.0), "20,000/s");
        for (share, text) in [(0.0, "0 %"), (1.0, "100 %"), (0.123_45, "12.3 %"), (0.000_001, "<0.01 %")] {
            assert_eq!(percent(share), text);
        }
        for (size, text) in
            [(256.0, "256 B"), (1024.0, "1,024 B"), (99.5, "99.5 B"), (1_572_864.0, "1.50 MiB")]
        {
            assert_eq!(bytes(size), text);
        }
        assert_eq!((counted(1, "op"), counted(2_000, "op")), ("1 op".to_owned(), "2,000 ops".to_owned()));
    }
}
