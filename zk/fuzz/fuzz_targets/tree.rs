//! Requests applied to a tree: a byte chooses the op, the record follows, and so on.

#![no_main]

#[path = "../../tests/stable/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod stable;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stable::tree(bytes));
