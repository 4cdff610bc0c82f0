//! One simulated service with its clients. In flow the time, out flow the trials that
//! come in the next span of it, and whether they could alarm anybody.
//!
//! Where only the order of trials within a span can make a difference, the order is
//! drawn too. A look ahead walks over it with the score that the detector would have
//! if it saw every trial on its own; the real one, fed in buckets, is never above
//! that. So a span in which the walk stays low is told to the core as one batch, and
//! every other one trial by trial, at the daemon's own pace: nothing is hidden by
//! batches that a daemon would have seen.

use std::time::Duration;

use probe_core::Timestamp;

use super::{
    behaviour::{Ends, Networks},
    draw::Draw,
    kernel::Kernel,
    script::Script,
};

/// The weights of a failure and of a success are never above and below these: those of
/// the lowest p0 and of the highest one.
const FAILURE_WEIGHT: f64 = 4.606;
const SUCCESS_WEIGHT: f64 = 0.587;
/// No threshold is higher: it is that of a million trials per second and a century.
const HIGHEST_SCORE: f64 = 36.0;
/// No threshold is so low: that of ten trials per second and ten years is 21.9. A walk
/// that stays below this is two failures in a row away from it.
const LOW: f64 = 13.0;

const MINUTE: Duration = Duration::from_mins(1);
const DAY_SECONDS: f64 = 86_400.0;

/// A service and its clients.
#[derive(Clone, Debug)]
pub struct Site {
    /// What happens to it.
    pub script: Script,
    /// Its maps.
    pub kernel: Kernel,
    /// Since when its prefix is not announced.
    pub gone_since: Option<Timestamp>,
    /// From when on its clients' trials are kept by their start.
    pub starts: Option<Vec<Timestamp>>,
    noise: f64,
    noise_until: Timestamp,
    walk: f64,
}

/// The ordinary clients' trials in a span of time, in order.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    /// How many.
    pub count: u64,
    /// Which ones are not answered.
    pub unanswered: Vec<u64>,
}

/// What a span would do to a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing worth a closer look.
    Calm,
    /// The order within it may matter.
    Close,
}

impl Site {
    /// A service to which this happens.
    pub fn new(script: Script, deadline: Duration) -> Self {
        Self {
            script,
            kernel: Kernel::new(deadline, u32::MAX - 100),
            gone_since: None,
            starts: None,
            noise: 1.0,
            noise_until: Timestamp::default(),
            walk: 0.0,
        }
    }

    /// The ordinary clients' trials per second at `now`.
    pub fn rate(&mut self, now: Timestamp, draw: &mut Draw) -> f64 {
        if self.gone_since.is_some() {
            return 0.0;
        }
        let days = self.script.days;
        if now >= self.noise_until {
            self.noise_until = now.after(MINUTE);
            self.noise = (days.noise * draw.normal() - days.noise * days.noise / 2.0).exp();
        }
        let turns = now.as_nanos() as f64 / 1e9 / DAY_SECONDS;
        let time_of_day = 1.0 + days.swing * (turns * core::f64::consts::TAU).sin();
        days.rate * time_of_day * self.noise * self.script.situation().crowd
    }

    /// How the ordinary clients' trials end now.
    pub fn ends(&self) -> Ends {
        let ends = self.script.situation().ends;
        Ends {
            refused: ends.refused + self.script.days.background,
            ..ends
        }
    }

    /// Draws the ordinary trials of the span that begins at `now`.
    pub fn draw(
        &mut self,
        now: Timestamp,
        span: Duration,
        trials: &mut Trials,
        draw: &mut Draw,
    ) -> Outlook {
        let rate = self.rate(now, draw);
        trials.count = draw.arrivals(rate * span.as_secs_f64());
        trials.unanswered.clear();
        let probability = self.ends().unanswered();
        let mut next = draw.until_failure(probability);
        while next < trials.count {
            trials.unanswered.push(next);
            next = next
                .saturating_add(1)
                .saturating_add(draw.until_failure(probability));
        }
        self.look_ahead(trials)
    }

    fn look_ahead(&mut self, trials: &Trials) -> Outlook {
        let mut outlook = Outlook::Calm;
        let mut walked = 0;
        for index in &trials.unanswered {
            self.pass(index - walked);
            self.walk = (self.walk + FAILURE_WEIGHT).min(HIGHEST_SCORE);
            if self.walk > LOW {
                outlook = Outlook::Close;
            }
            walked = index + 1;
        }
        self.pass(trials.count - walked);
        outlook
    }

    fn pass(&mut self, successes: u64) {
        self.walk = (self.walk - successes as f64 * SUCCESS_WEIGHT).max(0.0);
    }

    /// The networks of its ordinary clients.
    pub fn networks(&self) -> Networks {
        let usual = self.script.days.networks;
        self.script.situation().networks.unwrap_or(usual)
    }

    /// The trials of clients beside the ordinary ones that come in a span, all of them
    /// answered.
    pub fn answered_others(&self, span: Duration, draw: &mut Draw) -> u64 {
        if self.gone_since.is_some() {
            return 0;
        }
        let rate = self.script.days.rate * span.as_secs_f64();
        let groups = &self.script.situation().groups;
        groups
            .iter()
            .map(|group| draw.arrivals(group.crowd * rate))
            .sum()
    }
}
