//! Order statistics of a few dozen samples.

/// The value below which this share of the samples lies, between neighbours by
/// linear interpolation.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between zero and the number of samples"
    )]
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

/// The middle of the samples.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The interquartile range: how far apart the middle half of the samples lies.
pub fn spread(samples: &[f64]) -> f64 {
    quantile(samples, 0.75) - quantile(samples, 0.25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        let cases = [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0), (0.25, 1.75)];
        for (share, expected) in cases {
            assert!(
                (quantile(&samples, share) - expected).abs() < 1e-12,
                "{share}"
            );
        }
        assert!((spread(&samples) - 1.5).abs() < 1e-12);
        assert!(median(&[]).is_nan());
    }
}
