//! Every way of attaching, each from nothing: load, attach, connections, counters, the
//! verifier's numbers, and everything taken away again.

use std::{
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::loaded_programs;
use probe_common::counters::Counters;
use probe_core::{
    config::{Application, Endpoint, Protocol},
    input::Sensor,
};
use probe_user::datapath::{
    self, AttachMode, Attachment, Datapath, Hook, Measure, Mode, Options, ServiceSpec,
};

use crate::{
    counted,
    net::{CONNECTIONS, Clients, INTERFACE, PATIENCE, SERVICES},
    record::{Record, Report},
};

const PIN_DIR: &str = "/sys/fs/bpf/lapwing";

/// The ways to ask for, and whether tracing is on. Tracing is other code to the
/// verifier; two ways have all three programs.
const WAYS: [(AttachMode, bool); 6] = [
    (AttachMode::Auto, false),
    (AttachMode::Generic, false),
    (AttachMode::Tc, false),
    (AttachMode::Clsact, false),
    (AttachMode::Auto, true),
    (AttachMode::Tc, true),
];

/// Tries all of them and reports on each.
pub fn all(clients: &Clients, report: &mut Report) -> Result<()> {
    for (attach, trace) in WAYS {
        let asked = name(attach);
        one(attach, trace, clients, report)
            .with_context(|| format!("attach = {asked}, trace = {trace}"))?;
        datapath::detach(&PathBuf::from(PIN_DIR))?;
    }
    Ok(())
}

fn one(attach: AttachMode, trace: bool, clients: &Clients, report: &mut Report) -> Result<()> {
    let asked = name(attach);
    let mut datapath = match start(attach, trace) {
        Ok(datapath) => datapath,
        Err(error) => {
            let message = error.to_string();
            return report.write(&Record::Refused {
                asked,
                trace,
                message,
            });
        }
    };
    ensure!(
        datapath.sensor() == Sensor::Attached,
        "not all hooks are in place"
    );
    clients.come()?;
    let connections = CONNECTIONS * SERVICES.len() as u64;
    let sum = counted_all(&datapath, connections);
    for Attachment { hook, mode, .. } in datapath.attachments() {
        let program = program_of(hook, mode);
        report.write(&Record::Program {
            asked,
            trace,
            program,
            hook: hook.name(),
            mode: mode.name(),
            verified_instructions: verified_instructions(program)?,
            connections,
            counted: counted::of(hook, &sum),
        })?;
    }
    Ok(())
}

/// The counters once they show every connection, or as they are after a while: the
/// last ACK may still be on its way when its client goes on.
fn counted_all(datapath: &Datapath, connections: u64) -> Counters {
    let start = Instant::now();
    loop {
        let sum = counted::sum(datapath);
        if sum.verified >= connections || start.elapsed() > PATIENCE {
            return sum;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn start(attach: AttachMode, trace: bool) -> Result<Datapath, datapath::Error> {
    let services = SERVICES
        .map(|service| service.parse::<SocketAddr>().expect("a socket address"))
        .map(|service| ServiceSpec {
            endpoint: Endpoint {
                address: service.ip(),
                port: service.port(),
                protocol: Protocol::Tcp,
            },
            application: Application::Any,
            deadline: Duration::from_secs(2),
        });
    let mut datapath = Datapath::load(&Options {
        pin_dir: PathBuf::from(PIN_DIR),
        interfaces: vec![INTERFACE.to_owned()],
        attach,
        services: services.to_vec(),
        measure: Measure::default(),
        trace,
    })?;
    datapath.attach()?;
    Ok(datapath)
}

/// What the verifier walked of the newest program of this name: nobody else loads any
/// in this guest.
fn verified_instructions(program: &str) -> Result<Option<u32>> {
    let mut newest = None;
    for info in loaded_programs() {
        let info = info?;
        if info.name_as_str() == Some(program) {
            newest = newest.max(Some((info.id(), info.verified_instruction_count())));
        }
    }
    let (_, count) = newest.with_context(|| format!("{program} is not loaded"))?;
    Ok(count)
}

fn program_of(hook: Hook, mode: Mode) -> &'static str {
    match (hook, mode) {
        (_, Mode::Native | Mode::Generic) => "lapwing_xdp",
        (Hook::Ingress, Mode::Tcx | Mode::Clsact) => "lapwing_ingress",
        (Hook::Egress, Mode::Tcx | Mode::Clsact) => "lapwing_egress",
    }
}

/// As the configuration calls it.
fn name(attach: AttachMode) -> &'static str {
    match attach {
        AttachMode::Auto | AttachMode::Gentle => "auto",
        AttachMode::Native => "native",
        AttachMode::Generic => "generic",
        AttachMode::Tc => "tc",
        AttachMode::Clsact => "clsact",
    }
}
