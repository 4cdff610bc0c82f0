//! A decision: every service that may have something against it is judged, and then every
//! prefix that may have something to decide, decides.
//!
//! What rests is passed over: services by the [roster](super::roster), prefixes until the
//! table, an order for them, or what stands against one of their services has changed.

use super::{Engine, SECOND, watch_mut};
use crate::{
    command::Event,
    config::PrefixId,
    detector,
    prefix::Host,
    time::Timestamp,
    watch::{Moment, Watch},
};

/// A fault is the host's if more than half of its services are in doubt, and at least
/// so many.
const LEAST_HOST_WIDE: usize = 3;

impl Engine {
    pub(super) fn decide(&mut self) {
        for order in self.orders.expire(self.now) {
            self.wake(order.prefix());
            self.out.record(Event::Ordered {
                order,
                expired: true,
            });
        }
        self.refresh();
        // Asked once, so that it costs little with many services, and the verdict on one
        // does not depend on which others were judged before it.
        let host_wide = self.is_host_wide();
        for index in 0..self.watches.len() {
            if !self.roster.is_awake(index) {
                debug_assert!(self.watches[index].rests(), "{:?}", self.watches[index]);
                continue;
            }
            let moment = Moment {
                host_wide,
                ..self.moment(self.watches[index].id())
            };
            self.watches[index].judge(moment, &mut self.out);
            if self.roster.was_judged(&self.watches[index]) {
                for prefix in &self.memberships[index] {
                    self.awake[*prefix] = true;
                }
            }
        }
        let blind = self.is_blind();
        for index in 0..self.announcements.len() {
            let mut host = Host {
                watches: &self.watches,
                unblemished: self.roster.unblemished(),
                orders: &self.orders,
                budget: &mut self.budget,
                blind,
                now: self.now,
            };
            let announcement = &mut self.announcements[index];
            if !self.awake[index] {
                debug_assert!(announcement.rests(&host), "sleeps over {announcement:?}");
                continue;
            }
            if announcement.rests(&host) {
                announcement.rest();
                self.awake[index] = false;
                continue;
            }
            let Some(change) = announcement.decide(&mut host, &mut self.out) else {
                continue;
            };
            for service in announcement.services() {
                if let Some(watch) = watch_mut(&mut self.watches, *service) {
                    watch.level_changed(self.now);
                    if change.returns {
                        watch.start_again(&mut self.out);
                        self.roster.started_again(watch);
                    }
                }
            }
        }
        for index in 0..self.watches.len() {
            if self.roster.is_due(index, self.now) {
                self.watches[index].launch_due(self.now, &mut self.out);
                self.roster.touched(&self.watches[index]);
            }
        }
    }

    pub(super) fn wake(&mut self, prefix: Option<PrefixId>) {
        let index = prefix.and_then(|prefix| usize::try_from(prefix.0).ok());
        if let Some(awake) = index.and_then(|index| self.awake.get_mut(index)) {
            *awake = true;
        }
    }

    /// About once a second: ages what was learned, and sets the thresholds from it.
    fn refresh(&mut self) {
        let elapsed = self.now.as_nanos() - self.refreshed.as_nanos();
        let seconds = elapsed / SECOND;
        if seconds == 0 {
            return;
        }
        self.refreshed = Timestamp::from_nanos(self.refreshed.as_nanos() + seconds * SECOND);
        for index in 0..self.watches.len() {
            let service = self.watches[index].id();
            self.catch_up(service);
            let moment = self.moment(service);
            self.watches[index].refresh(seconds, moment);
        }
        self.set_thresholds();
        for watch in &self.watches {
            self.roster.touched(watch);
        }
    }

    /// The false-alarm budget is the host's: all detectors that may withdraw share it,
    /// and all that degrade share another one as large.
    pub(super) fn set_thresholds(&mut self) {
        let rates = self.watches.iter().map(Watch::trials_per_second);
        let (withdrawing, all) =
            rates.fold((0.0, 0.0), |sum, rate| (sum.0 + rate.0, sum.1 + rate.1));
        let withdraw = detector::threshold(self.false_alarm_seconds, withdrawing);
        let degrade = detector::threshold(self.false_alarm_seconds, all);
        for watch in &mut self.watches {
            watch.set_thresholds(withdraw, degrade);
        }
    }

    /// Whether most services are in doubt at once.
    fn is_host_wide(&self) -> bool {
        let awake = self.roster.awake(&self.watches);
        let doubted = awake.filter(|watch| watch.is_doubted());
        doubted.count() >= LEAST_HOST_WIDE.max(self.watches.len() / 2 + 1)
    }
}
