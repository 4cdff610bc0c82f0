//! What holds after every frame, whatever came before it.

use probe_common::{
    cohort::CohortRing,
    counters::{Counters, RstPhase, Traffic},
    host::HostTables,
    measure::Direction,
    skip::Skip,
    trial::Kind,
};

use crate::{
    services::{ALL, COUNT, kinds},
    traffic::Addressee,
};

/// What a ring's buckets sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Trials started.
    pub started: u64,
    /// ... that succeeded in time.
    pub succeeded: u64,
    /// ... that failed in time.
    pub failed: u64,
    /// ... that were abandoned in time.
    pub abandoned: u64,
    /// Outcomes past the deadline.
    pub after_deadline: u64,
}

impl Sums {
    /// Those of a ring. Panics if a bucket has more outcomes than trials.
    pub fn of(ring: CohortRing<'_>) -> Self {
        let mut sums = Self {
            after_deadline: ring.head.after_deadline.load().into(),
            ..Self::default()
        };
        for bucket in &ring.cohorts.buckets {
            let started = u64::from(bucket.started.load());
            let outcomes = [&bucket.succeeded, &bucket.failed, &bucket.abandoned]
                .map(|cell| u64::from(cell.load()));
            assert!(
                outcomes.iter().sum::<u64>() <= started,
                "more outcomes than trials: {bucket:?}"
            );
            let [succeeded, failed, abandoned] = outcomes;
            sums.started += started;
            sums.succeeded += succeeded;
            sums.failed += failed;
            sums.abandoned += abandoned;
        }
        assert!(
            sums.ended() <= sums.started,
            "more ends than trials: {sums:?}"
        );
        sums
    }

    /// All outcomes.
    fn ended(&self) -> u64 {
        self.succeeded + self.failed + self.abandoned + self.after_deadline
    }
}

/// Looks at the tables after every frame.
pub struct Watch {
    counts: [(Traffic, Counters); COUNT],
    skips: [u64; Skip::COUNT],
}

impl Watch {
    /// Before the first frame.
    pub fn new(tables: &HostTables) -> Self {
        Self {
            counts: counts(tables),
            skips: tables.skips(),
        }
    }

    /// Panics if the frame that was just measured changed what it must not.
    pub fn frame(&mut self, tables: &HostTables, direction: Direction, addressee: Addressee) {
        let (counts, skips) = (counts(tables), tables.skips());
        let changed: Vec<usize> = (0..COUNT)
            .filter(|service| counts[*service] != self.counts[*service])
            .collect();
        let skipped: u64 = (0..Skip::COUNT)
            .map(|reason| skips[reason] - self.skips[reason])
            .sum();
        assert!(skipped <= 1, "one frame, one reason: {skips:?}");
        assert!(changed.len() <= 1, "one frame, services {changed:?}");
        assert!(
            skipped == 0 || changed.is_empty(),
            "counted though it was skipped"
        );
        match (addressee, changed.first()) {
            (_, None) | (Addressee::Unknown, _) => {}
            (Addressee::Service(service), Some(changed)) => assert_eq!(service, *changed),
            (Addressee::Nobody, Some(changed)) => panic!("nobody's frame changed {changed}"),
        }
        for service in changed {
            check_change(&self.counts[service], &counts[service], direction);
            check_service(tables, service);
        }
        (self.counts, self.skips) = (counts, skips);
    }
}

fn counts(tables: &HostTables) -> [(Traffic, Counters); COUNT] {
    std::array::from_fn(|service| (tables.traffic(service), tables.counters(service)))
}

/// Counters only grow; a frame is one packet, one way.
fn check_change(before: &(Traffic, Counters), after: &(Traffic, Counters), direction: Direction) {
    let words = |(traffic, counters): (Traffic, Counters)| {
        let traffic: [u64; Traffic::WORDS] = zerocopy::transmute!(traffic);
        let counters: [u64; Counters::WORDS] = zerocopy::transmute!(counters);
        traffic.into_iter().chain(counters)
    };
    let (then, now) = (words(*before), words(*after));
    for (index, (before, after)) in then.zip(now).enumerate() {
        assert!(before <= after, "counter {index} went back");
    }
    let new_in = after.0.packets_in - before.0.packets_in;
    let new_out = after.0.packets_out - before.0.packets_out;
    let about = after.1.unreachable_out - before.1.unreachable_out;
    match direction {
        Direction::In => assert_eq!((new_in, new_out, about), (1, 0, 0)),
        Direction::Out => assert_eq!((new_in, new_out + about), (0, 1)),
    }
}

/// Panics if a service's counters and trials contradict each other.
pub fn check_service(tables: &HostTables, service: usize) {
    let (traffic, counters) = (tables.traffic(service), tables.counters(service));
    let mut sums = [Sums::default(); Kind::COUNT];
    for kind in kinds(service) {
        let of_kind = Sums::of(tables.cohorts(service, *kind));
        sums[*kind as usize] = of_kind;
        let timed: u64 = tables.latency(service, *kind).buckets.iter().sum();
        if kind.has_latency() {
            assert!(
                of_kind.succeeded <= timed,
                "{kind:?}: a success without a latency"
            );
            assert!(timed <= of_kind.succeeded + of_kind.after_deadline);
        }
    }
    let of = |kind: Kind| sums[kind as usize];
    if ALL[service].protocol == probe_common::service::TCP {
        check_tcp(&counters, of);
    } else {
        assert!(of(Kind::Resolve).started <= traffic.packets_out);
        assert!(
            of(Kind::Answer).started + of(Kind::Quic).started + counters.trials_without_room
                <= traffic.packets_in
        );
        let servfails: u64 = tables.servfails(service).into_iter().map(u64::from).sum();
        assert_eq!(of(Kind::Resolve).failed, servfails);
    }
    let verified: u64 = tables.verified(service).into_iter().map(u64::from).sum();
    assert_eq!(
        counters.verified, verified,
        "verified in all and by network"
    );
}

fn check_tcp(counters: &Counters, of: impl Fn(Kind) -> Sums) {
    assert_eq!(
        counters.syn,
        of(Kind::Connect).started
            + counters.syn_retransmissions
            + counters.syn_not_judged
            + counters.trials_without_room,
        "every SYN is accounted for"
    );
    assert!(of(Kind::Connect).failed <= counters.rst_out[RstPhase::Refused as usize]);
    let answered = of(Kind::Connect).succeeded + of(Kind::Connect).after_deadline;
    assert!(of(Kind::Connect).succeeded <= of(Kind::Handshake).started);
    assert!(of(Kind::Handshake).started <= answered);
    assert!(of(Kind::Handshake).started + counters.synack_retransmissions <= counters.synack);
    assert!(counters.verified <= of(Kind::Handshake).started);
    assert!(counters.client_first + counters.server_first <= counters.verified);
    assert!(of(Kind::Greet).started <= counters.verified);
    assert!(of(Kind::Status).started <= counters.http_responses.iter().sum());
    assert!(of(Kind::Deliver).succeeded == 0, "silence is its success");
    assert!(counters.sampled + counters.cells_busy <= counters.verified);
    assert!(counters.retransmissions_in + counters.out_of_order_in <= counters.sampled_segments_in);
    assert!(counters.retransmissions_out <= counters.sampled_segments_out);
    assert!(of(Kind::Deliver).failed <= counters.retransmissions_out);
}
