//! Random sequences of changes, and what always holds.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Create(String, i32),
    Container(String),
    Delete(String, i32),
    Set(String, usize, i32),
    Check(String, i32),
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof!["a", "b", "c"], 1..4)
        .prop_map(|names| format!("/{}", names.join("/")))
}

fn op() -> impl Strategy<Value = Op> {
    let version = prop_oneof![4 => Just(-1), 1 => 0..3];
    prop_oneof![
        5 => (path(), 0..4).prop_map(|(path, flags)| Op::Create(path, flags)),
        1 => path().prop_map(Op::Container),
        3 => (path(), version.clone()).prop_map(|(path, version)| Op::Delete(path, version)),
        3 => (path(), 0..9usize, version.clone()).prop_map(|(path, len, at)| Op::Set(path, len, at)),
        1 => (path(), version).prop_map(|(path, version)| Op::Check(path, version)),
    ]
}

const VALUE: &[u8] = b"12345678";

impl Op {
    fn as_multi(&self) -> MultiOp<'_> {
        match self {
            Op::Create(path, flags) => MultiOp::Create(create(path, *flags)),
            Op::Container(path) => MultiOp::CreateContainer(create(path, create_mode::CONTAINER)),
            Op::Delete(path, version) => MultiOp::Delete(versioned(path, *version)),
            Op::Set(path, len, version) => {
                MultiOp::SetData { path: path.into(), data: Some(&VALUE[..*len]), version: *version }
            }
            Op::Check(path, version) => MultiOp::Check(versioned(path, *version)),
        }
    }

    fn as_request(&self) -> Request<'_> {
        match self.as_multi() {
            MultiOp::Create(request) => Request::Create(request),
            MultiOp::CreateContainer(request) => Request::CreateContainer(request),
            MultiOp::Delete(request) => Request::Delete(request),
            MultiOp::SetData { path, data, version } => Request::SetData { path, data, version },
            MultiOp::Check(request) => Request::Check(request),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tree_stays_consistent(steps in proptest::collection::vec((op(), 0..40u8), 1..60)) {
        let mut it = Fixture::new();
        for (op, session_ends) in &steps {
            let before = dump(&it.tree);
            if it.request(op.as_request()).is_err() {
                prop_assert_eq!(dump(&it.tree), before);
            }
            if *session_ends == 0 {
                it.apply(SESSION, Change::CloseSession).unwrap();
                it.apply(SESSION, Change::CreateSession { timeout_ms: 1 }).unwrap();
            }
            check_invariants(&it.tree);
        }
    }

    /// A multi does all that its ops would do one by one, or nothing.
    #[test]
    fn a_multi_is_its_ops(
        first in proptest::collection::vec(op(), 0..20),
        ops in proptest::collection::vec(op(), 1..8),
    ) {
        let (mut at_once, mut singly) = (Fixture::new(), Fixture::new());
        for op in &first {
            prop_assert_eq!(at_once.request(op.as_request()), singly.request(op.as_request()));
        }
        let before = dump(&at_once.tree);
        let results = at_once.multi(&ops.iter().map(Op::as_multi).collect::<Vec<_>>()).unwrap();
        let is_failed = |result: &OpResult| matches!(result, OpResult::Error(code) if *code != ErrorCode::OK);
        let failed = results.iter().position(is_failed);
        for (index, op) in ops.iter().enumerate().take(failed.unwrap_or(ops.len())) {
            // A check is not a request of its own.
            if !matches!(op, Op::Check(..)) {
                prop_assert!(singly.request(op.as_request()).is_ok(), "op {}", index);
            }
        }
        match failed {
            None => {
                // All but zxids and times.
                let seen = |tree: &Tree| {
                    let plain = |stat: Stat| (stat.version, stat.cversion, stat.ephemeral_owner);
                    let all = dump(tree).into_iter();
                    all.map(|(path, data, stat, children)| (path, data, plain(stat), children)).collect::<Vec<_>>()
                };
                prop_assert_eq!(seen(&at_once.tree), seen(&singly.tree));
            }
            Some(index) => {
                prop_assert_eq!(dump(&at_once.tree), before);
                let OpResult::Error(code) = results[index] else { panic!() };
                if !matches!(ops[index], Op::Check(..)) {
                    prop_assert_eq!(singly.request(ops[index].as_request()), Err(code));
                }
            }
        }
        check_invariants(&at_once.tree);
    }
}
