//! The services in a capture, for who names none. In flow its packets, once; out
//! flow the endpoints that answered somebody, and what they speak.
//!
//! | who answers | with | is a service of |
//! |---|---|---|
//! | a SYN | a SYN-ACK that acknowledges it | TCP |
//! | a DNS query, on any port | a response with its ID and name | UDP, DNS |
//! | a QUIC Initial, on any port | Initial, Retry or Version Negotiation | UDP, QUIC |
//! | any other datagram | a datagram from a lower port | UDP |
//!
//! Somebody who only refuses, or whose questions are not in the capture, is not found
//! and has to be named.

use std::collections::{BTreeMap, HashMap, VecDeque};

use probe_common::parse::{
    Datagram, Flags, Segment,
    dns::{self, Dns},
    quic::{self, Quic},
};
use probe_core::config::{Application, Endpoint, Protocol};

use super::{
    MOST_SERVICES,
    look::{End, Seen, What, endpoint},
    services::{Service, by_port},
};

/// Questions that wait for an answer, at most; the oldest gives way.
const WAITING: usize = 1 << 16;
/// Endpoints that may turn out to be services, at most.
const CANDIDATES: usize = 1 << 16;

/// Who asked whom for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    client: ([u64; 2], u16),
    server: ([u64; 2], u16),
    about: About,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum About {
    Connection,
    Name(u16),
    Quic,
    Anything,
}

/// Looks for services, packet by packet.
#[derive(Debug, Default)]
pub struct Discovery {
    /// With what an answer must agree: an initial sequence number, a name.
    waiting: HashMap<Question, u32>,
    order: VecDeque<Question>,
    /// How often each endpoint answered, and the most telling thing that it spoke.
    answers: BTreeMap<Endpoint, (u64, Application)>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The services, in the order of their addresses.
    pub services: Vec<Service>,
    /// How many more answered, less often than these.
    pub left_out: usize,
}

impl Discovery {
    /// Takes one packet.
    pub fn look(&mut self, frame: &[u8], seen: &Seen) {
        match &seen.what {
            What::Segment(segment) => self.segment(seen, segment),
            What::Datagram(datagram) => self.datagram(frame, seen, datagram),
            What::Unreachable(_) => {}
        }
    }

    fn segment(&mut self, seen: &Seen, segment: &Segment) {
        if !segment.flags.any(Flags::SYN) {
            return;
        }
        if segment.flags.any(Flags::ACK) {
            let acknowledged = segment.acknowledgment.wrapping_sub(1);
            if self.was_asked(seen, About::Connection, acknowledged) {
                let application = by_port(seen.source.1, Protocol::Tcp);
                self.answered(seen.source, Protocol::Tcp, application);
            }
        } else {
            self.asked(seen, About::Connection, segment.sequence);
        }
    }

    fn datagram(&mut self, frame: &[u8], seen: &Seen, datagram: &Datagram) {
        let (offset, length) = (datagram.payload_offset, datagram.payload_length);
        match dns::message(frame, offset, length) {
            Dns::Query { id, name_hash } => self.asked(seen, About::Name(id), name_hash),
            Dns::Response { id, name_hash, .. } => {
                if self.was_asked(seen, About::Name(id), name_hash) {
                    self.answered(seen.source, Protocol::Udp, Application::Dns);
                }
            }
            Dns::Malformed => {}
        }
        match quic::packet(frame, offset, length) {
            Quic::Initial { first_id } => {
                // A server's Initials may be as long as a client's.
                if self.was_asked(seen, About::Quic, 0) {
                    self.answered(seen.source, Protocol::Udp, Application::Quic);
                } else if first_id.is_some() {
                    self.asked(seen, About::Quic, 0);
                }
            }
            Quic::Retry | Quic::VersionNegotiation => {
                if self.was_asked(seen, About::Quic, 0) {
                    self.answered(seen.source, Protocol::Udp, Application::Quic);
                }
            }
            Quic::Other => {}
        }
        if self.was_asked(seen, About::Anything, 0) {
            if seen.source.1 < seen.destination.1 {
                self.answered(seen.source, Protocol::Udp, Application::Any);
            }
        } else {
            self.asked(seen, About::Anything, 0);
        }
    }

    fn asked(&mut self, seen: &Seen, about: About, value: u32) {
        let question = question(seen.source, seen.destination, about);
        if self.waiting.insert(question, value).is_some() {
            return;
        }
        self.order.push_back(question);
        if self.order.len() > WAITING
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
        }
    }

    /// Whether a packet's receiver asked its sender for this.
    fn was_asked(&self, seen: &Seen, about: About, value: u32) -> bool {
        let question = question(seen.destination, seen.source, about);
        self.waiting.get(&question) == Some(&value)
    }

    fn answered(&mut self, server: End, protocol: Protocol, application: Application) {
        let endpoint = endpoint(server, protocol);
        if let Some((answers, known)) = self.answers.get_mut(&endpoint) {
            *answers += 1;
            if *known == Application::Any {
                *known = application;
            }
        } else if self.answers.len() < CANDIDATES {
            self.answers.insert(endpoint, (1, application));
        }
    }

    /// Those that answered; the most frequent ones if there are too many.
    pub fn found(self) -> Found {
        let mut services: Vec<(Endpoint, (u64, Application))> = self.answers.into_iter().collect();
        let left_out = services.len().saturating_sub(MOST_SERVICES);
        if left_out > 0 {
            services
                .sort_by_key(|(endpoint, (answers, _))| (std::cmp::Reverse(*answers), *endpoint));
            services.truncate(MOST_SERVICES);
            services.sort_unstable();
        }
        Found {
            services: services
                .into_iter()
                .map(|(endpoint, (_, application))| Service {
                    endpoint,
                    application,
                })
                .collect(),
            left_out,
        }
    }
}

fn question(client: End, server: End, about: About) -> Question {
    Question {
        client: (client.0.0, client.1),
        server: (server.0.0, server.1),
        about,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::frames::{dns, seen, tcp, udp};

    const CLIENT: &str = "198.51.100.7:40000";
    const WEB: &str = "192.0.2.2:80";
    const NAMES: &str = "192.0.2.2:5300";
    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const RST_ACK: u8 = 0x14;
    const RESPONSE: u16 = 0x8400;

    fn found(frames: &[Vec<u8>]) -> Vec<(String, Application)> {
        let mut discovery = Discovery::default();
        for frame in frames {
            discovery.look(frame, &seen(frame));
        }
        discovery
            .found()
            .services
            .into_iter()
            .map(|service| (service.endpoint.to_string(), service.application))
            .collect()
    }

    fn initial(first: u8, length: usize) -> Vec<u8> {
        let mut packet = vec![first, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        packet.resize(length, 0);
        packet
    }

    #[test]
    fn who_answers_is_a_service() {
        let syn = tcp(CLIENT, WEB, SYN, (9, 0));
        let query = udp(CLIENT, NAMES, &dns(7, 0x0100));
        let web = Some(("192.0.2.2:80/tcp", Application::Any));
        let names = Some(("192.0.2.2:5300/udp", Application::Dns));
        let other = Some(("192.0.2.2:5300/udp", Application::Any));
        for (description, question, answer, expected) in [
            ("SYN-ACK", &syn, tcp(WEB, CLIENT, SYN_ACK, (5, 10)), web),
            (
                "SYN-ACK of another SYN",
                &syn,
                tcp(WEB, CLIENT, SYN_ACK, (5, 11)),
                None,
            ),
            (
                "SYN-ACK of another port",
                &syn,
                tcp("192.0.2.2:81", CLIENT, SYN_ACK, (5, 10)),
                None,
            ),
            ("refusal", &syn, tcp(WEB, CLIENT, RST_ACK, (0, 10)), None),
            (
                "DNS response",
                &query,
                udp(NAMES, CLIENT, &dns(7, RESPONSE)),
                names,
            ),
            (
                "DNS response with another ID",
                &query,
                udp(NAMES, CLIENT, &dns(8, RESPONSE)),
                other,
            ),
            (
                "a datagram from a higher port",
                &udp("192.0.2.1:1", CLIENT, b"?"),
                udp(CLIENT, "192.0.2.1:1", b"!"),
                None,
            ),
            (
                "QUIC",
                &udp(CLIENT, "192.0.2.2:8443", &initial(0xc0, 1200)),
                udp("192.0.2.2:8443", CLIENT, &initial(0xc0, 1200)),
                Some(("192.0.2.2:8443/udp", Application::Quic)),
            ),
            (
                "QUIC, to try again",
                &udp(CLIENT, "192.0.2.2:8443", &initial(0xc0, 1200)),
                udp("192.0.2.2:8443", CLIENT, &initial(0xf0, 60)),
                Some(("192.0.2.2:8443/udp", Application::Quic)),
            ),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(endpoint, application)| (endpoint.to_owned(), application))
                .collect();
            assert_eq!(
                found(&[question.clone(), answer]),
                expected,
                "{description}"
            );
        }
    }

    #[test]
    fn those_that_answer_most_are_kept_and_memory_is_bounded() {
        let mut discovery = Discovery::default();
        let mut take = |frame: Vec<u8>| discovery.look(&frame, &seen(&frame));
        for server in (0..MOST_SERVICES + 10).rev() {
            let to = format!("192.0.{}.{}:80", server / 256, server % 256);
            // The first ones answer twice, the last ones once.
            for port in 0..=u16::from(server < MOST_SERVICES) {
                let from = format!("198.51.100.7:{}", 4000 + port);
                take(tcp(&from, &to, SYN, (9, 0)));
                take(tcp(&to, &from, SYN_ACK, (5, 10)));
            }
        }
        for client in 0..2 * WAITING {
            let from = format!(
                "10.{}.{}.{}:1",
                client >> 16,
                client >> 8 & 0xff,
                client & 0xff
            );
            take(tcp(&from, WEB, SYN, (0, 0)));
        }
        assert!(discovery.waiting.len() <= WAITING && discovery.order.len() <= WAITING);
        let found = discovery.found();
        assert_eq!(found.services.len(), MOST_SERVICES);
        assert_eq!(found.left_out, 10);
        assert!(found.services.is_sorted());
        assert_eq!(found.services[0].endpoint.to_string(), "192.0.0.0:80/tcp");
    }
}
