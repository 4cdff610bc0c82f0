//! The two functions of the decision that the standard library takes from the
//! machine's maths library, written with nothing but IEEE 754 operations.
//!
//! A recorded incident must replay to byte-identical commands on any machine, and
//! `f64::ln` and `f64::powi` may differ in their last bit between two of them.
//! Addition, multiplication, division and square root may not.

/// The natural logarithm of a positive, finite number.
pub fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const TERMS: u32 = 13;

    let bits = x.clamp(f64::MIN_POSITIVE, f64::MAX).to_bits();
    // Eleven bits: always fits.
    let mut exponent = f64::from(u16::try_from(bits >> 52).unwrap_or_default()) - 1023.0;
    let mut mantissa = f64::from_bits((bits & MANTISSA) | (1023 << 52));
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    // ln m = 2 artanh z with |z| < 0.172, whose series gains 1.5 digits per term.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut power = z;
    let mut sum = 0.0;
    for term in 0..TERMS {
        sum += power / f64::from(2 * term + 1);
        power *= square;
    }
    exponent * core::f64::consts::LN_2 + 2.0 * sum
}

/// `base` to the power of a whole number, by squaring.
pub fn power(base: f64, mut exponent: u64) -> f64 {
    let mut square = base;
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_that_of_the_maths_library_to_fourteen_digits() {
        for x in [1e-9, 0.005, 0.5, 0.99, 1.0, 1.4, 2.0, 10.0, 3.15e8, 1e15] {
            let error = (ln(x) - x.ln()).abs();
            assert!(error <= 1e-14 * x.ln().abs().max(1.0), "ln {x}: {error}");
        }
    }

    #[test]
    fn logarithm_of_anything_is_finite() {
        for x in [0.0, -1.0, f64::INFINITY, f64::MIN_POSITIVE / 2.0] {
            assert!(ln(x).is_finite(), "ln {x}");
        }
    }

    #[test]
    fn power_multiplies() {
        assert!((power(0.5, 3) - 0.125).abs() < 1e-15);
        assert!((power(0.5, 0) - 1.0).abs() < 1e-15);
        assert!(power(0.999, u64::MAX) < 1e-300);
    }
}
