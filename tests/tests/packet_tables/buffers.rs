//! Buffers that stand for several segments: before segmentation on their way out (GSO),
//! after merging on their way in (GRO). Each segment counts, with headers of its own.

use lapwing_tests::packets::flags::{ACK, PSH};
use probe_common::trial::Kind;

use crate::{
    case::{FAILED, SUCCEEDED, case},
    run::check,
    script::{C, S, Way},
    services::To,
};

/// IP and TCP headers without options.
fn headers(v6: bool) -> usize {
    if v6 { 60 } else { 40 }
}

#[test]
fn a_buffer_counts_as_its_segments() {
    check(&[
        case(To::Web, "three segments out", |s| {
            let frame = s.segment_out(ACK | PSH, S, C).payload(&[0; 2_900]);
            let headers = headers(s.client.is_ipv6());
            s.buffer(0, Way::Out, &frame, 1_000, headers)
        })
        .by_tc(),
        // More than 64 KiB find no room in the length field, which is then zero
        // (BIG TCP, include/net/ipv6.h); what counts is the buffer.
        case(
            To::Web,
            "three segments in a buffer without a length",
            |s| {
                let frame = s.segment_out(ACK | PSH, S, C).payload(&[0; 2_900]);
                let v6 = s.client.is_ipv6();
                let mut s = s.buffer(0, Way::Out, &frame, 1_000, headers(v6));
                let at = if v6 { 14 + 4 } else { 14 + 2 };
                s.steps[0].frame[at..at + 2].fill(0);
                s
            },
        )
        .by_tc(),
        case(To::Web, "two segments in", |s| {
            let frame = s.segment_in(ACK | PSH, C, S).payload(&[0; 2_000]);
            let headers = headers(s.client.is_ipv6());
            s.buffer(0, Way::In, &frame, 1_000, headers)
        })
        .by_tc(),
        case(To::Sampled, "an answer in two segments, sent again", |s| {
            let answer = s.segment_out(ACK | PSH, S, C + 3).payload(&[0; 2_000]);
            let headers = headers(s.client.is_ipv6());
            s.handshake()
                .client(3, ACK | PSH, C, S, b"GET")
                .buffer(4, Way::Out, &answer, 1_000, headers)
                .buffer(204, Way::Out, &answer, 1_000, headers)
        })
        .by_tc()
        .requested(SUCCEEDED)
        .counts(|c| {
            c.sampled_segments_in = 1;
            (c.sampled_segments_out, c.retransmissions_out) = (4, 2);
        })
        .trials(Kind::Deliver, FAILED),
        // UDP_SEGMENT and UDP_GRO (udp(7)).
        case(To::Udp, "two datagrams each way", |s| {
            let (ask, answer) = (s.datagram_in(&[0; 2_000]), s.datagram_out(&[0; 2_000]));
            let headers = headers(s.client.is_ipv6()) - 12;
            s.buffer(0, Way::In, &ask, 1_000, headers)
                .buffer(1, Way::Out, &answer, 1_000, headers)
        })
        .by_tc()
        .trials(Kind::Answer, SUCCEEDED),
        case(To::Web, "a buffer of one packet", |s| {
            let frame = s.segment_in(ACK | PSH, C, S).payload(&[0; 1_000]);
            let headers = headers(s.client.is_ipv6());
            s.buffer(0, Way::In, &frame, 1_000, headers)
        })
        .by_tc(),
    ]);
}
