//! Which op comes next: the mix, the keys and the values of one session.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use quorumeter_targets::{Created, Nodes, OpKind, Operation, Value};
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::keys::KeyChooser;
use crate::plan::{Stream, StreamOp};
use crate::values::ValueChooser;

/// Draws the ops of one session. The same seed, stream and session draw the same ops, however many workers
/// there are.
pub(super) struct OpSource {
    kinds: Vec<OpKind>,
    /// Sum of the weights up to and including each kind, as a share of all.
    thresholds: Vec<f64>,
    keys: KeyChooser,
    nodes: Nodes,
    values: ValueChooser,
    random: Xoshiro256PlusPlus,
    next_serial: u32,
    /// Nodes that the session created and may delete, oldest first; kept only when the mix deletes, up to
    /// [`MAX_STOCK`].
    stock: VecDeque<Created>,
    deletes: bool,
    /// By kind: deletes that were drawn when there was nothing to delete, and were swapped with a create of this
    /// kind that is still to come.
    owed_deletes: Vec<u64>,
    /// Sum of the weights up to and including each kind, of creates alone, as a share of theirs.
    create_thresholds: Vec<f64>,
}

impl OpSource {
    /// The source of session number `session`.
    pub(super) fn new(
        stream: &Stream,
        session: u32,
        pool_len: usize,
        seed: u64,
        newest: &Rc<Cell<u32>>,
    ) -> OpSource {
        let total: f64 = stream.ops.iter().map(|op| op.weight).sum();
        let mut sum = 0.0;
        let thresholds = stream
            .ops
            .iter()
            .map(|op| {
                sum += op.weight;
                sum / total
            })
            .collect();
        OpSource {
            kinds: stream.ops.iter().map(|op| op.kind).collect(),
            thresholds,
            keys: KeyChooser::new(stream.keys, stream.nodes, session, stream.sessions, newest),
            nodes: stream.nodes,
            values: ValueChooser::new(stream.value, pool_len),
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            next_serial: 0,
            stock: VecDeque::new(),
            deletes: stream.ops.iter().any(|op| op.kind == OpKind::Delete),
            owed_deletes: vec![0; stream.ops.len()],
            create_thresholds: create_thresholds(stream),
        }
    }

    /// The next op, and its kind's place in the mix.
    #[inline]
    pub(super) fn next_op(&mut self) -> (usize, Operation) {
        let drawn: f64 = if self.kinds.len() == 1 { 0.0 } else { self.random.random() };
        let place = self.thresholds.iter().position(|t| drawn < *t).unwrap_or(self.kinds.len() - 1);
        let place = if self.deletes { self.swap_deletes(place) } else { place };
        (place, self.make(place))
    }

    /// A delete with nothing to delete changes places with a create that is still to come, so that the mix stays
    /// what was asked for.
    fn swap_deletes(&mut self, place: usize) -> usize {
        let kind = self.kinds[place];
        if kind == OpKind::Delete && self.stock.is_empty() {
            // The plan has checked that what deletes also creates.
            let drawn: f64 = self.random.random();
            let create = self.create_thresholds.iter().position(|t| drawn < *t).unwrap_or(place);
            self.owed_deletes[create] += 1;
            return create;
        }
        if kind.creates() && self.owed_deletes[place] > 0 && !self.stock.is_empty() {
            self.owed_deletes[place] -= 1;
            return self.kinds.iter().position(|k| *k == OpKind::Delete).unwrap_or(place);
        }
        place
    }

    /// Whether the mix has a write in this place.
    #[inline]
    pub(super) fn is_write(&self, place: usize) -> bool {
        self.kinds[place].is_write()
    }

    #[inline]
    fn make(&mut self, place: usize) -> Operation {
        let kind = self.kinds[place];
        let key = if kind.has_key() { self.keys.next_key(kind.is_write(), &mut self.random) } else { 0 };
        let value =
            if kind.has_value() { self.values.next_value(&mut self.random) } else { Value::default() };
        match kind {
            OpKind::Read => Operation::Read { key },
            OpKind::ReadFresh => Operation::ReadFresh { key },
            OpKind::ReadStrongest => Operation::ReadStrongest { key },
            OpKind::Exists => Operation::Exists { key },
            OpKind::List => Operation::List { key },
            OpKind::Write => Operation::Write { key, value },
            OpKind::WriteCas => Operation::WriteCas { key, value },
            OpKind::Create => Operation::Create { serial: self.take_serial(), value },
            OpKind::CreateSequential => Operation::CreateSequential { value },
            OpKind::CreateEphemeral => Operation::CreateEphemeral { serial: self.take_serial(), value },
            OpKind::CreateChild => Operation::CreateChild { key, serial: self.take_serial(), value },
            OpKind::Delete => match self.stock.pop_front() {
                Some(node) => Operation::Delete { node },
                // Not reached: `swap_deletes` draws a delete only with something in stock.
                None => Operation::Sync { key: 0 },
            },
            OpKind::Multi(count) => Operation::Multi { key, count, nodes: self.nodes, value },
            OpKind::Sync => Operation::Sync { key },
        }
    }

    fn take_serial(&mut self) -> u32 {
        let serial = self.next_serial;
        self.next_serial += 1;
        serial
    }

    /// An op succeeded: what it created may be deleted.
    #[inline]
    pub(super) fn succeeded(&mut self, op: Operation, number: Option<u32>) {
        // More than that are the clean-up's to remove.
        if !self.deletes || self.stock.len() >= MAX_STOCK {
            return;
        }
        match op {
            Operation::Create { serial, .. } => self.stock.push_back(Created::Plain(serial)),
            Operation::CreateEphemeral { serial, .. } => self.stock.push_back(Created::Ephemeral(serial)),
            Operation::CreateChild { key, serial, .. } => {
                self.stock.push_back(Created::Child { key, serial });
            }
            Operation::CreateSequential { .. } => {
                self.stock.extend(number.map(Created::Sequential));
            }
            _ => {}
        }
    }

    /// The session is gone, and its ephemerals with it.
    pub(super) fn session_gone(&mut self) {
        self.stock.retain(|node| !matches!(node, Created::Ephemeral(_)));
    }
}

/// Nodes that a session remembers to delete, at most.
const MAX_STOCK: usize = 1 << 16;

fn create_thresholds(stream: &Stream) -> Vec<f64> {
    let weight = |op: &StreamOp| if op.kind.creates() { op.weight } else { 0.0 };
    let total: f64 = stream.ops.iter().map(weight).sum();
    stream
        .ops
        .iter()
        .scan(0.0, |sum, op| {
            *sum += weight(op);
            Some(*sum / total)
        })
        .collect()
}

/// The seed of one part of a run, from the run's own.
pub(super) fn derive_seed(seed: u64, stream: usize, part: u64) -> u64 {
    // SplitMix64's finaliser over what tells the parts apart.
    let mut z = seed
        ^ (stream as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ part.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Workload;

    fn source(mix: &str, seed: u64) -> OpSource {
        let text = format!("[[stream]]\nname = \"a\"\nmix = {mix}\n");
        let workload = Workload::read(&text, &[], || 0).unwrap();
        OpSource::new(&workload.streams[0], 0, 100_000, seed, &Rc::default())
    }

    #[test]
    fn the_mix_is_drawn_as_weighted() {
        let mut source = source("{ read = 6, write = 3, sync = 1 }", 1);
        let mut counts = [0u32; 3];
        for _ in 0..100_000 {
            counts[source.next_op().0] += 1;
        }
        for (count, expected) in counts.into_iter().zip([60_000u32, 30_000, 10_000]) {
            assert!(count.abs_diff(expected) < 600, "{counts:?}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_ops() {
        let ops = |seed| {
            let mut source = source("{ read = 5, \"multi(3)\" = 1, write = 4 }", seed);
            (0..100).map(|_| source.next_op().1).collect::<Vec<_>>()
        };
        assert_eq!(ops(3), ops(3));
        assert_ne!(ops(3), ops(4));
        assert_ne!(derive_seed(1, 0, 0), derive_seed(1, 1, 0));
        assert_ne!(derive_seed(1, 0, 0), derive_seed(1, 0, 1));
    }

    /// Deletes that come too early are swapped with creates in proportion: with a window of ops in flight, too.
    #[test]
    fn swapped_deletes_keep_the_mix_of_creates() {
        let mut source = source("{ create = 5, create_sequential = 45, delete = 50 }", 4);
        let mut in_flight = VecDeque::new();
        let (mut counts, mut number) = ([0u32; 3], 0);
        for _ in 0..100_000 {
            let (place, op) = source.next_op();
            counts[place] += 1;
            in_flight.push_back(op);
            if in_flight.len() == 32 {
                number += 1;
                source.succeeded(in_flight.pop_front().unwrap(), Some(number));
            }
        }
        for (count, expected) in counts.into_iter().zip([5_000u32, 45_000, 50_000]) {
            assert!(count.abs_diff(expected) < 600, "{counts:?}");
        }
    }

    #[test]
    fn what_may_be_deleted_is_bounded() {
        let mut source = source("{ create = 99, delete = 1 }", 5);
        for _ in 0..100_000 {
            let (_, op) = source.next_op();
            source.succeeded(op, None);
        }
        assert_eq!(source.stock.len(), MAX_STOCK);
    }

    #[test]
    fn deletes_take_what_was_created_and_keep_the_mix() {
        let mut source = source("{ create = 1, delete = 1 }", 2);
        let (mut created, mut deleted, mut last) = (0u32, 0u32, None);
        for _ in 0..10_000 {
            match source.next_op() {
                (0, op @ Operation::Create { .. }) => {
                    created += 1;
                    source.succeeded(op, None);
                }
                (1, Operation::Delete { node: Created::Plain(serial) }) => {
                    deleted += 1;
                    assert!(last.is_none_or(|l| l < serial), "oldest first, each once");
                    last = Some(serial);
                }
                other => panic!("{other:?}"),
            }
        }
        // The swap keeps the counts within a random walk of each other.
        assert!(created >= deleted && created - deleted < 400, "{created} {deleted}");
    }

    #[test]
    fn a_multi_keeps_to_its_streams_nodes() {
        let text = "[[stream]]\nname = \"a\"\nnodes = [40, 5]\nmix = { \"multi(4)\" = 1 }\n";
        let workload = Workload::read(text, &[], || 0).unwrap();
        let mut source = OpSource::new(&workload.streams[0], 0, 100_000, 1, &Rc::default());
        let mut counts = [0; 5];
        for _ in 0..100 {
            let (_, Operation::Multi { key, count, nodes, .. }) = source.next_op() else { panic!() };
            (0..count).for_each(|i| counts[nodes.behind(key, i.into()) as usize - 40] += 1);
        }
        assert!(counts.iter().sum::<u32>() == 400 && counts.iter().all(|n| *n > 40), "{counts:?}");
    }

    #[test]
    fn ephemerals_go_with_their_session() {
        let mut source = source("{ create_ephemeral = 1, create = 1, delete = 1 }", 2);
        source.succeeded(Operation::CreateEphemeral { serial: 0, value: Value::default() }, None);
        source.succeeded(Operation::Create { serial: 1, value: Value::default() }, None);
        source.session_gone();
        assert_eq!(source.stock, [Created::Plain(1)]);
    }
}
