//! What clients, service and probes do at one time: the words in which scenarios are
//! written.

use std::{sync::LazyLock, time::Duration};

use probe_common::address::NETWORK_BUCKETS;
use probe_core::input::ProbeFailure;

use super::draw::Draw;

/// From which networks clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// From many, the largest of which has 6 % of them.
    Many,
    /// 60 % from one, the rest from many.
    Dominated,
    /// From that one.
    Dominant,
}

/// The part of the clients of a dominated service that are of one network.
pub const DOMINANT_PART: f64 = 0.6;
/// That network.
const DOMINANT: u8 = 17;

impl Networks {
    /// The network of one client.
    pub fn pick(self, draw: &mut Draw) -> u8 {
        let dominant = match self {
            Self::Many => false,
            Self::Dominated => draw.chance(DOMINANT_PART),
            Self::Dominant => true,
        };
        if dominant {
            return DOMINANT;
        }
        // The inverse of `MANY_UP_TO`.
        let part = draw.unit();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of sixty-four"
        )]
        let network = (part * part.sqrt() * NETWORK_BUCKETS as f64) as u8;
        network
    }

    /// The part of all clients that are of each network, or of one before it.
    pub fn up_to(self) -> &'static [f64; NETWORK_BUCKETS] {
        match self {
            Self::Many => &MANY_UP_TO,
            Self::Dominated => &DOMINATED_UP_TO,
            Self::Dominant => &DOMINANT_UP_TO,
        }
    }
}

/// Part to the power of two thirds: the first networks are the largest.
static MANY_UP_TO: LazyLock<[f64; NETWORK_BUCKETS]> = LazyLock::new(|| {
    core::array::from_fn(|network| {
        let part = (network + 1) as f64 / NETWORK_BUCKETS as f64;
        part.cbrt() * part.cbrt()
    })
});
static DOMINANT_UP_TO: LazyLock<[f64; NETWORK_BUCKETS]> = LazyLock::new(|| {
    core::array::from_fn(|network| {
        if network >= usize::from(DOMINANT) {
            1.0
        } else {
            0.0
        }
    })
});
static DOMINATED_UP_TO: LazyLock<[f64; NETWORK_BUCKETS]> = LazyLock::new(|| {
    core::array::from_fn(|network| {
        (1.0 - DOMINANT_PART) * MANY_UP_TO[network] + DOMINANT_PART * DOMINANT_UP_TO[network]
    })
});

/// How trials end: the parts that are not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ends {
    /// Turned down at once.
    pub refused: f64,
    /// Never answered.
    pub silent: f64,
    /// Nobody can say how.
    pub abandoned: f64,
}

impl Ends {
    /// All are answered.
    pub const ANSWERED: Self = Self {
        refused: 0.0,
        silent: 0.0,
        abandoned: 0.0,
    };

    /// This part is turned down.
    pub const fn refused(part: f64) -> Self {
        Self {
            refused: part,
            ..Self::ANSWERED
        }
    }

    /// This part is never answered.
    pub const fn silent(part: f64) -> Self {
        Self {
            silent: part,
            ..Self::ANSWERED
        }
    }

    /// The part that is not answered.
    pub fn unanswered(self) -> f64 {
        (self.refused + self.silent + self.abandoned).min(1.0)
    }
}

/// Clients beside the ordinary ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Their trials, as a multiple of the service's usual rate.
    pub crowd: f64,
    /// How these end.
    pub ends: Ends,
    /// From where they come; none if they never prove themselves.
    pub networks: Option<Networks>,
}

/// How a probe fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Turned down at once.
    Refused,
    /// Not answered.
    Silent,
    /// Answered with status 503.
    Unavailable,
}

impl Failing {
    /// What the daemon is told, and after how long.
    pub fn told(self, timeout: Duration) -> (Duration, ProbeFailure) {
        match self {
            Self::Refused => (Duration::from_micros(60), ProbeFailure::Refused),
            Self::Silent => (timeout, ProbeFailure::Timeout),
            Self::Unavailable => (Duration::from_millis(2), ProbeFailure::Status(503)),
        }
    }
}

/// The probes' part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probes {
    /// The part of them that fails.
    pub failing: f64,
    /// How.
    pub how: Failing,
}

impl Probes {
    /// All pass.
    pub const PASS: Self = Self {
        failing: 0.0,
        how: Failing::Refused,
    };

    /// This part fails.
    pub const fn fail(failing: f64, how: Failing) -> Self {
        Self { failing, how }
    }
}

/// What holds for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// The ordinary clients' trials, as a multiple of what the time of day brings.
    pub crowd: f64,
    /// How these end, beside the few that always fail.
    pub ends: Ends,
    /// From where they come, if not from where they usually do.
    pub networks: Option<Networks>,
    /// Others.
    pub groups: Vec<Group>,
    /// The probes.
    pub probes: Probes,
}

impl Situation {
    /// Nothing happens.
    pub const CALM: Self = Self {
        crowd: 1.0,
        ends: Ends::ANSWERED,
        networks: None,
        groups: Vec::new(),
        probes: Probes::PASS,
    };

    /// The same, with other ends.
    #[must_use]
    pub fn ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// The same, with more or fewer ordinary clients.
    #[must_use]
    pub fn crowd(self, crowd: f64) -> Self {
        Self { crowd, ..self }
    }

    /// The same, with ordinary clients from elsewhere.
    #[must_use]
    pub fn from(self, networks: Networks) -> Self {
        Self {
            networks: Some(networks),
            ..self
        }
    }

    /// The same, with other probes.
    #[must_use]
    pub fn probes(self, probes: Probes) -> Self {
        Self { probes, ..self }
    }

    /// The same, with clients beside the ordinary ones.
    #[must_use]
    pub fn and(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Whether it needs the daemon's own pace to be told rightly: a batch knows neither
    /// late trials nor the order of the failures of several groups, and an outage has
    /// edges.
    pub fn needs_close(&self) -> bool {
        self.ends.silent > 0.0
            || self.ends.abandoned > 0.0
            || self.ends.refused > 0.2
            || self
                .groups
                .iter()
                .any(|group| group.ends != Ends::ANSWERED || group.networks.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_picked_in_the_parts_that_are_told() {
        for networks in [Networks::Many, Networks::Dominated, Networks::Dominant] {
            let mut draw = Draw::new(1, "networks", &[]);
            let mut counts = [0_u32; NETWORK_BUCKETS];
            for _ in 0..20_000 {
                counts[usize::from(networks.pick(&mut draw))] += 1;
            }
            let mut so_far = 0;
            for (network, count) in counts.iter().enumerate() {
                so_far += count;
                let part = f64::from(so_far) / 20_000.0;
                assert!(
                    (part - networks.up_to()[network]).abs() < 0.02,
                    "{networks:?} {network}: {part}"
                );
            }
        }
    }
}
