//! Links of all kinds: answers that leave by another link than the one by which the
//! requests came, jumbo frames, and tc on both hooks.
//!
//! ```text
//!  clients  eth0 ── requests ─▶ eth0  host   a server; programs on both links
//!           eth1 ◀─ answers ─── eth1
//! ```
//! The truth is what the clients' kernel says of each connection (`TCP_INFO`).

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    pair::{Direction, Pair},
    sensor::{self, Sensor, Tally},
    tcp_info::TcpInfo,
    topology::{Family, OUTER, Site},
};
use probe_common::trial::Kind;
use probe_core::config::Application;
use probe_user::datapath::{AttachMode, Hook, Mode};

const CONNECTIONS: u32 = 10;
const REQUEST: usize = 300_000;
const RESPONSE: usize = 500_000;
const OTHER: &str = "eth1";

fn services() -> [SocketAddr; 2] {
    Family::ALL.map(|family| SocketAddr::new(family.service(), 8080))
}

/// Takes a request to its end, answers, and closes.
fn serve(pair: &Pair) -> Result<()> {
    for service in services() {
        let (listening, ready) = mpsc::channel();
        pair.host.network_thread("server", move || -> Result<()> {
            let listener = TcpListener::bind(service)?;
            listening.send(())?;
            let response = vec![7; RESPONSE];
            for stream in listener.incoming() {
                let mut stream = stream?;
                stream.read_to_end(&mut Vec::new())?;
                stream.write_all(&response)?;
            }
            Ok(())
        })?;
        ready.recv().context("no listener")?;
    }
    Ok(())
}

/// What one client's kernel says, of all its connections to a service.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    packets_in: u64,
    packets_out: u64,
    retransmitted: u32,
}

fn come(service: SocketAddr) -> Result<Truth> {
    let mut truth = Truth::default();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(service)?;
        stream.write_all(&vec![1; REQUEST])?;
        stream.shutdown(Shutdown::Write)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        ensure!(response.len() == RESPONSE, "{} bytes", response.len());
        let info = TcpInfo::of(&stream)?;
        truth.packets_in += u64::from(info.segments_out);
        truth.packets_out += u64::from(info.segments_in);
        truth.retransmitted += info.retransmitted;
    }
    Ok(truth)
}

/// IP bytes of so many segments with the timestamps option; a SYN has eight bytes
/// more of options.
fn ip_bytes(service: SocketAddr, packets: u64, payload: usize) -> Result<u64> {
    let headers = if service.is_ipv4() { 52 } else { 72 };
    let payload = u64::try_from(payload)? * u64::from(CONNECTIONS);
    Ok(headers * packets + payload + 8 * u64::from(CONNECTIONS))
}

/// Lets the clients come and compares. Returns the mode of the ingress hooks.
fn counts_what_passes(pair: &Pair, interfaces: &[&str], attach: AttachMode) -> Result<Mode> {
    serve(pair)?;
    let specs = services().map(|address| sensor::tcp(address, Application::Any));
    let mut sensor = Sensor::start(&pair.host, interfaces, attach, &specs)?;
    let attachments = sensor.attachments();
    ensure!(attachments.len() == 2 * interfaces.len(), "{attachments:?}");
    let clients = pair
        .clients
        .network_thread("clients", || services().map(come))?;
    let truths = clients.join().expect("the clients do not panic")?;
    sensor::settle();
    for ((service, address), truth) in services().into_iter().enumerate().zip(truths) {
        let truth = truth?;
        let (traffic, counters) = (sensor.traffic(service), sensor.counters(service));
        println!("{address}: {truth:?}");
        let seen = (traffic.packets_in, traffic.packets_out);
        ensure!(
            seen == (truth.packets_in, truth.packets_out),
            "{truth:?}, {traffic:?}, {counters:?}"
        );
        ensure!(truth.retransmitted == 0, "{truth:?}");
        let bytes = (
            ip_bytes(address, truth.packets_in, REQUEST)?,
            ip_bytes(address, truth.packets_out, RESPONSE)?,
        );
        ensure!(
            (traffic.bytes_in, traffic.bytes_out) == bytes,
            "{bytes:?}, {traffic:?}"
        );
        ensure!(
            counters.sampled_segments_in > 0
                && counters.retransmissions_in + counters.retransmissions_out == 0,
            "{counters:?}"
        );
        for kind in [Kind::Connect, Kind::Handshake, Kind::Finish] {
            sensor.expect(service, kind, Tally::all_succeeded(CONNECTIONS))?;
        }
    }
    attachments
        .iter()
        .find(|attachment| attachment.hook == Hook::Ingress)
        .map(|attachment| attachment.mode)
        .context("no ingress hook")
}

#[test]
fn answers_may_leave_by_another_link() -> Result<()> {
    let pair = Pair::new()?;
    pair.link(OTHER, Site::Ams1)?;
    for family in Family::ALL {
        pair.set_way(Direction::ToClients, family, OTHER, Site::Ams1)?;
    }
    let mode = counts_what_passes(&pair, &[OUTER, OTHER], AttachMode::Native)?;
    ensure!(mode == Mode::Native, "{mode:?}");
    Ok(())
}

#[test]
fn jumbo_frames_are_counted_as_they_are() -> Result<()> {
    let pair = Pair::new()?;
    for node in [&pair.host, &pair.clients] {
        node.ip(&format!("link set {OUTER} mtu 9000\n"))?;
    }
    let mode = counts_what_passes(&pair, &[OUTER], AttachMode::Auto)?;
    println!("MTU 9000: {}", mode.name());
    ensure!(matches!(mode, Mode::Native | Mode::Generic), "{mode:?}");
    Ok(())
}

#[test]
fn native_xdp_counts_each_packet() -> Result<()> {
    let mode = counts_what_passes(&Pair::new()?, &[OUTER], AttachMode::Native)?;
    ensure!(mode == Mode::Native, "{mode:?}");
    Ok(())
}

/// Here the buffers of a veth are those of the sender, with many segments each.
#[test]
fn tc_alone_counts_the_segments_of_large_buffers() -> Result<()> {
    let mode = counts_what_passes(&Pair::new()?, &[OUTER], AttachMode::Tc)?;
    ensure!(mode == Mode::Tcx, "{mode:?}");
    Ok(())
}
