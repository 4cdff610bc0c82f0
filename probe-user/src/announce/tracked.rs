//! One prefix as the actor keeps it: its reconciler, what was told about it, and
//! when to look after it again.

use core::time::Duration;

use ipnet::IpNet;
use probe_core::{Level, Timestamp};

use super::{Options, reconcile::Reconciler, route::Own};

/// The metric of an IPv6 route that is added with metric 0.
const IPV6_DEFAULT_METRIC: u32 = 1024;
/// After the first refusal the next attempt comes so much later, and each time twice
/// as late.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// No attempt waits longer.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// One prefix.
pub(super) struct Tracked {
    pub net: IpNet,
    /// Whether it is looked after; one that no longer is keeps its place.
    pub owned: bool,
    pub reconciler: Reconciler,
    /// The level that was observed last.
    pub told: Option<Level>,
    /// That the last attempt was refused.
    pub refusal: Option<Refusal>,
    /// When to look after it again, without an event.
    pub due: Option<Timestamp>,
}

/// A change that the kernel refused.
pub(super) struct Refusal {
    /// Why, and what to do.
    pub sentence: String,
    /// How often in a row.
    times: u32,
    /// When to try again.
    retry_at: Timestamp,
}

impl Tracked {
    pub fn new(net: IpNet, options: &Options) -> Self {
        let metric = match (net, options.metric) {
            (IpNet::V6(_), 0) => IPV6_DEFAULT_METRIC,
            (IpNet::V4(_) | IpNet::V6(_), metric) => metric,
        };
        Self {
            net,
            owned: true,
            reconciler: Reconciler::new(Own {
                full: options.protocol_full,
                degraded: options.protocol_degraded,
                metric,
            }),
            told: None,
            refusal: None,
            due: None,
        }
    }

    /// Until when a repair has to wait; none if it may be made now.
    pub fn pause(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.refusal
            .as_ref()
            .map(|refusal| refusal.retry_at)
            .filter(|retry_at| *retry_at > now)
            .or_else(|| self.reconciler.pause(now))
    }

    /// The kernel refused a change.
    pub fn refused(&mut self, sentence: String, now: Timestamp) {
        let times = self.refusal.as_ref().map_or(0, |refusal| refusal.times);
        let pause = FIRST_RETRY.saturating_mul(2u32.saturating_pow(times));
        let retry_at = now.after(pause.min(LONGEST_RETRY));
        self.refusal = Some(Refusal {
            sentence,
            times: times.saturating_add(1),
            retry_at,
        });
        self.due = Some(retry_at);
    }
}
