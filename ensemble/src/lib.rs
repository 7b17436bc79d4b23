//! Servers to measure: the embedded ensemble, the launcher of real ones, the null and the scripted server, and what
//! breaks them.

mod ask;
pub mod embedded;
pub mod faults;
pub mod launch;
pub mod null;
pub mod scripted;
mod serving;

pub use serving::Running;
