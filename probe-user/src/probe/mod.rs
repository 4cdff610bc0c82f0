//! Active probes: asks a service itself whether it serves.
//!
//! In flows a [`Service`] with its configured probe; out flows how long the answer
//! took and, if there was none or a wrong one, which of the [`ProbeFailure`]s it was.
//! One call is one probe; when to probe, and how many at once, is the core's decision.
//!
//! ```text
//!  Service ─▶ Prober::run ─▶ tcp │ tls │ http │ dns │ quic │ exec ─▶ Ok │ ProbeFailure
//!                            └─ way (from, to) ─┘
//! ```

mod dns;
mod exec;
mod http;
#[cfg(test)]
pub(crate) mod loopback;
mod quic;
mod tcp;
mod tls;
mod trust;
mod way;
mod words;

use core::time::Duration;
use std::time::Instant;

use probe_core::{
    config::{Probe, ProbeKind, Service},
    input::ProbeFailure,
};

use trust::Trust;
use way::Way;

pub use trust::NoRoots;

/// Asks, with all that one probe shares with the next.
#[derive(Debug)]
pub struct Prober {
    trust: Trust,
    sockets: quic::Sockets,
    dying: exec::Dying,
}

impl Prober {
    /// A prober for these services. The host's root certificates are read if one of
    /// them is to be verified.
    pub fn new(services: &[Service]) -> Result<Self, NoRoots> {
        let verifies = services
            .iter()
            .any(|service| service.probe.kind.tls().is_some_and(|tls| tls.verify));
        Ok(Self::by(if verifies {
            Trust::of_host()?
        } else {
            Trust::in_anybody()
        }))
    }

    fn by(trust: Trust) -> Self {
        Self {
            trust,
            sockets: quic::Sockets::default(),
            dying: exec::Dying::default(),
        }
    }

    /// Probes once, within the probe's timeout.
    pub async fn run(&self, service: &Service) -> (Duration, Result<(), ProbeFailure>) {
        let start = Instant::now();
        let outcome = tokio::time::timeout(service.probe.timeout, self.ask(service))
            .await
            .unwrap_or(Err(ProbeFailure::Timeout));
        (start.elapsed(), outcome)
    }

    async fn ask(&self, service: &Service) -> Result<(), ProbeFailure> {
        let Probe { kind, source, .. } = &service.probe;
        let to = |target| Way {
            target,
            source: *source,
        };
        match kind {
            // The core does not command this.
            ProbeKind::None => Err(ProbeFailure::Other("nothing to ask".to_owned())),
            ProbeKind::Tcp { target } => tcp::ask(to(*target)).await,
            ProbeKind::Tls { target, tls } => {
                Box::pin(tls::ask(to(*target), tls, &self.trust)).await
            }
            ProbeKind::Http {
                target,
                host,
                path,
                status,
                body,
                tls,
            } => {
                let question = http::Question {
                    host,
                    path,
                    status: *status,
                    body: body.as_deref(),
                };
                match tls {
                    None => http::ask(to(*target), question).await,
                    Some(tls) => {
                        Box::pin(http::ask_over_tls(to(*target), question, tls, &self.trust)).await
                    }
                }
            }
            ProbeKind::Dns {
                target,
                transport,
                name,
                record,
            } => dns::ask(to(*target), *transport, name, *record).await,
            ProbeKind::Quic { target, tls } => {
                Box::pin(quic::ask(to(*target), tls, &self.trust, &self.sockets)).await
            }
            ProbeKind::Exec { command } => exec::ask(command, service, &self.dying).await,
        }
    }
}
