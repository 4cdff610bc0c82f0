//! How many dead services withdraw a prefix, and so how many live ones bring it back.

use crate::config::WithdrawWhen;

impl WithdrawWhen {
    /// So many of `services` must have failed for a withdraw.
    pub fn failures_needed(self, services: usize) -> usize {
        let needed = match self {
            Self::Any => 1,
            Self::All => services,
            Self::AtLeast(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        needed.clamp(1, services.max(1))
    }

    /// So many of `services` must be good for an announcement: with fewer, enough are
    /// bad for a withdraw.
    pub fn good_needed(self, services: usize) -> usize {
        (services + 1).saturating_sub(self.failures_needed(services))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_failed_are_complements() {
        let cases = [
            (WithdrawWhen::Any, 1, 1, 1),
            (WithdrawWhen::Any, 3, 1, 3),
            (WithdrawWhen::All, 3, 3, 1),
            (WithdrawWhen::AtLeast(2), 3, 2, 2),
            (WithdrawWhen::AtLeast(9), 3, 3, 1),
            (WithdrawWhen::AtLeast(0), 3, 1, 3),
        ];
        for (when, services, failed, good) in cases {
            assert_eq!(when.failures_needed(services), failed, "{when:?}");
            assert_eq!(when.good_needed(services), good, "{when:?}");
        }
    }
}
