//! Whom a TLS or QUIC probe believes: from the `tls` of a probe to rustls's client
//! configuration.
//!
//! Unverified certificates are still made use of: the server must prove that it holds
//! the key, as it must to any client.

use core::{fmt, net::SocketAddr};
use std::sync::Arc;

use probe_core::{config::Tls, input::ProbeFailure};
use rustls_native_certs::CertificateResult;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::words;

/// The host has no root certificates to verify with.
#[derive(Debug, thiserror::Error)]
#[error(
    "a probe has `verify = true`, but this host has no root certificates{0}\nhelp: install the package ca-certificates, name a file in the environment variable SSL_CERT_FILE, or set verify = false"
)]
pub struct NoRoots(String);

/// Certificates that are believed.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    anybody: Arc<Anybody>,
    roots: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// Believes any certificate; can verify none.
    pub(super) fn in_anybody() -> Self {
        let provider = ring::default_provider();
        Self {
            anybody: Arc::new(Anybody(provider.signature_verification_algorithms)),
            provider: Arc::new(provider),
            roots: None,
        }
    }

    /// Can verify by the host's own roots, where also private authorities are.
    pub(super) fn of_host() -> Result<Self, NoRoots> {
        Self::of_found(rustls_native_certs::load_native_certs())
    }

    fn of_found(found: CertificateResult) -> Result<Self, NoRoots> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Self::by(roots).map_err(|error| {
            let why = found.errors.first().map_or(error, ToString::to_string);
            NoRoots(format!(": {why}"))
        })
    }

    /// Can verify by these roots.
    pub(super) fn by(roots: RootCertStore) -> Result<Self, String> {
        let mut trust = Self::in_anybody();
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&trust.provider),
        )
        .build()
        .map_err(|error| error.to_string())?;
        trust.roots = Some(verifier);
        Ok(trust)
    }

    /// A client that shakes hands as `tls` says, anew each time: a resumed session
    /// would not show that the server still has its key.
    pub(super) fn client(
        &self,
        tls: &Tls,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ClientConfig, ProbeFailure> {
        let verifier: Arc<dyn ServerCertVerifier> = match (&self.roots, tls.verify) {
            (_, false) => Arc::clone(&self.anybody) as _,
            (Some(roots), true) => Arc::clone(roots) as _,
            (None, true) => {
                return Err(ProbeFailure::Tls("no root certificates were read".into()));
            }
        };
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .map_err(|error| failure(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        client.alpn_protocols = tls
            .alpn
            .iter()
            .map(|protocol| protocol.clone().into_bytes())
            .collect();
        client.resumption = Resumption::disabled();
        Ok(client)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("verifies", &self.roots.is_some())
            .finish_non_exhaustive()
    }
}

/// Whom the certificate must be for: the configured name, else the target's address.
pub(super) fn server_name(
    tls: &Tls,
    target: SocketAddr,
) -> Result<ServerName<'static>, ProbeFailure> {
    match &tls.name {
        None => Ok(ServerName::IpAddress(target.ip().into())),
        Some(name) => ServerName::try_from(name.clone())
            .map_err(|error| ProbeFailure::Tls(words::chain(name, &error))),
    }
}

/// What rustls says.
pub(super) fn failure(error: &Error) -> ProbeFailure {
    ProbeFailure::Tls(words::line(&error.to_string()))
}

/// Believes every certificate whose key the server has.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::DEFAULT_VERSIONS;

    use super::*;

    fn verified() -> Tls {
        Tls {
            verify: true,
            ..Tls::default()
        }
    }

    #[test]
    fn a_host_without_roots_is_told_with_a_remedy() {
        let Err(error) = Trust::of_found(CertificateResult::default()) else {
            panic!("verifies by nothing");
        };
        let words = error.to_string();
        assert!(words.contains("no root certificates"), "{words}");
        assert!(words.contains("ca-certificates"), "{words}");
    }

    #[test]
    fn roots_that_cannot_be_read_beside_good_ones_do_no_harm() {
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let mut found = CertificateResult::default();
        found.certs = vec![root.der().clone(), CertificateDer::from(vec![1, 2, 3])];
        let trust = Trust::of_found(found).unwrap();
        assert!(trust.client(&verified(), DEFAULT_VERSIONS).is_ok());
    }

    #[test]
    fn nothing_is_verified_without_roots() {
        let trust = Trust::in_anybody();
        assert!(trust.client(&Tls::default(), DEFAULT_VERSIONS).is_ok());
        let failure = trust.client(&verified(), DEFAULT_VERSIONS).unwrap_err();
        assert!(matches!(failure, ProbeFailure::Tls(_)), "{failure:?}");
    }
}
