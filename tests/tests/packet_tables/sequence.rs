//! Sampled connections, of which every segment is looked at: repeats, gaps, keep-alives
//! and probes (RFC 9293 sections 3.4 and 3.8), and the trial `deliver`: whether a span
//! of 800 ms of a connection that sends is free of retransmissions of ours.

use lapwing_tests::packets::flags::{ACK, FIN, PSH, SYN};
use probe_common::trial::Kind;

use crate::{
    case::{Case, FAILED, SUCCEEDED, Trials, WAITING, case},
    run::check,
    script::{C, S, Script},
    services::To,
};

const DATA: u8 = ACK | PSH;
const REQUEST: &[u8] = b"GET";

fn sampled(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Sampled, description, frames)
}

/// After a handshake, the client sends a request of three bytes at 3 ms.
fn after_request(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    sampled(description, move |s| {
        frames(s.handshake().client(3, DATA, C, S, REQUEST))
    })
}

/// After that, the service sends a response of ten bytes at 4 ms.
fn after_response(
    description: &'static str,
    deliver: Trials,
    frames: fn(Script) -> Script,
) -> Case {
    after_request(description, move |s| {
        frames(s.server(4, DATA, S, C + 3, &[b'x'; 10]))
    })
    .requested(SUCCEEDED)
    .counts(|c| (c.sampled_segments_in, c.sampled_segments_out) = (1, 1))
    .trials(Kind::Deliver, deliver)
}

#[test]
fn segments_in() {
    check(&[
        after_request("the next one", |s| s.client(4, DATA, C + 3, S, b"abc"))
            .requested(WAITING)
            .counts(|c| c.sampled_segments_in = 2),
        after_request("a whole repeat", |s| s.client(203, DATA, C, S, REQUEST))
            .requested(WAITING)
            .counts(|c| (c.sampled_segments_in, c.retransmissions_in) = (2, 1)),
        // Repacked on its way (RFC 9293 section 3.8.6): what is new in it counts on.
        after_request("a repeat with more behind it", |s| {
            s.client(203, DATA, C, S, b"GET /")
                .client(204, DATA, C + 5, S, b"next")
        })
        .requested(WAITING)
        .counts(|c| (c.sampled_segments_in, c.retransmissions_in) = (3, 1)),
        after_request("a gap that is filled", |s| {
            s.client(4, DATA, C + 13, S, &[b'x'; 10])
                .client(5, DATA, C + 3, S, &[b'x'; 10])
                .client(6, DATA, C + 23, S, &[b'x'; 10])
        })
        .requested(WAITING)
        .counts(|c| (c.sampled_segments_in, c.out_of_order_in) = (4, 1)),
        after_request("a gap that is filled in two parts", |s| {
            s.client(4, DATA, C + 13, S, &[b'x'; 10])
                .client(5, DATA, C + 3, S, &[b'x'; 5])
                .client(6, DATA, C + 8, S, &[b'x'; 5])
        })
        .requested(WAITING)
        .counts(|c| (c.sampled_segments_in, c.out_of_order_in) = (4, 2)),
        after_request("what filled a gap, again", |s| {
            s.client(4, DATA, C + 13, S, &[b'x'; 10])
                .client(5, DATA, C + 3, S, &[b'x'; 10])
                .client(6, DATA, C + 3, S, &[b'x'; 10])
        })
        .requested(WAITING)
        .counts(|c| {
            (c.sampled_segments_in, c.out_of_order_in) = (4, 1);
            c.retransmissions_in = 1;
        }),
        after_request("a FIN that is sent again", |s| {
            s.client(4, ACK | FIN, C + 3, S, &[])
                .client(204, ACK | FIN, C + 3, S, &[])
        })
        .requested(WAITING)
        .counts(|c| {
            (c.sampled_segments_in, c.retransmissions_in) = (3, 1);
            c.fin_in = 2;
        })
        .trials(Kind::Finish, SUCCEEDED),
        sampled("numbers that wrap", |s| {
            let isn = u32::MAX - 1;
            s.client(0, SYN, isn, 0, &[])
                .server(1, SYN | ACK, 500, isn.wrapping_add(1), &[])
                .client(2, ACK, isn.wrapping_add(1), S, &[])
                .client(3, DATA, isn.wrapping_add(1), S, b"abcd")
                .client(4, DATA, 3, S, b"efgh")
                .client(5, DATA, isn.wrapping_add(1), S, b"abcd")
        })
        .requested(WAITING)
        .counts(|c| (c.sampled_segments_in, c.retransmissions_in) = (3, 1)),
    ]);
}

#[test]
fn segments_out() {
    check(&[
        after_response("the next one", WAITING, |s| {
            s.server(5, DATA, S + 10, C + 3, &[b'y'; 10])
        })
        .counts(|c| c.sampled_segments_out = 2),
        after_response("a whole repeat", FAILED, |s| {
            s.server(204, DATA, S, C + 3, &[b'x'; 10])
        })
        .counts(|c| (c.sampled_segments_out, c.retransmissions_out) = (2, 1)),
        after_response("a repeat of its end", FAILED, |s| {
            s.server(204, DATA, S + 5, C + 3, &[b'x'; 5])
        })
        .counts(|c| (c.sampled_segments_out, c.retransmissions_out) = (2, 1)),
        after_response("a FIN that is sent again", FAILED, |s| {
            s.server(5, ACK | FIN, S + 10, C + 3, &[])
                .server(205, ACK | FIN, S + 10, C + 3, &[])
        })
        .counts(|c| {
            (c.sampled_segments_out, c.retransmissions_out) = (3, 1);
            c.fin_out = 2;
        })
        .trials(Kind::Finish, SUCCEEDED),
        // One span, one trial: one failure, however much is sent again.
        after_response("two repeats in one span", FAILED, |s| {
            s.server(204, DATA, S, C + 3, &[b'x'; 10])
                .server(604, DATA, S, C + 3, &[b'x'; 10])
        })
        .counts(|c| (c.sampled_segments_out, c.retransmissions_out) = (3, 2)),
        after_response("a span with a repeat and one without", FAILED, |s| {
            s.server(204, DATA, S, C + 3, &[b'x'; 10])
                .server(904, DATA, S + 10, C + 3, &[b'x'; 10])
        })
        .counts(|c| (c.sampled_segments_out, c.retransmissions_out) = (3, 1))
        .trials(Kind::Deliver, WAITING),
        after_response("a repeat as the first of its span", WAITING, |s| {
            s.server(1_004, DATA, S, C + 3, &[b'x'; 10])
        })
        .counts(|c| (c.sampled_segments_out, c.retransmissions_out) = (2, 1))
        .trials(Kind::Deliver, FAILED),
        after_response("acknowledgments send nothing", WAITING, |s| {
            s.client(5, ACK, C + 3, S + 10, &[])
                .server(900, ACK, S + 10, C + 3, &[])
        }),
    ]);
}

#[test]
fn keep_alives_and_probes() {
    check(&[
        // RFC 9293 section 3.8.4: one before the next number, with a byte or without.
        after_response("keep-alives of the client", WAITING, |s| {
            s.client(1_000, ACK, C + 2, S + 10, &[])
                .server(1_001, ACK, S + 10, C + 3, &[])
                .client(1_900, ACK, C + 2, S + 10, &[0])
        })
        .counts(|c| c.keep_alives_in = 2),
        after_response("a keep-alive of the service", WAITING, |s| {
            s.server(1_000, ACK, S + 9, C + 3, &[])
                .client(1_001, ACK, C + 3, S + 10, &[])
        })
        .counts(|c| c.keep_alives_out = 1),
        // RFC 9293 section 3.8.6.1; Linux probes like it keeps alive.
        after_response("a window that closes, a probe, and opens", WAITING, |s| {
            let closed = s.segment_in(ACK, C + 3, S + 10).window(0);
            s.input(5, &closed)
                .server(205, ACK, S + 9, C + 3, &[])
                .input(206, &closed)
                .client(300, ACK, C + 3, S + 10, &[])
                .server(301, DATA, S + 10, C + 3, &[b'y'; 10])
        })
        .counts(|c| {
            (c.zero_window_in, c.keep_alives_out) = (2, 1);
            c.sampled_segments_out = 2;
        }),
        after_response("the service's window closes", WAITING, |s| {
            let closed = s.segment_out(ACK, S + 10, C + 3).window(0);
            s.output(5, &closed)
        })
        .counts(|c| c.zero_window_out = 1),
        case(
            To::Web,
            "zero windows of a connection that is not sampled",
            |s| {
                let (one, other) = (
                    s.segment_in(ACK, C, S).window(0),
                    s.segment_out(ACK, S, C).window(0),
                );
                s.input(0, &one).output(1, &other)
            },
        )
        .counts(|c| (c.zero_window_in, c.zero_window_out) = (1, 1)),
    ]);
}

#[test]
fn how_long_a_connection_is_sampled() {
    check(&[
        after_response(
            "until it was idle for two seconds, if another asks",
            WAITING,
            |s| s.server(3_000, DATA, S + 10, C + 3, &[b'y'; 10]),
        )
        .counts(|c| c.sampled_segments_out = 2)
        .trials(Kind::Deliver, WAITING),
        after_response("until both sides have ended", WAITING, |s| {
            s.client(5, ACK | FIN, C + 3, S + 10, &[])
                .server(6, ACK | FIN, S + 10, C + 4, &[])
                .server(206, ACK | FIN, S + 10, C + 4, &[])
        })
        .counts(|c| {
            (c.sampled_segments_in, c.sampled_segments_out) = (2, 2);
            (c.fin_in, c.fin_out) = (1, 2);
        })
        .trials(Kind::Finish, SUCCEEDED),
    ]);
}
