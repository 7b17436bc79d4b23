//! What all connections together hold, and what gives when it is too much.

use super::{WireId, Wires};

/// Empty output buffers that wait for the next connection with something to send, and their largest capacity.
const SPARE: usize = 8;
const SPARE_CAPACITY: usize = 256 << 10;

impl<C> Wires<C> {
    /// The connection's task keeps so many bytes of input.
    pub(in crate::serving) fn keeps_input(&mut self, id: WireId, len: usize) {
        if let Some(wire) = self.get_mut(id)
            && wire.input != len
        {
            wire.input = len;
            self.account(id);
        }
    }

    /// Keeps the buffer of a connection that has sent everything for the next one with something to send.
    pub(super) fn keep(&mut self, id: WireId) {
        if let Some(buffer) = self.get_mut(id).and_then(|wire| wire.out.take_empty())
            && self.spare.len() < SPARE
            && buffer.capacity() <= SPARE_CAPACITY
        {
            self.spare.push(buffer);
        }
    }

    /// Brings the sum of what is held up to date, and closes connections, the one that holds most first, while it is
    /// beyond the budget.
    #[inline]
    pub(in crate::serving) fn account(&mut self, id: WireId) {
        let Some(wire) = self.get_mut(id) else { return };
        if wire.is_aborted() {
            wire.out.release();
        }
        let now = wire.out.held() + wire.input;
        let before = std::mem::replace(&mut wire.counted, now);
        self.held.set(self.held.get() - before + now);
        if self.held.get() > self.budget {
            self.close_largest();
        }
    }

    #[cold]
    fn close_largest(&mut self) {
        while self.held.get() > self.budget {
            let holders = self.slots.iter().enumerate().filter_map(|(index, slot)| {
                let wire = slot.wire.as_ref().filter(|wire| !wire.is_aborted())?;
                let id = u64::from(slot.generation) << 32 | index as u64;
                Some((wire.counted.max(wire.unsent()), id))
            });
            let Some((_, id)) = holders.max() else { return };
            self.close_now(id);
            let Some(wire) = self.get_mut(id) else { return };
            wire.out.release();
            // Its task gives the input back as soon as it runs.
            let freed = std::mem::take(&mut wire.counted);
            wire.input = 0;
            self.held.set(self.held.get() - freed);
        }
    }
}
