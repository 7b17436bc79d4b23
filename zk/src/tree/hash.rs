//! The hash function of the tree's and the watch table's maps.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map with the fast hash function.
pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// A set with the fast hash function.
pub(crate) type FastSet<K> = HashSet<K, BuildHasherDefault<FastHasher>>;

/// Eight bytes at a time, mixed by the two halves of a 128-bit product (as wyhash does). It has no secret:
/// whoever may choose paths that collide may as well fill the server's memory, and a server for measurements
/// on loopback has no use for a defence that costs every request. Being without a secret, it gives the same
/// iteration order on every member.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FastHasher(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl FastHasher {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0xa076_1d64_78bd_642f) * u128::from(FACTOR);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, mut bytes: &[u8]) {
        let length = bytes.len() as u64;
        while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
            self.mix(u64::from_le_bytes(*word));
            bytes = rest;
        }
        let mut tail = [0; 8];
        tail[..bytes.len()].copy_from_slice(bytes);
        self.mix(u64::from_le_bytes(tail) ^ length << 56);
    }

    /// The mark that the standard library puts behind a string; the length has been mixed in already.
    #[inline]
    fn write_u8(&mut self, _: u8) {}

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    #[inline]
    fn write_i64(&mut self, word: i64) {
        self.mix(word as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn numbered_paths_spread() {
        // Both ends of the hash matter: the map takes its bucket from the low bits and its tag from the high
        // ones.
        for shift in [0, 47] {
            let mut buckets = vec![0u32; 1 << 16];
            for n in 0..1 << 16 {
                let mut hasher = FastHasher::default();
                format!("/quorumeter/run/d/{:04}/{n:08}", n % 100).hash(&mut hasher);
                buckets[(hasher.finish() >> shift) as usize & 0xffff] += 1;
            }
            let empty = buckets.iter().filter(|&&n| n == 0).count();
            // A perfect hash function leaves 1/e of the buckets empty: 24,109.
            assert!((23_000..25_300).contains(&empty), "{empty} empty buckets with shift {shift}");
            assert!(buckets.iter().all(|&n| n < 12));
        }
    }
}
