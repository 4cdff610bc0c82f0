//! For the tests of all probes: services on loopback that are asked once, and servers
//! with certificates made for the test.

use core::net::SocketAddr;
use std::{sync::Arc, time::Duration};

use probe_core::{
    config::{Application, Endpoint, Probe, ProbeKind, Protocol, Service},
    input::ProbeFailure,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{Prober, Trust};
use crate::config::Settings;

/// Any free port of each.
pub const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// The name in certificates.
pub const NAME: &str = "www.example";

/// When a probe has failed; longer than a handshake takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// A service that is asked this.
pub fn service(kind: ProbeKind) -> Service {
    Service {
        name: "web".to_owned(),
        endpoint: Endpoint {
            address: "2001:db8::10".parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
        },
        application: Application::Any,
        detect: Settings::without_file().detect,
        probe: Probe {
            kind,
            source: None,
            interval: Duration::from_secs(1),
            timeout: TIMEOUT,
            rise: 2,
            fall: 3,
        },
    }
}

/// Asks once.
pub async fn run(kind: ProbeKind) -> (Duration, Result<(), ProbeFailure>) {
    run_with(Trust::in_anybody(), kind).await
}

/// Asks once, on a host that trusts this identity's authority.
pub async fn run_by(identity: &Identity, kind: ProbeKind) -> (Duration, Result<(), ProbeFailure>) {
    run_with(identity.trust(), kind).await
}

async fn run_with(trust: Trust, kind: ProbeKind) -> (Duration, Result<(), ProbeFailure>) {
    Prober::by(trust).run(&service(kind)).await
}

/// A certificate, its key, and the authority behind it.
#[derive(Clone)]
pub struct Identity {
    authority: Arc<CertifiedIssuer<'static, KeyPair>>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// A good one for [`NAME`] and the loopback addresses, of an authority of its own.
    pub fn valid() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self::signed_by(Arc::new(authority), &params_for(NAME))
    }

    /// Of the same authority, expired.
    pub fn expired(&self) -> Self {
        let mut params = params_for(NAME);
        params.not_after = date_time_ymd(2020, 1, 1);
        Self::signed_by(Arc::clone(&self.authority), &params)
    }

    /// Of the same authority, for another name.
    pub fn of(&self, name: &str) -> Self {
        Self::signed_by(Arc::clone(&self.authority), &params_for(name))
    }

    fn signed_by(
        authority: Arc<CertifiedIssuer<'static, KeyPair>>,
        params: &CertificateParams,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.signed_by(&key, &authority).unwrap().der().clone(),
            key: key.serialize_der(),
            authority,
        }
    }

    fn trust(&self) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        Trust::by(roots).unwrap()
    }

    /// A server that has it.
    pub fn server(&self, alpn: &[&str]) -> ServerConfig {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

fn params_for(name: &str) -> CertificateParams {
    let mut names = vec![name.to_owned()];
    if name == NAME {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    CertificateParams::new(names).unwrap()
}

/// A TLS server that answers every request with the same text. Ends when dropped.
pub struct TlsServer {
    pub address: SocketAddr,
    asked_for: mpsc::UnboundedReceiver<Option<String>>,
    task: JoinHandle<()>,
}

impl TlsServer {
    pub async fn start(
        address: &str,
        identity: &Identity,
        alpn: &[&str],
        answer: &'static str,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(identity.server(alpn)));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ask, asked_for) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // The client may not like the certificate.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                let _ = ask.send(name);
                if answer.is_empty() {
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    continue;
                }
                let _ = head(&mut stream).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self {
            address,
            asked_for,
            task,
        }
    }

    /// The name that the next client asked for.
    pub async fn asked_for(&mut self) -> Option<String> {
        self.asked_for.recv().await.unwrap()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The head of an HTTP request.
pub async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
