//! A thousand services: one more nginx on many ports, each of which has been probed and has
//! answered a client.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::lab::{
    lapwing::{Lapwing, MORE_PORTS},
    netns::{Namespace, Process},
    nginx,
    topology::Family,
    wait_until,
};

/// A thousand services are probed before all of them are known.
pub const PATIENT: Duration = Duration::from_mins(1);
/// Half of the clients reach the other site, where nobody listens.
const TRIES: u32 = 60;

/// Another nginx, at the ports of the further services.
pub fn serve_more(node: &Namespace, per_family: u16) -> Result<Process> {
    let listen: String = Family::ALL
        .iter()
        .flat_map(|family| {
            (MORE_PORTS..)
                .take(per_family.into())
                .map(|port| format!("listen {};\n", SocketAddr::new(family.service(), port)))
        })
        .collect();
    nginx::serve(
        node,
        "nginx-more",
        &format!("  server {{ {listen} return 204; }}\n"),
    )
}

/// Waits until every service's probe passes.
pub fn wait_probed(node: &Namespace, daemon: &Lapwing) -> Result<()> {
    wait_until("every service's probe passes", PATIENT, || {
        let status = daemon.status(node)?;
        let services = status["services"].as_array().context("no services")?;
        Ok(services
            .iter()
            .all(|service| service["probe_passes"] == true))
    })
}

/// Lets a client ask each of them, so that it has latencies to tell.
pub fn ask_each(clients: &Namespace, per_family: u16) -> Result<()> {
    clients.inside(move || {
        for family in Family::ALL {
            for port in (MORE_PORTS..).take(per_family.into()) {
                let address = SocketAddr::new(family.service(), port);
                let answered = (0..TRIES).any(|_| ask(address).unwrap_or(false));
                ensure!(answered, "{address} answers nobody");
            }
        }
        Ok(())
    })?
}

fn ask(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 204"))
}
