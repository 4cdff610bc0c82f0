//! What is known about a CUSUM without simulating it. In flow the ratios and the
//! threshold, out flow its mean time to a false alarm and its mean delay.
//!
//! The score is a random walk that starts again whenever it falls to zero. Wald (1945)
//! gives the mean length of such a walk between two bounds from its drift, if one
//! neglects how far it jumps over the upper one; Page (1954) puts the walks together.
//! Lorden (1971) bounds what any procedure can reach: with a mean time of at least T to
//! a false alarm, none has a worst mean delay below ln(T) over the Kullback-Leibler
//! divergence, to first order; Moustakides (1986) shows that the CUSUM is the best for
//! every T, exactly.

/// A CUSUM for a change from one failure ratio to another.
#[derive(Clone, Copy, Debug)]
pub struct Cusum {
    /// The ratio of failures before the change.
    pub before: f64,
    /// The ratio that it was made for.
    pub after: f64,
}

impl Cusum {
    /// What a failure adds to the score.
    pub fn failure_weight(self) -> f64 {
        (self.after / self.before).ln()
    }

    /// What a success takes from it.
    pub fn success_weight(self) -> f64 {
        ((1.0 - self.before) / (1.0 - self.after)).ln()
    }

    /// The score's mean change per trial when this part of the trials fails.
    pub fn drift(self, ratio: f64) -> f64 {
        ratio * self.failure_weight() - (1.0 - ratio) * self.success_weight()
    }

    /// Lorden's bound of the mean number of trials to a false alarm.
    pub fn period_bound(threshold: f64) -> f64 {
        threshold.exp()
    }

    /// Wald's approximation of the same.
    pub fn period(self, threshold: f64) -> f64 {
        (threshold.exp() - threshold - 1.0) / -self.drift(self.before)
    }

    /// Wald's approximation of the mean number of trials from the change to the alarm,
    /// when this part of them fails and the score was zero.
    pub fn delay(self, threshold: f64, ratio: f64) -> f64 {
        (threshold - 1.0 + (-threshold).exp()) / self.drift(ratio)
    }

    /// Lorden's asymptote: what no procedure with this false-alarm period can beat, to
    /// first order.
    pub fn least_delay(self, period: f64, ratio: f64) -> f64 {
        period.ln() / divergence(ratio, self.before)
    }
}

/// Kullback and Leibler's divergence of two ratios, in nats per trial.
fn divergence(of: f64, from: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(of, from) + part(1.0 - of, 1.0 - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drift_after_the_change_is_the_divergence() {
        let cusum = Cusum {
            before: 0.01,
            after: 0.5,
        };
        assert!((cusum.drift(0.5) - divergence(0.5, 0.01)).abs() < 1e-12);
        assert!((cusum.drift(0.01) + divergence(0.01, 0.5)).abs() < 1e-12);
        assert!(cusum.drift(1.0) > cusum.drift(0.5));
    }

    #[test]
    fn walds_period_keeps_lordens_bound() {
        let cusum = Cusum {
            before: 0.01,
            after: 0.5,
        };
        for threshold in [3.0, 8.0, 20.0] {
            assert!(cusum.period(threshold) > Cusum::period_bound(threshold));
        }
    }
}
