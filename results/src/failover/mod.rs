//! Failover: how long clients were without the service, from the history of every probe.

mod picture;

pub use picture::{Mark, MarkedSlot, MemberSpan, Picture, ProbeRow, StageMark};
