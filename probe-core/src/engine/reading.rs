//! A reading of the kernel's maps, handed to the services that it is about.
//!
//! Of a thousand services nearly all are found unchanged, ten times a second. Of those only
//! the time is noted. They take it in when something else of them is read, or once a second;
//! at once where trials are undecided, as those become late although nothing changes.

use super::{Engine, watch_mut};
use crate::{config::ServiceId, input::Reading, watch::Moment};

impl Engine {
    pub(super) fn read(&mut self, reading: &Reading) {
        for service in &reading.unchanged {
            if self.roster.was_unchanged(*service, self.now) {
                self.catch_up(*service);
            }
        }
        let mut unread = None;
        let detached = self.detached.is_some();
        for service in &reading.services {
            self.catch_up(service.service);
            let moment = self.moment(service.service);
            let Some(watch) = watch_mut(&mut self.watches, service.service) else {
                continue;
            };
            let blindness = watch.read(service, moment, detached, &mut self.out);
            self.roster.was_read(watch, self.now);
            unread = unread.or(blindness);
        }
        self.unread = unread;
        self.record_blindness();
    }

    /// Has a service take in that it was found unchanged.
    pub(super) fn catch_up(&mut self, service: ServiceId) {
        let Some(at) = self.roster.take_unchanged(service) else {
            return;
        };
        let moment = Moment {
            now: at,
            ..self.moment(service)
        };
        let detached = self.detached.is_some();
        if let Some(watch) = watch_mut(&mut self.watches, service) {
            watch.unchanged(moment, detached, &mut self.out);
            self.roster.was_read(watch, self.now);
        }
    }
}
