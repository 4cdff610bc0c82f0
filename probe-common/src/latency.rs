//! Latency histograms: powers of two of nanoseconds, each split into four equal
//! parts, so that a bucket is at most 25 % wide.

use crate::{
    cell::{Atomics, Shared},
    verifier::bounded,
};

/// Equal parts of each power of two.
pub const PARTS: usize = 4;
/// Values below 2^12 ns (4 µs) fall into the first bucket.
pub const MIN_EXPONENT: u32 = 12;
/// Values from 2^36 ns (69 s) on fall into the last bucket.
pub const MAX_EXPONENT: u32 = 36;
/// Number of buckets: one below, one above, four per power of two between.
pub const BUCKETS: usize = 2 + (MAX_EXPONENT - MIN_EXPONENT) as usize * PARTS;

/// The latencies of one service and trial kind, as CPUs and user space share them.
#[repr(C)]
#[derive(Debug)]
pub struct SharedHistogram {
    sum_ns: Shared<u64>,
    buckets: [Shared<u64>; BUCKETS],
}

impl SharedHistogram {
    /// Adds one value.
    #[inline(always)]
    pub fn add<A: Atomics>(&self, latency_ns: u64) {
        A::add_wide(&self.sum_ns, latency_ns);
        // Masked and checked: the verifier knows no logarithm.
        if let Some(count) = self.buckets.get(bounded(bucket(latency_ns), 127)) {
            A::add_wide(count, 1);
        }
    }

    /// The values as they are now.
    pub fn read(&self) -> Histogram {
        Histogram {
            sum_ns: self.sum_ns.load(),
            buckets: core::array::from_fn(|index| self.buckets[index].load()),
        }
    }

    /// Forgets all values.
    pub fn clear(&self) {
        self.sum_ns.store(0);
        for count in &self.buckets {
            count.store(0);
        }
    }
}

impl Default for SharedHistogram {
    fn default() -> Self {
        Self {
            sum_ns: Shared::new(0),
            buckets: [const { Shared::new(0) }; BUCKETS],
        }
    }
}

/// The latencies of one service and trial kind at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Sum of all values in nanoseconds.
    pub sum_ns: u64,
    /// Values by bucket, see [`upper_bound_ns`].
    pub buckets: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            sum_ns: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl Histogram {
    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|count| *count == 0)
    }
}

/// The bucket of a latency. Always below [`BUCKETS`].
#[inline(always)]
pub fn bucket(latency_ns: u64) -> usize {
    if latency_ns < 1 << MIN_EXPONENT {
        return 0;
    }
    if latency_ns >= 1 << MAX_EXPONENT {
        return BUCKETS - 1;
    }
    let exponent = floor_log2(latency_ns);
    let part = (latency_ns >> (exponent - 2)) & 3;
    1 + (exponent - MIN_EXPONENT) as usize * PARTS + part as usize
}

/// The exclusive upper bound of a bucket; none for the last.
pub fn upper_bound_ns(bucket: usize) -> Option<u64> {
    if bucket == 0 {
        return Some(1 << MIN_EXPONENT);
    }
    if bucket >= BUCKETS - 1 {
        return None;
    }
    let base = 1u64 << (MIN_EXPONENT as usize + (bucket - 1) / PARTS);
    let parts = ((bucket - 1) % PARTS + 1) as u64;
    Some(base + base / PARTS as u64 * parts)
}

/// Without `leading_zeros`, for which BPF has no instruction.
#[inline(always)]
fn floor_log2(value: u64) -> u32 {
    let mut value = value;
    let mut log = 0;
    if value >= 1 << 32 {
        value >>= 32;
        log += 32;
    }
    if value >= 1 << 16 {
        value >>= 16;
        log += 16;
    }
    if value >= 1 << 8 {
        value >>= 8;
        log += 8;
    }
    if value >= 1 << 4 {
        value >>= 4;
        log += 4;
    }
    if value >= 1 << 2 {
        value >>= 2;
        log += 2;
    }
    if value >= 2 {
        log += 1;
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_below_its_bucket_s_bound_and_not_below_the_one_before() {
        for exponent in 0..50u32 {
            for value in [
                1u64 << exponent,
                (1 << exponent) + 1,
                (1u64 << exponent) * 5 / 4,
                (1u64 << exponent) * 7 / 4,
                (1u64 << exponent) * 2 - 1,
            ] {
                let index = bucket(value);
                if let Some(upper) = upper_bound_ns(index) {
                    assert!(value < upper, "{value} in bucket {index} below {upper}");
                }
                if index > 0 {
                    let lower = upper_bound_ns(index - 1).unwrap();
                    assert!(value >= lower, "{value} in bucket {index} from {lower}");
                }
            }
        }
    }
}
