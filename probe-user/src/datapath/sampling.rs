//! Which connections of a service are sampled: a mask that keeps its cells about half
//! full.
//!
//! A connection that is to be sampled looks at the one cell that its hash names. So
//! the part of them that finds its cell in use is an unbiased estimate of the part
//! of all cells that is in use, without reading a single cell.
//!
//! Halving the sample halves what comes to the cells. In the steady state that turns
//! a part of 70 % into 54 %, and doubling turns 25 % into 40 %: neither step crosses
//! the other's bound, so the mask comes to rest.

use core::time::Duration;

use probe_core::Timestamp;

/// Above this part in use the sample is halved.
const FULL: f64 = 0.7;
/// Below this part in use it is doubled.
const EMPTY: f64 = 0.25;
/// So many looks at cells make an estimate: its deviation is then below 5 %.
const LOOKS: u64 = 128;
/// Fewer looks than [`RARE`] in this time, all of them at free cells: there is room
/// for more.
const PATIENCE: Duration = Duration::from_secs(10);
const RARE: u64 = 16;
/// One connection of 65,536.
const MAX_BITS: u32 = 16;

/// The sample of one service.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    bits: u32,
    /// Counters and time when the present estimate began.
    since: Option<(u64, u64, Timestamp)>,
}

impl Sampler {
    /// Goes on with a mask that is in use.
    pub fn from_mask(mask: u32) -> Self {
        Self {
            bits: mask.trailing_ones().min(MAX_BITS),
            since: None,
        }
    }

    /// The present mask.
    pub fn mask(&self) -> u32 {
        (1 << self.bits) - 1
    }

    /// Takes the counters of connections that took their cell and that found it in
    /// use; the mask from now on.
    pub fn update(&mut self, taken: u64, busy: u64, now: Timestamp) -> u32 {
        let fresh = (taken, busy, now);
        let (taken_then, busy_then, then) = *self.since.get_or_insert(fresh);
        let (Some(taken), Some(busy)) =
            (taken.checked_sub(taken_then), busy.checked_sub(busy_then))
        else {
            // Other maps: begin anew.
            self.since = Some(fresh);
            return self.mask();
        };
        if let Some(bits) = step(self.bits, taken, busy, now.since(then)) {
            self.bits = bits;
            self.since = Some(fresh);
        }
        self.mask()
    }
}

/// The bits of the mask after an estimate; none while there is none yet.
fn step(bits: u32, taken: u64, busy: u64, time: Duration) -> Option<u32> {
    let looks = taken.saturating_add(busy);
    if looks >= LOOKS {
        let in_use = busy as f64 / looks as f64;
        Some(if in_use > FULL {
            (bits + 1).min(MAX_BITS)
        } else if in_use < EMPTY {
            bits.saturating_sub(1)
        } else {
            bits
        })
    } else if looks < RARE && busy == 0 && time >= PATIENCE {
        Some(bits.saturating_sub(1))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds of a service to which `connections` come per second, each holding its
    /// cell for `life` seconds, in the steady state of `cells` cells.
    struct World {
        connections: f64,
        life: f64,
        cells: f64,
        taken: f64,
        busy: f64,
        second: u64,
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole connections of a positive count"
    )]
    impl World {
        fn run(&mut self, sampler: &mut Sampler, seconds: u64) -> Vec<u32> {
            (0..seconds)
                .map(|_| {
                    self.second += 1;
                    let looks = self.connections / f64::from(sampler.mask() + 1);
                    let load = looks * self.life / self.cells;
                    let in_use = load / (1.0 + load);
                    self.taken += looks * (1.0 - in_use);
                    self.busy += looks * in_use;
                    sampler.update(
                        self.taken as u64,
                        self.busy as u64,
                        Timestamp::from_nanos(self.second * 1_000_000_000),
                    )
                })
                .collect()
        }

        fn in_use(&self, mask: u32) -> f64 {
            let load = self.connections / f64::from(mask + 1) * self.life / self.cells;
            load / (1.0 + load)
        }
    }

    proptest! {
        #[test]
        fn the_mask_comes_to_rest_where_the_cells_are_about_half_full(
            connections in 0.0..2_000_000.0_f64,
            life in 0.001..60.0_f64,
            start in 0..=MAX_BITS,
        ) {
            let mut sampler = Sampler::from_mask((1 << start) - 1);
            let mut world = World {
                connections, life, cells: 1024.0, taken: 0.0, busy: 0.0, second: 0,
            };
            world.run(&mut sampler, 3000);
            let masks = world.run(&mut sampler, 3000);
            prop_assert!(masks.iter().all(|mask| *mask == masks[0]), "{masks:?}");
            let mask = masks[0];
            prop_assert!((mask + 1).is_power_of_two());
            let in_use = world.in_use(mask);
            // Counts are whole: the estimate is a little off its bounds.
            prop_assert!(in_use <= FULL + 0.01 || mask + 1 == 1 << MAX_BITS, "{in_use}");
            prop_assert!(in_use >= EMPTY - 0.01 || mask == 0, "{in_use}");
        }

        #[test]
        fn a_step_is_one_bit_and_follows_what_is_in_use(
            bits in 0..=MAX_BITS, taken in 0_u64..10_000, busy in 0_u64..10_000, seconds in 0_u64..60,
        ) {
            if let Some(after) = step(bits, taken, busy, Duration::from_secs(seconds)) {
                prop_assert!(after.abs_diff(bits) <= 1 && after <= MAX_BITS);
                let more_busy = step(bits, taken, busy + 1000, Duration::from_secs(seconds));
                prop_assert!(more_busy.is_some_and(|more| more >= after));
            }
        }
    }

    #[test]
    fn counters_of_other_maps_begin_anew() {
        let at = |second: u64| Timestamp::from_nanos(second * 1_000_000_000);
        let mut sampler = Sampler::from_mask(3);
        sampler.update(1_000_000, 1_000_000, at(1));
        assert_eq!(sampler.update(0, 0, at(2)), 3);
        assert_eq!(sampler.update(10, 990, at(3)), 7);
    }
}
