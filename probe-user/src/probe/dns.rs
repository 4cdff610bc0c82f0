//! The DNS probe: one question over UDP or TCP (RFC 1035). Any answer that the server
//! means passes, also that there is no such name, or that it does not fit and has to be
//! asked for over TCP; that the server cannot or will not answer fails.

use std::{
    hash::{BuildHasher, RandomState},
    io,
};

use probe_core::{
    config::{DnsRecord, DnsTransport},
    input::ProbeFailure,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::way::Way;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
/// Recursion desired: a resolver is asked as its clients ask it.
const QUERY_FLAGS: u16 = 0x0100;
const RESPONSE: u8 = 0x80;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

pub(super) async fn ask(
    way: Way,
    transport: DnsTransport,
    name: &str,
    record: DnsRecord,
) -> Result<(), ProbeFailure> {
    let id = random_id();
    let query = query(id, name, record);
    let rcode = match transport {
        DnsTransport::Udp => over_udp(way, id, &query).await?,
        DnsTransport::Tcp => over_tcp(way, id, &query).await?,
    };
    match rcode {
        SERVFAIL => Err(ProbeFailure::Other("the answer is SERVFAIL".to_owned())),
        REFUSED => Err(ProbeFailure::Other("the answer is REFUSED".to_owned())),
        _ => Ok(()),
    }
}

async fn over_udp(way: Way, id: u16, query: &[u8]) -> Result<u8, ProbeFailure> {
    let failed = |error: io::Error| way.failure(&error);
    let socket = way.datagrams().await?;
    socket.send(query).await.map_err(failed)?;
    let mut response = [0; 512];
    loop {
        let length = socket.recv(&mut response).await.map_err(failed)?;
        // Somebody else's answer, or none: ours may still come.
        if let Some(rcode) = rcode_of(&response[..length], id) {
            return Ok(rcode);
        }
    }
}

/// Each message has its length before it. A server may send them in any order (RFC
/// 7766 section 6.2.1.1), but it was asked nothing else here.
async fn over_tcp(way: Way, id: u16, query: &[u8]) -> Result<u8, ProbeFailure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            ProbeFailure::Other("the connection ends without a whole answer".to_owned())
        }
        _ => way.failure(&error),
    };
    let mut stream = way.connect().await?;
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
    // In one segment, as servers like it.
    let message = [&length.to_be_bytes(), query].concat();
    stream.write_all(&message).await.map_err(failed)?;
    loop {
        let length = stream.read_u16().await.map_err(failed)?;
        let mut response = vec![0; length.into()];
        stream.read_exact(&mut response).await.map_err(failed)?;
        if let Some(rcode) = rcode_of(&response, id) {
            return Ok(rcode);
        }
    }
}

/// Nobody off the way shall guess it.
fn random_id() -> u16 {
    let [a, b, ..] = RandomState::new().hash_one(()).to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

/// The message. The name was checked when it was configured.
fn query(id: u16, name: &str, record: DnsRecord) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    for word in [id, QUERY_FLAGS, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.bytes());
    }
    message.push(0);
    for word in [record.code(), CLASS_IN] {
        message.extend(word.to_be_bytes());
    }
    message
}

/// The response code, if this is a response to the query with this ID.
fn rcode_of(message: &[u8], id: u16) -> Option<u8> {
    let header = message.first_chunk::<HEADER>()?;
    let is_ours = header[..2] == id.to_be_bytes() && header[2] & RESPONSE != 0;
    is_ours.then_some(header[3] & 0x0f)
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use probe_core::config::ProbeKind;
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::probe::loopback::{LOOPBACKS, run};

    const TRUNCATED: u8 = 0x02;

    const TRANSPORTS: [DnsTransport; 2] = [DnsTransport::Udp, DnsTransport::Tcp];

    fn probe(target: SocketAddr, transport: DnsTransport) -> ProbeKind {
        ProbeKind::Dns {
            target,
            transport,
            name: "www.example.".to_owned(),
            record: DnsRecord::Aaaa,
        }
    }

    /// The query turned into a response: both bytes of flags, and whether the ID is
    /// right.
    fn response(query: &[u8], (flags, rcode, right): (u8, u8, bool)) -> Vec<u8> {
        let mut response = query.to_vec();
        response[2] |= RESPONSE | flags;
        response[3] = rcode;
        response[0] ^= u8::from(!right);
        response
    }

    /// How a server that answers one query with each of these is held.
    async fn outcome_of(
        address: &str,
        transport: DnsTransport,
        answers: &[(u8, u8, bool)],
    ) -> Result<(), ProbeFailure> {
        let (datagrams, listener) = server(address).await;
        let probe = probe(datagrams.local_addr().unwrap(), transport);
        let serve_datagrams = async {
            let mut query = [0; 512];
            let (length, client) = datagrams.recv_from(&mut query).await.unwrap();
            for answer in answers {
                let response = response(&query[..length], *answer);
                datagrams.send_to(&response, client).await.unwrap();
            }
        };
        let serve_connections = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            for answer in answers {
                stream.write_u16(length).await.unwrap();
                let response = response(&query, *answer);
                stream.write_all(&response).await.unwrap();
            }
            // The client closes, not we.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        match transport {
            DnsTransport::Udp => tokio::join!(run(probe), serve_datagrams).0.1,
            DnsTransport::Tcp => tokio::join!(run(probe), serve_connections).0.1,
        }
    }

    /// Both at one port.
    async fn server(address: &str) -> (UdpSocket, TcpListener) {
        loop {
            let listener = TcpListener::bind(address).await.unwrap();
            if let Ok(datagrams) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                return (datagrams, listener);
            }
        }
    }

    #[test]
    fn the_question_is_as_rfc_1035_has_it() {
        assert_eq!(
            query(0x1234, "www.example.", DnsRecord::Aaaa),
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x1c\x00\x01"
        );
        assert_eq!(query(0, ".", DnsRecord::Ns)[HEADER..], [0, 0, 2, 0, 1]);
    }

    #[tokio::test]
    async fn an_answer_that_the_server_means_passes() {
        for (description, answers, passes) in [
            ("NOERROR", &[(0, 0, true)][..], true),
            ("NXDOMAIN", &[(0, 3, true)], true),
            ("NOERROR, truncated", &[(TRUNCATED, 0, true)], true),
            ("SERVFAIL", &[(0, 2, true)], false),
            ("SERVFAIL, truncated", &[(TRUNCATED, 2, true)], false),
            ("REFUSED", &[(0, 5, true)], false),
            (
                "somebody else's first",
                &[(0, 2, false), (0, 0, true)],
                true,
            ),
        ] {
            for address in LOOPBACKS {
                for transport in TRANSPORTS {
                    let outcome = outcome_of(address, transport, answers).await;
                    assert_eq!(outcome.is_ok(), passes, "{description} {transport:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn somebody_elses_answer_is_none() {
        for transport in TRANSPORTS {
            assert_eq!(
                outcome_of("127.0.0.1:0", transport, &[(0, 0, false)]).await,
                Err(ProbeFailure::Timeout)
            );
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        for answer in [&b""[..], b"\x00", b"\x00\x20\x12\x34"] {
            let listener = TcpListener::bind("[::1]:0").await.unwrap();
            let probe = probe(listener.local_addr().unwrap(), DnsTransport::Tcp);
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
            };
            let ((_, outcome), ()) = tokio::join!(run(probe), serve);
            let words = outcome.unwrap_err().to_string();
            assert!(words.contains("without a whole answer"), "{words}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        for transport in TRANSPORTS {
            let (datagrams, _) = server("127.0.0.1:0").await;
            let target = datagrams.local_addr().unwrap();
            drop(datagrams);
            let (_, outcome) = run(probe(target, transport)).await;
            assert_eq!(outcome, Err(ProbeFailure::Refused), "{transport:?}");
        }
    }
}
