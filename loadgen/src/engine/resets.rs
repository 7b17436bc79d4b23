//! Connections that are reset on purpose: the control asks, and each worker does it at its next look.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far the workers are with the resets that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resets {
    /// Calls of [`Engine::reset_connections`](super::Engine::reset_connections).
    pub asked: u32,
    /// Workers that have done all that was asked for.
    pub done: u32,
    /// Workers that there are.
    pub workers: u32,
    /// Connections that were reset, of all calls together.
    pub connections: u64,
}

impl Resets {
    /// Whether all is done that was asked for.
    pub fn are_done(&self) -> bool {
        self.done == self.workers
    }
}

/// What was asked for, and what has been done of it.
pub(super) struct ResetOrders {
    /// How many there are. A worker takes the lock when this is not what it has done.
    asked: AtomicU32,
    orders: Mutex<Orders>,
}

struct Orders {
    /// The member whose connections are to be reset, or all, in the order in which it was asked for.
    members: Vec<Option<usize>>,
    /// By worker: how many of them it has done.
    done: Vec<usize>,
    connections: u64,
}

impl ResetOrders {
    pub(super) fn new(workers: usize) -> ResetOrders {
        let orders = Orders { members: Vec::new(), done: vec![0; workers], connections: 0 };
        ResetOrders { asked: AtomicU32::new(0), orders: Mutex::new(orders) }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections to this member are to be reset, or all.
    pub(super) fn ask(&self, member: Option<usize>) {
        let mut orders = self.orders();
        orders.members.push(member);
        self.asked.store(orders.members.len() as u32, Ordering::Relaxed);
    }

    /// How many were asked for.
    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Has a worker do what it has not done: `reset` resets its connections to a member, or all, and returns how many
    /// it had. Returns how many orders the worker has done by now.
    pub(super) fn carry_out(&self, worker: usize, mut reset: impl FnMut(Option<usize>) -> u64) -> u32 {
        let mut orders = self.orders();
        for place in orders.done[worker]..orders.members.len() {
            orders.connections += reset(orders.members[place]);
        }
        orders.done[worker] = orders.members.len();
        orders.members.len() as u32
    }

    /// How far the workers are.
    pub(super) fn state(&self) -> Resets {
        let orders = self.orders();
        let asked = orders.members.len();
        Resets {
            asked: asked as u32,
            done: orders.done.iter().filter(|done| **done == asked).count() as u32,
            workers: orders.done.len() as u32,
            connections: orders.connections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_does_each_order_once() {
        let orders = ResetOrders::new(2);
        assert!(orders.state().are_done(), "nothing was asked for");
        orders.ask(Some(3));
        orders.ask(None);
        let mut seen = Vec::new();
        let mut carry_out = |worker| {
            orders.carry_out(worker, |member| {
                seen.push((worker, member));
                5
            })
        };
        assert_eq!((orders.asked(), carry_out(1), carry_out(1)), (2, 2, 2));
        assert_eq!(orders.state(), Resets { asked: 2, done: 1, workers: 2, connections: 10 });
        carry_out(0);
        assert!(orders.state().are_done());
        orders.ask(Some(0));
        assert_eq!(orders.state(), Resets { asked: 3, done: 0, workers: 2, connections: 20 });
        carry_out(0);
        carry_out(1);
        let once = [Some(3), None, Some(0)];
        for worker in 0..2 {
            let of_worker: Vec<_> = seen.iter().filter(|(w, _)| *w == worker).map(|(_, m)| *m).collect();
            assert_eq!(of_worker, once);
        }
    }
}
