//! DNS (RFC 1035): a query is answered by the response with its ID about its name, to
//! the port that it came from; `resolve` judges the response code.

use lapwing_tests::packets::{
    dns::{Message, RECURSION, RESPONSE, Section, TRUNCATED, encoded, kind, rcode},
    flags::{ACK, PSH},
};
use probe_common::{
    counters::{Counters, RcodeClass},
    trial::Kind,
};

use crate::{
    case::{Case, FAILED, LATE, SUCCEEDED, Trials, WAITING, case},
    run::check,
    script::{C, S, Script},
    services::To,
};

const NAME: &str = "www.example.org";
const ID: u16 = 0x1234;

fn dns(description: &'static str, frames: impl Fn(Script) -> Script + 'static) -> Case {
    case(To::Dns, description, frames)
}

fn query() -> Message {
    Message::query(ID, NAME, kind::A)
}

fn response(code: u16) -> Message {
    Message::response(ID, code, NAME, kind::A)
}

/// A query, and this in reply.
fn replied(description: &'static str, reply: Message, answer: Trials) -> Case {
    dns(description, move |s| {
        s.query(0, &query().build()).answer(1, &reply.build())
    })
    .counts(|c| c.dns_queries = 1)
    .trials(Kind::Answer, answer)
}

fn class(counters: &mut Counters, class: RcodeClass) {
    counters.dns_responses[class as usize] += 1;
}

fn resolved(case: Case) -> Case {
    case.counts(|c| class(c, RcodeClass::NoError))
        .trials(Kind::Resolve, SUCCEEDED)
}

#[test]
fn queries_and_their_responses() {
    check(&[
        resolved(replied(
            "a response",
            response(rcode::NOERROR).record(Section::Answer, kind::A, &[192, 0, 2, 1]),
            SUCCEEDED,
        )),
        resolved(replied(
            "a name in another case (draft-vixie-dnsext-dns0x20)",
            Message::response(ID, 0, "wWw.eXAMPLE.oRg", kind::A),
            SUCCEEDED,
        )),
        resolved(replied(
            "truncated: come again over TCP",
            response(0).flags(RESPONSE | TRUNCATED | RECURSION),
            SUCCEEDED,
        )),
        resolved(replied(
            "with EDNS",
            response(0).edns(1_232, &[]),
            SUCCEEDED,
        )),
        resolved(replied(
            "another name",
            Message::response(ID, 0, "ww2.example.org", kind::A),
            WAITING,
        )),
        resolved(replied(
            "a longer name",
            Message::response(ID, 0, "www.example.org.net", kind::A),
            WAITING,
        )),
        resolved(replied(
            "another ID",
            Message::response(ID + 1, 0, NAME, kind::A),
            WAITING,
        )),
        resolved(dns("the root's name", |s| {
            let query = Message::query(ID, "", kind::SOA).build();
            let response = Message::response(ID, 0, "", kind::SOA).build();
            s.query(0, &query).answer(1, &response)
        }))
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, SUCCEEDED),
        resolved(dns("the longest name", |s| {
            let label = "a".repeat(62);
            let name = format!("{label}.{label}.{label}.{label}");
            let query = Message::query(ID, &name, kind::A).build();
            let response = Message::response(ID, 0, &name, kind::A).build();
            s.query(0, &query).answer(1, &response)
        }))
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, SUCCEEDED),
        dns("a query with EDNS and a cookie", |s| {
            let query = query().edns(1_232, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
            s.query(0, &query.build())
        })
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, WAITING),
        resolved(dns("late", |s| {
            s.query(0, &query().build())
                .answer(150, &response(0).build())
        }))
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, LATE),
        resolved(dns("sent again: the same trial", |s| {
            s.query(0, &query().build())
                .query(50, &query().build())
                .answer(60, &response(0).build())
        }))
        .counts(|c| c.dns_queries = 2)
        .trials(Kind::Answer, SUCCEEDED),
        // One port, many IDs, in any order: as resolvers do.
        resolved(resolved(dns("two queries from one port", |s| {
            let ask = |id| Message::query(id, NAME, kind::A).build();
            let reply = |id| Message::response(id, 0, NAME, kind::A).build();
            s.query(0, &ask(1))
                .query(1, &ask(2))
                .answer(2, &reply(2))
                .answer(3, &reply(1))
        })))
        .counts(|c| c.dns_queries = 2)
        .trials(Kind::Answer, SUCCEEDED.and(SUCCEEDED)),
    ]);
}

#[test]
fn response_codes() {
    let coded = |description, code, class_of, resolve| {
        replied(description, response(code), SUCCEEDED)
            .counts(|c| class(c, class_of))
            .trials(Kind::Resolve, resolve)
    };
    check(&[
        coded("FORMERR", rcode::FORMERR, RcodeClass::FormErr, SUCCEEDED),
        coded("SERVFAIL", rcode::SERVFAIL, RcodeClass::ServFail, FAILED).servfails(1, 1),
        coded("NXDOMAIN", rcode::NXDOMAIN, RcodeClass::NxDomain, SUCCEEDED),
        coded("NOTIMP", rcode::NOTIMP, RcodeClass::NotImp, SUCCEEDED),
        coded("REFUSED", rcode::REFUSED, RcodeClass::Refused, SUCCEEDED),
        coded("NOTAUTH", 9, RcodeClass::Other, SUCCEEDED),
        coded("a code without a meaning", 15, RcodeClass::Other, SUCCEEDED),
        // BIND answers what it cannot read with a header alone.
        replied(
            "FORMERR without a question",
            Message::empty(ID, RESPONSE | rcode::FORMERR),
            SUCCEEDED,
        )
        .counts(|c| class(c, RcodeClass::FormErr))
        .trials(Kind::Resolve, SUCCEEDED),
        // By name, as one broken zone is no broken server.
        dns("SERVFAIL thrice about one name, once about another", |s| {
            let fail = |id, name| Message::response(id, rcode::SERVFAIL, name, kind::A).build();
            s.answer(0, &fail(1, NAME))
                .answer(1, &fail(2, "WWW.example.ORG"))
                .answer(2, &fail(3, NAME))
                .answer(3, &fail(4, "broken.example.net"))
        })
        .counts(|c| c.dns_responses[RcodeClass::ServFail as usize] = 4)
        .trials(Kind::Resolve, FAILED.and(FAILED).and(FAILED).and(FAILED))
        .servfails(4, 2),
    ]);
}

fn malformed(description: &'static str, message: Vec<u8>) -> Case {
    dns(description, move |s| s.query(0, &message)).counts(|c| c.dns_malformed = 1)
}

/// No server has to answer these; many do not, lest they answer each other for ever.
#[test]
fn what_is_no_query() {
    let broken = |name: &[u8]| Message::empty(ID, RECURSION).question(name, kind::A);
    let header = query().build()[..11].to_vec();
    // The name ends with the datagram, where a type and a class must follow.
    let without_type = [
        &Message::empty(ID, 0).counts([1, 0, 0, 0]).build()[..],
        &encoded("abcdef"),
    ]
    .concat();
    let cut_type = [&without_type[..], &[0, 1, 0]].concat();
    let label = "a".repeat(63);
    let long = encoded(&format!("{label}.{label}.{label}.{label}.{label}"));
    check(&[
        malformed("a response", response(0).build()),
        malformed("a header that is cut", header),
        malformed("nothing", Vec::new()),
        malformed("an inverse query", query().flags(1 << 11).build()),
        malformed("a zone transfer's NOTIFY", query().flags(4 << 11).build()),
        malformed("a truncated query", query().flags(TRUNCATED).build()),
        malformed("no question", Message::empty(ID, RECURSION).build()),
        // RFC 9619.
        malformed(
            "two questions",
            query().question(&encoded(NAME), kind::AAAA).build(),
        ),
        malformed(
            "a count without a question",
            query().counts([2, 0, 0, 0]).build(),
        ),
        malformed("an answer inside", query().counts([1, 1, 0, 0]).build()),
        malformed("a name without an end", query().build()[..20].to_vec()),
        malformed("a name that points elsewhere", broken(&[0xc0, 12]).build()),
        malformed("a label of 64 bytes", broken(&[64, b'a', 0]).build()),
        malformed("a name of more than 255 bytes", broken(&long).build()),
        malformed("a question without type and class", without_type),
        malformed("a question with half a class", cut_type),
    ]);
}

/// What the service sends that is no response answers nobody.
#[test]
fn what_is_no_response() {
    check(&[
        dns("a query out, while one with ID 0 waits", |s| {
            let zero = Message::query(0, NAME, kind::A).build();
            s.query(0, &zero).answer(1, &query().build())
        })
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, WAITING),
        dns("three bytes out, while a query with ID 0 waits", |s| {
            let zero = Message::query(0, NAME, kind::A).build();
            s.query(0, &zero).answer(1, &[0, 0, 0x80])
        })
        .counts(|c| c.dns_queries = 1)
        .trials(Kind::Answer, WAITING),
    ]);
}

/// RFC 7766. Counted, and judged as the TCP connection that it is.
#[test]
fn over_tcp() {
    let stream = |reply: Message| {
        move |s: Script| {
            let query = query().build_for_stream();
            let end = C + u32::try_from(query.len()).unwrap();
            s.handshake().client(3, ACK | PSH, C, S, &query).server(
                4,
                ACK | PSH,
                S,
                end,
                &reply.build_for_stream(),
            )
        }
    };
    check(&[
        case(To::DnsTcp, "a response", stream(response(0)))
            .requested(SUCCEEDED)
            .counts(|c| {
                c.dns_queries = 1;
                class(c, RcodeClass::NoError);
            }),
        case(To::DnsTcp, "SERVFAIL", stream(response(rcode::SERVFAIL)))
            .requested(SUCCEEDED)
            .counts(|c| {
                c.dns_queries = 1;
                class(c, RcodeClass::ServFail);
            }),
        case(To::DnsTcp, "something shorter than a message", |s| {
            s.handshake().client(3, ACK | PSH, C, S, &[0, 1, 2]).server(
                4,
                ACK | PSH,
                S,
                C + 3,
                &[0, 1, 2],
            )
        })
        .requested(SUCCEEDED),
    ]);
}
