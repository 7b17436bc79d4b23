//! Sessions of a member: ids, passwords and expiry, as upstream's `SessionTrackerImpl` and `ExpiryQueue` have
//! them.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use quorumeter_zk::connect::PASSWORD_LEN;
use tokio::time::{Duration, Instant};

use crate::serving::WireId;

/// The open sessions of a member.
pub(super) struct Sessions {
    by_id: HashMap<i64, Session>,
    /// The sessions that expire at each tick, milliseconds since `epoch`. A session that was touched since is
    /// in a later one too, and only that one counts.
    buckets: BTreeMap<u64, Vec<i64>>,
    next_expiry_ms: u64,
    tick_ms: u64,
    timeouts_ms: (i32, i32),
    next_id: i64,
    epoch: Instant,
}

/// One of them.
pub(super) struct Session {
    /// The connection that it is attached to.
    pub(super) wire: Option<WireId>,
    /// What was negotiated last, milliseconds.
    pub(super) timeout_ms: i32,
    expires_ms: u64,
}

impl Sessions {
    /// No sessions yet. `timeouts_ms` are the least and the greatest timeout that are granted.
    pub(super) fn new(tick_ms: u32, timeouts_ms: (i32, i32), server_id: u8, epoch: Instant) -> Sessions {
        let tick_ms = u64::from(tick_ms.max(1));
        Sessions {
            by_id: HashMap::new(),
            buckets: BTreeMap::new(),
            next_expiry_ms: tick_ms,
            tick_ms,
            timeouts_ms,
            next_id: first_id(server_id),
            epoch,
        }
    }

    /// The timeout that is granted to whoever asks for one. The greatest is looked at last, as upstream does.
    pub(super) fn granted_timeout_ms(&self, asked_ms: i32) -> i32 {
        let (least, greatest) = self.timeouts_ms;
        asked_ms.max(least).min(greatest)
    }

    /// Opens a session at a connection.
    pub(super) fn create(&mut self, timeout_ms: i32, wire: WireId, now: Instant) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.insert(id, Session { wire: Some(wire), timeout_ms, expires_ms: 0 });
        self.touch(id, now);
        id
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn remove(&mut self, id: i64) {
        self.by_id.remove(&id);
    }

    /// The session is alive: its expiry is its timeout from now, rounded up to the next tick.
    pub(super) fn touch(&mut self, id: i64, now: Instant) {
        let now_ms = self.elapsed_ms(now);
        let Some(session) = self.by_id.get_mut(&id) else { return };
        let expires_ms =
            ((now_ms + u64::from(session.timeout_ms.unsigned_abs())) / self.tick_ms + 1) * self.tick_ms;
        if session.expires_ms != expires_ms {
            session.expires_ms = expires_ms;
            self.buckets.entry(expires_ms).or_default().push(id);
        }
    }

    /// When [`Sessions::expired`] has to be asked next.
    pub(super) fn next_expiry(&self) -> Instant {
        self.epoch + Duration::from_millis(self.next_expiry_ms)
    }

    /// The sessions that have expired, each once.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<i64> {
        let now_ms = self.elapsed_ms(now);
        let mut expired = Vec::new();
        while self.next_expiry_ms <= now_ms {
            let bucket = self.buckets.remove(&self.next_expiry_ms).unwrap_or_default();
            let is_due = |id: &i64| self.by_id.get(id).is_some_and(|s| s.expires_ms == self.next_expiry_ms);
            expired.extend(bucket.into_iter().filter(is_due));
            self.next_expiry_ms += self.tick_ms;
        }
        expired
    }

    /// When a session expires, milliseconds since `epoch`.
    pub(super) fn expires_ms(&self, id: i64) -> Option<u64> {
        self.by_id.get(&id).map(|session| session.expires_ms)
    }

    /// Ticks at which sessions expire, in their order, with these sessions.
    pub(super) fn expiry_map(&self) -> BTreeMap<u64, Vec<i64>> {
        let mut map: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for (id, session) in &self.by_id {
            map.entry(session.expires_ms).or_default().push(*id);
        }
        map.values_mut().for_each(|ids| ids.sort_unstable());
        map
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_millis() as u64
    }
}

/// The first id of a member: its own in the highest byte, then five bytes of time, then a count from 0
/// (`SessionTrackerImpl.initializeNextSessionId`).
fn first_id(server_id: u8) -> i64 {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    ((now_ms << 24) >> 8 | u64::from(server_id) << 56) as i64
}

/// The password of a session (`ZooKeeperServer.generatePasswd`): the same at every member, which needs to
/// share nothing for it. It keeps clients from continuing another's session by mistake, not by malice.
pub(super) fn password(session_id: i64) -> [u8; PASSWORD_LEN] {
    const SUPER_SECRET: i64 = 0xB341_5C00;
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    // java.util.Random.nextBytes.
    let mut state = ((session_id ^ SUPER_SECRET) as u64 ^ MULTIPLIER) & MASK;
    let mut bytes = [0; PASSWORD_LEN];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: Instant, ms: u64) -> Instant {
        epoch + Duration::from_millis(ms)
    }

    #[test]
    fn sessions_expire_at_the_tick_after_their_timeout() {
        let epoch = Instant::now();
        let mut sessions = Sessions::new(100, (200, 2000), 1, epoch);
        assert_eq!(
            [0, 150, 200, 999, 5000].map(|asked| sessions.granted_timeout_ms(asked)),
            [200, 200, 200, 999, 2000]
        );
        let first = sessions.create(250, 7, at(epoch, 10));
        let second = sessions.create(250, 8, at(epoch, 60));
        assert_eq!(second, first + 1);
        assert_eq!(sessions.next_expiry(), at(epoch, 100));
        assert_eq!(sessions.expired(at(epoch, 299)), [0; 0]);
        assert_eq!(sessions.expired(at(epoch, 300)), [first]);
        sessions.remove(first);
        // Touched within the same tick it expires at the same one, touched later at a later one.
        sessions.touch(second, at(epoch, 149));
        sessions.touch(second, at(epoch, 301));
        assert_eq!(sessions.expired(at(epoch, 599)), [0; 0]);
        assert_eq!(sessions.expired(at(epoch, 1000)), [second]);
        assert_eq!(sessions.expired(at(epoch, 9000)), [0; 0]);
    }

    #[test]
    fn ids_carry_the_member_and_passwords_are_upstreams() {
        assert_eq!(first_id(0x7f) as u64 >> 56, 0x7f);
        assert_eq!(first_id(1) & 0xffff, 0);
        // new Random(id ^ 0XB3415C00L).nextBytes of OpenJDK 17.
        assert_eq!(
            password(0x100_0123_4567_89ab),
            [35, 119, 16, 188, 98, 215, 121, 137, 164, 46, 141, 167, 112, 34, 120, 157],
        );
    }
}
