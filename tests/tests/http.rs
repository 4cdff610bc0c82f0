//! HTTP in plaintext: the status of each response, and a server that accepts but
//! does not answer.
//!
//! ```text
//!  clients ── eth0  host   nginx; XDP and tc on eth0
//! ```

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    nginx::Nginx,
    pair::Pair,
    sensor::{self, Sensor, Tally},
    topology::{Family, OUTER, Site},
};
use probe_common::trial::Kind;
use probe_core::config::Application;
use probe_user::datapath::AttachMode;

fn services() -> [SocketAddr; 2] {
    Family::ALL.map(|family| SocketAddr::new(family.service(), 80))
}

fn start(pair: &Pair) -> Result<Sensor> {
    let specs = services().map(|address| sensor::tcp(address, Application::Http));
    Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &specs)
}

fn ask(service: SocketAddr, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(service)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: anycast.example\r\n\r\n"
    )?;
    Ok(stream)
}

fn status(mut stream: TcpStream) -> Result<u16> {
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    response
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .with_context(|| format!("no response: {response:?}"))
}

#[test]
fn each_response_is_judged_by_its_status() -> Result<()> {
    const WELL: u32 = 300;
    const MISSING: u32 = 30;
    const UNWELL: u32 = 45;
    let pair = Pair::new()?;
    let _nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let mut sensor = start(&pair)?;
    let clients = pair.clients.network_thread("clients", || -> Result<()> {
        for service in services() {
            for (path, count, expected) in [
                ("/", WELL, 200),
                ("/missing", MISSING, 404),
                ("/unwell", UNWELL, 503),
            ] {
                for _ in 0..count {
                    let got = status(ask(service, path)?)?;
                    ensure!(got == expected, "{path}: {got}");
                }
            }
        }
        Ok(())
    })?;
    clients.join().expect("the clients do not panic")??;
    sensor::settle();
    let all = WELL + MISSING + UNWELL;
    for service in 0..services().len() {
        for kind in [Kind::Connect, Kind::Handshake, Kind::Request, Kind::Finish] {
            sensor.expect(service, kind, Tally::all_succeeded(all))?;
        }
        let judged = Tally {
            started: all,
            succeeded: WELL + MISSING,
            failed: UNWELL,
            ..Tally::default()
        };
        sensor.expect(service, Kind::Status, judged)?;
        let counters = sensor.counters(service);
        let by_class = [0, WELL, 0, MISSING, UNWELL].map(u64::from);
        ensure!(counters.http_responses == by_class, "{counters:?}");
        ensure!(counters.client_first == u64::from(all), "{counters:?}");
    }
    Ok(())
}

/// The kernel completes handshakes for a server that hangs, so every check that only
/// connects is content.
#[test]
fn hanging_server_still_connects_and_is_late_with_its_answers() -> Result<()> {
    const CLIENTS: u32 = 40;
    let pair = Pair::new()?;
    let nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let mut sensor = start(&pair)?;
    nginx.freeze()?;
    let ask_all = || -> Result<Vec<TcpStream>> {
        let mut waiting = Vec::new();
        for service in services() {
            for _ in 0..CLIENTS {
                waiting.push(ask(service, "/")?);
            }
        }
        Ok(waiting)
    };
    let asking = pair.clients.network_thread("clients", ask_all)?;
    let waiting = asking.join().expect("the clients do not panic")??;
    // The deadline of requests, and more.
    thread::sleep(Duration::from_millis(1200));
    for service in 0..services().len() {
        sensor.expect(service, Kind::Connect, Tally::all_succeeded(CLIENTS))?;
        sensor.expect(service, Kind::Handshake, Tally::all_succeeded(CLIENTS))?;
        sensor.expect(service, Kind::Request, Tally::all_missing(CLIENTS))?;
        sensor.expect(service, Kind::Status, Tally::default())?;
    }
    nginx.thaw()?;
    for stream in waiting {
        ensure!(status(stream)? == 200);
    }
    for service in 0..services().len() {
        let late = Tally {
            after_deadline: CLIENTS,
            ..Tally::all_missing(CLIENTS)
        };
        sensor.expect(service, Kind::Request, late)?;
        sensor.expect(service, Kind::Status, Tally::all_succeeded(CLIENTS))?;
    }
    Ok(())
}

#[test]
fn killed_server_refuses_at_once() -> Result<()> {
    const CLIENTS: u32 = 50;
    let pair = Pair::new()?;
    let mut nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let mut sensor = start(&pair)?;
    nginx.kill()?;
    let clients = pair.clients.network_thread("clients", || {
        services()
            .into_iter()
            .flat_map(|service| (0..CLIENTS).map(move |_| TcpStream::connect(service)))
            .filter(Result::is_err)
            .count()
    })?;
    let refused = clients.join().expect("the clients do not panic")?;
    ensure!(
        refused == 2 * usize::try_from(CLIENTS)?,
        "{refused} refused"
    );
    for service in 0..services().len() {
        sensor.expect(service, Kind::Connect, Tally::all_failed(CLIENTS))?;
        ensure!(sensor.counters(service).verified == 0);
    }
    Ok(())
}
