//! The trials `connect` and `handshake`: a SYN, its SYN-ACK, and the client's ACK (RFC
//! 9293 section 3.5), and SYNs for connections that were there before.

use std::net::{IpAddr, SocketAddr};

use lapwing_tests::packets::{
    Frame,
    flags::{ACK, FIN, PSH, RST, SYN},
};
use probe_common::{counters::RstPhase, trial::Kind};

use crate::{
    case::{ABANDONED, Case, FAILED, LATE, NONE, SUCCEEDED, WAITING, case},
    run::check,
    script::{C, CLIENT_ISN, S, SERVER_ISN, Script, Way},
    services::To,
};

fn web(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Web, description, frames)
}

#[test]
fn a_syn_is_answered_and_the_client_proves_itself() {
    check(&[
        web("a handshake", Script::handshake).established(),
        case(
            To::AnyPort,
            "a handshake with a service of all ports",
            Script::handshake,
        )
        .established(),
        case(
            To::AnyPort,
            "one port of a client, two ports of a service of all ports",
            |s| {
                let mut s = s.handshake();
                s.service.set_port(s.service.port() + 1);
                s.syn(10)
            },
        )
        .established()
        .syn(WAITING),
        web("no answer", |s| s.syn(0)).syn(WAITING),
        // The deadline runs from the first SYN: what the client waits is what counts.
        web("a retransmitted SYN is the same trial", |s| {
            s.syn(0).syn(50).synack(99)
        })
        .half_open(WAITING)
        .counts(|c| (c.syn, c.syn_retransmissions) = (2, 1)),
        web("an answer after the deadline", |s| s.syn(0).synack(101))
            .syn(LATE)
            .counts(|c| c.synack = 1)
            .trials(Kind::Handshake, WAITING),
        web("a SYN-ACK of another SYN answers nothing", |s| {
            s.syn(0).server(1, SYN | ACK, SERVER_ISN, 999, &[])
        })
        .syn(WAITING)
        .counts(|c| c.synack = 1),
        web("a retransmitted SYN-ACK is one success", |s| {
            s.syn(0).synack(1).synack(90)
        })
        .half_open(WAITING)
        .counts(|c| (c.synack, c.synack_retransmissions) = (2, 1)),
        web("numbers at the end of the sequence space wrap", |s| {
            s.client(0, SYN, u32::MAX, 0, &[])
                .server(1, SYN | ACK, u32::MAX, 0, &[])
                .client(2, ACK, 0, 0, &[])
        })
        .established(),
    ]);
}

#[test]
fn only_the_right_numbers_verify_a_client() {
    check(&[
        web("an ACK of another number", |s| {
            s.syn(0).synack(1).client(2, ACK, C, 777, &[])
        })
        .half_open(WAITING),
        web("the right ACK at another place", |s| {
            s.syn(0).synack(1).client(2, ACK, C + 1, S, &[])
        })
        .half_open(WAITING),
        web("the right ACK after three seconds", |s| {
            s.syn(0).synack(1).client(3_002, ACK, C, S, &[])
        })
        .half_open(LATE)
        .counts(|c| c.verified = 1)
        .verified(),
        // The handshake's ACK is lost, the first data says the same (RFC 9293 section
        // 3.10.7.4, SYN-RECEIVED).
        web("data instead of the ACK", |s| {
            s.syn(0).synack(1).client(2, ACK | PSH, C, S, b"GET")
        })
        .requested(WAITING),
        web("a FIN instead of the ACK", |s| {
            s.syn(0).synack(1).client(2, ACK | FIN, C, S, &[])
        })
        .established()
        .counts(|c| c.fin_in = 1)
        .trials(Kind::Finish, SUCCEEDED),
        // A SYN cookie (net/ipv4/syncookies.c) is an ISN that holds the minute: the
        // same SYN gets another one later. On the wire nothing else is different.
        web("the number of a later SYN-ACK", |s| {
            s.syn(0)
                .synack(1)
                .syn(50)
                .server(51, SYN | ACK, 9_000, C, &[])
                .client(52, ACK, C, 9_001, &[])
        })
        .established()
        .counts(|c| {
            (c.syn, c.syn_retransmissions) = (2, 1);
            (c.synack, c.synack_retransmissions) = (2, 1);
        }),
    ]);
}

/// A connection that both ends have closed, the service first.
fn closed(s: Script) -> Script {
    s.handshake()
        .server(10, ACK | FIN, S, C, &[])
        .client(11, ACK | FIN, C, S + 1, &[])
        .server(12, ACK, S + 1, C + 1, &[])
}

fn closed_case(description: &'static str, frames: fn(Script) -> Script) -> Case {
    web(description, move |s| frames(closed(s)))
        .established()
        .counts(|c| (c.fin_in, c.fin_out) = (1, 1))
        .trials(Kind::Finish, SUCCEEDED)
}

#[test]
fn a_port_that_is_used_again() {
    check(&[
        // RFC 9293 section 3.6.1: in TIME-WAIT, a SYN beyond the last sequence number
        // may open the connection anew, and Linux does (tcp_timewait_state_process).
        closed_case("TIME-WAIT takes a higher ISN", |s| {
            s.client(50, SYN, 70_000, 0, &[])
                .server(51, SYN | ACK, 90_000, 70_001, &[])
                .client(52, ACK, 70_001, 90_001, &[])
        })
        .established(),
        // Otherwise it answers with the ACK of before, and the client resets that: the
        // service was not asked.
        closed_case("TIME-WAIT answers an old ISN with a bare ACK", |s| {
            s.client(50, SYN, 7, 0, &[])
                .server(51, ACK, S + 1, C + 1, &[])
                .client(52, RST, C + 1, 0, &[])
                .client(1_050, SYN, 7, 0, &[])
                .server(1_051, SYN | ACK, 90_000, 8, &[])
        })
        .syn(ABANDONED)
        .rst_in(RstPhase::Unmatched)
        .half_open(WAITING),
        closed_case("the same ISN again", |s| s.syn(50).synack(51)).half_open(WAITING),
        // RFC 5961 section 4: a challenge ACK, whatever the sequence number.
        web("a SYN for a live connection", |s| {
            s.handshake()
                .client(50, SYN, 70_000, 0, &[])
                .server(51, ACK, S, C, &[])
        })
        .established()
        .counts(|c| (c.syn, c.syn_not_judged) = (2, 1)),
        web("the SYN again after the handshake", |s| {
            s.handshake().syn(50).server(51, ACK, S, C, &[])
        })
        .established()
        .counts(|c| (c.syn, c.syn_not_judged) = (2, 1)),
        // The kernel answers the newer one or none; of the older nobody can say.
        web("another ISN while the first waits", |s| {
            s.syn(0).client(10, SYN, 70_000, 0, &[])
        })
        .syn(ABANDONED)
        .syn(WAITING),
        // tcp_check_req: an ACK of what was acknowledged if the SYN lies outside the
        // window, else a RST: either is about the connection that is half open. If it
        // were a trial, anybody could make one fail with two SYNs.
        web("another ISN while half open", |s| {
            s.syn(0)
                .synack(1)
                .client(2, SYN, C + 10, 0, &[])
                .server(3, RST | ACK, 0, C + 11, &[])
        })
        .half_open(ABANDONED)
        .counts(|c| (c.syn, c.syn_not_judged) = (2, 1))
        .rst_out(RstPhase::HalfOpen),
        // The kernel gave that one up long ago.
        web("another ISN when nothing came of the first", |s| {
            s.syn(0)
                .synack(1)
                .client(90_000, SYN, 70_000, 0, &[])
                .server(90_001, SYN | ACK, 90_000, 70_001, &[])
        })
        .syn(SUCCEEDED)
        .counts(|c| c.synack = 2)
        .trials(Kind::Handshake, LATE.and(WAITING))
        .syn(SUCCEEDED),
    ]);
}

#[test]
fn syns_that_ask_for_something_else() {
    check(&[
        // RFC 7413: data in the SYN. Its checksum covers the data, so it is left
        // unjudged; what follows belongs to no trial.
        web("TCP Fast Open", |s| {
            s.client(0, SYN, CLIENT_ISN, 0, b"GET /")
                .server(1, SYN | ACK, SERVER_ISN, C + 5, &[])
                .client(2, ACK, C + 5, S, &[])
                .server(3, ACK | PSH, S, C + 5, b"200")
        })
        .counts(|c| (c.syn, c.syn_not_judged, c.synack) = (1, 1, 1)),
        web("the request for a Fast Open cookie", |s| {
            let frame = s.segment_in(SYN, CLIENT_ISN, 0).tcp_options(&[34, 2, 1, 1]);
            s.input(0, &frame).synack(1)
        })
        .half_open(WAITING),
        // RFC 3168 section 6.1.1, RFC 9768.
        web("an ECN-setup SYN", |s| {
            s.client(0, SYN | 0xc0, CLIENT_ISN, 0, &[]).synack(1)
        })
        .half_open(WAITING),
        // RFC 9293 section 3.5, figure 8. The host opens from the service's own port;
        // what the client answers is no trial of the service.
        web("simultaneous open", |s| {
            s.server(0, SYN, SERVER_ISN, 0, &[])
                .client(1, SYN, CLIENT_ISN, 0, &[])
                .client(2, SYN | ACK, CLIENT_ISN, S, &[])
                .synack(3)
        })
        .half_open(WAITING),
        web("a SYN with FIN", |s| {
            s.client(0, SYN | FIN, CLIENT_ISN, 0, &[])
        })
        .counts(|c| (c.syn, c.syn_not_judged, c.fin_in) = (1, 1, 1)),
        web("a SYN with RST", |s| {
            s.client(0, SYN | RST, CLIENT_ISN, 0, &[])
        })
        .counts(|c| (c.syn, c.syn_not_judged) = (1, 1)),
    ]);
}

fn syn_from(description: &'static str, source: &'static str) -> Case {
    web(description, move |s| {
        let address: IpAddr = source.parse().unwrap();
        let source = SocketAddr::new(address, s.client.port());
        let frame = Frame::tcp(source, s.service, SYN).numbers(CLIENT_ISN, 0);
        s.input(0, &frame)
    })
    .counts(|c| (c.syn, c.syn_not_judged) = (1, 1))
}

/// Nobody can be answered there: the kernel drops such packets without a word
/// (`ip_route_input_slow`, `ipv6_rcv`), and a flood from random addresses has one in
/// fourteen of them.
#[test]
fn sources_that_nobody_can_have() {
    check(&[
        syn_from("this network", "0.1.2.3").v4(),
        syn_from("loopback", "127.0.0.1").v4(),
        syn_from("multicast", "239.1.2.3").v4(),
        syn_from("broadcast", "255.255.255.255").v4(),
        syn_from("the service itself", "192.0.2.10").v4(),
        syn_from("unspecified", "::").v6(),
        syn_from("loopback", "::1").v6(),
        syn_from("multicast", "ff0e::1").v6(),
        syn_from("the service itself", "2001:db8:a::10").v6(),
        web("class E, which Linux routes", |s| {
            let IpAddr::V4(client) = s.client.ip() else {
                unreachable!("a case of IPv4")
            };
            let [_, _, high, low] = client.octets();
            let source = SocketAddr::new(IpAddr::from([240, 1, high, low]), s.client.port());
            let frame = Frame::tcp(source, s.service, SYN).numbers(CLIENT_ISN, 0);
            s.input(0, &frame)
        })
        .v4()
        .syn(WAITING),
    ]);
}

#[test]
fn packets_of_others() {
    check(&[
        web("a port that is no service's", |s| {
            let mut service = s.service;
            service.set_port(8_888);
            let frame = Frame::tcp(s.client, service, SYN).numbers(CLIENT_ISN, 0);
            s.aside(0, Way::In, &frame)
        }),
        web("a client's packet on its way out", |s| {
            let frame = s.segment_in(SYN, CLIENT_ISN, 0);
            s.aside(0, Way::Out, &frame)
        }),
        web("the service's packet on its way in", |s| {
            let frame = s.segment_out(SYN | ACK, SERVER_ISN, C);
            s.aside(0, Way::In, &frame)
        }),
        case(To::Udp, "TCP to a UDP service", |s| {
            let frame = s.segment_in(SYN, CLIENT_ISN, 0);
            s.aside(0, Way::In, &frame)
        }),
        web("a segment of no known connection", |s| {
            s.client(0, ACK | PSH, C, S, b"GET")
                .server(1, ACK | PSH, S, C + 3, b"200")
        }),
        web("a refusal after nothing", |s| {
            s.syn(0).server(1, RST | ACK, 0, C, &[])
        })
        .syn(FAILED)
        .rst_out(RstPhase::Refused)
        .trials(Kind::Handshake, NONE),
    ]);
}
