//! ICMP errors that the host sends about packets to its services (RFC 792, RFC 4443):
//! "unreachable" says that a datagram found nobody, or that a filter turned a SYN down.

use std::net::{IpAddr, SocketAddr};

use lapwing_tests::packets::{
    Frame,
    dns::{Message, kind},
    flags::{ACK, SYN},
    icmp::{
        PORT4, PORT6, TIME_EXCEEDED4, TIME_EXCEEDED6, TOO_BIG4, TOO_BIG6, UNREACHABLE4,
        UNREACHABLE6,
    },
};
use probe_common::{skip::Skip, trial::Kind};

use crate::{
    case::{ABANDONED, FAILED, LATE, SUCCEEDED, WAITING, case},
    run::check,
    script::{C, CLIENT_ISN, S, Script, Way},
    services::To,
};

/// "Port unreachable" from the service's address to the client.
fn unreachable(s: &Script, quoted: &[u8]) -> Frame {
    let (kind, code) = if s.client.is_ipv4() {
        (UNREACHABLE4, PORT4)
    } else {
        (UNREACHABLE6, PORT6)
    };
    error(s, kind, code, quoted)
}

fn error(s: &Script, kind: u8, code: u8, quoted: &[u8]) -> Frame {
    Frame::icmp_error(s.service.ip(), s.client.ip(), kind, code, quoted)
}

/// A datagram, and "port unreachable" about it that quotes so many bytes behind the IP
/// header.
fn turned_down(s: Script, at_ms: u64, payload: &[u8], quoted: usize) -> Script {
    let icmp = unreachable(&s, &s.datagram_in(payload).quote(quoted));
    s.query(0, payload).aside(at_ms, Way::Out, &icmp)
}

fn query(id: u16) -> Vec<u8> {
    Message::query(id, "www.example.org", kind::A).build()
}

#[test]
fn about_datagrams() {
    check(&[
        case(To::Udp, "a datagram that nobody takes", |s| {
            turned_down(s, 1, b"ask", 11)
        })
        .counts(|c| c.unreachable_out = 1)
        .trials(Kind::Answer, FAILED),
        // RFC 792: eight bytes of it must be there, more may.
        case(To::Udp, "of which eight bytes are quoted", |s| {
            turned_down(s, 1, b"ask", 8)
        })
        .counts(|c| c.unreachable_out = 1)
        .trials(Kind::Answer, FAILED),
        case(To::Udp, "after the deadline", |s| {
            turned_down(s, 101, b"ask", 8)
        })
        .counts(|c| c.unreachable_out = 1)
        .trials(Kind::Answer, LATE),
        case(To::Udp, "after the answer", |s| {
            let icmp = unreachable(&s, &s.datagram_in(b"ask").quote(8));
            s.query(0, b"ask")
                .answer(1, b"answer")
                .aside(2, Way::Out, &icmp)
        })
        .counts(|c| c.unreachable_out = 1)
        .trials(Kind::Answer, SUCCEEDED),
        case(To::Dns, "a DNS query, by its ID", |s| {
            turned_down(s, 1, &query(7), 40)
        })
        .counts(|c| (c.dns_queries, c.unreachable_out) = (1, 1))
        .trials(Kind::Answer, FAILED),
        case(To::Dns, "a DNS query with another ID", |s| {
            let icmp = unreachable(&s, &s.datagram_in(&query(8)).quote(40));
            s.query(0, &query(7)).aside(1, Way::Out, &icmp)
        })
        .counts(|c| (c.dns_queries, c.unreachable_out) = (1, 1))
        .trials(Kind::Answer, WAITING),
        case(To::Dns, "of whose ID nothing is quoted", |s| {
            turned_down(s, 1, &query(0), 8)
        })
        .counts(|c| (c.dns_queries, c.unreachable_out) = (1, 1))
        .trials(Kind::Answer, WAITING),
        case(To::Quic, "a QUIC Initial", |s| {
            use lapwing_tests::packets::quic::{INITIAL_DATAGRAM, Kind as Packet, Long, V1};
            let initial = Long::new(V1, Packet::Initial, b"first-id", b"clnt")
                .padded(INITIAL_DATAGRAM)
                .build();
            turned_down(s, 1, &initial, 8)
        })
        .counts(|c| (c.quic_initials_in, c.unreachable_out) = (1, 1))
        .trials(Kind::Quic, FAILED),
        case(To::Udp, "about somebody else's datagram", |s| {
            let mut service = s.service;
            service.set_port(5_001);
            let icmp = unreachable(&s, &Frame::udp(s.client, service).quote(8));
            s.query(0, b"ask").aside(1, Way::Out, &icmp)
        })
        .trials(Kind::Answer, WAITING),
    ]);
}

#[test]
fn about_segments() {
    check(&[
        // A filter's REJECT: no statement of the service.
        case(To::Web, "a SYN", |s| {
            let icmp = unreachable(&s, &s.segment_in(SYN, CLIENT_ISN, 0).quote(8));
            s.syn(0).aside(1, Way::Out, &icmp)
        })
        .syn(ABANDONED)
        .counts(|c| c.unreachable_out = 1),
        case(To::Web, "a segment of an established connection", |s| {
            let icmp = unreachable(&s, &s.segment_in(ACK, C, S).quote(20));
            s.handshake().aside(3, Way::Out, &icmp)
        })
        .established()
        .counts(|c| c.unreachable_out = 1),
    ]);
}

#[test]
fn other_messages() {
    let about = |description, kind: u8, code: u8| {
        case(To::Udp, description, move |s| {
            let icmp = error(&s, kind, code, &s.datagram_in(b"ask").quote(8));
            s.query(0, b"ask").aside(1, Way::Out, &icmp)
        })
        .trials(Kind::Answer, WAITING)
        .skips(Skip::NotTransport)
    };
    check(&[
        about("fragmentation needed", UNREACHABLE4, TOO_BIG4).v4(),
        about("time exceeded", TIME_EXCEEDED4, 0).v4(),
        about("packet too big", TOO_BIG6, 0).v6(),
        about("time exceeded", TIME_EXCEEDED6, 0).v6(),
        case(To::Udp, "on its way in", |s| {
            let icmp = unreachable(&s, &s.datagram_in(b"ask").quote(8));
            s.query(0, b"ask").aside(1, Way::In, &icmp)
        })
        .trials(Kind::Answer, WAITING)
        .skips(Skip::NotTransport),
        case(To::Udp, "about a packet that is neither TCP nor UDP", |s| {
            let other = Frame::ip(s.client.ip(), s.service.ip(), 132).payload(&[0; 12]);
            let icmp = unreachable(&s, &other.quote(8));
            s.aside(0, Way::Out, &icmp)
        })
        .skips(Skip::NotTransport),
        case(To::Udp, "that quotes too little", |s| {
            let icmp = unreachable(&s, &s.datagram_in(b"ask").quote(4));
            s.query(0, b"ask").aside(1, Way::Out, &icmp)
        })
        .trials(Kind::Answer, WAITING)
        .skips(Skip::Truncated),
        case(To::Udp, "an echo reply", |s| {
            let (from, to): (IpAddr, IpAddr) = (s.service.ip(), s.client.ip());
            let kind = if from.is_ipv4() { 0 } else { 129 };
            let echo = Frame::icmp(from, to, kind, 0).payload(&[0; 12]);
            s.aside(0, Way::Out, &echo)
        })
        .skips(Skip::NotTransport),
        case(To::Udp, "from a router's address", |s| {
            let router: SocketAddr = if s.client.is_ipv4() {
                "192.0.2.1:0".parse().unwrap()
            } else {
                "[2001:db8:a::1]:0".parse().unwrap()
            };
            let (kind, code) = if s.client.is_ipv4() {
                (UNREACHABLE4, 13)
            } else {
                (UNREACHABLE6, 1)
            };
            let quoted = s.datagram_in(b"ask").quote(8);
            let icmp = Frame::icmp_error(router.ip(), s.client.ip(), kind, code, &quoted);
            s.query(0, b"ask").aside(1, Way::Out, &icmp)
        })
        .counts(|c| c.unreachable_out = 1)
        .trials(Kind::Answer, FAILED),
    ]);
}
