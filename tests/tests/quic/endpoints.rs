//! Real QUIC (quinn): a server that can be told how to meet clients, and clients
//! that each come from a port of their own.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lapwing_tests::lab::netns::Namespace;
use quinn::{
    ClientConfig, Endpoint, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls::{
        self, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer},
        version::TLS13,
    },
};
use tokio::{runtime, sync::oneshot, time::timeout};

const NAME: &str = "anycast.example";
/// RFC 9114 section 3.1: both sides have to name one (RFC 9001 section 8.1).
const PROTOCOL: &[u8] = b"h3";

/// A certificate and its key, made for this test.
#[derive(Clone)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// A new one.
    pub fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        Ok(Self {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        })
    }

    fn server(&self) -> Result<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.clone()).map_err(anyhow::Error::msg)?;
        let mut tls = rustls::ServerConfig::builder_with_protocol_versions(&[&TLS13])
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?;
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        let crypto = QuicServerConfig::try_from(tls)?;
        Ok(ServerConfig::with_crypto(Arc::new(crypto)))
    }

    fn client(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&TLS13])
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
            tls,
        )?)))
    }
}

/// How a server meets a client whose address it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meets {
    /// It goes on with the handshake.
    AtOnce,
    /// It asks to come again with a token (RFC 9000 section 8.1.2).
    ByRetry,
}

/// A running server. Its socket is closed when this is dropped.
pub struct QuicServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl QuicServer {
    /// Starts it in the network of `node` and waits until it has its socket.
    pub fn start(
        node: &Namespace,
        address: SocketAddr,
        identity: &Identity,
        meets: Meets,
    ) -> Result<Self> {
        let config = identity.server()?;
        let (stop, stopped) = oneshot::channel();
        let (listening, ready) = mpsc::channel();
        let thread = node.network_thread("quic-server", move || -> Result<()> {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async move {
                let endpoint = Endpoint::server(config, address)?;
                listening.send(())?;
                tokio::select! {
                    () = serve(&endpoint, meets) => {}
                    _ = stopped => {}
                }
                Ok(())
            })
        })?;
        ready.recv().context("no QUIC server")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for QuicServer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(endpoint: &Endpoint, meets: Meets) {
    while let Some(incoming) = endpoint.accept().await {
        if meets == Meets::ByRetry && !incoming.remote_address_validated() {
            // It is possible for any address that is not validated.
            let _ = incoming.retry();
            continue;
        }
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                connection.closed().await;
            }
        });
    }
}

/// Connects so many times, one after another. Returns how often a connection came
/// about within `patience`.
pub fn connect(
    node: &Namespace,
    service: SocketAddr,
    identity: &Identity,
    count: u32,
    patience: Duration,
) -> Result<u32> {
    let identity = identity.clone();
    let clients = node.network_thread("quic-clients", move || -> Result<u32> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let outcome: Result<_> = runtime.block_on(async move {
            let mut connected = 0;
            // One that is given up would say so, by another Initial.
            let mut waiting = Vec::new();
            for _ in 0..count {
                let any = if service.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                };
                let endpoint = Endpoint::client(any.parse()?)?;
                // A new one each time, that has never met the server: a client that has
                // may leave out the fixed bit (RFC 9287 section 3.1).
                let config = identity.client()?;
                let mut connecting = endpoint.connect_with(config, service, NAME)?;
                if let Ok(connection) = timeout(patience, &mut connecting).await {
                    connection?.close(0_u32.into(), b"done");
                    endpoint.wait_idle().await;
                    connected += 1;
                } else {
                    waiting.push((endpoint, connecting));
                }
            }
            Ok((connected, waiting))
        });
        // Nothing is sent any more.
        drop(runtime);
        Ok(outcome?.0)
    })?;
    clients.join().expect("the clients do not panic")?
}
