//! JSON Schemas of the record's files, and of a machine's calibration.

use schemars::{Schema, schema_for};

use crate::{Calibration, Event, IntervalLine, Manifest, MemberLine, Summary};

/// The schema of every JSON file of a record and of a machine's calibration, by the name under which it is committed. For `.ndjson` files it
/// is the schema of one line.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("run.schema.json", schema_for!(Manifest)),
        ("intervals.schema.json", schema_for!(IntervalLine)),
        ("members.schema.json", schema_for!(MemberLine)),
        ("events.schema.json", schema_for!(Event)),
        ("summary.schema.json", schema_for!(Summary)),
        ("calibration.schema.json", schema_for!(Calibration)),
    ]
}
