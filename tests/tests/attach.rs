//! Every way of attaching counts the same, and goes on counting after a restart.
//!
//! ```text
//!  client e1 ── veth ── e0 host (a listener; the programs on e0)
//! ```

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::netns::Namespace;
use probe_common::counters::Counters;
use probe_core::{
    config::{Application, Endpoint, Protocol},
    input::Sensor,
};
use probe_user::datapath::{self, AttachMode, Datapath, Hook, Measure, Mode, Options, ServiceSpec};

const CONNECTIONS: u64 = 20;
const SERVICES: [&str; 2] = ["198.18.77.1:8080", "[2001:db8:77::1]:8080"];
const PIN_DIR: &str = "/sys/fs/bpf/lapwing";

fn options(attach: AttachMode) -> Options {
    let services = SERVICES
        .map(|service| service.parse::<SocketAddr>().expect("a socket address"))
        .map(|service| ServiceSpec {
            endpoint: Endpoint {
                address: service.ip(),
                port: service.port(),
                protocol: Protocol::Tcp,
            },
            application: Application::Any,
            deadline: Duration::from_millis(100),
        });
    Options {
        pin_dir: PathBuf::from(PIN_DIR),
        interfaces: vec!["e0".to_owned()],
        attach,
        services: services.to_vec(),
        measure: Measure::default(),
        trace: false,
    }
}

/// Host and client, joined by a link.
fn nodes() -> Result<(Namespace, Namespace)> {
    let host = Namespace::new("host")?;
    let client = Namespace::new("client")?;
    let peer = client.netns_path();
    let peer = peer.display();
    host.ip(&format!("link add e0 type veth peer name e1 netns {peer}"))?;
    for (node, link, last) in [(&host, "e0", 1), (&client, "e1", 2)] {
        node.ip(&format!("link set {link} up"))?;
        node.ip(&format!("addr add 198.18.77.{last}/24 dev {link}"))?;
        node.ip(&format!("addr add 2001:db8:77::{last}/64 dev {link} nodad"))?;
    }
    Ok((host, client))
}

/// What one start of the data plane saw.
struct Start {
    attached: Vec<(Hook, Mode)>,
    counters: Vec<Counters>,
    filters: usize,
}

/// Loads and attaches, lets the clients come, and lets go again.
fn start(attach: AttachMode, come: &dyn Fn() -> Result<()>) -> Result<Start> {
    let mut datapath = Datapath::load(&options(attach))?;
    datapath.attach()?;
    ensure!(datapath.sensor() == Sensor::Attached, "not all in place");
    come()?;
    let show = Command::new("tc")
        .args(["filter", "show", "dev", "e0", "egress"])
        .output()?;
    Ok(Start {
        attached: datapath
            .attachments()
            .iter()
            .map(|attachment| (attachment.hook, attachment.mode))
            .collect(),
        counters: datapath.counters(),
        filters: String::from_utf8_lossy(&show.stdout)
            .matches("direct-action")
            .count(),
    })
}

fn counts_the_same(attach: AttachMode, ingress: Mode, egress: Mode) -> Result<()> {
    let (host, client) = nodes()?;
    let (come, called) = mpsc::channel::<()>();
    let (finished, results) = mpsc::channel::<Result<()>>();
    let clients = client.network_thread("clients", move || {
        for () in called {
            let _ = finished.send(connect_to_all());
        }
    })?;
    for service in SERVICES {
        let (listening, ready) = mpsc::channel();
        host.network_thread("listener", move || -> Result<()> {
            let listener = TcpListener::bind(service)?;
            listening.send(())?;
            listener.incoming().for_each(drop);
            Ok(())
        })?;
        ready.recv().context("no listener")?;
    }
    let (first, second, removed, left) = host.inside(move || -> Result<_> {
        let come = || -> Result<()> {
            come.send(())?;
            results.recv().context("the clients ended")?
        };
        let first = start(attach, &come)?;
        let second = start(attach, &come)?;
        let removed = datapath::detach(&PathBuf::from(PIN_DIR))?;
        let left = Command::new("tc")
            .args(["filter", "show", "dev", "e0", "egress"])
            .output()?;
        Ok((first, second, removed, left.stdout))
    })??;
    drop(clients);

    for (start, times) in [(&first, 1), (&second, 2)] {
        ensure!(
            start.attached == [(Hook::Ingress, ingress), (Hook::Egress, egress)],
            "{:?}",
            start.attached
        );
        for counters in &start.counters {
            let seen = [counters.syn, counters.synack, counters.verified];
            ensure!(seen == [CONNECTIONS * times; 3], "{attach:?}: {counters:?}");
        }
        let filters = usize::from(egress == Mode::Clsact);
        ensure!(start.filters == filters, "{} filters", start.filters);
    }
    ensure!(removed.len() >= 10, "removed only {removed:?}");
    ensure!(left.is_empty(), "left: {}", String::from_utf8_lossy(&left));
    Ok(())
}

fn connect_to_all() -> Result<()> {
    for service in SERVICES {
        for _ in 0..CONNECTIONS {
            TcpStream::connect(service)?;
        }
    }
    Ok(())
}

#[test]
fn native_xdp_and_tcx() -> Result<()> {
    counts_the_same(AttachMode::Auto, Mode::Native, Mode::Tcx)
}

#[test]
fn generic_xdp_and_tcx() -> Result<()> {
    counts_the_same(AttachMode::Generic, Mode::Generic, Mode::Tcx)
}

#[test]
fn tcx_on_both_hooks() -> Result<()> {
    counts_the_same(AttachMode::Tc, Mode::Tcx, Mode::Tcx)
}

#[test]
fn clsact_on_both_hooks_as_before_kernel_6_6() -> Result<()> {
    counts_the_same(AttachMode::Clsact, Mode::Clsact, Mode::Clsact)
}
