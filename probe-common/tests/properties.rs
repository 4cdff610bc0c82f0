//! What holds of the measurement whatever the traffic is: as properties over traffic
//! that is made at random, with a clock that is set by hand.

use std::{cell::RefCell, collections::BTreeMap};

use lapwing_fuzz::{
    invariants::Sums,
    measure::{self, START_NS, pass},
    services,
    traffic::{Content, Step},
};
use probe_common::{
    address::Address,
    ends::{Ends, FlowHashKey},
    flow::{FlowKey, Inserted, NewTrial, Newcomer, Set, set_index},
    gate::MIN_GENERATION_SHIFT,
    host::{HostSizes, HostTables},
    measure::{
        Direction::{self, In, Out},
        Tables as _,
    },
    sample::{Cell, Holder, Sequence},
    trial::Kind,
};
use proptest::{collection::vec, prelude::*, sample::select};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// The plain TCP service.
const SERVICE: u8 = 1;
const MS: u64 = 1_000_000;

fn segment(
    direction: Direction,
    flags: u8,
    (sequence, acknowledgment): (i16, i16),
    length: u8,
) -> Step<'static> {
    Step {
        direction,
        tunnelled: false,
        wrong_checksum: false,
        client: 0,
        service: SERVICE,
        time: 0,
        content: Content::Tcp {
            flags,
            sequence,
            acknowledgment,
            length,
            bytes: &[],
        },
    }
}

/// A connection until shortly before its end.
fn connection() -> Vec<Step<'static>> {
    vec![
        segment(In, SYN, (0, 0), 0),
        segment(Out, SYN | ACK, (0, 1), 0),
        segment(In, ACK, (1, 1), 0),
        segment(In, ACK, (1, 1), 100),
        segment(Out, ACK, (1, 101), 0),
        segment(Out, ACK, (1, 101), 200),
        segment(In, ACK, (101, 201), 100),
        segment(Out, ACK, (201, 201), 50),
    ]
}

/// A connection's segments as a network may deliver them: some lost, some twice, some
/// late.
fn delivered(segments: Vec<Step<'static>>) -> impl Strategy<Value = Vec<(u64, Step<'static>)>> {
    vec((0..200 * MS, select(segments)), 0..24)
}

fn any_step() -> impl Strategy<Value = (bool, Step<'static>)> {
    let flags = select(vec![SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, 0xff]);
    let numbers = (-2..300i16, -2..300i16);
    let who = (0..4u8, 0..10u8, any::<u8>());
    let how = (any::<bool>(), any::<bool>(), any::<bool>());
    (who, how, flags, numbers, any::<u8>()).prop_map(|(who, how, flags, numbers, length)| {
        let direction = if how.0 { In } else { Out };
        let step = Step {
            client: who.0,
            service: who.1,
            time: who.2,
            tunnelled: how.1,
            ..segment(direction, flags, numbers, length)
        };
        (how.2, step)
    })
}

thread_local! {
    /// With room for more than one connection.
    static TABLES: RefCell<HostTables> = RefCell::new(services::tables().with_sizes(HostSizes {
        connection_sets: 4,
        exchange_sets: 4,
        cells: 4,
    }));
}

/// A look at tables that were empty before this traffic.
fn measured<T>(traffic: &[(u64, Step<'_>)], look: impl FnOnce(&HostTables) -> T) -> T {
    TABLES.with_borrow_mut(|tables| {
        tables.forget();
        let mut now_ns = START_NS;
        for (after_ns, step) in traffic {
            now_ns += after_ns;
            pass(tables, now_ns, step.direction, &step.frame());
        }
        look(tables)
    })
}

fn sums(tables: &HostTables, kind: Kind) -> Sums {
    Sums::of(tables.cohorts(SERVICE.into(), kind))
}

proptest! {
    #[test]
    fn invariants_hold_for_any_traffic(steps in vec(any_step(), 0..60)) {
        let input: Vec<u8> = steps
            .iter()
            .flat_map(|(is_datagram, step)| {
                let datagram = Content::Udp { length: 1200, bytes: &[0x23] };
                let content = if *is_datagram { datagram } else { step.content };
                Step { content, ..*step }.encode()
            })
            .collect();
        measure::check(&input);
    }

    #[test]
    fn connection_is_one_trial_that_never_fails_however_it_is_delivered(
        traffic in delivered(connection()),
    ) {
        const KINDS: [Kind; 4] = [Kind::Connect, Kind::Handshake, Kind::Request, Kind::Finish];
        let (trials, verified) = measured(&traffic, |tables| {
            let trials = KINDS.map(|kind| sums(tables, kind));
            (trials, tables.counters(SERVICE.into()).verified)
        });
        for (kind, sums) in KINDS.iter().zip(trials) {
            prop_assert!(sums.started <= 1, "{kind:?}: {sums:?}");
            prop_assert_eq!(sums.failed, 0, "{:?}", kind);
        }
        prop_assert!(verified <= 1);
    }

    #[test]
    fn connect_fails_only_by_a_reset_that_answers_the_syn(
        traffic in delivered([
            connection(),
            vec![
                segment(Out, RST | ACK, (0, 1), 0),
                segment(Out, RST | ACK, (0, 2), 0),
                segment(Out, RST, (0, 1), 0),
                segment(In, RST, (1, 0), 0),
                segment(In, RST | ACK, (1, 1), 0),
            ],
        ].concat()),
    ) {
        let answers = traffic.iter().filter(|(_, step)| {
            *step == segment(Out, RST | ACK, (0, 1), 0)
        });
        let failed = measured(&traffic, |tables| sums(tables, Kind::Connect).failed);
        prop_assert!(failed <= answers.count() as u64, "{failed} failed");
    }

    #[test]
    fn every_repeat_is_a_retransmission_wherever_the_sequence_wraps(
        first in any::<u32>(),
        lengths in vec(2..1460u32, 1..40),
        repeats in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let cell = Cell::default();
        prop_assert!(Holder::default().take::<HostTables>(&cell, 0, START_NS, first, first));
        let mut next = first;
        let mut segments = Vec::new();
        for length in lengths {
            let end = next.wrapping_add(length);
            prop_assert_eq!(cell.segment_in(next, end, false, START_NS), Sequence::New);
            prop_assert_eq!(cell.segment_out(next, end, false, START_NS), Sequence::New);
            segments.push((next, end));
            next = end;
        }
        for index in repeats {
            let (start, end) = *index.get(&segments);
            prop_assert_eq!(cell.segment_in(start, end, false, START_NS), Sequence::Retransmission);
            prop_assert_eq!(cell.segment_out(start, end, false, START_NS), Sequence::Retransmission);
        }
    }

    #[test]
    fn segments_are_told_apart_alike_wherever_the_sequence_starts(
        first in any::<u32>(),
        segments in vec((-3000..20_000i32, 1..1460u32), 1..60),
    ) {
        let told = |base: u32| -> Vec<(Sequence, Sequence)> {
            let cell = Cell::default();
            let holder = Holder::default();
            assert!(holder.take::<HostTables>(&cell, 0, START_NS, base, base), "it is free");
            let tell = |(offset, length): &(i32, u32)| {
                let start = base.wrapping_add_signed(*offset);
                let end = start.wrapping_add(*length);
                (
                    cell.segment_in(start, end, false, START_NS),
                    cell.segment_out(start, end, false, START_NS),
                )
            };
            segments.iter().map(tell).collect()
        };
        prop_assert_eq!(told(first), told(0x4000_0000));
    }

    #[test]
    fn mark_is_seen_for_a_generation_whoever_else_comes(
        start_ns in 0..u64::MAX >> 1,
        hash in any::<u64>(),
        others in vec((any::<u64>(), 0..=1u64 << MIN_GENERATION_SHIFT), 0..20),
    ) {
        let mut others = others;
        others.sort_by_key(|(_, after_ns)| *after_ns);
        let seen = measured(&[], |tables| {
            let gate = &tables.state().expect("the host has a state").gate;
            let shift = gate.generation_shift.load();
            gate.open::<HostTables>(hash, start_ns);
            others.iter().all(|(other, after)| {
                // Up to a generation's length later.
                gate.open::<HostTables>(*other, start_ns + (after << (shift - MIN_GENERATION_SHIFT)));
                gate.is_open(hash)
            })
        });
        prop_assert!(seen);
    }

    #[test]
    fn undecided_entry_stays_until_its_deadline(
        flows in vec((0..12u32, 1..80 * MS, 1..200 * MS), 1..100),
    ) {
        let set = Set::default();
        let mut deadlines = BTreeMap::new();
        let mut now_ns = START_NS;
        for (port, after_ns, deadline_ns) in flows {
            now_ns += after_ns;
            let key = FlowKey {
                client: Address::v4(7),
                client_port: port,
                service: 0,
                local_port: 80,
            };
            if set.find(&key).is_some() {
                continue;
            }
            let trial = NewTrial {
                ring: 0,
                started_ns: now_ns,
                expires_ns: now_ns + deadline_ns,
            };
            match set.insert::<HostTables>(None, &key, Newcomer::default(), &trial) {
                Inserted::Free => prop_assert!(deadlines.len() < set.entries.len()),
                Inserted::Evicting(former) => {
                    let deadline = deadlines.remove(&former.started_ns);
                    prop_assert!(deadline.is_some_and(|deadline| deadline < now_ns));
                }
                Inserted::NoRoom => {
                    prop_assert_eq!(deadlines.len(), set.entries.len());
                    prop_assert!(deadlines.values().all(|deadline| *deadline >= now_ns));
                    continue;
                }
            }
            deadlines.insert(trial.started_ns, trial.expires_ns);
            prop_assert!(set.find(&key).is_some(), "who has room is found");
        }
    }

    #[test]
    fn neighbours_collide_no_more_often_than_a_universal_hash_lets_them(
        address in any::<u32>(),
        address_step in 0..3u32,
        port_step in 1..5u32,
    ) {
        const SETS: u32 = 1 << 8;
        const FLOWS: u32 = 1 << 8;
        const KEYS: u64 = 64;
        let mut collisions = 0u64;
        for word in 1..=KEYS {
            let key = FlowHashKey::from_random(word);
            let mut loads = [0u64; SETS as usize];
            for index in 0..FLOWS {
                let client = address.wrapping_add(index * address_step);
                let ends = Ends {
                    client: Address::v4(client.to_be()),
                    client_port: 1024 + index * port_step,
                    local: Address::v4(7),
                    local_port_protocol: 443 << 16 | 6,
                };
                loads[set_index(key.hash(&ends), SETS) as usize] += 1;
            }
            collisions += loads.iter().map(|load| load * load.saturating_sub(1) / 2).sum::<u64>();
        }
        // A pair collides with a chance of at most two in the number of sets.
        let pairs = u64::from(FLOWS) * u64::from(FLOWS - 1) / 2;
        let most = KEYS * pairs * 2 / u64::from(SETS);
        prop_assert!(collisions <= most, "{collisions} of at most {most}");
    }
}
