//! RSTs: how far the connection was, and whether the receiver accepts them (RFC 9293
//! section 3.10.7, RFC 5961 section 3).

use lapwing_tests::packets::flags::{ACK, FIN, PSH, RST};
use probe_common::{counters::RstPhase, trial::Kind};

use crate::{
    case::{ABANDONED, Case, FAILED, LATE, SUCCEEDED, WAITING, case},
    run::check,
    script::{C, CLIENT_ISN, S, Script},
    services::To,
};

fn web(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Web, description, frames)
}

#[test]
fn before_the_handshake() {
    check(&[
        // RFC 9293 section 3.10.7.1: CLOSED answers a SYN with RST, ACK of it.
        web("a refusal", |s| s.syn(0).server(1, RST | ACK, 0, C, &[]))
            .syn(FAILED)
            .rst_out(RstPhase::Refused),
        web("a refusal after the deadline", |s| {
            s.syn(0).server(101, RST | ACK, 0, C, &[])
        })
        .syn(LATE)
        .rst_out(RstPhase::Refused),
        web("a RST that acknowledges something else", |s| {
            s.syn(0).server(1, RST | ACK, 0, 55, &[])
        })
        .syn(WAITING)
        .rst_out(RstPhase::Unmatched),
        web("a client that takes its SYN back", |s| {
            s.syn(0).client(1, RST, C, 0, &[])
        })
        .syn(ABANDONED)
        .rst_in(RstPhase::Refused),
        web("... with the SYN's own number", |s| {
            s.syn(0).client(1, RST, CLIENT_ISN, 0, &[])
        })
        .syn(ABANDONED)
        .rst_in(RstPhase::Refused),
        web("... too late", |s| s.syn(0).client(150, RST, C, 0, &[]))
            .syn(LATE)
            .rst_in(RstPhase::Refused),
        web("a guess at a waiting SYN", |s| {
            s.syn(0).client(1, RST, 77_777, 0, &[]).synack(2)
        })
        .half_open(WAITING)
        .rst_in(RstPhase::Invalid),
        web("a RST of nobody's connection", |s| {
            s.client(0, RST, C, 0, &[]).server(1, RST, S, 0, &[])
        })
        .rst_in(RstPhase::Unmatched)
        .rst_out(RstPhase::Unmatched),
    ]);
}

#[test]
fn while_half_open() {
    check(&[
        web("the client resets", |s| {
            s.syn(0).synack(1).client(2, RST, C, 0, &[])
        })
        .half_open(FAILED)
        .rst_in(RstPhase::HalfOpen),
        // RFC 9293 section 3.10.7.4: SYN-RECEIVED takes the exact number.
        web("a guess", |s| {
            s.syn(0)
                .synack(1)
                .client(2, RST, C + 9, 0, &[])
                .client(3, ACK, C, S, &[])
        })
        .established()
        .rst_in(RstPhase::Invalid),
        web("the service resets", |s| {
            s.syn(0).synack(1).server(2, RST | ACK, S, C, &[])
        })
        .half_open(ABANDONED)
        .rst_out(RstPhase::HalfOpen),
        // RFC 9293 section 3.10.7.4: a wrong ACK is answered by a RST with its number,
        // and the connection stays half open.
        web("a wrong ACK is turned down", |s| {
            s.syn(0)
                .synack(1)
                .client(2, ACK, C, 777, &[])
                .server(3, RST, 777, 0, &[])
                .client(4, ACK, C, S, &[])
        })
        .established()
        .rst_out(RstPhase::Unmatched),
    ]);
}

#[test]
fn while_established() {
    check(&[
        web("the client resets", |s| {
            s.handshake().client(3, RST, C, 0, &[])
        })
        .established()
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        web("the service resets", |s| {
            s.handshake().server(3, RST | ACK, S, C, &[])
        })
        .established()
        .rst_out(RstPhase::Established)
        .trials(Kind::Finish, FAILED),
        web("a second RST finds the connection closed", |s| {
            s.handshake()
                .client(3, RST, C, 0, &[])
                .client(4, RST, C, 0, &[])
                .server(5, RST, S, 0, &[])
        })
        .established()
        .rst_in(RstPhase::Established)
        .rst_in(RstPhase::Unmatched)
        .rst_out(RstPhase::Unmatched)
        .trials(Kind::Finish, SUCCEEDED),
        // Its end was judged by the FIN.
        web("the service resets after its FIN", |s| {
            s.handshake()
                .server(3, ACK | FIN, S, C, &[])
                .server(4, RST, S + 1, 0, &[])
        })
        .established()
        .counts(|c| c.fin_out = 1)
        .rst_out(RstPhase::Stray)
        .trials(Kind::Finish, SUCCEEDED),
        web("the client resets after the service's FIN", |s| {
            s.handshake()
                .server(3, ACK | FIN, S, C, &[])
                .client(4, RST, C, 0, &[])
        })
        .established()
        .counts(|c| c.fin_out = 1)
        .rst_in(RstPhase::Stray)
        .trials(Kind::Finish, SUCCEEDED),
    ]);
}

fn request(s: Script) -> Script {
    s.handshake().client(3, ACK | PSH, C, S, b"GET")
}

#[test]
fn while_a_request_waits() {
    check(&[
        // Only a RST of the client makes a waiting request abandoned.
        web("the client resets", |s| {
            request(s).client(4, RST, C + 3, 0, &[])
        })
        .requested(ABANDONED)
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        web("the client resets when it is late", |s| {
            request(s).client(1_004, RST, C + 3, 0, &[])
        })
        .requested(LATE)
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        web("a guess does not end it", |s| {
            request(s).client(4, RST, C + 0x4000_0000, 0, &[]).server(
                5,
                ACK | PSH,
                S,
                C + 3,
                b"200",
            )
        })
        .requested(SUCCEEDED)
        .rst_in(RstPhase::Invalid),
        web("the service resets", |s| {
            request(s).server(4, RST | ACK, S, C + 3, &[])
        })
        .requested(FAILED)
        .rst_out(RstPhase::Established)
        .trials(Kind::Finish, FAILED),
        web("the service resets after its deadline", |s| {
            request(s).server(1_004, RST | ACK, S, C + 3, &[])
        })
        .requested(LATE)
        .rst_out(RstPhase::Established)
        .trials(Kind::Finish, FAILED),
    ]);
}

fn sampled(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Sampled, description, frames)
}

/// RFC 5961 section 3.2: the next number expected, or it is not accepted. Of a sampled
/// connection that number is known.
#[test]
fn with_every_number_known() {
    check(&[
        sampled("the next number", |s| {
            s.handshake().client(3, RST, C, 0, &[])
        })
        .established()
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        sampled("a number in the window: a challenge ACK", |s| {
            s.handshake()
                .client(3, RST, C + 1, 0, &[])
                .server(4, ACK, S, C, &[])
                .client(5, RST, C, 0, &[])
        })
        .established()
        .rst_in(RstPhase::Invalid)
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        sampled("a number of before", |s| {
            s.handshake().client(3, RST, C - 1, 0, &[])
        })
        .established()
        .rst_in(RstPhase::Invalid),
        sampled("the number after data that is not acknowledged yet", |s| {
            request(s).client(4, RST, C + 3, 0, &[])
        })
        .requested(ABANDONED)
        .counts(|c| c.sampled_segments_in = 1)
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        // The data was lost behind us: for the service the number before it is next.
        sampled("the number that was acknowledged last", |s| {
            request(s).client(4, RST, C, 0, &[])
        })
        .requested(ABANDONED)
        .counts(|c| c.sampled_segments_in = 1)
        .rst_in(RstPhase::Established)
        .trials(Kind::Finish, SUCCEEDED),
        sampled("a number in the window while a request waits", |s| {
            request(s)
                .client(4, RST, C + 9, 0, &[])
                .server(5, ACK | PSH, S, C + 3, b"200")
        })
        .requested(SUCCEEDED)
        .counts(|c| (c.sampled_segments_in, c.sampled_segments_out) = (1, 1))
        .rst_in(RstPhase::Invalid)
        .trials(Kind::Deliver, WAITING),
    ]);
}
