//! In flow the raw readings of a cohort ring; out flow the trial outcomes that are
//! new since the last one, by bucket and in the order of time.
//!
//! The kernel adds every outcome to the bucket in which its trial *started*. The
//! counters never go back to zero: a slot is used again after 64 buckets, so what
//! belongs to the present lap is a difference.
//!
//! ```text
//!           final: late is known     pending: outcomes still come    now
//!   ───────┬───────────────────────┬─────────────────────────────────┬──▶ buckets
//!          next-1                next                             current
//!                                  └── deadline + grace + a bucket ──┘
//! ```
//!
//! Successes, failures and abandoned trials are passed on as soon as they are read.
//! Late trials cannot be read: they are what is missing, at the deadline of a
//! bucket's last moment, between the trials that started and those that ended.

use core::time::Duration;

use probe_common::cohort::BUCKETS;

use crate::{
    input::{Bucket, CohortReading},
    time::Timestamp,
};

/// Added to a bucket's deadline, and kept twice from the longest reading gap: the
/// reading is not taken at one instant, and a program on another CPU may be between
/// reading its clock and adding its outcome.
const GRACE: Duration = Duration::from_millis(1);

/// A bucket wider than 18 minutes is not a bucket but a broken reading.
const MAX_WIDTH_SHIFT: u32 = 40;

/// A counter that moved by more than this went backwards: other maps, not trials.
const BACKWARDS: u32 = 1 << 31;

/// New outcomes of the trials that started in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The start of the bucket.
    pub start: Timestamp,
    /// Answered in time.
    pub succeeded: u64,
    /// Failed at once.
    pub failed: u64,
    /// Not answered by the deadline.
    pub late: u64,
    /// Nobody can say.
    pub abandoned: u64,
}

impl Outcomes {
    /// Failed at once or late.
    pub fn failures(&self) -> u64 {
        self.failed.saturating_add(self.late)
    }

    /// All that say something about the service.
    pub fn judged(&self) -> u64 {
        self.failures().saturating_add(self.succeeded)
    }

    fn is_empty(&self) -> bool {
        self.judged() == 0 && self.abandoned == 0
    }
}

/// What a reading told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The first reading of a ring: nothing to compare it with.
    Rebased,
    /// The reading cannot be compared with the one before; what happened in between
    /// is discarded.
    Blind(Blindness),
    /// The outcomes since the last reading, oldest bucket first, empty ones left out.
    News(Vec<Outcomes>),
}

/// Why a reading tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blindness {
    /// The last reading is so old that laps may have mixed.
    Gap(Duration),
    /// Counters went backwards: the maps were replaced.
    Replaced,
    /// Not a ring of this ABI, or one too short for its deadline.
    Malformed,
}

impl core::fmt::Display for Blindness {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Gap(gap) => write!(f, "no reading for {} ms", gap.as_millis()),
            Self::Replaced => f.write_str("the counters went backwards"),
            Self::Malformed => f.write_str("the ring does not span its deadline"),
        }
    }
}

/// One service's ring as it was last seen.
#[derive(Clone, Debug, Default)]
pub struct Window {
    ring: Option<Ring>,
}

#[derive(Clone, Debug)]
struct Ring {
    shape: Shape,
    read_at: Timestamp,
    /// As of the last reading.
    seen: [Bucket; BUCKETS],
    /// As of the end of each slot's last lap.
    base: [Bucket; BUCKETS],
    /// Trials that started between the last two readings.
    started: u64,
    /// Whether trials were undecided at the last reading whose outcome, or lateness, will
    /// be told.
    outstanding: bool,
    /// The oldest bucket that is not final.
    next: u64,
    /// The first bucket of which no trial started before the first reading: earlier
    /// ones say nothing about late trials.
    whole_from: u64,
}

/// The ring's width and deadline. A change of either starts a new ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    width_shift: u32,
    deadline: Duration,
    /// The longest time between two readings in which no slot can be used again
    /// before it was final. Two buckets are kept back: the one that is being
    /// filled, and the one that may begin while the ring is read.
    longest_gap: Duration,
}

impl Shape {
    fn of(reading: &CohortReading) -> Option<Self> {
        let width_shift = reading.width_shift;
        if width_shift > MAX_WIDTH_SHIFT {
            return None;
        }
        Some(Self {
            width_shift,
            deadline: reading.deadline,
            longest_gap: longest_gap(width_shift, reading.deadline)?,
        })
    }

    fn bucket_at(self, time: Timestamp) -> u64 {
        time.as_nanos() >> self.width_shift
    }

    fn start_of(self, bucket: u64) -> Timestamp {
        Timestamp::from_nanos(bucket.saturating_mul(1 << self.width_shift))
    }

    /// Whether no outcome can be added to this bucket's lap any more.
    fn is_final(self, bucket: u64, now: Timestamp) -> bool {
        self.start_of(bucket + 1).after(self.deadline).after(GRACE) <= now
    }

    fn oldest_pending(self, now: Timestamp) -> u64 {
        let age = Timestamp::default().after(self.deadline).after(GRACE);
        self.bucket_at(Timestamp::from_nanos(
            now.as_nanos().saturating_sub(age.as_nanos()),
        ))
    }
}

/// The longest time between two readings of a ring of this width and deadline in
/// which nothing is lost; none if the ring is too short for the deadline.
pub fn longest_gap(width_shift: u32, deadline: Duration) -> Option<Duration> {
    let usable = Duration::from_nanos((BUCKETS as u64 - 2) << width_shift);
    usable.checked_sub(deadline)?.checked_sub(2 * GRACE)
}

impl Window {
    /// Takes a reading that was begun at `now`.
    pub fn read(&mut self, reading: &CohortReading, now: Timestamp) -> Read {
        let (Ok(buckets), Some(shape)) = (
            <[Bucket; BUCKETS]>::try_from(reading.buckets.as_slice()),
            Shape::of(reading),
        ) else {
            self.ring = None;
            return Read::Blind(Blindness::Malformed);
        };
        let result = match &mut self.ring {
            Some(ring) if ring.shape == shape => ring.read(&buckets, now).map(Some),
            Some(_) | None => Ok(None),
        };
        match result {
            Ok(Some(news)) => Read::News(news),
            Ok(None) => {
                self.ring = Some(Ring::new(shape, &buckets, now));
                Read::Rebased
            }
            Err(blindness) => {
                self.ring = Some(Ring::new(shape, &buckets, now));
                Read::Blind(blindness)
            }
        }
    }

    /// Takes it that at `now` nothing had changed since the last reading: what is told is
    /// who has become late. Nothing can have been lost in between, however long it was.
    pub fn unchanged(&mut self, now: Timestamp) -> Option<Vec<Outcomes>> {
        self.ring.as_mut().map(|ring| ring.unchanged(now))
    }

    /// Whether there was no reading yet, or the last one is forgotten.
    pub fn is_blank(&self) -> bool {
        self.ring.is_none()
    }

    /// Forgets the last reading: the next one only rebases.
    pub fn forget(&mut self) {
        self.ring = None;
    }

    /// How many trials started between the last two readings.
    pub fn started(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.started)
    }

    /// Whether trials were undecided at the last reading whose outcome, or lateness,
    /// will be told.
    pub fn has_outstanding(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.outstanding)
    }
}

impl Ring {
    fn new(shape: Shape, buckets: &[Bucket; BUCKETS], now: Timestamp) -> Self {
        Self {
            shape,
            read_at: now,
            seen: *buckets,
            base: *buckets,
            started: 0,
            outstanding: false,
            next: shape.oldest_pending(now),
            whole_from: shape.bucket_at(now) + 1,
        }
    }

    fn read(
        &mut self,
        buckets: &[Bucket; BUCKETS],
        now: Timestamp,
    ) -> Result<Vec<Outcomes>, Blindness> {
        let gap = now.since(self.read_at);
        if gap > self.shape.longest_gap {
            return Err(Blindness::Gap(gap));
        }
        if *buckets == self.seen {
            return Ok(self.unchanged(now));
        }
        // Every slot once, oldest first, up to the bucket that may have begun while
        // the ring was read.
        let oldest = self.shape.bucket_at(now).saturating_sub(BUCKETS as u64 - 2);
        let mut news = Vec::new();
        let mut started = 0;
        for bucket in oldest..oldest + BUCKETS as u64 {
            let slot = slot(bucket);
            let current = buckets[slot];
            let change = difference(current, self.seen[slot])?;
            started += u64::from(change.started);
            let mut outcomes = Outcomes {
                start: self.shape.start_of(bucket).min(now),
                succeeded: u64::from(change.succeeded),
                failed: u64::from(change.failed),
                late: 0,
                abandoned: u64::from(change.abandoned),
            };
            if bucket >= self.next && self.shape.is_final(bucket, now) {
                if bucket >= self.whole_from {
                    let lap = difference(current, self.base[slot])?;
                    outcomes.late = u64::from(lap.started).saturating_sub(lap.ended());
                }
                self.base[slot] = current;
                self.next = bucket + 1;
            }
            if !outcomes.is_empty() {
                news.push(outcomes);
            }
        }
        self.seen = *buckets;
        self.started = started;
        self.read_at = now;
        self.outstanding = self.has_outstanding();
        Ok(news)
    }

    /// Nothing has changed since the last reading, as most rings of a host with many
    /// services are found.
    fn unchanged(&mut self, now: Timestamp) -> Vec<Outcomes> {
        let mut news = Vec::new();
        let pending = self.shape.oldest_pending(now);
        // A lap later the slots are the same again, and settled.
        for bucket in self.next..pending.min(self.next + BUCKETS as u64) {
            let slot = slot(bucket);
            if self.outstanding && bucket >= self.whole_from {
                let lap = difference(self.seen[slot], self.base[slot]).unwrap_or_default();
                let late = u64::from(lap.started).saturating_sub(lap.ended());
                if late > 0 {
                    news.push(Outcomes {
                        start: self.shape.start_of(bucket),
                        succeeded: 0,
                        failed: 0,
                        late,
                        abandoned: 0,
                    });
                }
            }
            self.base[slot] = self.seen[slot];
        }
        self.next = self.next.max(pending);
        self.started = 0;
        self.read_at = now;
        self.outstanding = self.outstanding && self.has_outstanding();
        news
    }

    fn has_outstanding(&self) -> bool {
        let newest = self.shape.bucket_at(self.read_at) + 1;
        (self.next.max(self.whole_from)..=newest).any(|bucket| {
            let slot = slot(bucket);
            difference(self.seen[slot], self.base[slot])
                .is_ok_and(|lap| u64::from(lap.started) > lap.ended())
        })
    }
}

impl Bucket {
    fn ended(&self) -> u64 {
        u64::from(self.succeeded) + u64::from(self.failed) + u64::from(self.abandoned)
    }
}

fn slot(bucket: u64) -> usize {
    usize::try_from(bucket % BUCKETS as u64).unwrap_or_default()
}

/// How far the counters moved on, if they did not go backwards.
fn difference(current: Bucket, before: Bucket) -> Result<Bucket, Blindness> {
    let change = Bucket {
        started: current.started.wrapping_sub(before.started),
        succeeded: current.succeeded.wrapping_sub(before.succeeded),
        failed: current.failed.wrapping_sub(before.failed),
        abandoned: current.abandoned.wrapping_sub(before.abandoned),
    };
    let largest = change
        .started
        .max(change.succeeded)
        .max(change.failed)
        .max(change.abandoned);
    if largest >= BACKWARDS {
        return Err(Blindness::Replaced);
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHIFT: u32 = 22;
    const WIDTH: u64 = 1 << SHIFT;
    const DEADLINE: Duration = Duration::from_millis(100);

    struct Kernel(CohortReading);

    impl Kernel {
        fn new(initial: u32) -> Self {
            Self(CohortReading {
                width_shift: SHIFT,
                deadline: DEADLINE,
                after_deadline: 0,
                buckets: vec![
                    Bucket {
                        started: initial,
                        succeeded: initial,
                        failed: 0,
                        abandoned: 0,
                    };
                    BUCKETS
                ],
            })
        }

        fn at(&mut self, bucket: u64) -> &mut Bucket {
            &mut self.0.buckets[usize::try_from(bucket).unwrap() % BUCKETS]
        }
    }

    fn start(bucket: u64) -> Timestamp {
        Timestamp::from_nanos(bucket * WIDTH)
    }

    fn final_at(bucket: u64) -> Timestamp {
        start(bucket + 1).after(DEADLINE).after(GRACE)
    }

    fn news(read: Read) -> Vec<Outcomes> {
        match read {
            Read::News(news) => news,
            Read::Rebased | Read::Blind(_) => panic!("{read:?}"),
        }
    }

    fn outcomes(bucket: u64, succeeded: u64, failed: u64, late: u64) -> Outcomes {
        Outcomes {
            start: start(bucket),
            succeeded,
            failed,
            late,
            abandoned: 0,
        }
    }

    #[test]
    fn first_reading_only_rebases() {
        let mut kernel = Kernel::new(7);
        let mut window = Window::default();
        kernel.at(1000).failed = 99;
        assert_eq!(window.read(&kernel.0, start(1000)), Read::Rebased);
        assert_eq!(news(window.read(&kernel.0, start(1001))), []);
    }

    #[test]
    fn outcomes_are_told_at_once_and_in_order_of_time() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        kernel.at(1002).started += 3;
        kernel.at(1002).failed += 1;
        kernel.at(1001).started += 2;
        kernel.at(1001).succeeded += 2;
        let expected = [outcomes(1001, 2, 0, 0), outcomes(1002, 0, 1, 0)];
        assert_eq!(news(window.read(&kernel.0, start(1003))), expected);
        assert_eq!(news(window.read(&kernel.0, start(1003))), []);
    }

    #[test]
    fn missing_outcomes_are_late_once_and_not_before_the_deadline() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        kernel.at(1001).started += 5;
        kernel.at(1001).succeeded += 2;
        kernel.at(1001).abandoned += 1;
        assert_eq!(news(window.read(&kernel.0, start(1002)))[0].late, 0);
        let just_before = Timestamp::from_nanos(final_at(1001).as_nanos() - 1);
        assert_eq!(news(window.read(&kernel.0, just_before)), []);
        let expected = [outcomes(1001, 0, 0, 2)];
        assert_eq!(news(window.read(&kernel.0, final_at(1001))), expected);
        assert_eq!(news(window.read(&kernel.0, start(1040))), []);
    }

    #[test]
    fn trials_are_outstanding_until_they_end_or_are_late() {
        let mut kernel = Kernel::new(u32::MAX); // and the counters wrap
        let mut window = Window::default();
        kernel.at(1000).started = kernel.at(1000).started.wrapping_add(1);
        window.read(&kernel.0, start(1000));
        assert!(!window.has_outstanding(), "nobody will be told of this one");
        kernel.at(1001).started = kernel.at(1001).started.wrapping_add(2);
        window.read(&kernel.0, start(1002));
        assert!(window.has_outstanding());
        kernel.at(1001).succeeded = kernel.at(1001).succeeded.wrapping_add(1);
        window.read(&kernel.0, start(1003));
        assert!(window.has_outstanding());
        let mut late = window.clone();
        assert_eq!(news(late.read(&kernel.0, final_at(1001)))[0].late, 1);
        assert!(!late.has_outstanding());
        kernel.at(1001).failed += 1;
        window.read(&kernel.0, start(1004));
        assert!(!window.has_outstanding());
    }

    #[test]
    fn laps_do_not_mix() {
        let mut kernel = Kernel::new(u32::MAX - 2); // and the counters wrap
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        let mut late = 0;
        let mut succeeded = 0;
        for bucket in 1001..1001 + 300 {
            kernel.at(bucket).started = kernel.at(bucket).started.wrapping_add(3);
            kernel.at(bucket).succeeded = kernel.at(bucket).succeeded.wrapping_add(2);
            for told in news(window.read(&kernel.0, start(bucket + 1))) {
                late += told.late;
                succeeded += told.succeeded;
            }
        }
        for told in news(window.read(&kernel.0, start(1001 + 330))) {
            late += told.late;
        }
        assert_eq!((succeeded, late), (600, 300));
    }

    #[test]
    fn trials_from_before_the_first_reading_are_never_late() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        kernel.at(999).started += 4;
        kernel.at(1000).started += 4;
        window.read(&kernel.0, start(1000));
        kernel.at(999).succeeded += 4; // in time, after the rebase
        kernel.at(1000).started += 1;
        assert_eq!(
            news(window.read(&kernel.0, start(1001))),
            [outcomes(999, 4, 0, 0)]
        );
        assert_eq!(news(window.read(&kernel.0, start(1030))), []);
        // The slot's next lap is judged against what stood there at the end of this one.
        assert_eq!(news(window.read(&kernel.0, start(1050))), []);
        assert_eq!(news(window.read(&kernel.0, start(1063))), []);
        kernel.at(1063).started += 1;
        assert_eq!(
            news(window.read(&kernel.0, start(1095))),
            [outcomes(1063, 0, 0, 1)]
        );
    }

    #[test]
    fn long_gap_is_blind_and_discards() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        kernel.at(1010).started += 50;
        let read = window.read(&kernel.0, start(1062));
        assert!(
            matches!(read, Read::Blind(Blindness::Gap(_))),
            "{read:?} of a reading 62 buckets later"
        );
        assert_eq!(news(window.read(&kernel.0, start(1090))), []);
    }

    #[test]
    fn longest_allowed_gap_still_finds_every_late_trial() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        let gap = Shape::of(&kernel.0).unwrap().longest_gap;
        let mut now = start(1000);
        let mut late = 0;
        let mut started = 0;
        for _ in 0..50 {
            let before = now.as_nanos() / WIDTH;
            now = now.after(gap);
            for bucket in before + 1..=now.as_nanos() / WIDTH {
                kernel.at(bucket).started += 1;
                started += 1;
            }
            late += news(window.read(&kernel.0, now))
                .iter()
                .map(|told| told.late)
                .sum::<u64>();
        }
        let pending =
            now.as_nanos() / WIDTH + 1 - Shape::of(&kernel.0).unwrap().oldest_pending(now);
        assert_eq!(late, started - pending);
    }

    #[test]
    fn what_is_unchanged_becomes_late_and_loses_nothing_however_long_it_takes() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        assert_eq!(window.unchanged(start(999)), None, "never read");
        window.read(&kernel.0, start(1000));
        kernel.at(1001).started += 5;
        kernel.at(1001).succeeded += 3;
        window.read(&kernel.0, start(1002));
        assert_eq!(window.unchanged(start(1003)), Some(vec![]));
        assert!(window.has_outstanding());
        let late = Some(vec![outcomes(1001, 0, 0, 2)]);
        assert_eq!(window.clone().unchanged(final_at(1001)), late);
        assert_eq!(window.unchanged(start(9000)), late);
        assert!(!window.has_outstanding());
        kernel.at(9001).started += 1;
        kernel.at(9001).succeeded += 1;
        let expected = [outcomes(9001, 1, 0, 0)];
        assert_eq!(news(window.read(&kernel.0, start(9002))), expected);
    }

    #[test]
    fn other_width_or_deadline_rebases() {
        let mut kernel = Kernel::new(0);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        kernel.0.width_shift = 23;
        assert_eq!(window.read(&kernel.0, start(1001)), Read::Rebased);
        kernel.0.deadline = Duration::from_millis(50);
        assert_eq!(window.read(&kernel.0, start(1002)), Read::Rebased);
    }

    #[test]
    fn counters_that_go_back_are_blind_and_not_a_spike() {
        let mut kernel = Kernel::new(100);
        let mut window = Window::default();
        window.read(&kernel.0, start(1000));
        kernel.at(1000).succeeded = 0;
        assert_eq!(
            window.read(&kernel.0, start(1001)),
            Read::Blind(Blindness::Replaced)
        );
    }

    #[test]
    fn ring_that_does_not_span_its_deadline_is_refused() {
        let mut kernel = Kernel::new(0);
        kernel.0.deadline = Duration::from_secs(1);
        let read = Window::default().read(&kernel.0, start(1000));
        assert_eq!(read, Read::Blind(Blindness::Malformed));
        kernel.0.buckets.pop();
        let read = Window::default().read(&kernel.0, start(1000));
        assert_eq!(read, Read::Blind(Blindness::Malformed));
    }

    proptest! {
        /// Not to read what has not changed tells the same at the same time.
        #[test]
        fn unchanged_tells_what_the_same_reading_tells(
            steps in prop::collection::vec(
                (1_u64..5, prop::option::weighted(0.3, (0_u64..3, 0_u32..3, 0_u32..3))),
                1..200,
            )
        ) {
            let mut kernel = Kernel::new(u32::MAX - 3);
            let (mut all, mut changes) = (Window::default(), Window::default());
            all.read(&kernel.0, start(1000));
            changes.read(&kernel.0, start(1000));
            let mut now = 1000;
            for (buckets, event) in steps {
                now += buckets;
                if let Some((ago, started, succeeded)) = event {
                    let bucket = kernel.at(now - ago);
                    bucket.started = bucket.started.wrapping_add(started);
                    bucket.succeeded = bucket.succeeded.wrapping_add(succeeded.min(started));
                }
                let expected = news(all.read(&kernel.0, start(now)));
                let told = match event {
                    Some(_) => news(changes.read(&kernel.0, start(now))),
                    None => changes.unchanged(start(now)).expect("a ring"),
                };
                prop_assert_eq!(told, expected);
                prop_assert_eq!(all.has_outstanding(), changes.has_outstanding());
            }
        }
    }
}
