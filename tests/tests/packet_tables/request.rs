//! The trials `request` and `greet`: who speaks first after the handshake, and whether
//! the service answers.

use lapwing_tests::packets::flags::{ACK, FIN, PSH};
use probe_common::trial::Kind;

use crate::{
    case::{ABANDONED, Case, FAILED, LATE, SUCCEEDED, WAITING, case},
    run::check,
    script::{C, S, Script},
    services::To,
};

const DATA: u8 = ACK | PSH;

fn web(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Web, description, frames)
}

/// A handshake, and a request of three bytes at 3 ms.
fn request(s: Script) -> Script {
    s.handshake().client(3, DATA, C, S, b"GET")
}

#[test]
fn a_request_is_answered_by_payload() {
    check(&[
        web("an answer", |s| {
            request(s).server(4, DATA, S, C + 3, b"200")
        })
        .requested(SUCCEEDED),
        web("silence", request).requested(WAITING),
        web("an acknowledgment is no answer", |s| {
            request(s).server(4, ACK, S, C + 3, &[])
        })
        .requested(WAITING),
        web("an answer after the deadline", |s| {
            request(s).server(1_004, DATA, S, C + 3, b"200")
        })
        .requested(LATE),
        // RFC 9293 section 3.8.1: sent again, it is the same request.
        web("a retransmitted request is the same trial", |s| {
            request(s)
                .client(203, DATA, C, S, b"GET")
                .server(204, DATA, S, C + 3, b"200")
        })
        .requested(SUCCEEDED),
        web("a request in two segments", |s| {
            request(s)
                .client(4, DATA, C + 3, S, b" / HTTP/1.1")
                .server(5, DATA, S, C + 14, b"200")
        })
        .requested(SUCCEEDED),
        // What was overtaken is read before what overtook it.
        web("a request whose second segment comes first", |s| {
            s.handshake()
                .client(3, DATA, C + 3, S, b" / HTTP/1.1")
                .client(4, DATA, C, S, b"GET")
                .server(5, DATA, S, C + 14, b"200")
        })
        .requested(SUCCEEDED),
        // Uploads and WebSockets rightly get no answer to each of their messages.
        web("the second request is no trial", |s| {
            request(s)
                .server(4, DATA, S, C + 3, b"200")
                .client(5, DATA, C + 3, S + 3, b"GET")
        })
        .requested(SUCCEEDED),
        web("a request of a client that proved nothing", |s| {
            s.syn(0)
                .synack(1)
                .client(2, DATA, C, 777, b"GET")
                .server(3, DATA, S, C + 3, b"200")
        })
        .half_open(WAITING),
    ]);
}

#[test]
fn ends_of_a_request_without_an_answer() {
    check(&[
        // The client said all it had to say and still listens (RFC 9293 section 3.6).
        web("a half-closed client waits", |s| {
            request(s)
                .client(4, ACK | FIN, C + 3, S, &[])
                .server(5, DATA, S, C + 4, b"200")
        })
        .requested(SUCCEEDED)
        .counts(|c| c.fin_in = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("a half-closed client waits in vain", |s| {
            request(s).client(4, ACK | FIN, C + 3, S, &[])
        })
        .requested(WAITING)
        .counts(|c| c.fin_in = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("a request with a FIN", |s| {
            s.handshake().client(3, DATA | FIN, C, S, b"GET").server(
                4,
                DATA | FIN,
                S,
                C + 4,
                b"200",
            )
        })
        .requested(SUCCEEDED)
        .counts(|c| (c.fin_in, c.fin_out) = (1, 1))
        .trials(Kind::Finish, SUCCEEDED),
        web("the service hangs up", |s| {
            request(s).server(4, ACK | FIN, S, C + 3, &[])
        })
        .requested(FAILED)
        .counts(|c| c.fin_out = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("the service hangs up after its deadline", |s| {
            request(s).server(1_004, ACK | FIN, S, C + 3, &[])
        })
        .requested(LATE)
        .counts(|c| c.fin_out = 1)
        .trials(Kind::Finish, SUCCEEDED),
    ]);
}

#[test]
fn who_speaks_first() {
    check(&[
        web("the service, and the client answers", |s| {
            s.handshake()
                .server(3, DATA, S, C, b"220")
                .client(4, DATA, C, S + 3, b"EHLO")
                .server(5, DATA, S + 3, C + 4, b"250")
        })
        .established()
        .counts(|c| c.server_first = 1)
        .trials(Kind::Request, SUCCEEDED),
        web("the service, and nothing more", |s| {
            s.handshake()
                .server(3, DATA, S, C, b"220")
                .server(4, DATA, S + 3, C, b"more")
        })
        .established()
        .counts(|c| c.server_first = 1),
        web("nobody", Script::handshake).established(),
    ]);
}

fn smtp(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Smtp, description, frames).established()
}

#[test]
fn a_service_that_greets() {
    check(&[
        smtp("a greeting", |s| {
            s.handshake().server(3, DATA, S, C, b"220")
        })
        .counts(|c| c.server_first = 1)
        .trials(Kind::Greet, SUCCEEDED),
        smtp("silence", Script::handshake).trials(Kind::Greet, WAITING),
        smtp("a greeting after the deadline", |s| {
            s.handshake().server(1_003, DATA, S, C, b"220")
        })
        .counts(|c| c.server_first = 1)
        .trials(Kind::Greet, LATE),
        smtp("a request after the greeting", |s| {
            s.handshake()
                .server(3, DATA, S, C, b"220")
                .client(4, DATA, C, S + 3, b"EHLO")
                .server(5, DATA, S + 3, C + 4, b"250")
        })
        .counts(|c| c.server_first = 1)
        .trials(Kind::Greet, SUCCEEDED)
        .trials(Kind::Request, SUCCEEDED),
        // RFC 5321 section 4.3.1 forbids it, other services allow it: of the greeting
        // nobody can say.
        smtp("the client does not wait", |s| {
            s.handshake()
                .client(3, DATA, C, S, b"EHLO")
                .server(4, DATA, S, C + 4, b"220")
        })
        .counts(|c| c.client_first = 1)
        .trials(Kind::Greet, ABANDONED)
        .trials(Kind::Request, SUCCEEDED),
        smtp("the client speaks with its ACK", |s| {
            s.syn(0)
                .synack(1)
                .client(2, DATA, C, S, b"EHLO")
                .server(3, DATA, S, C + 4, b"220")
        })
        .counts(|c| c.client_first = 1)
        .trials(Kind::Request, SUCCEEDED),
        // Half-closed, it still listens.
        smtp("the client's FIN ends nothing", |s| {
            s.handshake()
                .client(3, ACK | FIN, C, S, &[])
                .server(4, DATA, S, C + 1, b"220")
        })
        .counts(|c| (c.fin_in, c.server_first) = (1, 1))
        .trials(Kind::Greet, SUCCEEDED)
        .trials(Kind::Finish, SUCCEEDED),
        smtp("the service resets", |s| {
            s.handshake()
                .server(3, ACK | lapwing_tests::packets::flags::RST, S, C, &[])
        })
        .rst_out(probe_common::counters::RstPhase::Established)
        .trials(Kind::Greet, FAILED)
        .trials(Kind::Finish, FAILED),
        smtp("the client resets", |s| {
            s.handshake()
                .client(3, lapwing_tests::packets::flags::RST, C, 0, &[])
        })
        .rst_in(probe_common::counters::RstPhase::Established)
        .trials(Kind::Greet, ABANDONED)
        .trials(Kind::Finish, SUCCEEDED),
    ]);
}
