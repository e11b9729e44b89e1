//! Windrow's protocol: what the four functions, the state machine and the operators' command agree on.
//!
//! * [`file_time`]: which instant a file's name stands for;
//! * [`window`](mod@window): which window that instant belongs to, and when it closes;
//! * [`name`]: buckets, keys, ETags, fragment ids, and where each object lies;
//! * [`payload`]: what the steps of an execution hand to each other;
//! * [`lineage`]: what a window's object is made of, and the digest of that;
//! * [`failure`]: the stable names under which failures are seen;
//! * [`probe`]: what a function tells when it is asked to try what it may do.
//!
//! Nothing here talks to AWS, knows a file format or asks a clock.

pub mod failure;
pub mod file_time;
pub mod lineage;
pub mod name;
pub mod payload;
pub mod probe;
pub mod window;

pub use failure::{Class, Failure};
pub use name::{Bucket, ETag, FragmentId, ObjectKey, OutputPrefix, SourcePrefix};
pub use window::{Window, WindowLength};
