//! Link and network headers, and which SYNs may start a trial.

use lapwing_tests::packets::{Frame, flags::SYN};
use probe_common::skip::Skip;
use probe_user::datapath::object::LoadFlags;

use crate::{
    case::{Case, WAITING, case},
    machine::Ingress,
    run::{Bench, check},
    script::{CLIENT_ISN, Script, Way},
    services::To,
};

const ETHERTYPE: usize = 12;
const IP: usize = 14;
const TCP: usize = IP + 20;
/// IPv6 options that mean nothing: a header without its number.
const OPTIONS: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];

fn syn(s: &Script) -> Frame {
    s.segment_in(SYN, CLIENT_ISN, 0)
}

/// The SYN with something done to it.
fn altered(description: &'static str, alter: impl Fn(Frame) -> Frame + 'static) -> Case {
    case(To::Web, description, move |s| {
        let frame = alter(syn(&s));
        s.input(0, &frame)
    })
}

fn starts_trial(description: &'static str, alter: impl Fn(Frame) -> Frame + 'static) -> Case {
    altered(description, alter).syn(WAITING)
}

fn is_not_judged(description: &'static str, alter: impl Fn(Frame) -> Frame + 'static) -> Case {
    altered(description, alter).counts(|c| (c.syn, c.syn_not_judged) = (1, 1))
}

fn is_skipped(
    description: &'static str,
    reason: Skip,
    bytes: impl Fn(Frame) -> Vec<u8> + 'static,
) -> Case {
    case(To::Web, description, move |s| {
        let frame = bytes(syn(&s));
        s.raw(0, Way::In, frame)
    })
    .skips(reason)
}

/// The frame with some bytes replaced.
fn with(frame: &Frame, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.build();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The kernel drops the others without a word (`tcp_v4_rcv`, `tcp_inbound_hash`).
#[test]
fn which_syns_deserve_an_answer() {
    // MSS, SACK permitted, timestamps, window scale.
    let usual = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0x13, 0x14, 0x1d, 0x12, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    let mut signed = vec![1, 1, 19, 18];
    signed.extend([0xaa; 16]);
    check(&[
        starts_trial("usual options", move |syn| syn.tcp_options(&usual)),
        starts_trial("timestamps that look like signatures", |syn| {
            syn.tcp_options(&[2, 4, 5, 0xb4, 4, 2, 8, 10, 19, 18, 29, 16, 29, 16, 19, 18])
        }),
        starts_trial("forty NOPs", |syn| syn.tcp_options(&[1; 40])),
        is_not_judged("a wrong checksum", Frame::wrong_checksum),
        is_not_judged(
            "a checksum that no device completed",
            Frame::partial_checksum,
        ),
        is_not_judged("a TCP MD5 signature", move |syn| syn.tcp_options(&signed)),
        is_not_judged("a TCP-AO signature", |syn| syn.tcp_options(&[29, 16, 1, 1])),
        is_not_judged("data", |syn| syn.payload(b"hello")),
        is_not_judged("a first fragment", |syn| syn.fragment(0x2000)).v4(),
        is_not_judged("a first fragment", |syn| {
            syn.extension(44, &[0, 0, 1, 0, 0, 0, 9])
        })
        .v6(),
    ]);
}

#[test]
fn a_link_without_a_wire_may_leave_the_checksum_to_others() {
    let mut bench = Bench::new(LoadFlags {
        partial_checksums: true,
        ..LoadFlags::default()
    });
    let cases = [
        starts_trial("a partial checksum", Frame::partial_checksum),
        starts_trial("a full checksum", |syn| syn),
        is_not_judged("a wrong checksum", Frame::wrong_checksum),
    ];
    bench.check(&cases, &[Ingress::Xdp, Ingress::Tc]);
}

#[test]
fn tracing_changes_nothing() {
    let mut bench = Bench::new(LoadFlags {
        trace: true,
        ..LoadFlags::default()
    });
    let cases = [case(To::Web, "with tracing on", Script::handshake).established()];
    bench.check(&cases, &[Ingress::Xdp, Ingress::Tc]);
}

#[test]
fn headers_that_lead_to_a_segment() {
    check(&[
        starts_trial("one VLAN tag", |syn| syn.vlan(0x8100)),
        starts_trial("QinQ", |syn| syn.vlan(0x88a8).vlan(0x8100)),
        starts_trial("IPv4 options", |syn| {
            syn.ip_options(&[7, 7, 4, 0, 0, 0, 0, 0])
        })
        .v4(),
        starts_trial("don't fragment", |syn| syn.fragment(0x4000)).v4(),
        // RFC 8200 section 4, in its order.
        starts_trial("IPv6 destination options", |syn| {
            syn.extension(60, &OPTIONS)
        })
        .v6(),
        starts_trial("a routing header that was followed", |syn| {
            syn.extension(43, &[0, 4, 0, 0, 0, 0, 0])
        })
        .v6(),
        // RFC 4302 section 2.2: its length counts words of four bytes.
        starts_trial("an authentication header", |syn| {
            let mut header = [0; 23];
            header[0] = 4;
            syn.extension(51, &header)
        })
        .v6(),
        starts_trial(
            "hop-by-hop options and an atomic fragment (RFC 6946)",
            |syn| {
                syn.extension(0, &OPTIONS)
                    .extension(44, &[0, 0, 0, 0, 0, 0, 9])
            },
        )
        .v6(),
        starts_trial("six extension headers", |syn| {
            (0..6).fold(syn, |frame, _| frame.extension(60, &OPTIONS))
        })
        .v6(),
        // A frame has at least sixty bytes (IEEE 802.3).
        case(To::Web, "padding behind the packet", |mut s| {
            let frame = syn(&s);
            s = s.input(0, &frame);
            s.steps[0].frame.resize(90, 0);
            s
        })
        .syn(WAITING),
    ]);
}

#[test]
fn frames_that_are_not_measured() {
    check(&[
        is_skipped("ARP", Skip::NotIp, |syn| {
            with(&syn, ETHERTYPE, &[0x08, 0x06])
        }),
        is_skipped("SCTP", Skip::NotTransport, |syn| with(&syn, IP + 9, &[132])).v4(),
        is_skipped("SCTP", Skip::NotTransport, |syn| with(&syn, IP + 6, &[132])).v6(),
        is_skipped("no next header", Skip::NotTransport, |syn| {
            with(&syn, IP + 6, &[59])
        })
        .v6(),
        is_skipped("three VLAN tags", Skip::TooManyHeaders, |syn| {
            syn.vlan(0x88a8).vlan(0x8100).vlan(0x8100).build()
        }),
        is_skipped("seven extension headers", Skip::TooManyHeaders, |syn| {
            (0..7)
                .fold(syn, |frame, _| frame.extension(60, &OPTIONS))
                .build()
        })
        .v6(),
        is_skipped("a later fragment", Skip::LaterFragment, |syn| {
            syn.fragment(0x0010).build()
        })
        .v4(),
        is_skipped("a later fragment", Skip::LaterFragment, |syn| {
            syn.extension(44, &[0, 0, 8, 0, 0, 0, 9]).build()
        })
        .v6(),
        is_skipped("IHL below five", Skip::Malformed, |syn| {
            with(&syn, IP, &[0x44])
        })
        .v4(),
        is_skipped("data offset below five", Skip::Malformed, |syn| {
            with(&syn, TCP + 12, &[0x40])
        })
        .v4(),
        is_skipped("data offset below five", Skip::Malformed, |syn| {
            with(&syn, IP + 40 + 12, &[0x40])
        })
        .v6(),
        is_skipped("a length below the headers", Skip::Malformed, |syn| {
            with(&syn, IP + 2, &[0, 30])
        })
        .v4(),
        is_skipped("a length below the headers", Skip::Malformed, |syn| {
            with(&syn, IP + 4, &[0, 10])
        })
        .v6(),
        is_skipped("an end in the TCP header", Skip::Truncated, |syn| {
            let whole = syn.build();
            whole[..whole.len() - 4].to_vec()
        }),
        is_skipped(
            "an end where the TCP header begins",
            Skip::Truncated,
            |syn| {
                let whole = syn.build();
                whole[..whole.len() - 20].to_vec()
            },
        ),
        is_skipped("an end in the IP header", Skip::Truncated, |syn| {
            syn.build()[..IP + 8].to_vec()
        })
        .not_by_tc(),
        is_skipped("an end in a VLAN tag", Skip::Truncated, |syn| {
            syn.vlan(0x8100).build()[..16].to_vec()
        }),
    ]);
}
