//! Another configuration while the engine runs.
//!
//! What stays (a service by its endpoint, a prefix by its network) keeps everything:
//! baselines, arming, scores, phases, holds, orders. What is new starts as at the
//! start of the engine. What is gone is forgotten; no command is given about it, so a
//! route of a prefix that is gone stays as it stands. The same configuration again is
//! as good as [`Input::Wake`](crate::Input::Wake).

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Engine, first_probe, prefixes_of};
use crate::{
    config::{Config, PrefixId, ServiceId},
    detector,
    prefix::Announcement,
    renumbering::Renumbering,
    watch::Watch,
};

impl Engine {
    /// Goes on with `config`.
    pub(super) fn reconfigure(&mut self, config: Config) {
        let numbers = Renumbering::of(
            self.watches.iter().map(|watch| watch.config().endpoint),
            self.announcements.iter().map(Announcement::prefix),
            &config,
        );
        let rename = |service| numbers.service(service);
        let announced_by = self.announced_by();
        self.memberships = (0..)
            .zip(&config.services)
            .map(|(index, _)| prefixes_of(ServiceId(index), &config.prefixes))
            .collect();
        self.remembered = numbers
            .move_prefixes(self.remembered.drain(..), config.prefixes.len())
            .into_iter()
            .map(|remembered| {
                let (memory, ago) = remembered.flatten()?;
                Some((memory.with_services(rename), ago))
            })
            .collect();
        self.orders.renumber(|prefix| numbers.prefix(prefix));
        self.budget.set_guards(config.guards);
        self.mode = config.mode;
        self.false_alarm_seconds = config.false_alarm_period.as_secs_f64();

        let (mode, recover, now) = (config.mode, config.recover, self.now);
        let known = numbers.move_prefixes(self.announcements.drain(..), config.prefixes.len());
        self.announcements = (0..)
            .map(PrefixId)
            .zip(known)
            .zip(config.prefixes)
            .map(|((id, known), prefix)| match known {
                None => Announcement::new(id, prefix, mode, recover),
                Some(mut known) => {
                    known.renumber(id, rename);
                    known.reconfigure(prefix, mode, recover, now);
                    known
                }
            })
            .collect();

        self.awake = vec![true; self.announcements.len()];

        let threshold = detector::threshold(self.false_alarm_seconds, 0.0);
        let classify = config.classify;
        let count = u32::try_from(config.services.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let known = numbers.move_services(self.watches.drain(..), config.services.len());
        self.watches = (0..)
            .zip(known)
            .zip(config.services)
            .map(|((index, known), service): ((u32, _), _)| {
                let first = first_probe(&service, index, count, now);
                match known {
                    None => Watch::new(ServiceId(index), service, classify, threshold, first),
                    Some(mut known) => {
                        known.reconfigure(service, classify, first, now);
                        known.renumber(ServiceId(index));
                        known
                    }
                }
            })
            .collect();
        self.set_thresholds();
        self.roster.renumber(&numbers, &self.watches);

        // Clients may come on other ways now.
        let before = numbers.move_services(announced_by, self.watches.len());
        let changed: Vec<bool> = before
            .into_iter()
            .zip(self.announced_by())
            .map(|(before, after)| before.is_some_and(|before| before != after))
            .collect();
        for (watch, changed) in self.watches.iter_mut().zip(changed) {
            if changed {
                watch.level_changed(now);
            }
        }
    }

    /// The prefixes of each service.
    fn announced_by(&self) -> Vec<BTreeSet<IpNet>> {
        self.memberships
            .iter()
            .map(|prefixes| {
                prefixes
                    .iter()
                    .filter_map(|index| self.announcements.get(*index))
                    .map(Announcement::prefix)
                    .collect()
            })
            .collect()
    }
}
