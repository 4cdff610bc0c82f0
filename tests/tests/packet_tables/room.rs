//! What happens when a set of a flow table is full. On the host, where the hash's key is
//! known, and so the clients of one set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lapwing_tests::packets::{
    Frame,
    flags::{ACK, SYN},
};
use probe_common::{
    address::Address,
    ends::{Ends, FlowHashKey},
    flow::{DEFAULT_HANDSHAKE_SETS, DEFAULT_QUERY_SETS, WAYS, set_index},
    host::HostTables,
    parse::tunnel::Tunnels,
    service::{Options, REPLAY_FLOW_WORD, Service},
    trial::Kind,
};
use probe_user::datapath::key;

use crate::{
    case::{ABANDONED, LATE, SUCCEEDED, Trials, WAITING},
    services::{To, specs},
};

const MS: u64 = 1_000_000;
const PORT: u16 = 40_000;

/// One service and clients whose flows are in one set.
struct Crowd {
    tables: HostTables,
    service: SocketAddr,
    clients: Vec<SocketAddr>,
}

impl Crowd {
    fn new(to: To, sets: u32) -> Self {
        let spec = specs()
            .into_iter()
            .find_map(|(other, spec)| (other == to).then_some(spec))
            .unwrap();
        let (local, port_protocol) = key(&spec.endpoint);
        let services = [Service::new(local, port_protocol, 0, Options::default())];
        let tables = HostTables::new(&services, Tunnels::default(), |_, _| 100 * MS);
        // The key that host tables have.
        let hash_key = FlowHashKey::from_random(REPLAY_FLOW_WORD);
        let set = |client: SocketAddr| {
            let IpAddr::V4(address) = client.ip() else {
                unreachable!("clients have IPv4 addresses")
            };
            let ends = Ends {
                client: Address::from_octets(address.to_ipv6_mapped().octets()),
                client_port: PORT.into(),
                local,
                local_port_protocol: port_protocol,
            };
            set_index(hash_key.hash(&ends), sets)
        };
        let clients = (0x0a00_0000..0x0aff_ffffu32)
            .map(|address| SocketAddr::new(Ipv4Addr::from_bits(address).into(), PORT))
            .filter(|client| set(*client) == 1)
            .take(WAYS + 1)
            .collect();
        Self {
            tables,
            service: to.address(false),
            clients,
        }
    }

    fn at(&self, at_ms: u64) -> &HostTables {
        self.tables.set_now((5_000 + at_ms) * MS);
        &self.tables
    }

    fn syn(&self, at_ms: u64, client: usize) {
        let frame = Frame::tcp(self.clients[client], self.service, SYN).numbers(100, 0);
        self.at(at_ms).ingress(&frame.build());
    }

    fn synack(&self, at_ms: u64, client: usize) {
        let frame = Frame::tcp(self.service, self.clients[client], SYN | ACK).numbers(500, 101);
        self.at(at_ms).egress(&frame.build());
    }

    fn ack(&self, at_ms: u64, client: usize) {
        let frame = Frame::tcp(self.clients[client], self.service, ACK).numbers(101, 501);
        self.at(at_ms).ingress(&frame.build());
    }

    fn query(&self, at_ms: u64, client: usize) {
        let frame = Frame::udp(self.clients[client], self.service).payload(b"ask");
        self.at(at_ms).ingress(&frame.build());
    }

    fn answer(&self, at_ms: u64, client: usize) {
        let frame = Frame::udp(self.service, self.clients[client]).payload(b"answer");
        self.at(at_ms).egress(&frame.build());
    }

    fn trials(&self, kind: Kind) -> Trials {
        let ring = self.tables.cohorts(0, kind);
        let mut trials = Trials {
            after_deadline: ring.head.after_deadline.load(),
            ..Trials::default()
        };
        for bucket in &ring.cohorts.buckets {
            trials.started += bucket.started.load();
            trials.succeeded += bucket.succeeded.load();
            trials.failed += bucket.failed.load();
            trials.abandoned += bucket.abandoned.load();
        }
        trials
    }

    fn without_room(&self) -> u64 {
        self.tables.counters(0).trials_without_room
    }
}

/// So many trials like this one.
fn times(count: usize, trials: Trials) -> Trials {
    (0..count).fold(Trials::default(), |sum, _| sum.and(trials))
}

#[test]
fn waiting_syns_are_not_evicted_before_their_deadline() {
    let crowd = Crowd::new(To::Web, DEFAULT_HANDSHAKE_SETS);
    (0..=WAYS).for_each(|client| crowd.syn(0, client));
    assert_eq!(crowd.trials(Kind::Connect), times(WAYS, WAITING));
    assert_eq!(crowd.without_room(), 1, "the newcomer has no trial");
    crowd.syn(101, WAYS);
    let expected = times(WAYS, WAITING).and(LATE);
    assert_eq!(crowd.trials(Kind::Connect), expected, "one was late");
    crowd.synack(102, WAYS);
    assert_eq!(
        crowd.trials(Kind::Connect),
        expected.and(Trials {
            succeeded: 1,
            ..Trials::default()
        })
    );
}

/// Their SYN was answered; spoofed SYNs would otherwise hold the table.
#[test]
fn half_open_connections_give_way() {
    let crowd = Crowd::new(To::Web, DEFAULT_HANDSHAKE_SETS);
    for client in 0..WAYS {
        crowd.syn(0, client);
        crowd.synack(1, client);
    }
    crowd.syn(2, WAYS);
    assert_eq!(crowd.without_room(), 0);
    assert_eq!(
        crowd.trials(Kind::Handshake),
        times(WAYS - 1, WAITING).and(ABANDONED)
    );
    assert_eq!(
        crowd.trials(Kind::Connect),
        times(WAYS, SUCCEEDED).and(WAITING)
    );
}

#[test]
fn half_open_connections_give_way_before_verified_ones() {
    let crowd = Crowd::new(To::Web, DEFAULT_HANDSHAKE_SETS);
    for client in 0..WAYS {
        crowd.syn(0, client);
        crowd.synack(1, client);
    }
    for client in [0, 1, 3] {
        crowd.ack(2, client);
    }
    crowd.syn(3, WAYS);
    assert_eq!(
        crowd.trials(Kind::Handshake),
        times(WAYS - 1, SUCCEEDED).and(ABANDONED)
    );
    assert_eq!(crowd.tables.counters(0).verified, 3);
}

#[test]
fn answered_questions_give_way() {
    let crowd = Crowd::new(To::Udp, DEFAULT_QUERY_SETS);
    (0..=WAYS).for_each(|client| crowd.query(0, client));
    assert_eq!(crowd.trials(Kind::Answer), times(WAYS, WAITING));
    assert_eq!(crowd.without_room(), 1);
    crowd.answer(1, 0);
    crowd.query(2, WAYS);
    crowd.answer(3, WAYS);
    assert_eq!(
        crowd.trials(Kind::Answer),
        times(WAYS - 1, WAITING).and(times(2, SUCCEEDED))
    );
    assert_eq!(crowd.without_room(), 1);
}
