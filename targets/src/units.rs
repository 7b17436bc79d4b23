//! Values with a unit: durations, rates, sizes; and the `name(argument, …)` form of everything with parameters.

use std::fmt;
use std::str::FromStr;

/// A duration, in nanoseconds. Written `"5s"`, `"1.5ms"`, `"2m"`, `"0s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dur(pub u64);

/// A rate, per second. Written `"500/s"`, `"20k/s"`, `"1.5M/s"`, or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// A size, in bytes. Written `"256 B"`, `"1 KiB"`, `"10 kB"`, `"1 MiB"`, or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const DURATION_UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
const RATE_UNITS: [(&str, f64); 8] =
    [("/s", 1.0), ("k/s", 1e3), ("K/s", 1e3), ("M/s", 1e6), ("k", 1e3), ("K", 1e3), ("M", 1e6), ("", 1.0)];
const SIZE_UNITS: [(&str, f64); 7] =
    [("B", 1.0), ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("KiB", 1024.0), ("MiB", 1_048_576.0), ("", 1.0)];

/// A number and one of these units.
fn number_and_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    Some(number * factor)
}

impl FromStr for Dur {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        number_and_unit(text, &DURATION_UNITS)
            .filter(|ns| *ns <= 1e18)
            .map(|ns| Dur(ns.round() as u64))
            .ok_or_else(|| {
                format!("{text:?} is no duration; write a number and ns, us, ms, s, m or h, as in \"5s\"")
            })
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        number_and_unit(text, &RATE_UNITS).map(Rate).ok_or_else(|| {
            format!("{text:?} is no rate; write a number per second, as in \"500/s\" or \"20k/s\"")
        })
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        number_and_unit(text, &SIZE_UNITS)
            .filter(|bytes| *bytes <= 1e15)
            .map(|bytes| Size(bytes.round() as u64))
            .ok_or_else(|| {
                format!("{text:?} is no size; write a number and B, kB, KiB, MB or MiB, as in \"256 B\"")
            })
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        match ns {
            0 => f.write_str("0s"),
            _ if ns.is_multiple_of(1_000_000_000) => write!(f, "{}s", ns / 1_000_000_000),
            _ if ns.is_multiple_of(1_000_000) => write!(f, "{}ms", ns / 1_000_000),
            _ if ns.is_multiple_of(1000) => write!(f, "{}us", ns / 1000),
            _ => write!(f, "{ns}ns"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1000.0 && self.0 % 100.0 == 0.0 {
            write!(f, "{}k/s", self.0 / 1000.0)
        } else {
            write!(f, "{}/s", self.0)
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// Gives a type with `FromStr` and `Display` its form in files. The crate that uses it depends on serde and schemars.
#[macro_export]
macro_rules! text_form {
    ($type:ty, $numbers:literal, $what:literal, $examples:expr) => {
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl ::serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: ::serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                        if !$numbers {
                            return Err(E::invalid_type(::serde::de::Unexpected::Signed(number), &self));
                        }
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_f64<E: ::serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                        if !$numbers {
                            return Err(E::invalid_type(::serde::de::Unexpected::Float(number), &self));
                        }
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl ::schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                let examples: &[&str] = &$examples;
                if $numbers {
                    ::schemars::json_schema!({
                        "type": ["string", "number"],
                        "description": $what,
                        "examples": examples
                    })
                } else {
                    ::schemars::json_schema!({ "type": "string", "description": $what, "examples": examples })
                }
            }
        }
    };
}

text_form!(Dur, false, "a duration such as \"5s\" or \"100ms\"", ["5s", "100ms"]);
text_form!(Rate, true, "a rate such as \"20k/s\"", ["500/s", "20k/s"]);
text_form!(Size, true, "a size such as \"256 B\"", ["256 B", "1 KiB"]);

/// Splits `name(a, b)` into name and arguments; `name` alone has none.
pub fn call(text: &str) -> Option<(&str, Vec<&str>)> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else { return Some((text, Vec::new())) };
    let arguments = rest.strip_suffix(')')?;
    Some((name.trim_end(), arguments.split(',').map(str::trim).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_units_are_read() {
        for (text, ns) in [
            ("5s", 5_000_000_000),
            ("1.5ms", 1_500_000),
            ("250 us", 250_000),
            ("3µs", 3000),
            ("2m", 120_000_000_000),
            ("0s", 0),
            ("7ns", 7),
        ] {
            assert_eq!(text.parse(), Ok(Dur(ns)), "{text}");
        }
        for (text, rate) in
            [("500/s", 500.0), ("20k/s", 20_000.0), ("1.5M/s", 1.5e6), ("300", 300.0), ("2k", 2e3)]
        {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for (text, bytes) in
            [("256 B", 256), ("1KiB", 1024), ("1.5 kB", 1500), ("77", 77), ("1 MiB", 1 << 20)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for ns in [0, 1, 1000, 1_500_000, 90_000_000_000] {
            assert_eq!(Dur(ns).to_string().parse(), Ok(Dur(ns)));
        }
        for rate in [0.5, 1.0, 999.0, 1500.0, 20_000.0, 1_234_567.0] {
            assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "5", "s", "-1s", "5 parsecs", "1e3s", "1..5s", "nan s", "99999999999h"] {
            assert!(text.parse::<Dur>().is_err(), "{text}");
        }
        for text in ["", "x", "-5/s", "20q/s", "5/m"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["", "B", "-1 B", "5 bytes"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn calls_are_split() {
        assert_eq!(call("zipf(0.99)"), Some(("zipf", vec!["0.99"])));
        assert_eq!(call("uniform"), Some(("uniform", vec![])));
        assert_eq!(call("uniform(1 B, 2 B)"), Some(("uniform", vec!["1 B", "2 B"])));
        assert_eq!(call("zipf(0.99"), None);
    }
}
