//! Trials.

/// Buckets of a cohort ring.
pub const BUCKETS: usize = 64;
