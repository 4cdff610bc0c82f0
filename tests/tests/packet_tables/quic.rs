//! The trial `quic`: a client's first Initial, with a connection ID that it made up, is
//! answered by anything (RFC 9000 section 7.2, RFC 9369).

use lapwing_tests::packets::quic::{
    INITIAL_DATAGRAM, Kind as Packet, Long, UNKNOWN, V1, V2, short, version_negotiation,
};
use probe_common::trial::Kind;

use crate::{
    case::{Case, LATE, SUCCEEDED, WAITING, case},
    run::check,
    script::Script,
    services::To,
};

/// The connection ID that the client made up, and the one that the service chose.
const FIRST: [u8; 8] = *b"first-id";
const CHOSEN: [u8; 8] = *b"chosen-1";
const CLIENT: [u8; 4] = *b"clnt";

fn quic(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Quic, description, frames)
}

fn initial(version: u32, to: &[u8]) -> Vec<u8> {
    Long::new(version, Packet::Initial, to, &CLIENT)
        .padded(INITIAL_DATAGRAM)
        .build()
}

fn reply(version: u32, kind: Packet) -> Vec<u8> {
    Long::new(version, kind, &CLIENT, &CHOSEN)
        .token(if kind == Packet::Retry { b"token" } else { b"" })
        .padded(INITIAL_DATAGRAM)
        .build()
}

fn answered(description: &'static str, version: u32) -> Case {
    quic(description, move |s| {
        s.query(0, &initial(version, &FIRST))
            .answer(1, &reply(version, Packet::Initial))
    })
    .counts(|c| (c.quic_initials_in, c.quic_initials_out) = (1, 1))
    .trials(Kind::Quic, SUCCEEDED)
}

#[test]
fn an_initial_is_answered() {
    check(&[
        answered("version 1", V1),
        answered("version 2", V2),
        quic("silence", |s| s.query(0, &initial(V1, &FIRST)))
            .counts(|c| c.quic_initials_in = 1)
            .trials(Kind::Quic, WAITING),
        quic("an answer after the deadline", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(101, &reply(V1, Packet::Initial))
        })
        .counts(|c| (c.quic_initials_in, c.quic_initials_out) = (1, 1))
        .trials(Kind::Quic, LATE),
        quic("sent again before the deadline: the same trial", |s| {
            s.query(0, &initial(V1, &FIRST))
                .query(50, &initial(V1, &FIRST))
                .answer(60, &reply(V1, Packet::Initial))
        })
        .counts(|c| (c.quic_initials_in, c.quic_initials_out) = (2, 1))
        .trials(Kind::Quic, SUCCEEDED),
        quic("answered by a Handshake packet", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(1, &reply(V1, Packet::Handshake))
        })
        .counts(|c| c.quic_initials_in = 1)
        .trials(Kind::Quic, SUCCEEDED),
        // RFC 9000 section 7.2: the client goes on with the ID that the server chose.
        quic("a second Initial of the connection is no trial", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(1, &reply(V1, Packet::Initial))
                .query(2, &initial(V1, &CHOSEN))
                .query(3, &short(&CHOSEN, 40))
                .answer(4, &short(&CLIENT, 40))
        })
        .counts(|c| (c.quic_initials_in, c.quic_initials_out) = (2, 1))
        .trials(Kind::Quic, SUCCEEDED),
        quic("another connection from the port, later", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(1, &reply(V1, Packet::Initial))
                .query(20_000, &initial(V1, b"other-id"))
        })
        .counts(|c| (c.quic_initials_in, c.quic_initials_out) = (2, 1))
        .trials(Kind::Quic, SUCCEEDED.and(WAITING)),
        quic("an Initial behind another packet is not the first", |s| {
            let mut datagram = Long::new(V1, Packet::ZeroRtt, &FIRST, &CLIENT).build();
            datagram.extend(initial(V1, &FIRST));
            s.query(0, &datagram)
        }),
    ]);
}

#[test]
fn clients_that_are_told_to_come_again() {
    check(&[
        // RFC 9000 section 17.2.5: the next Initial goes to the ID in the Retry.
        quic("Retry, and the client comes again", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(1, &reply(V1, Packet::Retry))
                .query(30, &initial(V1, &CHOSEN))
                .answer(31, &reply(V1, Packet::Initial))
        })
        .counts(|c| {
            (c.quic_initials_in, c.quic_initials_out) = (2, 1);
            c.quic_retries = 1;
        })
        .trials(Kind::Quic, SUCCEEDED.and(SUCCEEDED)),
        quic("Retry of version 2", |s| {
            s.query(0, &initial(V2, &FIRST))
                .answer(1, &reply(V2, Packet::Retry))
        })
        .counts(|c| (c.quic_initials_in, c.quic_retries) = (1, 1))
        .trials(Kind::Quic, SUCCEEDED),
        // A copy of the first Initial that was late on its way.
        quic("Retry, and the same Initial again", |s| {
            s.query(0, &initial(V1, &FIRST))
                .answer(1, &reply(V1, Packet::Retry))
                .query(2, &initial(V1, &FIRST))
        })
        .counts(|c| (c.quic_initials_in, c.quic_retries) = (2, 1))
        .trials(Kind::Quic, SUCCEEDED),
        quic("Version Negotiation for a version that we know", |s| {
            let versions = version_negotiation(&CLIENT, &FIRST, &[V1]);
            s.query(0, &initial(V2, &FIRST))
                .answer(1, &versions)
                .query(30, &initial(V1, b"other-id"))
        })
        .counts(|c| {
            (c.quic_initials_in, c.quic_version_negotiations) = (2, 1);
        })
        .trials(Kind::Quic, SUCCEEDED.and(WAITING)),
    ]);
}

#[test]
fn datagrams_that_need_no_answer() {
    check(&[
        // RFC 9000 section 5.2.2: a server may answer with the versions it knows.
        quic("an unknown version", |s| {
            let versions = version_negotiation(&CLIENT, &FIRST, &[V1, V2]);
            s.query(0, &initial(UNKNOWN, &FIRST)).answer(1, &versions)
        })
        .counts(|c| c.quic_version_negotiations = 1),
        // RFC 9000 section 14.1: servers must drop it.
        quic("an Initial in a small datagram", |s| {
            let small = Long::new(V1, Packet::Initial, &FIRST, &CLIENT)
                .padded(INITIAL_DATAGRAM - 1)
                .build();
            s.query(0, &small)
        })
        .counts(|c| c.quic_initials_in = 1),
        // RFC 9000 section 7.2: at least eight bytes at first.
        quic("a short connection ID", |s| {
            s.query(0, &initial(V1, b"shorter"))
        })
        .counts(|c| c.quic_initials_in = 1),
        // RFC 9000 section 17.2: at most twenty in versions 1 and 2.
        quic("a long connection ID", |s| {
            s.query(0, &initial(V1, &[7; 21]))
        })
        .counts(|c| c.quic_initials_in = 1),
        quic(
            "without the fixed bit: only who agreed to it answers",
            |s| {
                let mut packet = initial(V1, &FIRST);
                packet[0] &= !0x40;
                s.query(0, &packet)
            },
        )
        .counts(|c| c.quic_initials_in = 1),
        quic("a short header", |s| s.query(0, &short(&FIRST, 1_300))),
        quic("a Handshake packet", |s| {
            s.query(
                0,
                &Long::new(V1, Packet::Handshake, &FIRST, &CLIENT).build(),
            )
        }),
        quic("STUN on the same port", |s| s.query(0, &[0; 20])),
        quic("one byte", |s| s.query(0, &[0xc0])),
        quic("nothing", |s| s.query(0, &[])),
    ]);
}
