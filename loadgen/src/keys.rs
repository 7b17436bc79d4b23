//! Which node an op is about.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use quorumeter_targets::Nodes;
use rand::RngExt as _;
use rand_distr::{Distribution as _, Zipf};
use rand_xoshiro::Xoshiro256PlusPlus;

use quorumeter_targets::text_form;
use quorumeter_targets::units::call;

/// How keys are chosen.
///
/// | text | keys |
/// |---|---|
/// | `uniform` | all alike |
/// | `zipf(0.99)` | the k-th most popular key with a weight of 1/k^0.99; popular keys lie scattered |
/// | `latest(0.99)` | writes go round the dataset in order, other ops to keys written a zipf-distributed number of writes ago |
/// | `sequential` | every session goes round the dataset in order, each from its own start |
/// | `hot(0.1, 0.9)` | 10 % of the keys get 90 % of the ops |
/// | `own` | session number s always uses key number s |
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keys {
    /// All keys alike.
    Uniform,
    /// A few keys are popular.
    Zipf {
        /// Exponent, above 0.
        exponent: f64,
    },
    /// Keys that were written last are popular.
    Latest {
        /// Exponent, above 0.
        exponent: f64,
    },
    /// One after the other.
    Sequential,
    /// A hot set.
    Hot {
        /// Share of the keys that are hot, above 0, below 1.
        keys: f64,
        /// Share of the ops that go to them, from 0 to 1.
        ops: f64,
    },
    /// Each session its own.
    Own,
}

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = call(text).ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
        let exponent = |text: &str| match text.parse::<f64>() {
            Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => Ok(exponent),
            _ => Err(format!("{text:?} is no exponent; write a number above 0, up to 10")),
        };
        let share = |text: &str, what: &str| match text.parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
            _ => Err(format!("{text:?} is no share of the {what}; write a number above 0, up to 1")),
        };
        match (name, &arguments[..]) {
            ("uniform", []) => Ok(Keys::Uniform),
            ("zipf", [e]) => Ok(Keys::Zipf { exponent: exponent(e)? }),
            ("latest", []) => Ok(Keys::Latest { exponent: 0.99 }),
            ("latest", [e]) => Ok(Keys::Latest { exponent: exponent(e)? }),
            ("sequential", []) => Ok(Keys::Sequential),
            ("own", []) => Ok(Keys::Own),
            ("hot", [keys, ops]) => Ok(Keys::Hot { keys: share(keys, "keys")?, ops: share(ops, "ops")? }),
            _ => Err(format!(
                "{text:?} is no choice of keys; known: uniform, zipf(EXPONENT), latest(EXPONENT), sequential, \
                 hot(SHARE OF KEYS, SHARE OF OPS), own"
            )),
        }
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keys::Uniform => f.write_str("uniform"),
            Keys::Zipf { exponent } => write!(f, "zipf({exponent})"),
            Keys::Latest { exponent } => write!(f, "latest({exponent})"),
            Keys::Sequential => f.write_str("sequential"),
            Keys::Hot { keys, ops } => write!(f, "hot({keys}, {ops})"),
            Keys::Own => f.write_str("own"),
        }
    }
}

text_form!(
    Keys,
    false,
    "a choice of keys: \"uniform\", \"zipf(0.99)\", \"latest(0.99)\", \"sequential\", \"hot(0.1, 0.9)\" or \"own\"",
    ["uniform", "zipf(0.99)", "latest(0.99)", "sequential", "hot(0.1, 0.9)", "own"]
);

/// Chooses keys for one session.
#[derive(Debug, Clone)]
pub struct KeyChooser {
    nodes: Nodes,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Uniform,
    Zipf { ranks: Zipf<f64>, stride: u64 },
    Latest { ranks: Zipf<f64>, newest: Rc<Cell<u32>> },
    Sequential { next: u32 },
    Hot { hot_keys: u32, ops: f64 },
    Own { session: u32 },
}

impl KeyChooser {
    /// A chooser among these nodes for session number `session` of `sessions`. `newest` is the place among them of
    /// the one that was written last, which the sessions of a stream on one worker share.
    ///
    /// # Panics
    /// Without any node, and where a session has none of its own.
    pub fn new(keys: Keys, part: Nodes, session: u32, sessions: u32, newest: &Rc<Cell<u32>>) -> KeyChooser {
        let nodes = part.count;
        assert!(nodes > 0, "a plan without nodes is refused before");
        let zipf = |exponent| {
            Zipf::new(f64::from(nodes), exponent).expect("a plan's exponent is positive, and there is a node")
        };
        let how = match keys {
            Keys::Uniform => How::Uniform,
            Keys::Zipf { exponent } => How::Zipf { ranks: zipf(exponent), stride: coprime_stride(nodes) },
            Keys::Latest { exponent } => How::Latest { ranks: zipf(exponent), newest: Rc::clone(newest) },
            Keys::Sequential => How::Sequential {
                next: (u64::from(nodes) * u64::from(session) / u64::from(sessions.max(1))) as u32,
            },
            Keys::Hot { keys, ops } => {
                How::Hot { hot_keys: ((f64::from(nodes) * keys).round() as u32).clamp(1, nodes), ops }
            }
            Keys::Own => {
                assert!(session < nodes, "a plan with fewer nodes than sessions is refused before");
                How::Own { session }
            }
        };
        KeyChooser { nodes: part, how }
    }

    /// The key of the next op.
    #[inline]
    pub fn next_key(&mut self, is_write: bool, random: &mut Xoshiro256PlusPlus) -> u32 {
        let nodes = self.nodes.count;
        let place = match &mut self.how {
            How::Uniform => random.random_range(0..nodes),
            How::Zipf { ranks, stride } => {
                let rank = ranks.sample(random) as u64 - 1;
                // A permutation: neighbours in popularity do not share a parent.
                (rank * *stride % u64::from(nodes)) as u32
            }
            How::Latest { ranks, newest } => {
                if is_write {
                    newest.set((newest.get() + 1) % nodes);
                    newest.get()
                } else {
                    let back = ranks.sample(random) as u32 - 1;
                    (newest.get() + nodes - back) % nodes
                }
            }
            How::Sequential { next } => {
                let key = *next;
                *next = (key + 1) % nodes;
                key
            }
            How::Hot { hot_keys, ops } => {
                if *hot_keys == nodes || random.random_bool(*ops) {
                    random.random_range(0..*hot_keys)
                } else {
                    random.random_range(*hot_keys..nodes)
                }
            }
            How::Own { session } => *session,
        };
        self.nodes.first + place
    }
}

/// A step that visits every one of `nodes` keys before it comes back to the first.
fn coprime_stride(nodes: u32) -> u64 {
    let mut stride = 2_654_435_761 % u64::from(nodes).max(1);
    while gcd(stride, u64::from(nodes)) != 1 {
        stride += 1;
    }
    stride
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    const NODES: u32 = 1000;

    fn all(count: u32) -> Nodes {
        Nodes { first: 0, count }
    }

    /// How often each key comes among `n` ops.
    fn counts(keys: &str, nodes: u32, n: u32) -> Vec<u32> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let mut chooser = KeyChooser::new(keys.parse().unwrap(), all(nodes), 0, 1, &Rc::default());
        let mut counts = vec![0; nodes as usize];
        for _ in 0..n {
            counts[chooser.next_key(false, &mut random) as usize] += 1;
        }
        counts
    }

    /// Pearson's statistic of counts against expected ones.
    fn chi_squared(counts: &[u32], expected: impl Fn(usize) -> f64) -> f64 {
        counts.iter().enumerate().map(|(i, &c)| (f64::from(c) - expected(i)).powi(2) / expected(i)).sum()
    }

    #[test]
    fn uniform_keys_are_uniform() {
        let n = 1_000_000;
        // 999 degrees of freedom: mean 999, standard deviation 45; 3 of them.
        let statistic = chi_squared(&counts("uniform", NODES, n), |_| f64::from(n) / f64::from(NODES));
        assert!(statistic < 1134.0, "{statistic}");
    }

    #[test]
    fn zipfs_measured_frequencies_fit() {
        let n = 1_000_000;
        for exponent in [0.5, 0.99, 1.5] {
            let mut by_rank = counts(&format!("zipf({exponent})"), 100, n);
            let stride = coprime_stride(100);
            let ranked: Vec<u32> = (0..100).map(|rank| by_rank[(rank * stride % 100) as usize]).collect();
            by_rank.sort_unstable_by(|a, b| b.cmp(a));
            let weight = |rank: usize| 1.0 / ((rank + 1) as f64).powf(exponent);
            let total: f64 = (0..100).map(weight).sum();
            // 99 degrees of freedom: mean 99, standard deviation 14; 3 of them.
            let statistic = chi_squared(&ranked, |rank| f64::from(n) * weight(rank) / total);
            assert!(statistic < 142.0, "{exponent}: {statistic}");
            assert_eq!(ranked[0], by_rank[0], "the first rank is the most frequent");
        }
    }

    #[test]
    fn a_hot_set_gets_its_share() {
        let counts = counts("hot(0.1, 0.9)", NODES, 100_000);
        let hot: u32 = counts[..100].iter().sum();
        assert!((89_500..90_500).contains(&hot), "{hot}");
        assert!(counts.iter().all(|&c| c > 0));
    }

    #[test]
    fn sequential_keys_visit_all_in_turn() {
        assert!(counts("sequential", NODES, 2 * NODES).iter().all(|&c| c == 2));
        let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
        let mut second = KeyChooser::new(Keys::Sequential, all(NODES), 1, 4, &Rc::default());
        assert_eq!(second.next_key(false, &mut random), 250);
    }

    #[test]
    fn every_session_has_its_own_key() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
        for session in 0..5 {
            let part = Nodes { first: 7, count: 6 };
            let mut chooser = KeyChooser::new(Keys::Own, part, session, 5, &Rc::default());
            for is_write in [true, false, true] {
                assert_eq!(chooser.next_key(is_write, &mut random), 7 + session);
            }
        }
    }

    /// Whatever the choice, a part of the dataset gets the keys that a dataset of its size would have.
    #[test]
    fn the_keys_of_a_part_lie_behind_its_first() {
        for keys in ["uniform", "zipf(0.99)", "latest(0.99)", "sequential", "hot(0.1, 0.9)", "own"] {
            let drawn = |first| {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(5);
                let part = Nodes { first, count: 50 };
                let mut chooser = KeyChooser::new(keys.parse().unwrap(), part, 2, 4, &Rc::default());
                (0..500).map(|i| chooser.next_key(i % 3 == 0, &mut random) - first).collect::<Vec<_>>()
            };
            assert_eq!(drawn(0), drawn(950), "{keys}");
            assert!(drawn(950).iter().all(|key| *key < 50), "{keys}");
        }
    }

    #[test]
    fn the_latest_writes_are_read_most() {
        let newest = Rc::default();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut chooser = KeyChooser::new("latest".parse().unwrap(), all(NODES), 0, 1, &newest);
        let mut reads_of_newest = 0;
        for i in 1..=NODES {
            assert_eq!(chooser.next_key(true, &mut random), i % NODES);
            reads_of_newest += u32::from(chooser.next_key(false, &mut random) == newest.get());
        }
        // The first rank's share of zipf(0.99) over 1,000: 1/7.48 = 13.4 %.
        assert!((100..170).contains(&reads_of_newest), "{reads_of_newest}");
    }

    #[test]
    fn every_stride_is_a_permutation() {
        for nodes in [1, 2, 3, 10, 97, 1000, 10_000] {
            assert_eq!(gcd(coprime_stride(nodes), u64::from(nodes)), 1, "{nodes}");
        }
        assert_eq!(counts("zipf(0.99)", 1, 10), [10]);
    }

    #[test]
    fn texts_are_read_and_written() {
        for text in ["uniform", "zipf(0.99)", "latest(1.2)", "sequential", "hot(0.1, 0.9)", "own"] {
            assert_eq!(text.parse::<Keys>().unwrap().to_string(), text);
        }
        for text in [
            "zipf",
            "own(1)",
            "zipf(0)",
            "zipf(-1)",
            "zipf(x)",
            "hot(0.1)",
            "hot(2, 0.5)",
            "zipfian(1)",
            "zipf(1",
        ] {
            assert!(text.parse::<Keys>().is_err(), "{text}");
        }
    }
}
