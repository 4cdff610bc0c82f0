//! In flow the readings of a service's cohort rings; out flow the totals of every
//! kind of trial, and the news of the one kind that is judged.

use std::collections::BTreeMap;

use probe_common::trial::Kind;

use crate::{
    input::TrialReading,
    status::TrialTotals,
    time::Timestamp,
    window::{Outcomes, Read, Window},
};

/// All kinds of trials of one service.
#[derive(Clone, Debug)]
pub struct Tally {
    judged: Kind,
    kinds: BTreeMap<Kind, Trials>,
}

#[derive(Clone, Debug, Default)]
struct Trials {
    window: Window,
    totals: TrialTotals,
}

impl Tally {
    /// A service that is judged by trials of this kind.
    pub fn new(judged: Kind) -> Self {
        Self {
            judged,
            kinds: BTreeMap::new(),
        }
    }

    /// Takes a reading that was begun at `now`; what it says of the judged kind, if
    /// that is in it.
    pub fn read(&mut self, readings: &[TrialReading], now: Timestamp) -> Option<Read> {
        let mut judged = None;
        for reading in readings {
            let trials = self.kinds.entry(reading.kind).or_default();
            let read = trials.window.read(&reading.ring, now);
            if let Read::News(news) = &read {
                for outcomes in news {
                    trials.totals.add(reading.kind, outcomes);
                }
            }
            if reading.kind == self.judged {
                judged = Some(read);
            }
        }
        judged
    }

    /// Forgets the last reading: the next one only rebases.
    pub fn forget(&mut self) {
        for trials in self.kinds.values_mut() {
            trials.window.forget();
        }
    }

    /// The totals of every kind that was read.
    pub fn totals(&self) -> BTreeMap<Kind, TrialTotals> {
        self.kinds
            .iter()
            .map(|(kind, trials)| (*kind, trials.totals))
            .collect()
    }

    /// The totals of the judged kind.
    pub fn judged(&self) -> TrialTotals {
        self.kinds
            .get(&self.judged)
            .map(|trials| trials.totals)
            .unwrap_or_default()
    }
}

impl TrialTotals {
    fn add(&mut self, kind: Kind, outcomes: &Outcomes) {
        self.succeeded += outcomes.succeeded;
        self.failed += outcomes.failed;
        self.abandoned += outcomes.abandoned;
        if kind.silence_is_success() {
            self.succeeded += outcomes.late;
        } else {
            self.late += outcomes.late;
        }
    }
}
