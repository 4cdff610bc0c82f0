//! Services.

/// Verified handshakes are counted by so many hash buckets of client networks.
pub const NETWORK_BUCKETS: usize = 64;
