//! The data plane on a host of the lab, without a daemon: what the hooks counted of
//! the packets that really passed, to be compared with what the clients counted.

use std::{net::SocketAddr, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use probe_common::{
    counters::{Counters, Traffic},
    trial::Kind,
};
use probe_core::{
    config::{Application, Endpoint, Protocol, ServiceId},
    input::{self, Reading},
};
use probe_user::datapath::{
    self, AttachMode, Attachment, Datapath, Measure, Options, Scope, ServiceSpec,
};

use super::netns::Namespace;

/// When an unanswered trial is late.
pub const DEADLINE: Duration = Duration::from_millis(100);

/// A service to measure.
pub fn service(address: SocketAddr, protocol: Protocol, application: Application) -> ServiceSpec {
    ServiceSpec {
        endpoint: Endpoint {
            address: address.ip(),
            port: address.port(),
            protocol,
        },
        application,
        deadline: DEADLINE,
    }
}

/// A TCP service to measure.
pub fn tcp(address: SocketAddr, application: Application) -> ServiceSpec {
    service(address, Protocol::Tcp, application)
}

/// A UDP service to measure.
pub fn udp(address: SocketAddr, application: Application) -> ServiceSpec {
    service(address, Protocol::Udp, application)
}

/// How the trials of one kind went, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials started.
    pub started: u32,
    /// ... of which succeeded in time.
    pub succeeded: u32,
    /// ... of which failed at once.
    pub failed: u32,
    /// ... of which nobody can say.
    pub abandoned: u32,
    /// Outcomes that came after the deadline.
    pub after_deadline: u32,
}

impl Tally {
    /// So many trials, and all succeeded in time.
    pub fn all_succeeded(count: u32) -> Self {
        Self {
            started: count,
            succeeded: count,
            ..Self::default()
        }
    }

    /// So many trials, and all failed at once.
    pub fn all_failed(count: u32) -> Self {
        Self {
            started: count,
            failed: count,
            ..Self::default()
        }
    }

    /// So many trials without an outcome in time: late once their deadline is over.
    pub fn all_missing(count: u32) -> Self {
        Self {
            started: count,
            ..Self::default()
        }
    }

    /// Trials without an outcome in time.
    pub fn missing(&self) -> u32 {
        self.started - self.succeeded - self.failed - self.abandoned
    }
}

/// The data plane on a node.
pub struct Sensor {
    datapath: Datapath,
}

impl Sensor {
    /// Loads it and attaches it to the interfaces of a node. Its pins live and end
    /// with the node.
    pub fn start(
        node: &Namespace,
        interfaces: &[&str],
        attach: AttachMode,
        services: &[ServiceSpec],
    ) -> Result<Self> {
        let options = Options {
            pin_dir: PathBuf::from("/sys/fs/bpf/lapwing"),
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
            attach,
            services: services.to_vec(),
            measure: Measure::default(),
            trace: false,
        };
        let datapath = node.inside(move || -> Result<_> {
            let mut datapath = Datapath::load(&options)?;
            datapath.attach()?;
            ensure!(
                datapath.sensor() == input::Sensor::Attached,
                "not all in place"
            );
            Ok(datapath)
        })??;
        Ok(Self { datapath })
    }

    /// Where the programs are attached.
    pub fn attachments(&self) -> Vec<Attachment> {
        self.datapath.attachments()
    }

    /// Sets which connections of a service are sampled.
    pub fn set_sample_mask(&self, service: usize, mask: u32) {
        self.datapath.set_sample_mask(service, mask);
    }

    /// A reading as the daemon takes it for its decisions: of what has changed.
    pub fn tick(&mut self) -> Reading {
        self.datapath.tick(Scope::ALL, datapath::now())
    }

    /// What every packet of a service adds to.
    pub fn traffic(&self, service: usize) -> Traffic {
        self.datapath.traffic()[service]
    }

    /// A service's counters.
    pub fn counters(&self, service: usize) -> Counters {
        self.datapath.counters()[service]
    }

    /// A service's trials of a kind.
    pub fn trials(&mut self, service: usize, kind: Kind) -> Result<Tally> {
        let id = ServiceId(u32::try_from(service)?);
        let reading = self.datapath.read();
        let ring = reading
            .services
            .iter()
            .find(|reading| reading.service == id)
            .and_then(|reading| reading.trials.iter().find(|trials| trials.kind == kind))
            .map(|trials| &trials.ring)
            .with_context(|| format!("service {service} has no trials {}", kind.name()))?;
        let mut sum = Tally {
            after_deadline: ring.after_deadline,
            ..Tally::default()
        };
        for bucket in &ring.buckets {
            sum.started += bucket.started;
            sum.succeeded += bucket.succeeded;
            sum.failed += bucket.failed;
            sum.abandoned += bucket.abandoned;
        }
        Ok(sum)
    }

    /// Fails unless a service's trials of a kind went as expected.
    pub fn expect(&mut self, service: usize, kind: Kind, expected: Tally) -> Result<()> {
        let seen = self.trials(service, kind)?;
        ensure!(
            seen == expected,
            "{} of service {service}: {seen:?} rather than {expected:?}; {:?}",
            kind.name(),
            self.counters(service)
        );
        Ok(())
    }
}

/// Waits until what was sent has been answered, or is late by every deadline that is
/// no longer than [`DEADLINE`].
pub fn settle() {
    thread::sleep(DEADLINE * 3);
}
