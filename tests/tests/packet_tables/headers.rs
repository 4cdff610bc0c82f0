//! What the parser finds, and which SYNs may start a trial.

use lapwing_tests::packets::{
    Frame,
    flags::{FIN, RST, SYN},
};
use probe_common::skip::Skip;
use probe_user::datapath::object::LoadFlags;

use crate::{
    Case, Seen, Way, client,
    run::{check, check_in_kernel},
    starts_trial, syn,
};

fn is_not_judged(description: &'static str, frame: &Frame) -> Case {
    let trial = starts_trial(description, frame);
    Case {
        seen: Seen {
            started: 0,
            not_judged: 1,
            ..trial.seen
        },
        ..trial
    }
}

fn is_skipped(description: &'static str, frame: Vec<u8>, reason: Skip) -> Case {
    let mut skips = [0; Skip::COUNT];
    skips[reason as usize] = 1;
    Case {
        description,
        frames: vec![(0, Way::In, frame)],
        seen: Seen {
            skips,
            ..Seen::default()
        },
    }
}

/// The plain SYN over IPv4 with some bytes replaced.
fn altered(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = syn(false).build();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

const ETHERTYPE: usize = 12;
const IP: usize = 14;
const TCP: usize = IP + 20;

#[test]
fn which_syns_deserve_an_answer() {
    // MSS, SACK permitted, timestamps, window scale.
    let usual = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0x13, 0x14, 0x1d, 0x12, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    let mut signed = vec![1, 1, 19, 18];
    signed.extend([0xaa; 16]);
    check(&[
        starts_trial("usual options, IPv4", &syn(false).tcp_options(&usual)),
        starts_trial("usual options, IPv6", &syn(true).tcp_options(&usual)),
        starts_trial("forty NOPs", &syn(false).tcp_options(&[1; 40])),
        is_not_judged("a wrong checksum, IPv4", &syn(false).wrong_checksum()),
        is_not_judged("a wrong checksum, IPv6", &syn(true).wrong_checksum()),
        is_not_judged(
            "a checksum that no device completed",
            &syn(false).partial_checksum(),
        ),
        is_not_judged("a TCP MD5 signature", &syn(false).tcp_options(&signed)),
        is_not_judged(
            "a TCP-AO signature",
            &syn(true).tcp_options(&[29, 16, 1, 1]),
        ),
        is_not_judged("a SYN with FIN", &client(false, SYN | FIN, 100, 0)),
        is_not_judged("a SYN with RST", &client(false, SYN | RST, 100, 0)),
        is_not_judged("a SYN with data", &syn(false).payload(b"hello")),
    ]);
}

#[test]
fn a_link_without_a_wire_may_leave_the_checksum_to_others() {
    let virtual_link = LoadFlags {
        partial_checksums: true,
        ..LoadFlags::default()
    };
    for v6 in [false, true] {
        let partial = starts_trial("a partial checksum", &syn(v6).partial_checksum());
        let full = starts_trial("a full checksum", &syn(v6));
        let wrong = is_not_judged("a wrong checksum", &syn(v6).wrong_checksum());
        check_in_kernel(&[partial, full, wrong], virtual_link);
    }
}

#[test]
fn tracing_changes_nothing() {
    let traced = LoadFlags {
        trace: true,
        ..LoadFlags::default()
    };
    check_in_kernel(&[starts_trial("with tracing on", &syn(false))], traced);
}

#[test]
fn headers_that_lead_to_a_segment() {
    let options = [0, 1, 4, 0, 0, 0, 0];
    check(&[
        starts_trial("one VLAN tag", &syn(false).vlan(0x8100)),
        starts_trial("QinQ", &syn(true).vlan(0x88a8).vlan(0x8100)),
        starts_trial(
            "IPv4 options",
            &syn(false).ip_options(&[7, 7, 4, 0, 0, 0, 0, 0]),
        ),
        starts_trial("don't fragment", &syn(false).fragment(0x4000)),
        starts_trial(
            "IPv6 destination options",
            &syn(true).extension(60, &options),
        ),
        starts_trial(
            "IPv6 hop-by-hop options and an atomic fragment (RFC 6946)",
            &syn(true)
                .extension(0, &options)
                .extension(44, &[0, 0, 0, 0, 0, 0, 9]),
        ),
    ]);
}

#[test]
fn frames_that_are_not_measured() {
    let many = (0..7).fold(syn(true), |frame, _| {
        frame.extension(60, &[0, 1, 4, 0, 0, 0, 0])
    });
    let tags = syn(false).vlan(0x88a8).vlan(0x8100).vlan(0x8100);
    let first = syn(false).fragment(0x2000);
    let later = syn(false).fragment(0x0010);
    let fragment6 = syn(true).extension(44, &[0, 0, 1, 0, 0, 0, 9]);
    check(&[
        is_skipped("ARP", altered(ETHERTYPE, &[0x08, 0x06]), Skip::NotIp),
        is_skipped("UDP", altered(IP + 9, &[17]), Skip::NotTransport),
        is_skipped("three VLAN tags", tags.build(), Skip::TooManyHeaders),
        is_skipped(
            "seven extension headers",
            many.build(),
            Skip::TooManyHeaders,
        ),
        is_skipped("a first fragment", first.build(), Skip::LaterFragment),
        is_skipped("a later fragment", later.build(), Skip::LaterFragment),
        is_skipped("an IPv6 fragment", fragment6.build(), Skip::LaterFragment),
        is_skipped("IHL below five", altered(IP, &[0x44]), Skip::Malformed),
        is_skipped(
            "data offset below five",
            altered(TCP + 12, &[0x40]),
            Skip::Malformed,
        ),
        is_skipped(
            "a length below the headers",
            altered(IP + 2, &[0, 30]),
            Skip::Malformed,
        ),
        is_skipped(
            "a frame that ends in the TCP header",
            syn(false).build()[..50].to_vec(),
            Skip::Truncated,
        ),
        is_skipped(
            "a frame that ends where the TCP header should begin, IPv6",
            syn(true).build()[..IP + 40].to_vec(),
            Skip::Truncated,
        ),
        Case {
            description: "a port that is no service's is nobody's business",
            frames: vec![(0, Way::In, altered(TCP + 2, &[0x1f, 0x90]))],
            seen: Seen::default(),
        },
        Case {
            description: "a client's packet on its way out is not the service's",
            frames: vec![(0, Way::Out, syn(false).build())],
            seen: Seen::default(),
        },
    ]);
}
