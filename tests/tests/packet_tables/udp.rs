//! UDP of which nothing is known (RFC 768): a datagram in asks, the next one out to the
//! same address and port answers. Checksums are not looked at; they cover the payload.

use std::net::SocketAddr;

use lapwing_tests::packets::Frame;
use probe_common::{skip::Skip, trial::Kind};

use crate::{
    case::{Case, LATE, SUCCEEDED, WAITING, case},
    run::check,
    script::{Script, Way},
    services::To,
};

fn udp(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Udp, description, frames)
}

#[test]
fn a_datagram_is_answered() {
    let answer = Kind::Answer;
    check(&[
        udp("an answer", |s| s.query(0, b"ask").answer(1, b"answer")).trials(answer, SUCCEEDED),
        case(To::AnyUdpPort, "an answer of a service of all ports", |s| {
            s.query(0, b"ask").answer(1, b"answer")
        })
        .trials(answer, SUCCEEDED),
        udp("empty datagrams", |s| s.query(0, b"").answer(1, b"")).trials(answer, SUCCEEDED),
        udp("silence", |s| s.query(0, b"ask")).trials(answer, WAITING),
        udp("an answer after the deadline", |s| {
            s.query(0, b"ask").answer(101, b"answer")
        })
        .trials(answer, LATE),
        udp("asked again before the deadline: the same trial", |s| {
            s.query(0, b"ask").query(50, b"ask").answer(99, b"answer")
        })
        .trials(answer, SUCCEEDED),
        udp("asked again after the deadline: another trial", |s| {
            s.query(0, b"ask").query(150, b"ask").answer(160, b"answer")
        })
        .trials(answer, LATE.and(SUCCEEDED)),
        udp("asked again after the answer: another trial", |s| {
            s.query(0, b"ask").answer(1, b"answer").query(2, b"ask")
        })
        .trials(answer, SUCCEEDED.and(WAITING)),
        udp("two answers to one question", |s| {
            s.query(0, b"ask").answer(1, b"answer").answer(2, b"more")
        })
        .trials(answer, SUCCEEDED),
        udp("an answer to nobody", |s| s.answer(0, b"answer")),
        udp("an answer to another port", |s| {
            let mut other = s.client;
            other.set_port(40_001);
            let frame = Frame::udp(s.service, other).payload(b"answer");
            s.query(0, b"ask").output(1, &frame)
        })
        .trials(answer, WAITING),
        udp("no checksum", |s| {
            let frame = s.datagram_in(b"ask").zero_checksum();
            s.input(0, &frame).answer(1, b"answer")
        })
        .v4()
        .trials(answer, SUCCEEDED),
    ]);
}

#[test]
fn datagrams_that_ask_nothing() {
    let from = |description, source: &'static str| {
        udp(description, move |s| {
            let source = SocketAddr::new(source.parse().unwrap(), s.client.port());
            let frame = Frame::udp(source, s.service).payload(b"ask");
            s.input(0, &frame)
        })
    };
    check(&[
        // RFC 768: source port 0 says that no reply is expected, and none can be sent.
        udp("from port zero", |s| {
            let source = SocketAddr::new(s.client.ip(), 0);
            let frame = Frame::udp(source, s.service).payload(b"ask");
            s.input(0, &frame)
        }),
        // As in `connect::sources_that_nobody_can_have`.
        from("from multicast", "224.0.0.9").v4(),
        from("from loopback", "127.0.0.53").v4(),
        from("from multicast", "ff02::1").v6(),
        from("from the service itself", "192.0.2.10").v4(),
        udp("to a port that is no service's", |s| {
            let mut service = s.service;
            service.set_port(5_001);
            let frame = Frame::udp(s.client, service).payload(b"ask");
            s.aside(0, Way::In, &frame)
        }),
        case(To::Web, "to a TCP service", |s| {
            let frame = s.datagram_in(b"ask");
            s.aside(0, Way::In, &frame)
        }),
    ]);
}

/// UDP's length field, in an Ethernet frame without tags.
fn with_length(s: &Script, field: [u8; 2]) -> Vec<u8> {
    let mut frame = s.datagram_in(b"ask").build();
    let at = if s.client.is_ipv4() { 14 + 20 } else { 14 + 40 } + 4;
    frame[at..at + 2].copy_from_slice(&field);
    frame
}

#[test]
fn lengths_and_fragments() {
    check(&[
        // RFC 768: the length is at least eight. Linux drops what is longer than the
        // IP packet (udp_rcv).
        udp("a length below the header's", |s| {
            let frame = with_length(&s, [0, 7]);
            s.raw(0, Way::In, frame)
        })
        .skips(Skip::Malformed),
        udp("a length beyond the packet's", |s| {
            let frame = with_length(&s, [0, 12]);
            s.raw(0, Way::In, frame)
        })
        .skips(Skip::Malformed),
        udp("a header that is cut", |s| {
            let whole = s.datagram_in(b"ask").build();
            s.raw(0, Way::In, whole[..whole.len() - 8].to_vec())
        })
        .skips(Skip::Truncated),
        // Of a fragmented question the rest may never come: no trial.
        udp("a question in fragments", |s| {
            let [first, rest] = s.datagram_in(&[0; 40]).fragments(24);
            s.input(0, &first).aside(1, Way::In, &rest)
        })
        .skips(Skip::LaterFragment),
        // The service did answer.
        udp("an answer in fragments", |s| {
            let [first, rest] = s.datagram_out(&[0; 40]).fragments(24);
            s.query(0, b"ask")
                .output(1, &first)
                .aside(2, Way::Out, &rest)
        })
        .trials(Kind::Answer, SUCCEEDED)
        .skips(Skip::LaterFragment),
    ]);
}
