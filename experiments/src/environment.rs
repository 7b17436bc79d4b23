//! The machine of the load generator. What it does not tell is absent.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use quorumeter_record::{Environment, Tool, WallStart};

/// Looks at the machine.
pub fn environment() -> Environment {
    let uname = rustix::system::uname();
    Environment {
        kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
        cpu_model: value_of("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes: value_of("/proc/meminfo", "MemTotal")
            .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok())
            .map(|kib| kib * 1024),
        cgroup_cpus: cgroup("cpu.max").and_then(|text| parse_cpu_max(&text)),
        cgroup_memory_bytes: cgroup("memory.max").and_then(|text| text.parse().ok()),
        clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        load_average: line("/proc/loadavg").and_then(|text| parse_load(&text)),
        ..Environment::default()
    }
}

/// The tool itself.
pub fn tool() -> Tool {
    Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("QUORUMETER_COMMIT").map(str::to_owned),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
    }
}

/// The wall clock now.
pub fn wall_start() -> WallStart {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallStart { rfc3339: rfc3339(since_epoch.as_millis() as u64), unix_ns: since_epoch.as_nanos() as u64 }
}

/// UTC in the form of RFC 3339, from milliseconds since 1970.
fn rfc3339(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days as i64);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

/// The date of a day since 1970-01-01, in the Gregorian calendar: counted in eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn value_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A file of this process's control group (version 2).
fn cgroup(file: &str) -> Option<String> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    line(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')).join(file).to_str()?)
}

/// `cpu.max` is `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn parse_load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split(' ').map_while(|n| n.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_standard_has_it() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }

    #[test]
    fn limits_and_load_are_read() {
        assert_eq!(parse_cpu_max("150000 100000"), Some(1.5));
        assert_eq!(parse_cpu_max("max 100000"), None);
        assert_eq!(parse_load("0.10 0.20 0.30 1/234 5678"), Some([0.1, 0.2, 0.3]));
        assert_eq!(parse_load("0.10 x"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_cores() {
        let here = environment();
        assert!(here.kernel.starts_with("Linux ") && here.cores >= 1, "{here:?}");
    }
}
