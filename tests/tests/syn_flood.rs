//! A SYN flood from sources that do not exist leaves the statistics of real clients
//! as they are.
//!
//! ```text
//!  clients ══ 500/s, real ════╗
//!  1,000,000 SYNs, spoofed ═══╩═▶ eth0  host   nginx; XDP and tc on eth0
//! ```
//! What can tell the two apart is the handshake: only who receives at its address
//! can acknowledge our SYN-ACK. So what is asserted is, with the clients' own count
//! as the truth:
//! - nearly each connection of theirs (95 of 100 and more) is one verified handshake,
//!   one request and one end, and all that are judged are successes;
//! - `connect`, in which the flood's SYNs take part, has no failure and nothing
//!   missing: each SYN that was seen was answered (by SYN cookies), or says that it
//!   could not be followed, and the sums agree;
//! - `handshake` has as many successes as there are verified handshakes and no
//!   failure; the flood's own are abandoned, or missing.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    flood::syn_flood,
    load::{Interval, Load, Plan},
    netns::Namespace,
    nginx::Nginx,
    pair::Pair,
    sensor::{self, Sensor, Tally},
    topology::{Family, OUTER, Site},
};
use probe_common::trial::Kind;
use probe_core::config::Application;
use probe_user::datapath::AttachMode;

const PER_FAMILY: u32 = 250;
const FLOOD: u32 = 500_000;
const OTHER_PORT: u16 = 8081;

fn address(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(family.service(), port)
}

fn plan() -> Plan {
    Plan {
        // The flood may make the link drop a SYN; its client comes again.
        timeout: Duration::from_secs(8),
        ..Plan::steady(PER_FAMILY)
    }
}

/// Floods a port over both families while the clients come; what these got.
fn flooded(pair: &Pair, port: u16) -> Result<Interval> {
    let load = Load::start(&pair.clients, plan())?;
    std::thread::sleep(Duration::from_millis(500));
    let floods = Family::ALL.map(|family| {
        pair.clients
            .network_thread("flood", move || syn_flood(address(family, port), FLOOD))
    });
    for flood in floods {
        flood?.join().expect("the flood does not panic")??;
    }
    std::thread::sleep(Duration::from_millis(500));
    let got = load.finish()?;
    sensor::settle();
    Ok(got)
}

/// What is true of real clients, whatever else comes. In a hundred, five may be forgotten
/// (one or two are where the machine is left alone): their half-open entry gave way to the
/// flood before their ACK came, or the flood made the link drop their request until the
/// gate had closed. Of those nothing more is known, and nothing is counted. No other may fail but those who say so themselves.
fn expect_clients(
    sensor: &mut Sensor,
    service: usize,
    got: &Interval,
    family: Family,
) -> Result<()> {
    let clients = served(got, family)?;
    let enough = clients - clients * 5 / 100;
    let refused = got.refused.get(&family).copied().unwrap_or(0);
    let counters = sensor.counters(service);
    let verified = u32::try_from(counters.verified)?;
    ensure!(
        (enough..=clients + refused).contains(&verified),
        "{clients} clients, {counters:?}"
    );
    for kind in [Kind::Request, Kind::Status, Kind::Finish, Kind::Handshake] {
        let trials = sensor.trials(service, kind)?;
        ensure!(
            (enough..=verified).contains(&trials.succeeded) && trials.failed <= refused,
            "{kind:?} of {verified} verified: {trials:?}"
        );
        // The flood's own handshakes are missing, too.
        ensure!(
            kind == Kind::Handshake || trials.missing() <= refused,
            "{kind:?}: {trials:?}"
        );
    }
    Ok(())
}

/// The connections that were answered: all, but for one in a thousand that the host
/// itself may refuse while it is out of room.
fn served(got: &Interval, family: Family) -> Result<u32> {
    let served = got.answers_of(Site::Fra1, family);
    ensure!(
        served > PER_FAMILY && got.failures() <= served / 1000,
        "clients of their own: {got:?}"
    );
    Ok(served)
}

fn with_cookies(host: &Namespace) -> Result<()> {
    host.sysctl(&[("net.ipv4.tcp_syncookies", "1")])
}

#[test]
fn flood_of_a_million_leaves_real_clients_trials_alone() -> Result<()> {
    let pair = Pair::new()?;
    with_cookies(&pair.host)?;
    let _nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let services = Family::ALL.map(|family| sensor::tcp(address(family, 80), Application::Http));
    let mut sensor = Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &services)?;
    let got = flooded(&pair, 80)?;
    for (service, family) in Family::ALL.into_iter().enumerate() {
        let clients = served(&got, family)?;
        let counters = sensor.counters(service);
        let connect = sensor.trials(service, Kind::Connect)?;
        println!(
            "{family}: {clients} clients, {} SYNs, {} verified, without room {}, {connect:?}, \
             handshake {:?}",
            counters.syn,
            counters.verified,
            counters.trials_without_room,
            sensor.trials(service, Kind::Handshake)?,
        );
        ensure!(
            counters.syn >= u64::from(FLOOD / 2 + clients),
            "not half of the flood came: {counters:?}"
        );
        expect_clients(&mut sensor, service, &got, family)?;
        let refused = got.refused.get(&family).copied().unwrap_or(0);
        ensure!(
            connect.failed <= refused && connect.missing() == 0,
            "{connect:?}"
        );
        let accounted = u64::from(connect.started)
            + counters.trials_without_room
            + counters.syn_retransmissions
            + counters.syn_not_judged;
        ensure!(
            accounted == counters.syn,
            "{accounted} SYNs accounted for: {counters:?}"
        );
        // A trial without room says nothing; that must stay the rare case.
        ensure!(
            counters.trials_without_room < counters.syn / 1000,
            "{counters:?}"
        );
    }
    Ok(())
}

#[test]
fn flood_of_another_service_leaves_nothing_at_all() -> Result<()> {
    let pair = Pair::new()?;
    with_cookies(&pair.host)?;
    let _nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let mut services = Vec::new();
    for port in [80, OTHER_PORT] {
        for family in Family::ALL {
            services.push(sensor::tcp(address(family, port), Application::Http));
        }
    }
    let mut sensor = Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &services)?;
    // Nobody listens there: each SYN of the flood is refused.
    let got = flooded(&pair, OTHER_PORT)?;
    for (service, family) in Family::ALL.into_iter().enumerate() {
        let clients = served(&got, family)?;
        expect_clients(&mut sensor, service, &got, family)?;
        sensor.expect(service, Kind::Connect, Tally::all_succeeded(clients))?;
        let other = sensor.trials(service + 2, Kind::Connect)?;
        println!("{family}: {clients} clients; the other service: {other:?}");
        // A busy machine may refuse some later than the deadline: they are counted, too.
        ensure!(
            other.succeeded == 0
                && other.missing() == other.after_deadline
                && other.failed >= FLOOD / 2,
            "{other:?}"
        );
    }
    Ok(())
}
