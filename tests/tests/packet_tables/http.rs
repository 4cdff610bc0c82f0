//! The trial `status`: the first response of a plaintext HTTP/1 service (RFC 9110
//! section 15, RFC 9112 section 4).

use lapwing_tests::packets::flags::{ACK, PSH};
use probe_common::trial::Kind;

use crate::{
    case::{Case, FAILED, SUCCEEDED, case},
    run::check,
    script::{C, S},
    services::To,
};

const DATA: u8 = ACK | PSH;

/// A request that this answers.
fn answered(to: To, description: &'static str, response: &'static [u8]) -> Case {
    case(to, description, move |s| {
        s.handshake()
            .client(3, DATA, C, S, b"GET / HTTP/1.1\r\n\r\n")
            .server(4, DATA, S, C + 18, response)
    })
    .requested(SUCCEEDED)
}

fn class(case: Case, class: usize) -> Case {
    case.counts(|c| c.http_responses[class - 1] = 1)
}

#[test]
fn the_status_of_the_first_response() {
    let with = |description, response| answered(To::Http, description, response);
    let judged = |description, response, digit, outcome| {
        class(with(description, response), digit).trials(Kind::Status, outcome)
    };
    check(&[
        judged("200", b"HTTP/1.1 200 OK\r\n\r\n", 2, SUCCEEDED),
        judged("200 of HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\n", 2, SUCCEEDED),
        judged(
            "a response that is its status alone",
            b"HTTP/1.1 204",
            2,
            SUCCEEDED,
        ),
        judged("301", b"HTTP/1.1 301 Moved\r\n\r\n", 3, SUCCEEDED),
        judged(
            "404 is the client's fault",
            b"HTTP/1.1 404 No\r\n\r\n",
            4,
            SUCCEEDED,
        ),
        judged("500", b"HTTP/1.1 500 No\r\n\r\n", 5, FAILED),
        judged("503", b"HTTP/1.1 503 No\r\n\r\n", 5, FAILED),
        // RFC 9110 section 15.2: interim, the response is still to come.
        class(with("100", b"HTTP/1.1 100 Continue\r\n\r\n"), 1),
    ]);
}

#[test]
fn responses_without_a_status() {
    let with = |description, response| answered(To::Http, description, response);
    check(&[
        with("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        with("HTTP/2", b"HTTP/2.0 500 No\r\n"),
        with("no status of HTTP", b"HTTP/1.1 600 No\r\n"),
        with("letters", b"HTTP/1.1 abc No\r\n"),
        with("a status that is cut", b"HTTP/1.1 50"),
        with("a response without a space", b"HTTP/1.1-503 No"),
        answered(
            To::Web,
            "a service that is not asked",
            b"HTTP/1.1 500 No\r\n",
        ),
        // RFC 9112 section 9.3: later ones of a connection that stays.
        class(
            case(To::Http, "the second response", |s| {
                s.handshake()
                    .client(3, DATA, C, S, b"GET / HTTP/1.1\r\n\r\n")
                    .server(4, DATA, S, C + 18, b"HTTP/1.1 200 OK\r\n\r\n")
                    .client(5, DATA, C + 18, S + 19, b"GET / HTTP/1.1\r\n\r\n")
                    .server(6, DATA, S + 19, C + 36, b"HTTP/1.1 500 No\r\n\r\n")
            })
            .requested(SUCCEEDED),
            2,
        )
        .trials(Kind::Status, SUCCEEDED),
    ]);
}
