//! Client policies: what a client does when its connection is gone. A policy is part of a result's identity,
//! because a client that sleeps before it reconnects adds its own sleep to every outage it sees.

use std::fmt;

/// A client policy.
///
/// | policy | next member | pause before a reconnect | TCP connection, handshake | silence means dead |
/// |---|---|---|---|---|
/// | `ideal` | round robin | none; 10 ms after each round without success | 1 s | 2/3 of the session timeout |
/// | `java` | round robin from a shuffled list | uniform 0–1 s; 1 s more after each round | timeout ÷ members | 2/3 of the session timeout |
/// | `kazoo` | shuffled anew each round | none within a round; after one 100 ms ± 40 %, doubling up to 60 s | timeout; timeout ÷ members | 2/3 of the session timeout |
/// | `none` | round robin until the first connection, none after it | as `ideal` | 1 s | 2/3 of the session timeout |
///
/// Sources: `ClientCnxn`, `StaticHostProvider` of Apache ZooKeeper 3.9; `kazoo/protocol/connection.py`,
/// `kazoo/retry.py` of kazoo 2.10. Time-outs follow the session timeout that the server granted; before there
/// is one, the one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// As fast as a client may be without harm.
    Ideal,
    /// As Apache's Java client.
    Java,
    /// As kazoo, the Python client.
    Kazoo,
    /// One connection, and no other when it is gone.
    None,
}

/// Milliseconds that `ideal` pauses after a round of all members without success.
const IDEAL_ROUND_PAUSE_MS: f64 = 10.0;
/// Milliseconds that the Java client's host list pauses after each round.
const JAVA_ROUND_PAUSE_MS: f64 = 1000.0;
/// Upper end of the Java client's random pause, milliseconds.
const JAVA_RANDOM_PAUSE_MS: f64 = 1000.0;
/// kazoo's first pause, milliseconds, its growth, its limit, and the jitter as a share.
const KAZOO_PAUSE: (f64, f64, f64, f64) = (100.0, 2.0, 60_000.0, 0.4);

impl Policy {
    /// Every policy.
    pub const ALL: [Policy; 4] = [Policy::Ideal, Policy::Java, Policy::Kazoo, Policy::None];

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|p| p.to_string() == name)
    }

    /// Whether a client with this policy connects again after a loss.
    pub fn reconnects(self) -> bool {
        self != Policy::None
    }

    /// Longest wait for a TCP connection, and for a handshake, milliseconds.
    pub fn connect_timeout_ms(self, session_timeout_ms: u32, members: usize) -> u64 {
        match self {
            Policy::Ideal | Policy::None => 1000.min(u64::from(session_timeout_ms)),
            Policy::Java | Policy::Kazoo => u64::from(session_timeout_ms) / members.max(1) as u64,
        }
    }

    /// The share of the session timeout for which a client waits for anything at all to come.
    pub fn read_share(self) -> f64 {
        2.0 / 3.0
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Ideal => "ideal",
            Policy::Java => "java",
            Policy::Kazoo => "kazoo",
            Policy::None => "none",
        })
    }
}

/// Where a client connects to next, and after which pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// Position in the list of members that the session may use.
    pub member: usize,
    /// Milliseconds to wait before.
    pub pause_ms: f64,
}

/// The attempts of one session, in their order. Pure: random numbers come from the caller.
#[derive(Debug, Clone)]
pub struct Attempts {
    policy: Policy,
    order: Vec<usize>,
    next: usize,
    /// Attempts since the session last had a connection.
    failed: usize,
    ever_tried: bool,
    kazoo_pause_ms: f64,
}

impl Attempts {
    /// The attempts of a session that may use `members` members and begins with number `first`. `random` draws
    /// uniformly from 0 to below 1.
    pub fn new(policy: Policy, members: usize, first: usize, random: &mut impl FnMut() -> f64) -> Attempts {
        let mut order: Vec<usize> = (0..members).collect();
        if matches!(policy, Policy::Java | Policy::Kazoo) {
            shuffle(&mut order, random);
        }
        // Sessions are spread evenly over the members whatever the policy, so that no run starts lopsided.
        if let Some(at) = order.iter().position(|m| *m == first) {
            order.rotate_left(at);
        }
        Attempts { policy, order, next: 0, failed: 0, ever_tried: false, kazoo_pause_ms: KAZOO_PAUSE.0 }
    }

    /// The next attempt.
    pub fn next(&mut self, random: &mut impl FnMut() -> f64) -> Attempt {
        let members = self.order.len();
        let round_done = self.failed > 0 && self.failed.is_multiple_of(members);
        let pause_ms = match self.policy {
            _ if !self.ever_tried => 0.0,
            // `none` is asked again only as long as it never had a connection.
            Policy::Ideal | Policy::None => {
                if round_done {
                    IDEAL_ROUND_PAUSE_MS
                } else {
                    0.0
                }
            }
            Policy::Java => {
                // The host list pauses when it comes back to the member that served last: with a single
                // member before every attempt.
                let round = if round_done || members == 1 { JAVA_ROUND_PAUSE_MS } else { 0.0 };
                round + random() * JAVA_RANDOM_PAUSE_MS
            }
            Policy::Kazoo => {
                if round_done {
                    let (_, growth, limit, jitter) = KAZOO_PAUSE;
                    let pause = self.kazoo_pause_ms * (1.0 - jitter + 2.0 * jitter * random());
                    self.kazoo_pause_ms = (pause * growth).min(limit);
                    shuffle(&mut self.order, random);
                    pause
                } else {
                    0.0
                }
            }
        };
        let member = self.order[self.next % members];
        self.next += 1;
        self.failed += 1;
        self.ever_tried = true;
        Attempt { member, pause_ms }
    }

    /// The last attempt led to a session.
    pub fn succeeded(&mut self) {
        self.failed = 0;
        self.kazoo_pause_ms = KAZOO_PAUSE.0;
    }
}

fn shuffle(order: &mut [usize], random: &mut impl FnMut() -> f64) {
    for i in (1..order.len()).rev() {
        order.swap(i, (random() * (i + 1) as f64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(policy: Policy, members: usize, n: usize) -> Vec<f64> {
        let mut half = || 0.5;
        let mut attempts = Attempts::new(policy, members, 0, &mut half);
        (0..n).map(|_| attempts.next(&mut half).pause_ms).collect()
    }

    #[test]
    fn pauses_are_the_clients_own() {
        assert_eq!(pauses(Policy::Ideal, 3, 7), [0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 10.0]);
        assert_eq!(pauses(Policy::Java, 3, 5), [0.0, 500.0, 500.0, 1500.0, 500.0]);
        assert_eq!(pauses(Policy::Java, 1, 3), [0.0, 1500.0, 1500.0]);
        assert_eq!(pauses(Policy::Kazoo, 2, 7), [0.0, 0.0, 100.0, 0.0, 200.0, 0.0, 400.0]);
    }

    #[test]
    fn a_success_starts_over() {
        let mut half = || 0.5;
        let mut attempts = Attempts::new(Policy::Kazoo, 1, 0, &mut half);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            pauses.push(attempts.next(&mut half).pause_ms);
        }
        attempts.succeeded();
        pauses.push(attempts.next(&mut half).pause_ms);
        pauses.push(attempts.next(&mut half).pause_ms);
        assert_eq!(pauses, [0.0, 100.0, 200.0, 0.0, 100.0]);
    }

    #[test]
    fn every_round_visits_every_member_and_the_first_is_as_asked() {
        let mut state = 1u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for policy in Policy::ALL {
            let mut attempts = Attempts::new(policy, 5, 3, &mut random);
            let mut round: Vec<_> = (0..5).map(|_| attempts.next(&mut random).member).collect();
            assert_eq!(round[0], 3, "{policy}");
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3, 4], "{policy}");
        }
    }

    #[test]
    fn time_outs_follow_the_table() {
        assert_eq!(Policy::Java.connect_timeout_ms(30_000, 3), 10_000);
        assert_eq!(Policy::Ideal.connect_timeout_ms(30_000, 3), 1000);
        assert_eq!(Policy::Ideal.connect_timeout_ms(400, 3), 400);
    }
}
