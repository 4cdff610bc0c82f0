//! Active probes: asks a service itself whether it serves.
//!
//! In flows the configured [`Probe`]; out flows how long the answer took and, if
//! there was none or a wrong one, which of the [`ProbeFailure`]s it was. One call
//! is one probe; when to probe, and how many at once, is the core's decision.

mod dns;
mod http;
mod tcp;

use core::{net::SocketAddr, time::Duration};
use std::{io, time::Instant};

use probe_core::{
    config::{Probe, ProbeKind},
    input::ProbeFailure,
};
use tokio::net::TcpStream;

/// Probes once, within the probe's timeout.
pub async fn run(probe: &Probe) -> (Duration, Result<(), ProbeFailure>) {
    let start = Instant::now();
    let ask = async {
        match &probe.kind {
            // The core does not command this.
            ProbeKind::None => Err(ProbeFailure::Other("nothing to ask".to_owned())),
            ProbeKind::Tcp { target } => tcp::ask(*target).await,
            ProbeKind::Http {
                target,
                host,
                path,
                status,
            } => http::ask(*target, host, path, *status).await,
            ProbeKind::Dns {
                target,
                name,
                record,
            } => dns::ask(*target, name, *record).await,
        }
    };
    let outcome = tokio::time::timeout(probe.timeout, ask)
        .await
        .unwrap_or(Err(ProbeFailure::Timeout));
    (start.elapsed(), outcome)
}

async fn connect(target: SocketAddr) -> Result<TcpStream, ProbeFailure> {
    TcpStream::connect(target)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ProbeFailure::Refused,
            io::ErrorKind::TimedOut => ProbeFailure::Timeout,
            _ => ProbeFailure::Other(format!("cannot connect to {target}: {error}")),
        })
}
