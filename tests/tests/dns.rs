//! A real name server: each query is a trial, each response code is counted.
//!
//! ```text
//!  clients ── eth0  host   Knot DNS; XDP and tc on eth0
//! ```

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use lapwing_tests::lab::{
    knot::{BROKEN_ZONE, Knot, ZONE, query},
    pair::Pair,
    sensor::{self, Sensor, Tally},
    topology::{Family, OUTER},
};
use probe_common::{counters::RcodeClass, trial::Kind};
use probe_core::config::Application;
use probe_user::datapath::{AttachMode, ServiceSpec};

const NOERROR: u32 = 200;
const NXDOMAIN: u32 = 60;
const REFUSED: u32 = 30;
const SERVFAIL: u32 = 20;
const ALL: u32 = NOERROR + NXDOMAIN + REFUSED + SERVFAIL;

fn services() -> [SocketAddr; 2] {
    Family::ALL.map(|family| SocketAddr::new(family.service(), 53))
}

/// UDP over both families, then TCP.
fn specs() -> Vec<ServiceSpec> {
    let udp = services().map(|address| sensor::udp(address, Application::Dns));
    let tcp = services().map(|address| sensor::tcp(address, Application::Dns));
    [udp, tcp].concat()
}

fn start(pair: &Pair) -> Result<Sensor> {
    Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &specs())
}

/// Names, how often each is asked for, and what the server says.
fn questions() -> [(String, u32, RcodeClass); 4] {
    [
        (format!("www.{ZONE}"), NOERROR, RcodeClass::NoError),
        (format!("nobody.{ZONE}"), NXDOMAIN, RcodeClass::NxDomain),
        (
            "www.elsewhere.test".to_owned(),
            REFUSED,
            RcodeClass::Refused,
        ),
        (format!("www.{BROKEN_ZONE}"), SERVFAIL, RcodeClass::ServFail),
    ]
}

/// What became of a query over UDP.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Rcode(u8),
    Unreachable,
    Silence,
}

fn ask_udp(socket: &UdpSocket, id: u16, name: &str) -> Result<Answer> {
    socket.send(&query(id, name))?;
    let mut response = [0; 512];
    match socket.recv(&mut response) {
        Ok(length) if length >= 12 && response[..2] == id.to_be_bytes() => {
            Ok(Answer::Rcode(response[3] & 15))
        }
        Ok(_) => bail!("not the answer to {name}"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(Answer::Unreachable),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Answer::Silence),
        Err(error) => Err(error.into()),
    }
}

fn client(service: SocketAddr, timeout: Duration) -> Result<UdpSocket> {
    let any: SocketAddr = if service.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        "[::]:0".parse()?
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(service)?;
    socket.set_read_timeout(Some(timeout))?;
    Ok(socket)
}

fn ask_tcp(service: SocketAddr, id: u16, name: &str) -> Result<u8> {
    let mut stream = TcpStream::connect(service)?;
    let message = query(id, name);
    let length = u16::try_from(message.len())?;
    stream.write_all(&[&length.to_be_bytes(), message.as_slice()].concat())?;
    let mut response = [0; 14];
    stream.read_exact(&mut response)?;
    Ok(response[5] & 15)
}

/// Asks each service so often; all must end like this.
fn ask_all(pair: &Pair, count: u16, expected: &'static Answer) -> Result<()> {
    let clients = pair
        .clients
        .network_thread("clients", move || -> Result<()> {
            for service in services() {
                let socket = client(service, Duration::from_millis(20))?;
                for id in 0..count {
                    let answer = ask_udp(&socket, id, &format!("www.{ZONE}"))?;
                    ensure!(answer == *expected, "{service}: {answer:?}");
                }
            }
            Ok(())
        })?;
    clients.join().expect("the clients do not panic")?
}

#[test]
fn each_query_is_a_trial_and_each_response_code_is_counted() -> Result<()> {
    let pair = Pair::new()?;
    let _knot = Knot::start(&pair.host)?;
    let mut sensor = start(&pair)?;
    let clients = pair.clients.network_thread("clients", || -> Result<()> {
        for service in services() {
            let socket = client(service, Duration::from_secs(2))?;
            let mut id = 0;
            for (name, count, rcode) in questions() {
                for _ in 0..count {
                    id += 1;
                    let udp = ask_udp(&socket, id, &name)?;
                    ensure!(udp == Answer::Rcode(rcode as u8), "{name}: {udp:?}");
                    if id % 10 == 0 {
                        let tcp = ask_tcp(service, id, &name)?;
                        ensure!(tcp == rcode as u8, "{name} over TCP: {tcp}");
                    }
                }
            }
        }
        Ok(())
    })?;
    clients.join().expect("the clients do not panic")??;
    sensor::settle();
    for service in 0..services().len() {
        sensor.expect(service, Kind::Answer, Tally::all_succeeded(ALL))?;
        let resolved = Tally {
            started: ALL,
            succeeded: ALL - SERVFAIL,
            failed: SERVFAIL,
            ..Tally::default()
        };
        sensor.expect(service, Kind::Resolve, resolved)?;
        for (transport, over, one_in) in [("UDP", service, 1), ("TCP", service + 2, 10)] {
            let counters = sensor.counters(over);
            let mut expected = [0; RcodeClass::COUNT];
            for (_, count, rcode) in questions() {
                expected[rcode as usize] = u64::from(count / one_in);
            }
            ensure!(
                counters.dns_responses == expected
                    && counters.dns_queries == u64::from(ALL / one_in)
                    && counters.dns_malformed == 0,
                "{transport}: {counters:?}"
            );
        }
        for kind in [Kind::Connect, Kind::Handshake, Kind::Request] {
            sensor.expect(service + 2, kind, Tally::all_succeeded(ALL / 10))?;
        }
    }
    Ok(())
}

#[test]
fn killed_server_fails_its_queries_at_once() -> Result<()> {
    const QUERIES: u16 = 40;
    let pair = Pair::new()?;
    let knot = Knot::start(&pair.host)?;
    let mut sensor = start(&pair)?;
    knot.kill()?;
    ask_all(&pair, QUERIES, &Answer::Unreachable)?;
    for service in 0..services().len() {
        sensor.expect(service, Kind::Answer, Tally::all_failed(QUERIES.into()))?;
        let counters = sensor.counters(service);
        ensure!(
            counters.unreachable_out == u64::from(QUERIES),
            "{counters:?}"
        );
    }
    Ok(())
}

#[test]
fn silence_is_missing_and_nothing_else() -> Result<()> {
    const QUERIES: u16 = 40;
    let pair = Pair::new()?;
    let _knot = Knot::start(&pair.host)?;
    let mut sensor = start(&pair)?;
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]);
    pair.host.run_with_input(
        nft,
        "table inet silence { chain out { type filter hook output priority 0; \
         oifname \"eth0\" udp sport 53 drop; }; }\n",
    )?;
    ask_all(&pair, QUERIES, &Answer::Silence)?;
    sensor::settle();
    for service in 0..services().len() {
        sensor.expect(service, Kind::Answer, Tally::all_missing(QUERIES.into()))?;
        sensor.expect(service, Kind::Resolve, Tally::default())?;
    }
    Ok(())
}
