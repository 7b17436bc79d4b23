//! The numbers of one repetition by name.

use std::collections::BTreeMap;

use super::outage::{AckGap, Outage};

/// Of a duration that is shorter than so many periods of the probes, no more is told than that.
const TOLD_PERIODS: u64 = 3;

/// What was measured in one repetition, by name: durations end in `_ns`, counts do not, and what clients of one policy saw has
/// its name and a dot in front.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    pub(crate) values: BTreeMap<String, u64>,
    /// Names of the durations that are longer than their value tells.
    pub(crate) censored: Vec<String>,
}

impl Values {
    /// A duration, nanoseconds.
    pub(crate) fn duration(&mut self, name: &str, ns: u64, is_censored: bool) {
        let name = format!("{name}_ns");
        if is_censored {
            self.censored.push(name.clone());
        }
        self.values.insert(name, ns);
    }

    /// A count.
    pub(crate) fn count(&mut self, name: &str, count: u64) {
        self.values.insert(name.to_owned(), count);
    }

    /// The bounds of an outage as `<name>_lower` and `<name>_upper`.
    pub(crate) fn outage(&mut self, name: &str, bounds: Bounds) {
        self.duration(&format!("{name}_lower"), bounds.lower_ns, bounds.is_censored);
        self.duration(&format!("{name}_upper"), bounds.upper_ns, bounds.is_censored);
    }
}

/// Between what an outage lies, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) lower_ns: u64,
    pub(crate) upper_ns: u64,
    /// It did not end within the repetition; both are how long it was seen.
    pub(crate) is_censored: bool,
}

impl Bounds {
    /// Of an outage. Where no slot failed it is no longer than the longest time without an acknowledgement, and one of less
    /// than three periods is told as such: a lower bound of 0, and three periods or more.
    pub(crate) fn new(outage: Option<&Outage>, gap: &AckGap, period_ns: u64) -> Bounds {
        let told_ns = TOLD_PERIODS * period_ns;
        let (lower_ns, upper_ns, is_censored) = match outage {
            Some(outage) => (outage.lower_ns(), outage.upper_ns(), outage.over_by_ns.is_none()),
            None => (0, gap.hole_ns, gap.is_censored),
        };
        if upper_ns < told_ns && !is_censored {
            return Bounds { lower_ns: 0, upper_ns: told_ns, is_censored };
        }
        Bounds { lower_ns, upper_ns, is_censored }
    }

    /// The longer one of either.
    pub(crate) fn worst(self, other: Bounds) -> Bounds {
        Bounds {
            lower_ns: self.lower_ns.max(other.lower_ns),
            upper_ns: self.upper_ns.max(other.upper_ns),
            is_censored: self.is_censored || other.is_censored,
        }
    }
}

/// The sum of the upper bounds, and whether one of them did not end.
pub(crate) fn bad_time(outages: &[Outage]) -> (u64, bool) {
    let is_censored = outages.iter().any(|outage| outage.over_by_ns.is_none());
    (outages.iter().map(Outage::upper_ns).sum(), is_censored)
}
