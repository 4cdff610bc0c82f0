//! Known bytes, and checksums that verify to zero.

use std::net::{IpAddr, SocketAddr};

use super::{
    Frame,
    checksum::{pseudo_header, sum},
    dns::{self, Message, Section},
    encapsulate::{self, Carried, Gre, Gue},
    flags::{ACK, SYN},
    icmp,
    quic::{self, Kind, Long},
};

const ETHERNET: usize = 14;

fn end(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
    if v6 {
        (end("[2001:db8::1]:4000"), end("[2001:db8::2]:53"))
    } else {
        (end("192.168.0.1:4000"), end("192.168.0.199:53"))
    }
}

fn udp(v6: bool) -> Frame {
    let (client, server) = ends(v6);
    Frame::udp(client, server).payload(b"odd")
}

/// Whether header (IPv4) and transport checksums verify (RFC 1071: the sum of all,
/// checksum included, is all ones).
fn verifies(packet: &[u8]) -> bool {
    let (source, destination, header, protocol) = if packet[0] >> 4 == 4 {
        let address = |at: usize| IpAddr::from(*packet[at..].first_chunk::<4>().expect("4"));
        (address(12), address(16), 20, packet[9])
    } else {
        let address = |at: usize| IpAddr::from(*packet[at..].first_chunk::<16>().expect("16"));
        (address(8), address(24), 40, packet[6])
    };
    let payload = &packet[header..];
    let pseudo = if protocol == 1 {
        Vec::new()
    } else {
        pseudo_header(source, destination, protocol, payload.len())
    };
    (header == 40 || sum(&packet[..20]) == 0xffff) && sum(&[&pseudo, payload].concat()) == 0xffff
}

#[test]
fn checksums_verify() {
    for v6 in [false, true] {
        let (client, server) = ends(v6);
        let segment = Frame::tcp(client, server, SYN | ACK)
            .numbers(7, 9)
            .window(0)
            .tcp_options(&[2, 4, 5, 0xb4]);
        let (kind, code) = if v6 {
            (icmp::UNREACHABLE6, icmp::PORT6)
        } else {
            (icmp::UNREACHABLE4, icmp::PORT4)
        };
        let error = Frame::icmp_error(client.ip(), server.ip(), kind, code, &udp(v6).quote(8));
        assert!(verifies(&segment.ip_packet()), "TCP, IPv6: {v6}");
        assert!(verifies(&udp(v6).ip_packet()), "UDP, IPv6: {v6}");
        assert!(verifies(&error.ip_packet()), "ICMP, IPv6: {v6}");
        let wrong = udp(v6).wrong_checksum();
        assert!(!verifies(&wrong.ip_packet()), "wrong, IPv6: {v6}");
    }
    let zero = udp(false).zero_checksum().ip_packet();
    assert_eq!(zero[26..28], [0, 0]);
}

#[test]
fn ipv4_header_has_the_checksum_of_a_known_one() {
    // 4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7: an often quoted header.
    let packet = udp(false)
        .fragment(0x4000)
        .payload(&[0; 0x73 - 28])
        .ip_packet();
    assert_eq!(packet[10..12], [0xb8, 0x61]);
}

#[test]
fn icmp_errors_quote_the_packet_they_are_about() {
    let original = udp(false);
    let router = ip("203.0.113.1");
    let error = Frame::icmp_error(router, ip("192.168.0.1"), 3, 3, &original.quote(8)).build();
    let quoted = &error[ETHERNET + 20 + 8..];
    assert_eq!(error[ETHERNET + 9], 1);
    assert_eq!(quoted, &original.ip_packet()[..28]);
    assert_eq!(quoted[2..4], [0, 31], "the length of the whole packet");
}

#[test]
fn fragments_join_to_the_packet() {
    let payload: Vec<u8> = (0..40).collect();
    for (v6, header) in [(false, 20), (true, 40)] {
        let whole = udp(v6).payload(&payload);
        let [first, later] = whole.fragments(16).map(|piece| piece.ip_packet());
        let skip = header + if v6 { 8 } else { 0 };
        assert_eq!(
            [&first[skip..], &later[skip..]].concat(),
            whole.ip_packet()[header..]
        );
        if v6 {
            assert_eq!((first[6], first[40], later[40]), (44, 17, 17));
            assert_eq!(first[42..44], [0, 1]);
            assert_eq!(later[42..44], [0, 16]);
        } else {
            assert_eq!(first[6..8], [0x20, 0]);
            assert_eq!(later[6..8], [0, 2]);
        }
    }
}

#[test]
fn dns_query_is_the_known_one() {
    let query = Message::query(0xdb42, "www.northeastern.edu", dns::kind::A);
    let known = b"\xdb\x42\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
        \x03www\x0cnortheastern\x03edu\x00\x00\x01\x00\x01";
    assert_eq!(query.build(), known);
    assert_eq!(query.build_for_stream()[..2], [0, 38]);

    let answer = Message::response(1, dns::rcode::NXDOMAIN, "a.b", dns::kind::A)
        .record(Section::Answer, dns::kind::A, &[192, 0, 2, 1])
        .edns(1232, &[]);
    let bytes = answer.build();
    assert_eq!(bytes[2..12], [0x81, 3, 0, 1, 0, 1, 0, 0, 0, 1]);
    assert!(bytes.ends_with(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]));
    let miscounted = answer.counts([9, 0, 0, 0]).build();
    assert_eq!(miscounted[4..6], [0, 9]);
}

#[test]
fn quic_initial_is_that_of_rfc_9001_appendix_a2() {
    let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    let initial = Long::new(quic::V1, Kind::Initial, &id, &[]).padded(quic::INITIAL_DATAGRAM);
    let header = b"\xc3\x00\x00\x00\x01\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\x00\x00\x44\x9e\
        \x00\x00\x00\x02";
    let bytes = initial.build();
    assert_eq!(bytes.len(), 1200);
    assert_eq!(bytes[..header.len()], *header);

    let first_byte = |version, kind| Long::new(version, kind, &id, &id).build()[0] >> 4;
    assert_eq!(first_byte(quic::V1, Kind::Retry), 0xf);
    assert_eq!(first_byte(quic::V2, Kind::Initial), 0xd);
    assert_eq!(first_byte(quic::V2, Kind::Retry), 0xc);
    assert_eq!(
        quic::version_negotiation(&id, &[], &[quic::V1])[1..5],
        [0; 4]
    );
    assert_eq!(quic::short(&id, 20).len(), 29);
}

#[test]
fn tunnels_carry_the_packet_behind_known_headers() {
    let (a4, b4) = (ip("203.0.113.1"), ip("203.0.113.2"));
    let (a6, b6) = (ip("2001:db8:f::1"), ip("2001:db8:f::2"));
    let (p4, q4) = (end("203.0.113.1:50000"), end("203.0.113.2:6080"));
    let (in4, in6) = (udp(false), udp(true));
    let full_gre = Gre {
        checksum: true,
        key: Some(7),
        sequence: Some(8),
        version: 0,
    };
    let fields = Gue {
        fields: vec![1, 2, 3, 4],
        ..Gue::default()
    };
    let control = Gue {
        control: Some(1),
        ..Gue::default()
    };
    // Description, frame, length of the outer IP header, protocol, what follows.
    let cases: [(&str, Frame, usize, u8, &[u8]); 13] = [
        ("4 in 4", encapsulate::ip(a4, b4, &in4), 20, 4, &[]),
        ("6 in 4", encapsulate::ip(a4, b4, &in6), 20, 41, &[]),
        ("4 in 6", encapsulate::ip(a6, b6, &in4), 40, 4, &[]),
        ("6 in 6", encapsulate::ip(a6, b6, &in6), 40, 41, &[]),
        ("GRE", encapsulate::gre(a4, b4, &in4), 20, 47, &[0, 0, 8, 0]),
        (
            "GRE, IPv6",
            encapsulate::gre(a6, b6, &in6),
            40,
            47,
            &[0, 0, 0x86, 0xdd],
        ),
        (
            "GRE with Ethernet",
            encapsulate::gre(a4, b4, Carried::ethernet(&in4)),
            20,
            47,
            &[0, 0, 0x65, 0x58, 2, 0],
        ),
        (
            "GRE in full",
            full_gre.around(a4, b4, &in4),
            20,
            47,
            &[0xb0, 0, 8, 0],
        ),
        ("FOU", encapsulate::fou(p4, q4, &in4), 28, 17, &[0x45]),
        (
            "GUE",
            encapsulate::gue(p4, q4, &in6),
            28,
            17,
            &[0, 41, 0, 0, 0x60],
        ),
        (
            "GUE with fields",
            fields.around(p4, q4, &in4),
            28,
            17,
            &[1, 4, 0, 0, 1, 2, 3, 4, 0x45],
        ),
        (
            "GUE control",
            control.around(p4, q4, &in4),
            28,
            17,
            &[0x20, 1, 0, 0],
        ),
        (
            "Geneve",
            encapsulate::geneve(p4, q4, 0x01_0203, &[0; 8], Carried::ethernet(&in4)),
            28,
            17,
            &[2, 0, 0x65, 0x58, 1, 2, 3, 0],
        ),
    ];
    for (description, frame, header, protocol, start) in cases {
        let packet = frame.ip_packet();
        let at = if packet[0] >> 4 == 4 { 9 } else { 6 };
        assert_eq!(packet[at], protocol, "{description}");
        assert!(packet[header..].starts_with(start), "{description}");
        let inner = [&in4, &in6].map(Frame::ip_packet);
        assert!(
            inner.iter().any(|inner| packet.ends_with(inner)),
            "{description}"
        );
    }
    let gre = full_gre.around(a4, b4, &in4).ip_packet();
    assert_eq!(sum(&gre[20..]), 0xffff, "GRE's own checksum");
    assert_eq!(gre[28..36], [0, 0, 0, 7, 0, 0, 0, 8]);
    let vxlan = encapsulate::vxlan(p4, q4, 0x01_0203, &in4).ip_packet();
    assert_eq!(vxlan[28..36], [8, 0, 0, 0, 1, 2, 3, 0]);
    assert_eq!(vxlan[36..], in4.build());
    assert!(verifies(&vxlan));
}
