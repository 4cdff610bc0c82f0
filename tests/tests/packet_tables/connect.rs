//! The trial `connect`, and the phases of a RST.

use lapwing_tests::packets::flags::{ACK, FIN, PSH, RST, SYN};
use probe_common::{counters::RstPhase, skip::Skip};

use crate::{Case, Seen, Step, Way::In, Way::Out, client, run::check, server, syn};

#[test]
fn connect_over_ipv4() {
    check(&answers(false));
    check(&resets(false));
    check(&reuse(false));
}

#[test]
fn connect_over_ipv6() {
    check(&answers(true));
    check(&resets(true));
    check(&reuse(true));
}

const NOTHING: Seen = Seen {
    packets_in: 0,
    packets_out: 0,
    syn: 0,
    syn_retransmissions: 0,
    synack: 0,
    synack_retransmissions: 0,
    fin_in: 0,
    fin_out: 0,
    rst_in: [0; RstPhase::COUNT],
    rst_out: [0; RstPhase::COUNT],
    verified: 0,
    not_judged: 0,
    started: 0,
    succeeded: 0,
    failed: 0,
    abandoned: 0,
    after_deadline: 0,
    skips: [0; Skip::COUNT],
};

const WAITING: Seen = Seen {
    packets_in: 1,
    syn: 1,
    started: 1,
    ..NOTHING
};

const ANSWERED: Seen = Seen {
    packets_out: 1,
    synack: 1,
    succeeded: 1,
    ..WAITING
};

const ESTABLISHED: Seen = Seen {
    packets_in: 2,
    verified: 1,
    ..ANSWERED
};

fn one(phase: RstPhase) -> [u64; RstPhase::COUNT] {
    let mut counts = [0; RstPhase::COUNT];
    counts[phase as usize] = 1;
    counts
}

fn syn_at(v6: bool, at_ms: u64) -> Step {
    (at_ms, In, syn(v6).build())
}

fn synack_at(v6: bool, at_ms: u64) -> Step {
    (at_ms, Out, server(v6, SYN | ACK, 500, 101).build())
}

/// A handshake, and then more.
fn established(v6: bool, more: Vec<Step>) -> Vec<Step> {
    let ack = (2, In, client(v6, ACK, 101, 501).build());
    let mut frames = vec![syn_at(v6, 0), synack_at(v6, 1), ack];
    frames.extend(more);
    frames
}

fn answers(v6: bool) -> Vec<Case> {
    let request = client(v6, ACK | PSH, 101, 501).payload(b"GET").build();
    let response = server(v6, ACK | PSH, 501, 104).payload(b"200").build();
    vec![
        Case {
            description: "a handshake succeeds and verifies the client",
            frames: established(v6, vec![]),
            seen: ESTABLISHED,
        },
        Case {
            description: "an ACK of another number verifies nobody",
            frames: vec![
                syn_at(v6, 0),
                synack_at(v6, 1),
                (2, In, client(v6, ACK, 101, 777).build()),
            ],
            seen: Seen {
                verified: 0,
                ..ESTABLISHED
            },
        },
        Case {
            description: "no answer leaves the trial undecided",
            frames: vec![syn_at(v6, 0)],
            seen: WAITING,
        },
        Case {
            description: "a retransmitted SYN is the same trial",
            frames: vec![syn_at(v6, 0), syn_at(v6, 50), synack_at(v6, 51)],
            seen: Seen {
                packets_in: 2,
                syn: 2,
                syn_retransmissions: 1,
                ..ANSWERED
            },
        },
        Case {
            description: "an answer after the deadline is in no cohort",
            frames: vec![syn_at(v6, 0), synack_at(v6, 101)],
            seen: Seen {
                succeeded: 0,
                after_deadline: 1,
                ..ANSWERED
            },
        },
        Case {
            description: "a SYN-ACK of another ISN answers nothing",
            frames: vec![
                syn_at(v6, 0),
                (1, Out, server(v6, SYN | ACK, 500, 999).build()),
            ],
            seen: Seen {
                succeeded: 0,
                ..ANSWERED
            },
        },
        Case {
            description: "a retransmitted SYN-ACK is one success",
            frames: vec![syn_at(v6, 0), synack_at(v6, 1), synack_at(v6, 90)],
            seen: Seen {
                packets_out: 2,
                synack: 2,
                synack_retransmissions: 1,
                ..ANSWERED
            },
        },
        Case {
            description: "data and FINs of an established flow are only counted",
            frames: established(
                v6,
                vec![
                    (3, In, request),
                    (4, Out, response),
                    (5, Out, server(v6, ACK | FIN, 504, 104).build()),
                    (6, In, client(v6, ACK | FIN, 104, 505).build()),
                ],
            ),
            seen: Seen {
                packets_in: 4,
                packets_out: 3,
                fin_in: 1,
                fin_out: 1,
                ..ESTABLISHED
            },
        },
    ]
}

fn resets(v6: bool) -> Vec<Case> {
    let rst_in = |at_ms| (at_ms, In, client(v6, RST, 101, 0).build());
    let rst_out = |at_ms, flags, ack| (at_ms, Out, server(v6, flags, 0, ack).build());
    vec![
        Case {
            description: "a RST that answers the SYN refuses it at once",
            frames: vec![syn_at(v6, 0), rst_out(1, RST | ACK, 101)],
            seen: Seen {
                packets_out: 1,
                failed: 1,
                rst_out: one(RstPhase::Refused),
                ..WAITING
            },
        },
        Case {
            description: "a refusal after the deadline is in no cohort",
            frames: vec![syn_at(v6, 0), rst_out(101, RST | ACK, 101)],
            seen: Seen {
                packets_out: 1,
                after_deadline: 1,
                rst_out: one(RstPhase::Refused),
                ..WAITING
            },
        },
        Case {
            description: "a RST out that acknowledges something else does not answer",
            frames: vec![syn_at(v6, 0), rst_out(1, RST | ACK, 55)],
            seen: Seen {
                packets_out: 1,
                rst_out: one(RstPhase::Unmatched),
                ..WAITING
            },
        },
        Case {
            description: "a client that takes its SYN back abandons the trial",
            frames: vec![syn_at(v6, 0), rst_in(1)],
            seen: Seen {
                packets_in: 2,
                abandoned: 1,
                rst_in: one(RstPhase::Refused),
                ..WAITING
            },
        },
        Case {
            description: "a RST in while half-open does not touch the success",
            frames: vec![syn_at(v6, 0), synack_at(v6, 1), rst_in(2)],
            seen: Seen {
                packets_in: 2,
                rst_in: one(RstPhase::HalfOpen),
                ..ANSWERED
            },
        },
        Case {
            description: "a RST out of an established flow is no refusal",
            frames: established(v6, vec![rst_out(3, RST, 0)]),
            seen: Seen {
                packets_out: 2,
                rst_out: one(RstPhase::Established),
                ..ESTABLISHED
            },
        },
        Case {
            description: "a second RST finds the flow closed",
            frames: established(v6, vec![rst_in(3), rst_in(4)]),
            seen: Seen {
                packets_in: 4,
                rst_in: [0, 0, 1, 0, 1, 0],
                ..ESTABLISHED
            },
        },
        Case {
            description: "a RST of nobody's flow is unmatched",
            frames: vec![rst_in(0)],
            seen: Seen {
                packets_in: 1,
                rst_in: one(RstPhase::Unmatched),
                ..NOTHING
            },
        },
    ]
}

fn reuse(v6: bool) -> Vec<Case> {
    let second_syn = client(v6, SYN, 70_000, 0).build();
    let second_synack = server(v6, SYN | ACK, 90_000, 70_001).build();
    vec![
        Case {
            description: "a port used again with a new ISN is a new trial (TIME-WAIT)",
            frames: established(
                v6,
                vec![(50, In, second_syn.clone()), (51, Out, second_synack)],
            ),
            seen: Seen {
                packets_in: 3,
                packets_out: 2,
                syn: 2,
                synack: 2,
                started: 2,
                succeeded: 2,
                ..ESTABLISHED
            },
        },
        Case {
            description: "a new ISN while the first still waits abandons the first",
            frames: vec![syn_at(v6, 0), (10, In, second_syn)],
            seen: Seen {
                packets_in: 2,
                syn: 2,
                started: 2,
                abandoned: 1,
                ..WAITING
            },
        },
        Case {
            description: "numbers at the end of the sequence space wrap",
            frames: vec![
                (0, In, client(v6, SYN, u32::MAX, 0).build()),
                (1, Out, server(v6, SYN | ACK, u32::MAX, 0).build()),
                (2, In, client(v6, ACK, 0, 0).build()),
            ],
            seen: ESTABLISHED,
        },
    ]
}
