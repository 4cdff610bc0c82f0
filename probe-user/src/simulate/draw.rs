//! Chance. In flow a seed and the name of what is drawn for, out flow draws: the same
//! ones for the same seed and name, whatever else is drawn, and in whatever order.

use rand_distr::{Distribution as _, Exp1, Poisson, StandardNormal};
use rand_pcg::{
    Pcg64Mcg,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A source of chance of its own.
#[derive(Clone, Debug)]
pub struct Draw(Pcg64Mcg);

impl Draw {
    /// The source for one purpose: `name` and `numbers` say which.
    pub fn new(seed: u64, name: &str, numbers: &[u64]) -> Self {
        let bytes = name.bytes().map(u64::from);
        let state = bytes
            .chain(numbers.iter().copied())
            .fold(mixed(seed), |state, part| mixed(state ^ mixed(part)));
        Self(Pcg64Mcg::seed_from_u64(state))
    }

    /// From 0 up to, and without, 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Evenly between two bounds.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.0)
    }

    /// Normal with mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// How many arrivals come when `mean` are expected.
    pub fn arrivals(&mut self, mean: f64) -> u64 {
        let Ok(poisson) = Poisson::new(mean) else {
            return 0;
        };
        let arrivals: f64 = poisson.sample(&mut self.0);
        // A float to an integer saturates.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number that is not negative"
        )]
        let arrivals = arrivals as u64;
        arrivals
    }

    /// How many trials come before the next one that fails, if each fails with
    /// `probability`. To skip from failure to failure draws a binomial *and* the order
    /// in it, at the price of the failures alone.
    pub fn until_failure(&mut self, probability: f64) -> u64 {
        if probability <= 0.0 {
            return u64::MAX;
        }
        if probability >= 1.0 {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a float to an integer saturates"
        )]
        let trials = (-self.exponential() / (-probability).ln_1p()) as u64;
        trials
    }
}

/// Steele, Lea and Flood's `SplitMix64`: every bit of the input moves every bit of the
/// output.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_its_seed_and_name() {
        let first = |seed, name, numbers: &[u64]| Draw::new(seed, name, numbers).unit();
        assert!((first(1, "gaps", &[2]) - first(1, "gaps", &[2])).abs() < f64::EPSILON);
        let all = [
            first(1, "gaps", &[2]),
            first(2, "gaps", &[2]),
            first(1, "gap", &[2]),
            first(1, "gaps", &[3]),
            first(1, "gaps", &[2, 0]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| (other - one).abs() > 1e-9));
        }
    }

    #[test]
    fn skipping_from_failure_to_failure_has_the_mean_of_a_geometric() {
        for probability in [0.001, 0.02, 0.5, 0.9] {
            let mut draw = Draw::new(1, "geometric", &[]);
            let draws = 20_000;
            let sum: f64 = (0..draws)
                .map(|_| draw.until_failure(probability) as f64)
                .sum();
            let mean = sum / f64::from(draws);
            let expected = (1.0 - probability) / probability;
            let error = 5.0 * expected.max(0.4) / f64::from(draws).sqrt();
            assert!(
                (mean - expected).abs() < error.max(0.02),
                "{probability}: {mean} for {expected}"
            );
        }
        let mut draw = Draw::new(1, "edges", &[]);
        assert_eq!(draw.until_failure(0.0), u64::MAX);
        assert_eq!(draw.until_failure(1.0), 0);
    }

    #[test]
    fn arrivals_have_the_mean_and_the_variance_of_a_poisson() {
        for mean in [0.07_f64, 3.0, 1000.0] {
            let mut draw = Draw::new(1, "arrivals", &[]);
            let draws: Vec<f64> = (0..20_000).map(|_| draw.arrivals(mean) as f64).collect();
            let count = draws.len() as f64;
            let average = draws.iter().sum::<f64>() / count;
            let variance = draws.iter().map(|x| (x - average).powi(2)).sum::<f64>() / count;
            assert!((average - mean).abs() < 5.0 * (mean / count).sqrt());
            assert!((variance / mean - 1.0).abs() < 0.2, "{mean}: {variance}");
        }
        assert_eq!(Draw::new(1, "none", &[]).arrivals(0.0), 0);
    }
}
