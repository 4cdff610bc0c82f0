//! Real QUIC: each client's first Initial is a trial.
//!
//! ```text
//!  clients ── eth0  host   a QUIC server; XDP and tc on eth0
//! ```

mod endpoints;
mod withdrawal;

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    pair::Pair,
    sensor::{self, Sensor, Tally},
    topology::{Family, OUTER},
};
use probe_common::trial::Kind;
use probe_core::config::Application;
use probe_user::datapath::AttachMode;

use endpoints::{Identity, Meets, QuicServer, connect};

const CLIENTS: u32 = 15;
/// Clients that nobody answers. They are done before the first of them sends its
/// Initial again, which is after a second (RFC 9002 section 6.2.2).
const UNANSWERED: u32 = 8;
const PATIENCE: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3);

fn services() -> [SocketAddr; 2] {
    Family::ALL.map(|family| SocketAddr::new(family.service(), 443))
}

fn start(pair: &Pair) -> Result<Sensor> {
    let specs = services().map(|address| sensor::udp(address, Application::Quic));
    Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &specs)
}

#[test]
fn answered_initials_are_trials_that_succeed_until_the_server_is_gone() -> Result<()> {
    let pair = Pair::new()?;
    let identity = Identity::new()?;
    let mut sensor = start(&pair)?;
    for (service, address) in services().into_iter().enumerate() {
        let server = QuicServer::start(&pair.host, address, &identity, Meets::AtOnce)?;
        let connected = connect(&pair.clients, address, &identity, CLIENTS, LONG)?;
        ensure!(connected == CLIENTS, "{connected} connected");
        sensor.expect(service, Kind::Quic, Tally::all_succeeded(CLIENTS))?;
        let counters = sensor.counters(service);
        ensure!(
            counters.quic_initials_in >= u64::from(CLIENTS)
                && counters.quic_initials_out >= u64::from(CLIENTS),
            "{counters:?}"
        );
        drop(server);
        let connected = connect(&pair.clients, address, &identity, UNANSWERED, PATIENCE)?;
        ensure!(connected == 0, "{connected} connected");
        let expected = Tally {
            started: CLIENTS + UNANSWERED,
            succeeded: CLIENTS,
            failed: UNANSWERED,
            ..Tally::default()
        };
        sensor.expect(service, Kind::Quic, expected)?;
        let counters = sensor.counters(service);
        ensure!(
            counters.unreachable_out >= u64::from(UNANSWERED),
            "{counters:?}"
        );
    }
    Ok(())
}

#[test]
fn server_that_does_not_answer_is_missing() -> Result<()> {
    let pair = Pair::new()?;
    let identity = Identity::new()?;
    let mut sensor = start(&pair)?;
    for (service, address) in services().into_iter().enumerate() {
        let silent = pair.host.inside(move || UdpSocket::bind(address))??;
        let connected = connect(&pair.clients, address, &identity, UNANSWERED, PATIENCE)?;
        ensure!(connected == 0, "{connected} connected");
        sensor::settle();
        sensor.expect(service, Kind::Quic, Tally::all_missing(UNANSWERED))?;
        drop(silent);
    }
    Ok(())
}

/// The answer to the first Initial is a Retry, and the client comes again: both are
/// answered.
#[test]
fn retry_is_an_answer_and_the_client_that_comes_again_is_a_new_trial() -> Result<()> {
    let pair = Pair::new()?;
    let identity = Identity::new()?;
    let mut sensor = start(&pair)?;
    for (service, address) in services().into_iter().enumerate() {
        let _server = QuicServer::start(&pair.host, address, &identity, Meets::ByRetry)?;
        let connected = connect(&pair.clients, address, &identity, CLIENTS, LONG)?;
        ensure!(connected == CLIENTS, "{connected} connected");
        sensor.expect(service, Kind::Quic, Tally::all_succeeded(2 * CLIENTS))?;
        let counters = sensor.counters(service);
        ensure!(counters.quic_retries == u64::from(CLIENTS), "{counters:?}");
    }
    Ok(())
}

/// RFC 9000 section 6: a version that the server does not know (RFC 9000 section
/// 15 reserves it for this) is answered with those that it knows. Nothing about the
/// packet can be trusted in such a version, so it is no trial.
#[test]
fn version_negotiation_is_counted_and_no_trial() -> Result<()> {
    const UNKNOWN: [u8; 4] = [0x1a, 0x2a, 0x3a, 0x4a];
    let pair = Pair::new()?;
    let identity = Identity::new()?;
    let mut sensor = start(&pair)?;
    for (service, address) in services().into_iter().enumerate() {
        let _server = QuicServer::start(&pair.host, address, &identity, Meets::AtOnce)?;
        let client = pair.clients.inside(move || -> Result<()> {
            let any = if address.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            let ids = [8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1];
            for _ in 0..CLIENTS {
                let mut packet = [[0xc0].as_slice(), &UNKNOWN, &ids].concat();
                packet.resize(1200, 0);
                socket.send(&packet)?;
                let mut answer = [0; 1500];
                socket.recv(&mut answer)?;
                ensure!(answer[1..5] == [0; 4], "no version negotiation");
            }
            Ok(())
        })?;
        client?;
        sensor.expect(service, Kind::Quic, Tally::default())?;
        let counters = sensor.counters(service);
        ensure!(
            counters.quic_version_negotiations == u64::from(CLIENTS),
            "{counters:?}"
        );
    }
    Ok(())
}
