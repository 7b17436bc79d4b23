//! What a server reads from a client: the first byte chooses the op, the rest is the record.

#![no_main]

#[path = "../../tests/stable/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod stable;

use libfuzzer_sys::fuzz_target;
use quorumeter_zk::OpCode;

fuzz_target!(|bytes: &[u8]| {
    if let Some((choice, record)) = bytes.split_first() {
        stable::request(OpCode::ALL[usize::from(*choice) % OpCode::ALL.len()], record);
    }
});
