//! Axes of charts: values flow in, places and the names of ticks flow out.

/// How values become places.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// Evenly, with a tick every so often.
    Even(f64),
    /// By powers of ten.
    Log,
    /// Named lanes: the values are their numbers.
    Lanes(Vec<&'static str>),
}

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// How.
    pub scale: Scale,
    /// From where to where.
    pub range: (f64, f64),
}

impl Axis {
    /// An even axis with about so many ticks, at round values.
    pub fn even(label: &str, range: (f64, f64), ticks: f64) -> Self {
        Self {
            label: label.to_owned(),
            scale: Scale::Even(round_step((range.1 - range.0) / ticks)),
            range,
        }
    }

    /// Where a value is, from 0 to 1 if it is on the axis.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        match self.scale {
            Scale::Even(_) | Scale::Lanes(_) => (value - low) / (high - low),
            Scale::Log => (value / low).ln() / (high / low).ln(),
        }
    }

    /// Values worth a line, with their names.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let (low, high) = self.range;
        match &self.scale {
            Scale::Even(step) => {
                let mut ticks = Vec::new();
                let mut tick = (low / step).ceil() * step;
                while tick <= high + step * 1e-9 {
                    ticks.push((tick, number(tick)));
                    tick += step;
                }
                ticks
            }
            Scale::Log => {
                let mut ticks = Vec::new();
                let mut tick = 10.0_f64.powf(low.log10().ceil());
                while tick <= high * (1.0 + 1e-9) {
                    ticks.push((tick, number(tick)));
                    tick *= 10.0;
                }
                ticks
            }
            Scale::Lanes(names) => (0_u32..)
                .zip(names)
                .map(|(lane, name)| (f64::from(lane), (*name).to_owned()))
                .collect(),
        }
    }

    /// Whether a value is on the axis.
    pub fn holds(&self, value: f64) -> bool {
        let place = self.place(value);
        (-1e-9..=1.0 + 1e-9).contains(&place)
    }
}

/// The next of 1, 2, 5, 10, ... that is not less.
fn round_step(least: f64) -> f64 {
    let decade = 10.0_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * decade);
    let enough = steps.into_iter().find(|step| *step >= least * (1.0 - 1e-9));
    enough.unwrap_or(10.0 * decade)
}

/// A number for a tick: whole, with thousands set apart, or a power of ten.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 {
        return exponent(value).map_or_else(
            || format!("{value:e}"),
            |exponent| format!("10{}", superscript(exponent)),
        );
    }
    if size >= 1000.0 {
        let whole = value.round();
        return format!("{:.0},{:03.0}", (whole / 1000.0).floor(), whole % 1000.0);
    }
    let rounded = (value * 1e6).round() / 1e6;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

fn exponent(value: f64) -> Option<u32> {
    (6..18).find(|exponent| {
        (value / 10.0_f64.powi(i32::try_from(*exponent).unwrap_or(0)) - 1.0).abs() < 1e-6
    })
}

fn superscript(number: u32) -> String {
    number
        .to_string()
        .chars()
        .map(|digit| {
            let digit = usize::try_from(digit.to_digit(10).unwrap_or(0)).unwrap_or(0);
            ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (least, step) in [(0.013, 0.02), (1.0, 1.0), (2.1, 5.0), (60.0, 100.0)] {
            let found = round_step(least);
            assert!((found / step - 1.0).abs() < 1e-9, "{least}: {found}");
        }
    }

    #[test]
    fn numbers_are_as_people_write_them() {
        for (value, written) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.1 + 0.2, "0.3"),
            (25.0, "25"),
            (1000.0, "1,000"),
            (100_000.0, "100,000"),
            (1e6, "10⁶"),
            (1e12, "10¹²"),
        ] {
            assert_eq!(number(value), written);
        }
    }
}
