//! Stored transactions.

#![no_main]

#[path = "../../tests/stable/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod stable;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| stable::transaction(bytes));
