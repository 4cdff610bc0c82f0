//! Sampling says of all connections what is true of them: whether a connection gets
//! a sample cell does not depend on how it fares.
//!
//! Connections of which a known share fares badly go through the measurement, 10,
//! 1,000 and 50,000 at a time; the share among those that had a cell must be the
//! same, within what chance allows.

mod live;
mod simulated;

/// Quantile of the normal distribution for an interval of 99.9 %: where the numbers
/// are the same each time.
const Z_FIXED: f64 = 3.29;
/// Where chance has a part each time: fails once in a million runs.
const Z_RANDOM: f64 = 4.9;

/// Whether `count` of `all` is what a share of `share` lets expect (binomial
/// distribution by its normal approximation, with half a case for continuity).
fn is_share(count: u64, all: u64, share: f64, z: f64) -> bool {
    let (count, all) = (count as f64, all as f64);
    let deviation = (all * share * (1.0 - share)).sqrt();
    (count - all * share).abs() <= z * deviation + 0.5
}
