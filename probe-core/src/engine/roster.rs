//! Which services have something to be judged, which have to be read closely, and when the
//! next thing is due of each.
//!
//! A decision must not look at every service: of a thousand nearly all are at rest, and
//! their probes alone bring two thousand inputs a second. What a watch has to say is asked
//! when it was touched, and lies here in compact rows.

use crate::{config::ServiceId, renumbering::Renumbering, time::Timestamp, watch::Watch};

/// One entry in each row for every service.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    /// Whether judging it may come to anything.
    awake: Vec<bool>,
    /// Whether it was restless when it was read last.
    restless: Vec<bool>,
    /// Whether trials of any kind were undecided when it was read last.
    undecided: Vec<bool>,
    /// When it was last found unchanged, if it has not taken that in.
    unchanged: Vec<Option<Timestamp>>,
    /// Whether nothing stood against it at the last decision.
    unblemished: Vec<bool>,
    /// When something is due; the end of time where nothing is.
    due: Vec<Timestamp>,
}

impl Roster {
    /// Nothing is known of any of them: all have to be judged.
    pub fn new(watches: &[Watch]) -> Self {
        let mut roster = Self {
            awake: vec![true; watches.len()],
            restless: vec![true; watches.len()],
            undecided: vec![true; watches.len()],
            unchanged: vec![None; watches.len()],
            unblemished: vec![false; watches.len()],
            due: vec![Timestamp::default(); watches.len()],
        };
        for (index, watch) in watches.iter().enumerate() {
            roster.due[index] = next_due(watch);
        }
        roster
    }

    /// The same for services that have other numbers, and are to be judged by another
    /// configuration. What is not known of a service has to be found out.
    pub fn renumber(&mut self, numbers: &Renumbering, watches: &[Watch]) {
        let moved = |row: &mut Vec<bool>| {
            let known = numbers.move_services(row.drain(..), watches.len());
            known
                .into_iter()
                .map(|known| known.unwrap_or(true))
                .collect()
        };
        let unchanged = numbers.move_services(self.unchanged.drain(..), watches.len());
        *self = Self {
            restless: moved(&mut self.restless),
            undecided: moved(&mut self.undecided),
            unchanged: unchanged.into_iter().map(Option::flatten).collect(),
            ..Self::new(watches)
        };
    }

    /// A service took something in.
    pub fn touched(&mut self, watch: &Watch) {
        let index = position(watch.id());
        self.awake[index] = !watch.rests();
        self.due[index] = next_due(watch);
    }

    /// A service was read.
    pub fn was_read(&mut self, watch: &Watch, now: Timestamp) {
        self.touched(watch);
        let index = position(watch.id());
        self.restless[index] = watch.is_restless(now);
        self.undecided[index] = watch.is_undecided();
    }

    /// A service was found unchanged. Says whether it has to take that in now.
    pub fn was_unchanged(&mut self, service: ServiceId, now: Timestamp) -> bool {
        let index = position(service);
        match self.unchanged.get_mut(index) {
            Some(unchanged) => {
                *unchanged = Some(now);
                self.undecided[index]
            }
            None => false,
        }
    }

    /// When a service was last found unchanged, if it has not taken that in: it does now.
    pub fn take_unchanged(&mut self, service: ServiceId) -> Option<Timestamp> {
        self.unchanged.get_mut(position(service))?.take()
    }

    /// A service was judged. Says whether what stands against it is another thing than
    /// before: nothing, or something.
    pub fn was_judged(&mut self, watch: &Watch) -> bool {
        self.touched(watch);
        let unblemished = watch.is_unblemished();
        let before = &mut self.unblemished[position(watch.id())];
        core::mem::replace(before, unblemished) != unblemished
    }

    /// What was held against a service was forgotten: what its prefixes go by has changed.
    pub fn started_again(&mut self, watch: &Watch) {
        self.touched(watch);
        self.awake[position(watch.id())] = true;
    }

    /// Whether judging this service may come to anything.
    pub fn is_awake(&self, index: usize) -> bool {
        self.awake[index]
    }

    /// Those services.
    pub fn awake<'a>(&self, watches: &'a [Watch]) -> impl Iterator<Item = &'a Watch> {
        let awake = self.awake.iter().zip(watches);
        awake.filter(|(awake, _)| **awake).map(|(_, watch)| watch)
    }

    /// The services whose trials may decide soon.
    pub fn watched_closely<'a>(&self, watches: &'a [Watch]) -> impl Iterator<Item = &'a Watch> {
        let flags = self.awake.iter().zip(&self.restless);
        flags
            .zip(watches)
            .filter(|((awake, restless), _)| **awake || **restless)
            .map(|(_, watch)| watch)
    }

    /// Of each service whether nothing stood against it at the last decision.
    pub fn unblemished(&self) -> &[bool] {
        &self.unblemished
    }

    /// Whether something is due of this service.
    pub fn is_due(&self, index: usize, now: Timestamp) -> bool {
        self.due[index] <= now
    }

    /// When the next thing is due after `now`.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let later = self.due.iter().copied().filter(|due| *due > now);
        later.min().filter(|due| *due < END_OF_TIME)
    }
}

const END_OF_TIME: Timestamp = Timestamp::from_nanos(u64::MAX);

fn next_due(watch: &Watch) -> Timestamp {
    watch.due().min().unwrap_or(END_OF_TIME)
}

fn position(service: ServiceId) -> usize {
    usize::try_from(service.0).unwrap_or(usize::MAX)
}
