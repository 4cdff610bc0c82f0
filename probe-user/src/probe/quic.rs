//! The QUIC probe: a handshake (RFC 9001), closed at once.
//!
//! ```text
//!  probe 1, 5, ... ─▶ port a ─┐
//!  probe 2, 6, ... ─▶ port b ─┤
//!  probe 3, 7, ... ─▶ port c ─┼─▶ server
//!  probe 4, 8, ... ─▶ port d ─┘
//! ```
//!
//! The sockets stay open and are shared: a closed connection still has to answer for a
//! while, and one socket for each probe would add up. They are a few and not one, since
//! the kernel of a server with many workers hands a client's port always to the same of
//! them; of a burst of three, each shall meet a worker of its own if it can.

use core::net::SocketAddr;
use std::{
    collections::BTreeMap,
    io,
    net::UdpSocket,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use probe_core::{config::Tls, input::ProbeFailure};
use quinn::{
    ClientConfig, ConnectError, ConnectionError, Endpoint, EndpointConfig, TokioRuntime,
    TransportErrorCode, VarInt, crypto::rustls::QuicClientConfig,
};
use tokio_rustls::rustls::version::TLS13;

use super::{trust::Trust, way::Way, words};

/// Ports that are asked from in turn.
const PORTS: usize = 4;

/// Nothing was wrong.
const NO_ERROR: VarInt = VarInt::from_u32(0);

/// TLS alerts among QUIC's errors (RFC 9001 section 4.8).
const ALERTS: core::ops::RangeInclusive<u64> = 0x100..=0x1ff;

/// The sockets of all QUIC probes, by the address that they are bound to.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Mutex<BTreeMap<(SocketAddr, usize), Endpoint>>,
    asked: AtomicUsize,
}

impl Sockets {
    /// The next one on this way; opened if it is not.
    fn next(&self, way: Way) -> io::Result<((SocketAddr, usize), Endpoint)> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed) % PORTS;
        let key = (way.local(), turn);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = open.get(&key) {
            return Ok((key, endpoint.clone()));
        }
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            None,
            UdpSocket::bind(key.0)?,
            Arc::new(TokioRuntime),
        )?;
        open.insert(key, endpoint.clone());
        Ok((key, endpoint))
    }

    /// A socket has died; the next probe gets a new one.
    fn forget(&self, key: (SocketAddr, usize)) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }
}

pub(super) async fn ask(
    way: Way,
    tls: &Tls,
    trust: &Trust,
    sockets: &Sockets,
) -> Result<(), ProbeFailure> {
    let client = trust.client(tls, &[&TLS13])?;
    let client = QuicClientConfig::try_from(client)
        .map_err(|error| ProbeFailure::Tls(words::chain("no QUIC", &error)))?;
    let name = tls
        .name
        .clone()
        .unwrap_or_else(|| way.target.ip().to_string());
    let (key, endpoint) = sockets.next(way).map_err(|error| way.no_source(&error))?;
    let connecting = endpoint
        .connect_with(ClientConfig::new(Arc::new(client)), way.target, &name)
        .map_err(|error| {
            if error == ConnectError::EndpointStopping {
                sockets.forget(key);
            }
            ProbeFailure::Other(words::chain("cannot begin a QUIC handshake", &error))
        })?;
    // If the timeout comes first, dropping this closes it.
    let connection = connecting.await.map_err(|error| failure(&error))?;
    connection.close(NO_ERROR, b"");
    Ok(())
}

fn failure(error: &ConnectionError) -> ProbeFailure {
    let is_alert = |code: TransportErrorCode| ALERTS.contains(&u64::from(code));
    match error {
        ConnectionError::TransportError(ours) if is_alert(ours.code) => {
            ProbeFailure::Tls(words::line(&ours.reason))
        }
        ConnectionError::ConnectionClosed(theirs) if is_alert(theirs.error_code) => {
            ProbeFailure::Tls(words::line(&error.to_string()))
        }
        ConnectionError::TimedOut => ProbeFailure::Timeout,
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => {
            ProbeFailure::Other(words::line(&format!("QUIC: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr, time::Duration};

    use probe_core::config::ProbeKind;
    use quinn::{
        ServerConfig,
        crypto::rustls::{HandshakeData, QuicServerConfig},
    };
    use tokio::{sync::mpsc, task::JoinHandle};

    use super::*;
    use crate::probe::{
        Prober,
        loopback::{Identity, LOOPBACKS, NAME, TIMEOUT, run, run_by, service},
    };

    fn question(target: SocketAddr, name: Option<&str>, verify: bool, alpn: &str) -> ProbeKind {
        ProbeKind::Quic {
            target,
            tls: Tls {
                name: name.map(str::to_owned),
                alpn: vec![alpn.to_owned()],
                verify,
            },
        }
    }

    /// What a server saw of a client.
    #[derive(Debug)]
    struct Seen {
        from: SocketAddr,
        asked_for: Option<String>,
        end: ConnectionError,
    }

    /// A server of HTTP/3, or of its handshake. Ends when dropped.
    struct Server {
        address: SocketAddr,
        seen: mpsc::UnboundedReceiver<Seen>,
        task: JoinHandle<()>,
    }

    impl Server {
        fn start(address: &str, identity: &Identity) -> Self {
            let config = QuicServerConfig::try_from(identity.server(&["h3"])).unwrap();
            let endpoint = Endpoint::server(
                ServerConfig::with_crypto(Arc::new(config)),
                address.parse().unwrap(),
            )
            .unwrap();
            let (see, seen) = mpsc::unbounded_channel();
            Self {
                address: endpoint.local_addr().unwrap(),
                seen,
                task: tokio::spawn(async move {
                    while let Some(incoming) = endpoint.accept().await {
                        // The client may not like the certificate.
                        let Ok(connection) = incoming.await else {
                            continue;
                        };
                        let data = connection.handshake_data().unwrap();
                        let data = data.downcast::<HandshakeData>().unwrap();
                        let _ = see.send(Seen {
                            from: connection.remote_address(),
                            asked_for: data.server_name,
                            end: connection.closed().await,
                        });
                    }
                }),
            }
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    #[tokio::test]
    async fn a_server_with_any_certificate_passes_unless_it_is_verified() {
        let good = Identity::valid();
        for loopback in LOOPBACKS {
            for (description, identity, verify, name, complaint) in [
                ("valid", good.clone(), true, Some(NAME), None),
                ("valid for its address", good.clone(), true, None, None),
                ("expired", good.expired(), false, Some(NAME), None),
                ("expired", good.expired(), true, Some(NAME), Some("expired")),
            ] {
                let mut server = Server::start(loopback, &identity);
                let question = question(server.address, name, verify, "h3");
                let outcome = run_by(&good, question).await.1;
                match (outcome, complaint) {
                    (Ok(()), None) => {
                        let seen = server.seen.recv().await.unwrap();
                        assert_eq!(seen.asked_for.as_deref(), name, "{description}");
                        assert!(
                            matches!(seen.end, ConnectionError::ApplicationClosed(_)),
                            "{seen:?}"
                        );
                    }
                    (Err(ProbeFailure::Tls(words)), Some(part)) if words.contains(part) => {}
                    (outcome, _) => panic!("{description}: {outcome:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_offered_by_alpn_must_be_spoken() {
        let server = Server::start(LOOPBACKS[1], &Identity::valid());
        let (_, outcome) = run(question(server.address, None, false, "smb")).await;
        assert!(matches!(outcome, Err(ProbeFailure::Tls(_))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_silent_server_times_out() {
        for loopback in LOOPBACKS {
            let silent = tokio::net::UdpSocket::bind(loopback).await.unwrap();
            let target = silent.local_addr().unwrap();
            let (took, outcome) = run(question(target, None, false, "h3")).await;
            assert_eq!(outcome, Err(ProbeFailure::Timeout));
            assert!(took >= TIMEOUT && took < TIMEOUT * 3, "{took:?}");
        }
    }

    #[tokio::test]
    async fn many_probes_share_a_few_ports_and_three_in_a_row_have_their_own() {
        let mut server = Server::start(LOOPBACKS[0], &Identity::valid());
        let mut service = service(question(server.address, None, false, "h3"));
        let source: IpAddr = "127.0.0.9".parse().unwrap();
        service.probe.source = Some(source);
        let prober = Prober::new(&[]).unwrap();
        let mut ports = Vec::new();
        for _ in 0..12 {
            assert_eq!(prober.run(&service).await.1, Ok(()));
            let seen = tokio::time::timeout(Duration::from_secs(5), server.seen.recv())
                .await
                .unwrap();
            let from = seen.unwrap().from;
            assert_eq!(from.ip(), source);
            ports.push(from.port());
        }
        for three in ports.windows(3) {
            assert_eq!(three.iter().collect::<BTreeSet<_>>().len(), 3, "{ports:?}");
        }
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), PORTS);
    }
}
