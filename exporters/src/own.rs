//! What this process itself uses, under the names that every Prometheus client has for it.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::catalog;
use crate::family::Families;
use crate::sample::Value;

/// Looked up once: computed anew it would differ by some microseconds, and whoever counts its changes would see a restart
/// in each scrape.
static START: OnceLock<Option<f64>> = OnceLock::new();

/// Adds what this process uses now. What the system does not tell is absent.
pub fn families(into: &mut Families) {
    let values = [
        (&catalog::OWN_START, *START.get_or_init(start_unix)),
        (&catalog::OWN_CPU, Some(seconds(clock_gettime(ClockId::ProcessCPUTime)))),
        (&catalog::OWN_RESIDENT, resident_bytes()),
        (&catalog::OWN_OPEN_FDS, open_fds()),
        (&catalog::OWN_MAX_FDS, getrlimit(Resource::Nofile).current.map(|limit| limit as f64)),
    ];
    for (metric, value) in values {
        if let Some(value) = value {
            into.add(metric, Vec::new(), Value::Number(value));
        }
    }
}

/// A name that tells this process from those on other machines and ports.
pub fn instance(port: u16) -> String {
    format!("{}:{port}", rustix::system::uname().nodename().to_string_lossy())
}

fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// When the process started, in seconds of Unix time: `/proc` tells it in ticks since the machine did (proc(5)).
fn start_unix() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks = start_ticks(&stat)? as f64;
    let running =
        seconds(clock_gettime(ClockId::Boottime)) - ticks / rustix::param::clock_ticks_per_second() as f64;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::try_from_secs_f64(running).ok()?).as_secs_f64())
}

/// Field 22 of `/proc/self/stat`. Field 2 is the program's name in parentheses, and may hold spaces and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64) as f64)
}

fn open_fds() -> Option<f64> {
    // The one that the folder is read through is none of the others.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_behind_the_name() {
        let fields = "S 1 5 5 0 -1 4194560 9 0 1 0 120 30 0 0 20 0 34 0 8123 9223 4096";
        for name in ["java", "a b", "tricky) R 1 1"] {
            assert_eq!(start_ticks(&format!("77 ({name}) {fields}")), Some(8123), "{name}");
        }
        assert_eq!(start_ticks("77 (java) S 1"), None);
    }

    #[test]
    fn this_process_tells_all_of_it() {
        let mut into = Families::default();
        families(&mut into);
        let values: Vec<(&str, f64)> = into
            .into_sorted()
            .iter()
            .map(|family| match family.series[0].value {
                Value::Number(number) => (family.metric.name, number),
                Value::Histogram(_) => unreachable!("none of them is one"),
            })
            .collect();
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        let all = [
            &catalog::OWN_START,
            &catalog::OWN_CPU,
            &catalog::OWN_RESIDENT,
            &catalog::OWN_OPEN_FDS,
            &catalog::OWN_MAX_FDS,
        ];
        assert_eq!(names, all.map(|metric| metric.name));
        assert!(values.iter().all(|(_, value)| *value > 0.0), "{values:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - values[0].1;
        assert!((-1.0..86_400.0).contains(&age), "it started {age} s ago");
        for _ in 0..100 {
            let mut again = Families::default();
            families(&mut again);
            let again = again.into_sorted();
            assert_eq!(again[0].series[0].value, Value::Number(values[0].1), "it has not started again");
        }
    }
}
