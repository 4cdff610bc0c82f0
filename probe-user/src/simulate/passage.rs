//! How time passes on a simulated host.
//!
//! ```text
//! calm span:   draw ─▶ one batch per service ─▶ one reading, a second later
//! other span:  draw ─▶ trial by trial ─▶ readings at the daemon's own pace, bell, wakes
//! ```
//!
//! Either way the trials are the same draws. Which way a span goes is decided when it
//! is drawn: see [`super::site`].

use std::time::Duration;

use probe_core::{Input, Timestamp};

use super::{
    behaviour::{Ends, Networks, Probes},
    draw::Draw,
    host::Host,
    kernel::{Batch, End, Shape},
    site::{Outlook, Site, Trials},
};
use crate::daemon::rhythm::{Reader, Wanted};

/// The longest span, and the longest while probes fail.
const SPAN: Duration = Duration::from_secs(5);
const SHORT_SPAN: Duration = Duration::from_secs(1);
/// How long one stays close after there was a reason to.
const LINGER: Duration = Duration::from_secs(2);
/// A service answers, and turns down, so quickly.
const ANSWER_NS: u64 = 200_000;
const REFUSAL_NS: u64 = 40_000;
/// What a reading of ten services costs the daemon.
const READING_TAKES: Duration = Duration::from_micros(25);

/// How closely it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    /// As closely as it takes.
    AsNeeded,
    /// Every trial, always.
    Always,
}

/// Lets time pass.
pub struct Passage {
    closeness: Closeness,
    close_until: Timestamp,
    reader: Reader,
    trials: Vec<Trials>,
    events: Vec<Event>,
    times: Vec<f64>,
}

/// Something that happens in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at_ns: u64,
    start_ns: u64,
    site: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Start,
    Refused,
    Abandoned,
    Answered,
    Verified(u8),
    /// Only of interest to a trace: nothing happens.
    NotAnswered,
}

impl Passage {
    /// Time of this host.
    pub fn new(host: &Host, closeness: Closeness) -> Self {
        Self {
            closeness,
            close_until: host.now,
            reader: Reader::new(host.pace, host.now),
            trials: vec![Trials::default(); host.sites.len()],
            events: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Lets time pass until `until`, or until `done` is content with what happened.
    pub fn run(&mut self, host: &mut Host, until: Timestamp, done: &dyn Fn(&Host) -> bool) {
        while host.now < until && !done(host) {
            let mut close = self.closeness == Closeness::Always;
            let mut longest = SPAN;
            for site in &mut host.sites {
                site.script.advance(host.now);
                close |= site.script.situation().needs_close();
                if site.script.situation().probes != Probes::PASS {
                    longest = SHORT_SPAN;
                }
            }
            if close || host.now < self.close_until {
                longest = SHORT_SPAN;
            }
            let mut end = host.now.after(longest).min(until);
            for site in &host.sites {
                if let Some(change) = site.script.changes_at() {
                    end = end.min(change);
                }
            }
            let span = end.since(host.now);
            for (site, trials) in host.sites.iter_mut().zip(&mut self.trials) {
                let outlook = site.draw(host.now, span, trials, &mut host.draw);
                close |= outlook == Outlook::Close;
            }
            if close {
                self.close_until = end.after(LINGER);
            }
            if close || host.now < self.close_until {
                self.take(Shape::Fine, host);
                self.close(host, end, done);
            } else {
                self.take(Shape::Coarse, host);
                self.coarse(host, end);
            }
        }
    }

    /// Has the rings in this shape.
    fn take(&mut self, shape: Shape, host: &mut Host) {
        if host.shape == shape {
            return;
        }
        self.events.clear();
        host.reshape(shape);
        self.reader = Reader::new(host.pace, host.now);
    }

    fn coarse(&mut self, host: &mut Host, end: Timestamp) {
        let span = end.since(host.now);
        let middle = host.now.after(span / 2);
        for (site, trials) in host.sites.iter_mut().zip(&self.trials) {
            let failed = trials.unanswered.len() as u64;
            let others = site.answered_others(span, &mut host.draw);
            let batch = Batch {
                trials: trials.count + others,
                failed,
            };
            site.kernel.batch(middle, batch);
            verify(site, trials.count - failed, &mut host.draw);
        }
        while let Some((&(at, _), _)) = host.results.first_key_value()
            && at <= end
        {
            host.now = host.now.max(at);
            host.answer();
        }
        host.now = end;
        host.read();
    }

    fn close(&mut self, host: &mut Host, end: Timestamp, done: &dyn Fn(&Host) -> bool) {
        self.lay_out(host, end);
        let mut events = core::mem::take(&mut self.events).into_iter().peekable();
        let mut wake = host.engine.poll_timeout();
        while host.now < end && !done(host) {
            let due = self.reader.due().max(host.now);
            let result = host.results.first_key_value().map(|(&(at, _), _)| at);
            let timer = [Some(end), Some(due), result, wake]
                .into_iter()
                .flatten()
                .fold(end, Timestamp::min);
            if let Some(event) = events.next_if(|event| event.at_ns <= timer.as_nanos()) {
                host.now = host.now.max(Timestamp::from_nanos(event.at_ns));
                if happen(event, host) {
                    self.reader.rung();
                }
                continue;
            }
            host.now = host.now.max(timer);
            if result.is_some_and(|at| at <= host.now) {
                host.answer();
            } else if due <= host.now {
                host.read();
                let attention = host.engine.attention();
                self.reader
                    .has_read(host.now, READING_TAKES, Wanted::ALL, attention);
            } else if wake.is_some_and(|at| at <= host.now) {
                host.handle(Input::Wake);
            } else {
                continue;
            }
            wake = host.engine.poll_timeout();
        }
        self.events.extend(events);
    }

    /// Gives every trial of the span its time, and its end.
    fn lay_out(&mut self, host: &mut Host, end: Timestamp) {
        let start = host.now;
        let span = end.since(start);
        for index in 0..host.sites.len() {
            let ends = host.sites[index].ends();
            let networks = host.sites[index].networks();
            let trials = core::mem::take(&mut self.trials[index]);
            let mut unanswered = trials.unanswered.iter().copied().peekable();
            self.draw_times(trials.count, start, span, &mut host.draw);
            for trial in 0..trials.count {
                let at = self.times[usize::try_from(trial).unwrap_or_default()];
                let what = if unanswered.next_if_eq(&trial).is_some() {
                    unanswered_end(ends, &mut host.draw)
                } else {
                    What::Verified(networks.pick(&mut host.draw))
                };
                self.add(index, at, what);
            }
            self.trials[index] = trials;
            self.lay_out_groups(host, index, start, span);
        }
        self.events.sort_unstable();
    }

    fn lay_out_groups(&mut self, host: &mut Host, index: usize, start: Timestamp, span: Duration) {
        let situation = host.sites[index].script.situation().clone();
        let rate = host.sites[index].script.days.rate;
        if host.sites[index].gone_since.is_some() {
            return;
        }
        for group in &situation.groups {
            let count = host.draw.arrivals(group.crowd * rate * span.as_secs_f64());
            self.draw_times(count, start, span, &mut host.draw);
            for trial in 0..count {
                let at = self.times[usize::try_from(trial).unwrap_or_default()];
                let what = if host.draw.chance(group.ends.unanswered()) {
                    unanswered_end(group.ends, &mut host.draw)
                } else {
                    group.networks.map_or(What::Answered, |networks| {
                        What::Verified(networks.pick(&mut host.draw))
                    })
                };
                self.add(index, at, what);
            }
        }
    }

    /// Times of `count` arrivals that come evenly by chance: those of a Poisson process
    /// of which the number is known.
    fn draw_times(&mut self, count: u64, start: Timestamp, span: Duration, draw: &mut Draw) {
        self.times.clear();
        let mut sum = 0.0;
        for _ in 0..count {
            sum += draw.exponential();
            self.times.push(sum);
        }
        sum += draw.exponential();
        let scale = span.as_nanos() as f64 / sum;
        for time in &mut self.times {
            *time = start.as_nanos() as f64 + *time * scale;
        }
    }

    fn add(&mut self, site: usize, at: f64, what: What) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "nanoseconds of a positive time below a year"
        )]
        let start_ns = at as u64;
        let takes_ns = match what {
            What::Start | What::NotAnswered => 0,
            What::Refused | What::Abandoned => REFUSAL_NS,
            What::Answered | What::Verified(_) => ANSWER_NS,
        };
        let event = Event {
            at_ns: start_ns,
            start_ns,
            site,
            what: What::Start,
        };
        self.events.push(event);
        self.events.push(Event {
            at_ns: start_ns + takes_ns,
            what,
            ..event
        });
    }
}

/// How one trial ends that is not answered.
fn unanswered_end(ends: Ends, draw: &mut Draw) -> What {
    let part = draw.unit() * ends.unanswered();
    if part < ends.refused {
        What::Refused
    } else if part < ends.refused + ends.silent {
        What::NotAnswered
    } else {
        What::Abandoned
    }
}

/// Lets an event happen, and says whether the kernel rings the bell.
fn happen(event: Event, host: &mut Host) -> bool {
    let start = Timestamp::from_nanos(event.start_ns);
    let site = &mut host.sites[event.site];
    if site.gone_since.is_some_and(|gone| gone <= start) {
        return false;
    }
    let end = match event.what {
        What::Start => {
            if let Some(starts) = &mut site.starts {
                starts.push(start);
            }
            return site.kernel.start(start);
        }
        What::NotAnswered => None,
        What::Refused => Some(End::Refused),
        What::Abandoned => Some(End::Abandoned),
        What::Answered => Some(End::Answered),
        What::Verified(network) => Some(End::Verified(network)),
    };
    if let Some(end) = end {
        site.kernel.end(start, end);
    }
    if event.site == 0
        && let Some(trace) = &mut host.trace
    {
        trace.trials.push((start, end));
    }
    end == Some(End::Refused)
}

/// The networks of `answered` clients, by systematic sampling: every one has its part
/// of them, to the next whole number up or down.
fn verify(site: &mut Site, answered: u64, draw: &mut Draw) {
    use probe_common::address::NETWORK_BUCKETS;

    let networks: Networks = site.networks();
    if answered < NETWORK_BUCKETS as u64 / 2 {
        for _ in 0..answered {
            let network = networks.pick(draw);
            site.kernel.verify(usize::from(network), 1);
        }
        return;
    }
    let offset = draw.unit();
    let mut before = 0;
    for (network, part) in networks.up_to().iter().enumerate() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a float to an integer saturates"
        )]
        let up_to = (part * answered as f64 + offset) as u32;
        site.kernel.verify(network, up_to.saturating_sub(before));
        before = up_to;
    }
}
