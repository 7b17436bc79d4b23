//! Servers to measure: the embedded ensemble, the launcher of real ones, the null and the scripted server.

pub mod embedded;
pub mod launch;
pub mod null;
pub mod scripted;
mod serving;

pub use serving::Running;
