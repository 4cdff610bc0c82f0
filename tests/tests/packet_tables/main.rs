//! Packets in, verdict and maps out: each case runs through the object in the
//! kernel (`BPF_PROG_TEST_RUN`), by XDP and by tc ingress, and through the host
//! build of the same code, and all must say the same.
#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

mod connect;
mod headers;
mod run;

use std::net::SocketAddr;

use lapwing_tests::packets::{Frame, flags::SYN};
use probe_common::{counters::RstPhase, skip::Skip};

const SERVICE4: &str = "192.0.2.10:80";
const SERVICE6: &str = "[2001:db8:a::10]:80";
const CLIENT4: &str = "198.51.100.7:40000";
const CLIENT6: &str = "[2001:db8:c::7]:40000";

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    In,
    Out,
}

/// When (in ms), which way, which frame.
type Step = (u64, Way, Vec<u8>);

/// What goes in, and what must be seen.
struct Case {
    description: &'static str,
    frames: Vec<Step>,
    seen: Seen,
}

/// What was counted, of all services together.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
struct Seen {
    packets_in: u64,
    packets_out: u64,
    syn: u64,
    syn_retransmissions: u64,
    synack: u64,
    synack_retransmissions: u64,
    fin_in: u64,
    fin_out: u64,
    rst_in: [u64; RstPhase::COUNT],
    rst_out: [u64; RstPhase::COUNT],
    verified: u64,
    not_judged: u64,
    started: u32,
    succeeded: u32,
    failed: u32,
    abandoned: u32,
    after_deadline: u32,
    skips: [u64; Skip::COUNT],
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
    if v6 {
        (address(CLIENT6), address(SERVICE6))
    } else {
        (address(CLIENT4), address(SERVICE4))
    }
}

/// A segment from the client.
fn client(v6: bool, flags: u8, sequence: u32, acknowledgment: u32) -> Frame {
    let (client, service) = ends(v6);
    Frame::tcp(client, service, flags).numbers(sequence, acknowledgment)
}

/// A segment from the service.
fn server(v6: bool, flags: u8, sequence: u32, acknowledgment: u32) -> Frame {
    let (client, service) = ends(v6);
    Frame::tcp(service, client, flags).numbers(sequence, acknowledgment)
}

/// The SYN with which most cases begin.
fn syn(v6: bool) -> Frame {
    client(v6, SYN, 100, 0)
}

/// A frame that starts a trial, whatever it is wrapped in.
fn starts_trial(description: &'static str, frame: &Frame) -> Case {
    Case {
        description,
        frames: vec![(0, Way::In, frame.build())],
        seen: Seen {
            packets_in: 1,
            syn: 1,
            started: 1,
            ..Seen::default()
        },
    }
}
