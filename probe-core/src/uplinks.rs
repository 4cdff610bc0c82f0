//! In flow, about once a second, what became of connections by interface; out flows
//! through which interfaces the clients are lost.
//!
//! A connection is told by two interfaces: that by which its SYN came in, and that by
//! which our SYN-ACK left. The ways there and back may differ, and either can be the one
//! that loses. An interface is *lossy* if clearly more is lost on it than is normal for
//! it, and than is lost on the others now. Where all lose alike, or nothing is known to
//! compare with, nobody is named: the loss is not to be found at this host.
//!
//! This says where to look, and never decides anything: whoever forges SYNs makes the
//! interface look lossy by which they come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{clients::MEMORY_PER_SECOND, exact, input::UplinkReading};

/// So many readings, about one a second, are kept. Older ones become what is normal.
const RECENT: usize = 10;
/// The newest of them are now: at least so many, since a handshake is completed later than
/// it is answered, and as many as have so many trials.
const NEWEST: usize = 3;
const ENOUGH: u64 = 200;
/// Fewer trials than this tell nothing.
const LEAST: f64 = 20.0;
/// So much more must be lost, as a part of all ...
const CLEARLY_MORE: f64 = 0.2;
/// ... and by so many standard deviations.
const DEVIATIONS: f64 = 4.0;
/// Nobody loses less than this.
const LEAST_LOST: f64 = 0.01;

/// By what a connection belongs to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Its SYN came in by it: what is lost are handshakes.
    Came,
    /// Our SYN-ACK left by it: what is lost are handshakes.
    Left,
    /// Its segments leave by it: what is lost are spans without a retransmission.
    Sent,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Came, Self::Left, Self::Sent];

    /// The name used in metrics and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Came => "came",
            Self::Left => "left",
            Self::Sent => "sent",
        }
    }
}

/// How much was tried, and how much of it was good.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    tried: u64,
    good: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.tried = self.tried.saturating_add(other.tried);
        self.good = self.good.saturating_add(other.good);
    }

    fn lost(self) -> Option<f64> {
        lost(self.tried as f64, self.good as f64)
    }
}

/// The same over a long time, fading.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    tried: f64,
    good: f64,
}

impl Usual {
    fn fade(&mut self, kept: f64) {
        self.tried *= kept;
        self.good *= kept;
    }

    fn add(&mut self, old: Tally) {
        self.tried += old.tried as f64;
        self.good += old.good as f64;
    }
}

/// The part that is lost, if there were enough trials to tell.
fn lost(tried: f64, good: f64) -> Option<f64> {
    (tried >= LEAST).then(|| (1.0 - good / tried).clamp(0.0, 1.0))
}

/// A way on which clearly more is lost than is normal, and than on other interfaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LossyUplink {
    /// The interface.
    pub interface: String,
    /// Which way.
    pub way: Way,
    /// Trials within the last seconds.
    pub tried: u64,
    /// The part of them that was lost.
    pub lost: f64,
    /// What is normal for it, if that is known.
    pub normal: Option<f64>,
    /// What the other interfaces lose now, if enough comes there.
    pub elsewhere: Option<f64>,
}

/// One interface, as it is known now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UplinkStatus {
    /// The interface.
    pub interface: String,
    /// Its ways.
    pub ways: Vec<WayStatus>,
}

/// One way of an interface, as it is known now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WayStatus {
    /// Which way.
    pub way: Way,
    /// Trials within the last seconds.
    pub tried: u64,
    /// The part of them that was lost, of enough trials.
    pub lost: Option<f64>,
    /// The part that is normally lost, if known.
    pub normal: Option<f64>,
    /// What the other interfaces lose now, if enough comes there.
    pub elsewhere: Option<f64>,
    /// Whether clearly more is lost.
    pub lossy: bool,
}

/// The ways that lose clearly more than others, and than they used to.
pub fn lossy(uplinks: &[UplinkStatus]) -> Vec<LossyUplink> {
    let ways = uplinks
        .iter()
        .flat_map(|uplink| uplink.ways.iter().map(|way| (&uplink.interface, *way)));
    ways.filter(|(_, status)| status.lossy)
        .filter_map(|(interface, status)| {
            Some(LossyUplink {
                interface: interface.clone(),
                way: status.way,
                tried: status.tried,
                lost: status.lost?,
                normal: status.normal,
                elsewhere: status.elsewhere,
            })
        })
        .collect()
}

/// What one says of them: the interface, and a clause about it.
pub fn clauses(lossy: &[LossyUplink]) -> Vec<(&str, String)> {
    let clause = |uplink: &LossyUplink| {
        let is_lossy = |way| {
            let same = |other: &LossyUplink| other.interface == uplink.interface;
            lossy.iter().any(|other| same(other) && other.way == way)
        };
        let (what, of) = match uplink.way {
            // Told with the other way.
            Way::Left if is_lossy(Way::Came) => return None,
            Way::Came if is_lossy(Way::Left) => ("clients are lost through", "handshakes"),
            Way::Came => ("clients are lost that come in by", "handshakes"),
            Way::Left => ("clients are lost whose answers leave by", "handshakes"),
            Way::Sent => ("segments are lost that leave by", "spans"),
        };
        let percent = |name: &str, ratio: Option<f64>| {
            ratio.map_or_else(String::new, |ratio| {
                format!(", {name} {:.1} %", ratio * 100.0)
            })
        };
        Some(format!(
            "{what} {}: {:.1} % of {} {of} there{}{}",
            uplink.interface,
            uplink.lost * 100.0,
            uplink.tried,
            percent("normally", uplink.normal),
            percent("elsewhere", uplink.elsewhere)
        ))
    };
    lossy
        .iter()
        .filter_map(|uplink| Some((uplink.interface.as_str(), clause(uplink)?)))
        .collect()
}

/// The interfaces of this host.
#[derive(Clone, Debug, Default)]
pub struct Uplinks {
    known: Vec<Uplink>,
}

#[derive(Clone, Debug)]
struct Uplink {
    seen: UplinkReading,
    recent: VecDeque<[Tally; 3]>,
    normal: [Usual; 3],
}

impl Uplinks {
    /// Takes a reading of all interfaces, made `seconds` after the one before. What has
    /// become old is normal, unless something is suspected now.
    pub fn read(&mut self, readings: Vec<UplinkReading>, seconds: u64, healthy: bool) {
        let mut before = core::mem::take(&mut self.known);
        self.known = readings
            .into_iter()
            .map(|reading| {
                let same = |uplink: &Uplink| {
                    uplink.seen.interface == reading.interface && uplink.seen.index == reading.index
                };
                match before.iter().position(same) {
                    Some(place) => before.swap_remove(place).next(reading, seconds, healthy),
                    None => Uplink::new(reading),
                }
            })
            .collect();
    }

    /// The ways that lose clearly more than others, and than they used to.
    pub fn lossy(&self) -> Vec<LossyUplink> {
        lossy(&self.status())
    }

    /// What is known of each interface.
    pub fn status(&self) -> Vec<UplinkStatus> {
        self.known
            .iter()
            .map(|uplink| UplinkStatus {
                interface: uplink.seen.interface.clone(),
                ways: Way::ALL
                    .map(|way| {
                        let (now, normal, elsewhere) = self.compare(uplink, way);
                        WayStatus {
                            way,
                            tried: now.tried,
                            lost: now.lost(),
                            normal,
                            elsewhere,
                            lossy: is_lossy(now, normal, elsewhere),
                        }
                    })
                    .to_vec(),
            })
            .collect()
    }

    /// What an interface loses now, what is normal for it, and what the others lose.
    fn compare(&self, uplink: &Uplink, way: Way) -> (Tally, Option<f64>, Option<f64>) {
        let mut elsewhere = Tally::default();
        for other in &self.known {
            if other.seen.interface != uplink.seen.interface {
                elsewhere.add(other.now(way));
            }
        }
        let normal = uplink.normal[way as usize];
        let normal = lost(normal.tried, normal.good);
        (uplink.now(way), normal, elsewhere.lost())
    }
}

impl Uplink {
    fn new(seen: UplinkReading) -> Self {
        Self {
            seen,
            recent: VecDeque::new(),
            normal: [Usual::default(); 3],
        }
    }

    fn next(mut self, reading: UplinkReading, seconds: u64, healthy: bool) -> Self {
        let news = Way::ALL.map(|way| reading.since(&self.seen, way));
        self.recent.push_back(news);
        let kept = exact::power(MEMORY_PER_SECOND, seconds);
        for normal in &mut self.normal {
            normal.fade(kept);
        }
        if self.recent.len() > RECENT
            && let Some(old) = self.recent.pop_front().filter(|_| healthy)
        {
            for (normal, old) in self.normal.iter_mut().zip(old) {
                normal.add(old);
            }
        }
        self.seen = reading;
        self
    }

    fn now(&self, way: Way) -> Tally {
        let mut now = Tally::default();
        for (taken, second) in self.recent.iter().rev().enumerate() {
            if taken >= NEWEST && now.tried >= ENOUGH {
                break;
            }
            now.add(second[way as usize]);
        }
        now
    }
}

impl UplinkReading {
    /// What happened on a way since an earlier reading. Counts that went backwards are
    /// those of another life.
    fn since(&self, before: &Self, way: Way) -> Tally {
        let counts = |reading: &Self| match way {
            Way::Came => (reading.came.answered, reading.came.completed),
            Way::Left => (reading.left.answered, reading.left.completed),
            Way::Sent => (
                reading.spans,
                reading.spans.saturating_sub(reading.spans_failed),
            ),
        };
        let ((tried, good), (tried_before, good_before)) = (counts(self), counts(before));
        // What is completed now may have been answered before; over seconds that evens out.
        let since = tried
            .checked_sub(tried_before)
            .zip(good.checked_sub(good_before));
        since.map_or_else(Tally::default, |(tried, good)| Tally { tried, good })
    }
}

/// Whether clearly more is lost now than is normal, and than elsewhere. Nothing is known
/// without something to compare with.
fn is_lossy(now: Tally, normal: Option<f64>, elsewhere: Option<f64>) -> bool {
    let (Some(lost), true) = (now.lost(), normal.is_some() || elsewhere.is_some()) else {
        return false;
    };
    let expected = normal
        .into_iter()
        .chain(elsewhere)
        .fold(LEAST_LOST, f64::max);
    let excess = lost - expected;
    let deviation = (expected * (1.0 - expected) / now.tried as f64).sqrt();
    excess >= CLEARLY_MORE && excess >= DEVIATIONS * deviation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::HandshakeCounts;

    /// An interface with its handshakes of one second, and what of them is lost, in percent.
    type Second = (&'static str, u64, u64);

    /// Readings of so many seconds of the same; SYNs come in by `came` and SYN-ACKs leave
    /// by the same interface.
    struct Host {
        uplinks: Uplinks,
        counts: Vec<UplinkReading>,
    }

    impl Host {
        fn new(interfaces: &[&str]) -> Self {
            let counts: Vec<UplinkReading> = (1..)
                .zip(interfaces)
                .map(|(index, interface)| UplinkReading {
                    interface: (*interface).to_owned(),
                    index,
                    ..UplinkReading::default()
                })
                .collect();
            let mut uplinks = Uplinks::default();
            uplinks.read(counts.clone(), 1, true);
            Self { uplinks, counts }
        }

        fn seconds(&mut self, seconds: u64, healthy: bool, each: &[Second]) {
            for _ in 0..seconds {
                for (interface, handshakes, lost) in each {
                    let of = self
                        .counts
                        .iter_mut()
                        .find(|of| of.interface == *interface)
                        .expect("one of the host's");
                    let completed = handshakes * (100 - lost) / 100;
                    for way in [&mut of.came, &mut of.left] {
                        way.answered += handshakes;
                        way.completed += completed;
                    }
                }
                self.uplinks.read(self.counts.clone(), 1, healthy);
            }
        }

        fn lossy(&self) -> Vec<String> {
            let words = |found: LossyUplink| format!("{} {}", found.interface, found.way.name());
            self.uplinks.lossy().into_iter().map(words).collect()
        }
    }

    #[test]
    fn an_interface_is_named_only_where_it_stands_out() {
        let well: &[Second] = &[("eth0", 100, 1), ("eth1", 100, 1)];
        let both = ["eth1 came", "eth1 left"];
        let cases: [(&str, &[Second], &[&str]); 7] = [
            ("all is well", well, &[]),
            (
                "one loses all",
                &[("eth0", 100, 1), ("eth1", 100, 100)],
                &both,
            ),
            (
                "one loses a third",
                &[("eth0", 100, 1), ("eth1", 100, 33)],
                &both,
            ),
            (
                "a little more is nothing",
                &[("eth0", 100, 1), ("eth1", 100, 10)],
                &[],
            ),
            (
                "all lose alike",
                &[("eth0", 100, 50), ("eth1", 100, 50)],
                &[],
            ),
            (
                "nobody comes elsewhere: its own past tells",
                &[("eth0", 0, 0), ("eth1", 100, 50)],
                &both,
            ),
            (
                "too few to tell",
                &[("eth0", 100, 1), ("eth1", 1, 100)],
                &[],
            ),
        ];
        for (description, now, expected) in cases {
            let mut host = Host::new(&["eth0", "eth1"]);
            host.seconds(60, true, well);
            host.seconds(10, false, now);
            assert_eq!(host.lossy(), expected, "{description}");
        }
    }

    #[test]
    fn what_was_always_so_is_normal() {
        let mut host = Host::new(&["eth0", "eth1"]);
        host.seconds(60, true, &[("eth0", 100, 1), ("eth1", 100, 60)]);
        assert_eq!(host.lossy(), [""; 0]);
    }

    #[test]
    fn without_a_past_the_others_tell_and_one_alone_tells_nothing() {
        let mut host = Host::new(&["eth0", "eth1"]);
        host.seconds(5, true, &[("eth0", 100, 1), ("eth1", 100, 90)]);
        assert_eq!(host.lossy(), ["eth1 came", "eth1 left"]);
        let mut alone = Host::new(&["eth0"]);
        alone.seconds(5, true, &[("eth0", 100, 90)]);
        assert_eq!(alone.lossy(), [""; 0]);
    }

    #[test]
    fn a_fault_is_not_learned_as_normal() {
        let mut host = Host::new(&["eth0", "eth1"]);
        host.seconds(60, true, &[("eth0", 100, 1), ("eth1", 100, 1)]);
        host.seconds(600, false, &[("eth0", 100, 1), ("eth1", 100, 90)]);
        assert_eq!(host.lossy(), ["eth1 came", "eth1 left"]);
        let status = host.uplinks.status();
        let way = status[1].ways[0];
        assert!(way.lossy && way.normal.is_some_and(|normal| normal < 0.05));
    }

    #[test]
    fn the_ways_there_and_back_are_told_apart() {
        // Clients come by both interfaces, answers leave by the second, which is broken.
        let mut host = Host::new(&["eth0", "eth1"]);
        let second = |host: &mut Host, good: bool| {
            for counts in &mut host.counts {
                counts.came.answered += 50;
                counts.came.completed += if good { 50 } else { 0 };
            }
            host.counts[1].left.answered += 100;
            host.counts[1].left.completed += if good { 100 } else { 0 };
            host.uplinks.read(host.counts.clone(), 1, good);
        };
        for _ in 0..60 {
            second(&mut host, true);
        }
        for _ in 0..10 {
            second(&mut host, false);
        }
        assert_eq!(host.lossy(), ["eth1 left"]);
    }

    #[test]
    fn an_interface_that_was_made_anew_begins_anew() {
        let mut host = Host::new(&["eth0", "eth1"]);
        host.seconds(20, true, &[("eth0", 100, 0), ("eth1", 100, 90)]);
        host.counts[1] = UplinkReading {
            interface: "eth1".to_owned(),
            index: 7,
            came: HandshakeCounts {
                answered: 1_000_000,
                completed: 0,
            },
            ..UplinkReading::default()
        };
        host.uplinks.read(host.counts.clone(), 1, true);
        assert_eq!(host.lossy(), [""; 0]);
        assert_eq!(host.uplinks.status()[1].ways[0].tried, 0);
        // One that is gone is not told of any more.
        host.uplinks.read(vec![host.counts[0].clone()], 1, true);
        assert_eq!(host.uplinks.status().len(), 1);
    }
}
