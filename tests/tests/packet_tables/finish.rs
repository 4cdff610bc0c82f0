//! The trial `finish`: how a verified connection ends (RFC 9293 section 3.6). Its first
//! FIN, or the RST before any, decides; see `reset` for RSTs.

use lapwing_tests::packets::flags::{ACK, FIN, PSH};
use probe_common::trial::Kind;

use crate::{
    case::{Case, SUCCEEDED, WAITING, case},
    run::check,
    script::{C, S, Script},
    services::To,
};

fn web(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Web, description, frames)
}

#[test]
fn the_first_fin_is_a_good_end() {
    check(&[
        web("the client's", |s| {
            s.handshake().client(3, ACK | FIN, C, S, &[])
        })
        .established()
        .counts(|c| c.fin_in = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("the service's", |s| {
            s.handshake().server(3, ACK | FIN, S, C, &[])
        })
        .established()
        .counts(|c| c.fin_out = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("both are one end", |s| {
            s.handshake()
                .client(3, ACK | FIN, C, S, &[])
                .server(4, ACK | FIN, S, C + 1, &[])
                .client(5, ACK, C + 1, S + 1, &[])
        })
        .established()
        .counts(|c| (c.fin_in, c.fin_out) = (1, 1))
        .trials(Kind::Finish, SUCCEEDED),
        web("a retransmitted FIN is the same end", |s| {
            s.handshake()
                .server(3, ACK | FIN, S, C, &[])
                .server(203, ACK | FIN, S, C, &[])
        })
        .established()
        .counts(|c| c.fin_out = 2)
        .trials(Kind::Finish, SUCCEEDED),
        // The gate closed long ago, the connection is remembered.
        web("after a long silence", |s| {
            s.handshake().client(60_000, ACK | FIN, C, S, &[])
        })
        .established()
        .counts(|c| c.fin_in = 1)
        .trials(Kind::Finish, SUCCEEDED),
        web("after an exchange", |s| {
            s.handshake()
                .client(3, ACK | PSH, C, S, b"GET")
                .server(4, ACK | PSH | FIN, S, C + 3, b"200")
                .client(5, ACK | FIN, C + 3, S + 4, &[])
        })
        .requested(SUCCEEDED)
        .counts(|c| (c.fin_in, c.fin_out) = (1, 1))
        .trials(Kind::Finish, SUCCEEDED),
    ]);
}

#[test]
fn a_fin_of_an_unproven_client_is_no_end() {
    check(&[
        web("of no known connection", |s| {
            s.client(0, ACK | FIN, C, S, &[])
                .server(1, ACK | FIN, S, C + 1, &[])
        })
        .counts(|c| (c.fin_in, c.fin_out) = (1, 1)),
        web("of a half-open one, with a wrong number", |s| {
            s.syn(0).synack(1).client(2, ACK | FIN, C, 777, &[])
        })
        .half_open(WAITING)
        .counts(|c| c.fin_in = 1),
    ]);
}
