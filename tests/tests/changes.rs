//! Of a thousand services most are at rest, and what has not changed is not read.
//!
//! ```text
//!  clients ── one connection ──▶ eth0  host   nginx at port 80, nobody at 8081
//! ```

use std::net::{SocketAddr, TcpStream};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    nginx::Nginx,
    pair::Pair,
    sensor::{self, Sensor},
    topology::{Family, OUTER, Site},
};
use probe_core::{
    config::{Application, ServiceId},
    input::Reading,
};
use probe_user::datapath::AttachMode;

/// Services that were read, and those that were found unchanged.
fn ids(reading: &Reading) -> (Vec<u32>, Vec<u32>) {
    let read = reading.services.iter();
    let number = |service: &ServiceId| service.0;
    (
        read.map(|service| service.service.0).collect(),
        reading.unchanged.iter().map(number).collect(),
    )
}

#[test]
fn only_services_in_which_something_was_counted_are_read() -> Result<()> {
    let pair = Pair::new()?;
    let _nginx = Nginx::start(&pair.host, Site::Fra1)?;
    let services: Vec<_> = Family::ALL
        .into_iter()
        .flat_map(|family| [80, 8081].map(|port| SocketAddr::new(family.service(), port)))
        .collect();
    let specs: Vec<_> = services
        .iter()
        .map(|address| sensor::tcp(*address, Application::Any))
        .collect();
    let mut sensor = Sensor::start(&pair.host, &[OUTER], AttachMode::Native, &specs)?;
    let all = vec![0, 1, 2, 3];
    // Whatever was there before the start has to be read, and once more.
    for _ in 0..2 {
        ensure!(ids(&sensor.tick()) == (all.clone(), vec![]));
    }
    ensure!(ids(&sensor.tick()) == (vec![], all.clone()));
    for (service, address) in (0..).zip(services) {
        let _ = pair.clients.inside(move || TcpStream::connect(address))?;
        sensor::settle();
        let others: Vec<u32> = all.iter().copied().filter(|id| *id != service).collect();
        for _ in 0..2 {
            let reading = ids(&sensor.tick());
            ensure!(
                reading == (vec![service], others.clone()),
                "{address}: {reading:?}"
            );
        }
        let reading = ids(&sensor.tick());
        ensure!(reading == (vec![], all.clone()), "{address}: {reading:?}");
    }
    Ok(())
}
