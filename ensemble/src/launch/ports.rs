//! Loopback ports for servers that must be told theirs.
//!
//! Between the test here and the server's own bind the port is anybody's. So it comes from outside the range in
//! which the kernel picks ports for others, at random, and never twice; a server that finds it taken all the same is
//! started again with another.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// Below this one, ports belong to well-known services.
const LOWEST: u16 = 10_000;

/// Ports tried before giving up.
const DRAWS: usize = 1_000;

static HANDED_OUT: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A TCP port of 127.0.0.1 that is free now, and that this process has not been given before.
pub fn free_port() -> io::Result<u16> {
    let ranges = outside(ephemeral_range());
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last_error = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..DRAWS {
        let port = pick(&ranges, RandomState::new().hash_one(()));
        if handed_out.contains(&port) {
            continue;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => {
                handed_out.insert(port);
                return Ok(port);
            }
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// The range from which the kernel picks ports for outgoing connections and for binds to port 0.
fn ephemeral_range() -> RangeInclusive<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(32_768..=60_999)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// What is left of [`LOWEST`] and above. Where the kernel takes all of that, everything: a retry must do then.
fn outside(ephemeral: RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
    let below = LOWEST..=ephemeral.start().saturating_sub(1);
    let above = ephemeral.end().checked_add(1).map(|first| first.max(LOWEST)..=u16::MAX);
    let left: Vec<_> = [Some(below), above].into_iter().flatten().filter(|range| !range.is_empty()).collect();
    if left.is_empty() { vec![LOWEST..=u16::MAX] } else { left }
}

fn pick(ranges: &[RangeInclusive<u16>], random: u64) -> u16 {
    let total: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    let index = (random % total as u64) as usize;
    ranges.iter().cloned().flatten().nth(index).expect("index is below the number of ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_outside_the_kernels_range() {
        for (ephemeral, expected) in [
            (32_768..=60_999, vec![10_000..=32_767, 61_000..=65_535]),
            (32_768..=65_535, vec![10_000..=32_767]),
            (1_024..=60_999, vec![61_000..=65_535]),
            (1_024..=5_000, vec![10_000..=65_535]),
            (1_024..=65_535, vec![10_000..=65_535]),
        ] {
            assert_eq!(outside(ephemeral.clone()), expected, "{ephemeral:?}");
        }
    }

    #[test]
    fn a_pick_covers_every_range_to_its_ends() {
        let ranges = [10..=12, 20..=21];
        let picked: Vec<u16> = (0..6).map(|random| pick(&ranges, random)).collect();
        assert_eq!(picked, [10, 11, 12, 20, 21, 10]);
    }

    #[test]
    fn the_kernels_file_is_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32_768..=60_999));
        for broken in ["", "32768", "a b", "1 70000"] {
            assert_eq!(parse_range(broken), None, "{broken}");
        }
    }

    #[test]
    fn no_port_is_given_twice_or_while_it_is_taken() {
        let mut seen = BTreeSet::new();
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..50).map(|_| free_port().unwrap()).collect::<Vec<_>>()))
            .collect();
        for thread in threads {
            for port in thread.join().unwrap() {
                assert!(port >= LOWEST && seen.insert(port), "{port}");
            }
        }
    }
}
