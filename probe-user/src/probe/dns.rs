//! The DNS probe: one question over UDP (RFC 1035). Any answer that the server means
//! passes, also that there is no such name; that it cannot or will not answer fails.

use std::{
    hash::{BuildHasher, RandomState},
    io,
};

use probe_core::{config::DnsRecord, input::ProbeFailure};

use super::way::Way;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
/// Recursion desired: a resolver is asked as its clients ask it.
const QUERY_FLAGS: u16 = 0x0100;
const RESPONSE: u8 = 0x80;
const SERVFAIL: u8 = 2;
const REFUSED: u8 = 5;

pub(super) async fn ask(way: Way, name: &str, record: DnsRecord) -> Result<(), ProbeFailure> {
    let failed = |error: io::Error| way.failure(&error);
    let socket = way.datagrams().await?;
    let id = random_id();
    socket
        .send(&query(id, name, record))
        .await
        .map_err(failed)?;
    let mut response = [0; 512];
    loop {
        let length = socket.recv(&mut response).await.map_err(failed)?;
        // Somebody else's answer, or none: ours may still come.
        if let Some(rcode) = rcode_of(&response[..length], id) {
            return match rcode {
                SERVFAIL => Err(ProbeFailure::Other("the answer is SERVFAIL".to_owned())),
                REFUSED => Err(ProbeFailure::Other("the answer is REFUSED".to_owned())),
                _ => Ok(()),
            };
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
    use tokio::net::UdpSocket;

    use super::*;
    use crate::probe::loopback::run;

    fn probe(target: SocketAddr) -> ProbeKind {
        ProbeKind::Dns {
            target,
            name: "www.example.".to_owned(),
            record: DnsRecord::Aaaa,
        }
    }

    /// Answers one query with each of these messages: flags' second byte and whether
    /// the ID is right.
    async fn outcome_of(answers: &[(u8, bool)]) -> Result<(), ProbeFailure> {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let serve = async {
            let mut message = [0; 512];
            let (length, client) = server.recv_from(&mut message).await.unwrap();
            for (flags, right) in answers {
                let mut answer = message[..length].to_vec();
                answer[2] |= RESPONSE;
                answer[3] = *flags;
                answer[0] ^= u8::from(!right);
                server.send_to(&answer, client).await.unwrap();
            }
        };
        let probe = probe(target);
        tokio::join!(run(probe), serve).0.1
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
        for (answers, passes) in [
            (&[(0, true)][..], true),
            (&[(3, true)], true),
            (&[(2, true)], false),
            (&[(5, true)], false),
            (&[(2, false), (0, true)], true),
        ] {
            assert_eq!(outcome_of(answers).await.is_ok(), passes, "{answers:?}");
        }
    }

    #[tokio::test]
    async fn somebody_elses_answer_is_none() {
        assert_eq!(outcome_of(&[(0, false)]).await, Err(ProbeFailure::Timeout));
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        drop(server);
        assert_eq!(run(probe(target)).await.1, Err(ProbeFailure::Refused));
    }
}
