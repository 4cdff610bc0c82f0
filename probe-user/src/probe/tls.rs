//! The TLS probe: a handshake on a connection of its own. The server has to do the
//! work that it does for each client: a worker takes the connection, the key signs.

use std::{io, sync::Arc};

use probe_core::{config::Tls, input::ProbeFailure};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{self, DEFAULT_VERSIONS},
};

use super::{
    trust::{self, Trust},
    way::Way,
    words,
};

pub(super) async fn ask(way: Way, tls: &Tls, trust: &Trust) -> Result<(), ProbeFailure> {
    let mut stream = connect(way, tls, trust).await?;
    let chosen = stream.get_ref().1.alpn_protocol();
    if !tls.alpn.is_empty() && chosen.is_none() {
        let offered = tls.alpn.join(", ");
        return Err(ProbeFailure::Tls(format!("ALPN: none of {offered}")));
    }
    // The server shall not take this for a broken connection, and log it.
    if let Err(error) = stream.shutdown().await {
        tracing::debug!(target = %way.target, %error, "the probe closes without a goodbye");
    }
    Ok(())
}

/// A connection with the handshake done.
pub(super) async fn connect(
    way: Way,
    tls: &Tls,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, ProbeFailure> {
    let name = trust::server_name(tls, way.target)?;
    let client = trust.client(tls, DEFAULT_VERSIONS)?;
    let stream = way.connect().await?;
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
        .map_err(|error| failure(&error))
}

/// tokio-rustls hands rustls's errors over inside of IO errors.
fn failure(error: &io::Error) -> ProbeFailure {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(inner) => trust::failure(inner),
        None => ProbeFailure::Tls(words::chain("the handshake breaks off", error)),
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;
    use std::time::Duration;

    use probe_core::config::ProbeKind;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::probe::loopback::{Identity, LOOPBACKS, NAME, TlsServer, run, run_by};

    fn question(target: SocketAddr, name: Option<&str>, verify: bool) -> ProbeKind {
        with_alpn(target, name, verify, &[])
    }

    fn with_alpn(target: SocketAddr, name: Option<&str>, verify: bool, alpn: &[&str]) -> ProbeKind {
        ProbeKind::Tls {
            target,
            tls: Tls {
                name: name.map(str::to_owned),
                alpn: alpn.iter().map(|&protocol| protocol.to_owned()).collect(),
                verify,
            },
        }
    }

    #[tokio::test]
    async fn a_server_with_any_certificate_passes_unless_it_is_verified() {
        for loopback in LOOPBACKS {
            let good = Identity::valid();
            for (description, server, verified) in [
                ("valid", good.clone(), None),
                ("expired", good.expired(), Some("expired")),
                (
                    "of another host",
                    good.of("other.example"),
                    Some("not valid for"),
                ),
                (
                    "of an unknown authority",
                    Identity::valid(),
                    Some("invalid peer"),
                ),
            ] {
                let server = TlsServer::start(loopback, &server, &[], "").await;
                let target = server.address;
                let (_, outcome) = run(question(target, Some(NAME), false)).await;
                assert_eq!(outcome, Ok(()), "{description}");
                let (_, outcome) = run_by(&good, question(target, Some(NAME), true)).await;
                match (outcome, verified) {
                    (Ok(()), None) => {}
                    (Err(ProbeFailure::Tls(words)), Some(part)) if words.contains(part) => {}
                    (outcome, _) => panic!("{description}: {outcome:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn the_server_is_asked_for_the_configured_name_and_an_address_is_none() {
        for loopback in LOOPBACKS {
            let identity = Identity::valid();
            for (name, asked) in [(Some(NAME), Some(NAME.to_owned())), (None, None)] {
                let mut server = TlsServer::start(loopback, &identity, &[], "").await;
                let target = server.address;
                // The certificate is for the loopback addresses as well.
                let (_, outcome) = run_by(&identity, question(target, name, true)).await;
                assert_eq!(outcome, Ok(()), "{name:?}");
                assert_eq!(server.asked_for().await, asked, "{name:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_offered_by_alpn_must_be_spoken() {
        let identity = Identity::valid();
        for (server, offered, passes) in [
            (&["h2", "http/1.1"][..], &["h2"][..], true),
            (&["http/1.1"], &["h2", "http/1.1"], true),
            (&["http/1.1"], &["h2"], false),
            (&[], &["h2"], false),
            (&["h2"], &[], true),
        ] {
            let started = TlsServer::start(LOOPBACKS[0], &identity, server, "").await;
            let (_, outcome) = run(with_alpn(started.address, None, false, offered)).await;
            assert_eq!(
                outcome.is_ok(),
                passes,
                "{server:?} {offered:?}: {outcome:?}"
            );
            assert!(
                passes || matches!(outcome, Err(ProbeFailure::Tls(_))),
                "{outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_is_told_in_words() {
        for (description, answer, part) in [
            ("closes at once", &b""[..], "the handshake breaks off"),
            (
                "speaks plaintext",
                b"220 mail.example ESMTP\r\n",
                "corrupt message",
            ),
        ] {
            let listener = TcpListener::bind(LOOPBACKS[1]).await.unwrap();
            let target = listener.local_addr().unwrap();
            let serve = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
                // All of it, so that the end is no RST.
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            };
            let ((_, outcome), ()) = tokio::join!(run(question(target, None, false)), serve);
            match outcome {
                Err(ProbeFailure::Tls(words)) => {
                    assert!(words.contains(part), "{description}: {words}");
                }
                other => panic!("{description}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_closed_port_refuses_and_a_hung_server_times_out() {
        for loopback in LOOPBACKS {
            let listener = TcpListener::bind(loopback).await.unwrap();
            let target = listener.local_addr().unwrap();
            let (took, outcome) = run(question(target, None, false)).await;
            assert_eq!(outcome, Err(ProbeFailure::Timeout));
            assert!(took < Duration::from_secs(2), "{took:?}");
            drop(listener);
            let (_, outcome) = run(question(target, None, false)).await;
            assert_eq!(outcome, Err(ProbeFailure::Refused));
        }
    }
}
