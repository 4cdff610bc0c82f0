//! From a command line to everything the loop works with. What can fail without
//! touching the host comes first, the kernel's hooks last: a start that fails over
//! a mistake, a port in use or a second daemon has changed nothing.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use probe_core::config::Mode;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use super::{Failure, RunOptions, closed_loop::ClosedLoop, hooks, lock::Lock, workshop::Workshop};
use crate::{
    announce::{
        self, Announcer, Observation,
        witness::{self, News},
    },
    config::{self, Attach, Interfaces, Settings},
    control::Control,
    datapath::{self, Datapath, ServiceSpec},
    discover, http,
    journal::{self, Journal},
    probe::Prober,
};

/// How often the kernel side's log is read; its ring holds more than it can write
/// in that time.
const TRACE_INTERVAL: Duration = Duration::from_millis(10);

/// Everything the loop works with.
pub struct Parts {
    /// What is wanted, with found services if none are configured.
    pub settings: Settings,
    /// The kernel side.
    pub datapath: Datapath,
    /// Route control; none without prefixes.
    pub announcer: Option<Arc<Announcer>>,
    /// What stands in the table.
    pub observations: Option<mpsc::Receiver<Observation>>,
    /// What follows a change beyond the kernel.
    pub closed_loop: ClosedLoop,
    /// Who else announces the prefixes; none without witnesses.
    pub news: Option<watch::Receiver<Arc<News>>>,
    /// The journal.
    pub journal: Journal,
    /// The control socket.
    pub control: Control,
    /// Where the page, its API and metrics are asked for.
    pub http: TcpListener,
    /// The thread on which they are answered.
    pub answering: Workshop,
    /// Held for as long as the daemon runs.
    pub lock: Lock,
    /// Who asks the services.
    pub prober: Prober,
    /// The thread on which that is done.
    pub workshop: Workshop,
}

/// What the operator wants, from file and command line.
pub fn settings(options: &RunOptions) -> Result<Settings, Failure> {
    let settings = read(options)?;
    if let Some(missing) = options
        .interfaces
        .iter()
        .find(|name| !discover::interface_exists(name))
    {
        return Err(Failure::Mistake(format!(
            "error: interface `{missing}` of --interface does not exist on this host\nhelp: write a name that `ip -brief link` shows"
        )));
    }
    Ok(settings)
}

/// The same, without a look at whether the interfaces of the command line exist.
pub fn read(options: &RunOptions) -> Result<Settings, config::Error> {
    let overridden = !options.interfaces.is_empty();
    let mut settings = match &options.config {
        Some(path) => Settings::load(path, &|name| overridden || discover::interface_exists(name))?,
        None => Settings::without_file(),
    };
    if overridden {
        settings.daemon.interfaces = Interfaces::Named(options.interfaces.clone());
    }
    Ok(settings)
}

/// The interfaces by name, and the services that listen here if none are configured.
pub async fn look_around(settings: &mut Settings) -> anyhow::Result<Vec<String>> {
    let interfaces = match &settings.daemon.interfaces {
        Interfaces::Named(names) => names.clone(),
        Interfaces::Auto => discover::default_interfaces().await?,
    };
    if settings.core.prefixes.is_empty() {
        find_services(settings).await?;
    }
    Ok(interfaces)
}

/// The services that listen here.
pub async fn find_services(settings: &mut Settings) -> anyhow::Result<()> {
    let mut found = discover::services(settings.detect).await?;
    if found.len() > probe_common::service::MAX_SERVICES {
        tracing::warn!(
            "{} services listen here; only the first {} are measured",
            found.len(),
            probe_common::service::MAX_SERVICES
        );
        found.truncate(probe_common::service::MAX_SERVICES);
    }
    tracing::info!(
        "no prefix is configured: observing {} listening services, changing no route",
        found.len()
    );
    settings.core.services = found;
    Ok(())
}

/// What the kernel side is to measure.
pub fn service_specs(settings: &Settings) -> Vec<ServiceSpec> {
    settings
        .core
        .services
        .iter()
        .map(|service| ServiceSpec {
            endpoint: service.endpoint,
            application: service.application,
            deadline: service.detect.deadline,
        })
        .collect()
}

/// A prefix of ours that stands in the table, if one does: a link that drops for a moment
/// would cost clients. In mode `observe` others announce, where is not known.
///
/// # Errors
/// When nobody can say.
pub async fn announced(settings: &Settings) -> anyhow::Result<Option<String>> {
    match settings.core.mode {
        Mode::Observe => return Err(hooks::nobody_knows()),
        Mode::Enforce => {}
    }
    let table = settings.route.table;
    let standing = announce::read_table(table)
        .await
        .with_context(|| format!("cannot read routing table {table}"))?;
    let ours = |prefix: &IpNet| {
        let mut prefixes = settings.core.prefixes.iter();
        prefixes.any(|own| own.prefix.trunc() == *prefix)
    };
    let announced = standing.into_iter().find(|(prefix, _)| ours(prefix));
    Ok(announced.map(|(prefix, _)| prefix.to_string()))
}

/// What the data plane is to do; `may_disturb` tells whether a link may drop for a moment.
pub fn datapath_options(
    settings: &Settings,
    interfaces: Vec<String>,
    may_disturb: bool,
    trace: bool,
) -> datapath::Options {
    datapath::Options {
        pin_dir: settings.daemon.pin_dir.clone(),
        interfaces,
        attach: match settings.daemon.attach {
            Attach::Auto if may_disturb => datapath::AttachMode::Auto,
            Attach::Auto => datapath::AttachMode::Gentle,
            Attach::Native => datapath::AttachMode::Native,
            Attach::Generic => datapath::AttachMode::Generic,
            Attach::Tc => datapath::AttachMode::Tc,
        },
        services: service_specs(settings),
        measure: settings.measure.clone(),
        trace,
    }
}

/// Starts everything.
pub async fn start(mut settings: Settings, prober: Prober, trace: bool) -> anyhow::Result<Parts> {
    let daemon = settings.daemon.clone();
    let lock = Lock::take(&daemon.state_dir)?;
    let control = Control::bind(&daemon.control)?;
    let answering = Workshop::open("http").context("cannot start a thread for HTTP")?;
    let http = http::bind(daemon.http, answering.runtime()).with_context(|| {
        format!(
            "cannot serve metrics on {}: choose another address with `http` in [daemon]",
            daemon.http
        )
    })?;
    let interfaces = look_around(&mut settings).await?;
    let workshop = Workshop::open("probes").context("cannot start a thread for the probes")?;
    let journal = Journal::open(
        &daemon.state_dir.join(journal::FILE),
        &daemon.site,
        &daemon.host,
        settings.journal,
    );
    let (announcer, observations) = match start_announcer(&settings).await? {
        Some((announcer, observations)) => (Some(Arc::new(announcer)), Some(observations)),
        None => (None, None),
    };
    let closed_loop = ClosedLoop::start(&settings)?;
    let news = start_witness(&settings)?;
    let may_disturb = matches!(announced(&settings).await, Ok(None));
    let options = datapath_options(&settings, interfaces, may_disturb, trace);
    let mut datapath = Datapath::load(&options)?;
    if trace {
        start_trace(&mut datapath)?;
    }
    datapath.attach()?;
    Ok(Parts {
        settings,
        datapath,
        announcer,
        observations,
        closed_loop,
        news,
        journal,
        control,
        http,
        answering,
        lock,
        prober,
        workshop,
    })
}

/// Route control; none without prefixes.
pub async fn start_announcer(
    settings: &Settings,
) -> anyhow::Result<Option<(Announcer, mpsc::Receiver<Observation>)>> {
    if settings.core.prefixes.is_empty() {
        return Ok(None);
    }
    let (announcer, observations) = Announcer::start(announce::Options {
        table: settings.route.table,
        protocol_full: settings.route.protocol_full,
        protocol_degraded: settings.route.protocol_degraded,
        metric: announce::METRIC,
        event_buffer_bytes: announce::EVENT_BUFFER_BYTES,
        prefixes: settings
            .core
            .prefixes
            .iter()
            .map(|prefix| prefix.prefix)
            .collect(),
    })
    .await?;
    match settings.core.mode {
        Mode::Observe => tracing::info!("mode observe: routes are watched and never set"),
        Mode::Enforce => {}
    }
    Ok(Some((announcer, observations)))
}

/// Begins to listen to the witnesses, if there are any.
pub fn start_witness(settings: &Settings) -> anyhow::Result<Option<watch::Receiver<Arc<News>>>> {
    if settings.witnesses.is_empty() || settings.core.prefixes.is_empty() {
        return Ok(None);
    }
    let prefixes = settings.core.prefixes.iter();
    let options = witness::Options {
        bird_socket: settings.route.bird_socket().to_owned(),
        witnesses: settings.witnesses.clone(),
        prefixes: prefixes.map(|prefix| prefix.prefix).collect(),
    };
    let news = witness::listen(options).context("cannot start a thread for the witnesses")?;
    Ok(Some(news))
}

/// Passes the kernel side's own log on to ours.
fn start_trace(datapath: &mut Datapath) -> anyhow::Result<()> {
    let mut log = datapath
        .take_log()
        .context("the kernel side has no log to read")?;
    tokio::spawn(async move {
        let mut rhythm = tokio::time::interval(TRACE_INTERVAL);
        loop {
            rhythm.tick().await;
            log.flush();
        }
    });
    Ok(())
}
