//! What a member counts: for `srvr`, `mntr` and `cons`.

/// Packets and latencies, of a member or of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Statistics {
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Requests answered.
    answered: u64,
    latency_sum_ms: u64,
    latency_min_ms: Option<u64>,
    pub(super) latency_max_ms: u64,
}

impl Statistics {
    /// `count` requests were answered after so many milliseconds.
    pub(super) fn answered(&mut self, count: u64, latency_ms: u64) {
        if count > 0 {
            self.answered += count;
            self.latency_sum_ms += count * latency_ms;
            self.latency_min_ms = Some(self.latency_min_ms.map_or(latency_ms, |least| least.min(latency_ms)));
            self.latency_max_ms = self.latency_max_ms.max(latency_ms);
        }
    }

    pub(super) fn latency_min_ms(&self) -> u64 {
        self.latency_min_ms.unwrap_or(0)
    }

    /// The mean latency, rounded to four digits behind the point as upstream does.
    pub(super) fn latency_mean_ms(&self) -> f64 {
        if self.answered == 0 {
            return 0.0;
        }
        (self.latency_sum_ms as f64 / self.answered as f64 * 1e4).round() / 1e4
    }
}

/// What a member counts besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    /// Requests with their lengths, and words.
    pub(super) bytes_received: u64,
    /// Handshakes that asked for a session.
    pub(super) connection_requests: u64,
    /// Sessions that expired.
    pub(super) sessions_expired: u64,
    /// Connections rejected, and closed without a handshake, when counting began.
    pub(super) rejected_before: u64,
    pub(super) expired_before: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_of_requests_not_of_batches() {
        let mut statistics = Statistics::default();
        assert_eq!((statistics.latency_min_ms(), statistics.latency_mean_ms()), (0, 0.0));
        statistics.answered(0, 99);
        statistics.answered(2, 1);
        statistics.answered(1, 5);
        assert_eq!((statistics.latency_min_ms(), statistics.latency_max_ms), (1, 5));
        assert_eq!(statistics.latency_mean_ms(), 2.3333);
    }
}
