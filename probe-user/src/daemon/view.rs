//! What the world may see of the daemon, once a second: the status document and the
//! metrics. Nothing here is on the way of a decision.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use probe_common::{ABI_VERSION, counters::Counters, latency::Histogram, trial::Kind};
use probe_core::{
    Engine, Level, Reason, Renumbering, Timestamp,
    command::Event,
    config::{Config, Endpoint, LastSite, PrefixId, Service, ServiceId},
    input::{Directive, Order, Sensor},
    status::{PrefixStatus, ServiceStatus},
};
use tokio::sync::watch;

use super::routes::Routes;
use crate::{
    announce::{Announcer, conflict::Conflict},
    config::Settings,
    datapath::{Attachment, Datapath},
    follow::{
        BirdState, Finding, Followed, Picture,
        traffic::{Moved, Outcome},
    },
    metrics::{self, Meter, Model, Phase, Tally},
    status::{
        AttachmentView, BirdView, ConfigurationView, Document, ExportView, History, PrefixView,
        RefusedView, SensorView, ServiceView, latency::Latencies,
    },
};

/// Collects what happens and publishes it.
pub struct View {
    settings: Settings,
    announcer: Option<Arc<Announcer>>,
    started: Timestamp,
    /// When the configuration in force was read.
    read: (Timestamp, SystemTime),
    /// A newer one that was refused.
    refused: Option<Refused>,
    history: History,
    latencies: Latencies,
    tally: Tally,
    /// Where hooks are or, if they were taken away, were.
    places: Vec<Attachment>,
    /// None where `/proc` cannot be read.
    meter: Option<Meter>,
    documents: watch::Sender<Arc<Document>>,
    models: watch::Sender<Arc<Model>>,
}

/// A configuration that was refused.
struct Refused {
    at: Timestamp,
    by: String,
    why: String,
}

/// What the view is made of, apart from what it counted itself.
#[derive(Clone)]
pub struct Sources<'a> {
    /// The core.
    pub engine: &'a Engine,
    /// Whether the sensor sees.
    pub sensor: &'a Sensor,
    /// The kernel side.
    pub datapath: &'a Datapath,
    /// The services' counters, by service id.
    pub counters: &'a [Counters],
    /// Why journal records go to the log, if they do.
    pub journal_trouble: Option<&'a str>,
    /// What is known of BIRD.
    pub bird: Arc<Picture>,
}

impl View {
    /// The first view, at `now`.
    pub fn new(
        settings: &Settings,
        announcer: Option<Arc<Announcer>>,
        now: Timestamp,
        sources: Sources<'_>,
    ) -> Self {
        let mut view = Self {
            documents: watch::Sender::new(Arc::new(empty_document(settings))),
            models: watch::Sender::new(Arc::new(Model::new(ABI_VERSION))),
            settings: settings.clone(),
            announcer,
            started: now,
            read: (now, SystemTime::now()),
            refused: None,
            history: History::default(),
            latencies: Latencies::default(),
            tally: Tally::default(),
            places: Vec::new(),
            meter: Meter::new()
                .inspect_err(|error| {
                    tracing::warn!("no process_* metrics: /proc/self cannot be read: {error}");
                })
                .ok(),
        };
        view.publish(now, sources);
        view
    }

    /// The newest status document.
    pub fn documents(&self) -> watch::Receiver<Arc<Document>> {
        self.documents.subscribe()
    }

    /// The newest metrics.
    pub fn models(&self) -> watch::Receiver<Arc<Model>> {
        self.models.subscribe()
    }

    /// Another configuration is in force since `now`.
    pub fn reconfigure(
        &mut self,
        settings: &Settings,
        routes: &Routes,
        numbers: &Renumbering,
        now: Timestamp,
    ) {
        self.settings = settings.clone();
        self.announcer = routes.announcer().cloned();
        self.read = (now, SystemTime::now());
        self.refused = None;
        self.tally.renumber(numbers);
        let services = settings.core.services.len();
        self.history.renumber(numbers, services);
        self.latencies.renumber(numbers, services);
    }

    /// Another configuration was asked for and refused.
    pub fn refused(&mut self, by: &str, why: &str, now: Timestamp) {
        self.refused = Some(Refused {
            at: now,
            by: by.to_owned(),
            why: why.to_owned(),
        });
    }

    /// Counts an event of the core.
    pub fn count_event(&mut self, event: &Event) {
        match event {
            Event::Held { prefix, guard, .. } => self.tally.held(*prefix, *guard),
            Event::RouteDiffers { prefix, .. } => self.tally.route_differed(*prefix),
            Event::Armed { .. }
            | Event::Suspected { .. }
            | Event::Cleared { .. }
            | Event::Verdict { .. }
            | Event::Impaired { .. }
            | Event::LockedOut { .. }
            | Event::Deadline { .. }
            | Event::Ordered { .. }
            | Event::ProbeChanged { .. }
            | Event::Blind { .. } => {}
        }
    }

    /// Counts a conflict that began or ended.
    pub fn count_conflict(&mut self, conflict: &Conflict, stands: bool) {
        let Conflict { prefix, kind, .. } = conflict;
        if stands {
            self.tally.conflict_began(*prefix, *kind);
        } else {
            self.tally.conflict_ended(*prefix, *kind);
        }
    }

    /// Counts a decision that was taken at `decided`.
    pub fn count_decision(
        &mut self,
        prefix: PrefixId,
        level: Level,
        reason: &Reason,
        decided: Timestamp,
    ) {
        self.tally.decided(prefix, level, reason.cause);
        match (level, reason.first_failure) {
            (Level::Withdrawn, Some(first)) => {
                self.tally.took(level, Phase::Decided, decided.since(first));
            }
            (Level::Withdrawn, None) | (Level::Degraded | Level::Full, _) => {}
        }
    }

    /// Counts an acknowledged level change.
    pub fn count_set(&mut self, level: Level, took: Duration) {
        self.tally.took(level, Phase::Kernel, took);
    }

    /// Counts what the closed loop found.
    pub fn count_finding(&mut self, finding: &Finding) {
        match finding {
            Finding::Followed(Followed {
                level,
                learned,
                exported,
                ..
            }) => {
                for (phase, took) in [(Phase::Rib, learned), (Phase::Export, exported)] {
                    if let Some(took) = took {
                        self.tally.took(*level, phase, *took);
                    }
                }
            }
            Finding::Helped { .. } => self.tally.reloaded(),
            Finding::BirdUp { .. } | Finding::BirdDown { .. } | Finding::Alert(_) => {}
        }
    }

    /// Counts how soon clients followed a change.
    pub fn count_moved(&mut self, moved: &Moved) {
        match moved.outcome {
            Outcome::Left | Outcome::Came => {
                self.tally
                    .took(moved.change.level, Phase::Traffic, moved.took);
            }
            Outcome::Stay | Outcome::TooFew | Outcome::Superseded => {}
        }
    }

    /// Publishes the present state.
    pub fn publish(&mut self, now: Timestamp, sources: Sources<'_>) {
        let services = sources.engine.services();
        let prefixes = sources.engine.prefixes();
        let attachments = sources.datapath.attachments();
        let conflicts: Vec<String> = self.announcer.as_ref().map_or_else(Vec::new, |announcer| {
            let conflicts = announcer.conflicts();
            let standing = conflicts.borrow();
            standing
                .iter()
                .map(|conflict| conflict.sentence.clone())
                .collect()
        });
        let trouble = match sources.sensor {
            Sensor::Attached => None,
            Sensor::Detached(why) => Some(why.clone()),
        };
        self.history
            .push(now, services.iter().map(|service| service.totals).collect());
        let latencies = sources.datapath.latencies();
        self.latencies.push(now, &latencies);
        self.remember_places(&attachments);
        let bird = Arc::clone(&sources.bird);
        let health = match (&trouble, conflicts.first(), first_trouble(&bird)) {
            (Some(why), _, _) => Err(format!("the sensor is blind: {why}")),
            (None, Some(trouble), _) | (None, None, Some(trouble)) => Err(trouble.clone()),
            (None, None, None) => Ok(()),
        };
        let frozen = sources.engine.orders().into_iter().find_map(frozen);
        let journal_trouble = sources.journal_trouble.map(ToOwned::to_owned);
        self.publish_model(
            sources,
            &latencies,
            &attachments,
            &services,
            &prefixes,
            health,
        );
        let document = Document {
            uptime_seconds: now.since(self.started).as_secs_f64(),
            sensor: SensorView {
                trouble,
                attachments: attachments.iter().map(attachment_view).collect(),
            },
            frozen,
            journal_trouble,
            bird: BirdView::of(&bird),
            configuration: ConfigurationView {
                read_seconds_ago: now.since(self.read.0).as_secs_f64(),
                refused: self.refused.as_ref().map(|refused| RefusedView {
                    seconds_ago: now.since(refused.at).as_secs_f64(),
                    by: refused.by.clone(),
                    why: refused.why.clone(),
                }),
            },
            conflicts,
            prefixes: prefixes
                .iter()
                .map(|status| prefix_view(status, &self.settings.core, &bird))
                .collect(),
            services: services
                .iter()
                .map(|status| self.service_view(status, &latencies))
                .collect(),
            ..empty_document(&self.settings)
        };
        self.documents.send_replace(Arc::new(document));
    }

    /// What cannot be read this time keeps its old value: a counter that falls to
    /// zero would look like a restart.
    fn publish_model(
        &self,
        sources: Sources<'_>,
        latencies: &[BTreeMap<Kind, Histogram>],
        attachments: &[Attachment],
        services: &[ServiceStatus],
        prefixes: &[PrefixStatus],
        health: Result<(), String>,
    ) {
        let daemon = self.daemon(&sources);
        let Sources {
            datapath,
            counters,
            bird,
            ..
        } = sources;
        let model = Model {
            health,
            daemon: Some(daemon),
            abi: ABI_VERSION,
            configuration: metrics::Configuration {
                successful: self.refused.is_none(),
                read_at: self
                    .read
                    .1
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default(),
            },
            services: services
                .iter()
                .zip(&self.settings.core.services)
                .map(|(status, config)| {
                    let index = status.service.0 as usize;
                    metrics::Service {
                        name: config.name.clone(),
                        protocol: config.endpoint.protocol,
                        application: config.application,
                        counters: counters.get(index).copied().unwrap_or_default(),
                        latencies: latencies.get(index).cloned().unwrap_or_default(),
                        status: status.clone(),
                    }
                })
                .collect(),
            prefixes: self
                .settings
                .core
                .prefixes
                .iter()
                .zip(prefixes)
                .map(|(config, status)| metrics::Prefix {
                    prefix: config.prefix,
                    status: status.clone(),
                })
                .collect(),
            attachments: self
                .places
                .iter()
                .map(|place| metrics::Attachment {
                    interface: place.interface.clone(),
                    hook: place.hook.name().to_owned(),
                    mode: place.mode.name().to_owned(),
                    attached: attachments.contains(place),
                })
                .collect(),
            skips: datapath.skips(),
            programs: datapath
                .program_runs()
                .into_iter()
                .map(|program| metrics::Program {
                    name: program.program.to_owned(),
                    runs: program.runs,
                    run_time: program.run_time,
                })
                .collect(),
            tally: self.tally.clone(),
            bird,
        };
        self.models.send_replace(Arc::new(model));
    }

    fn daemon(&self, sources: &Sources<'_>) -> metrics::Daemon {
        metrics::Daemon {
            site: self.settings.daemon.site.clone(),
            host: self.settings.daemon.host.clone(),
            mode: self.settings.core.mode,
            frozen: sources
                .engine
                .orders()
                .into_iter()
                .find_map(frozen)
                .is_some(),
            blind: sources.engine.is_blind(),
            journal_failing: sources.journal_trouble.is_some(),
            process: self.meter.and_then(|meter| meter.read().ok()),
        }
    }

    /// A hook that came back in another mode replaces the one that was there.
    fn remember_places(&mut self, attachments: &[Attachment]) {
        for attachment in attachments {
            self.places.retain(|place| {
                (&place.interface, place.hook) != (&attachment.interface, attachment.hook)
            });
            self.places.push(attachment.clone());
        }
        self.places
            .sort_by(|a, b| (&a.interface, a.hook.name()).cmp(&(&b.interface, b.hook.name())));
    }

    fn service_view(
        &self,
        status: &ServiceStatus,
        latencies: &[BTreeMap<Kind, Histogram>],
    ) -> ServiceView {
        let ServiceStatus {
            service,
            state,
            detector,
            totals,
            trials,
            kinds,
            expected_per_second,
            probe_passes,
        } = status;
        let index = service.0 as usize;
        let config = self.settings.core.services.get(index);
        let has_trials = |kind| {
            config.is_some_and(|config| {
                let Endpoint { protocol, .. } = config.endpoint;
                protocol.has_trials(config.application, kind)
            })
        };
        ServiceView {
            name: service_name(*service, &self.settings.core),
            endpoint: config.map_or_else(String::new, |service| service.endpoint.to_string()),
            state: *state,
            recent: self.history.recent(index),
            judged: config.map(Service::judged_kind),
            latencies: latencies.get(index).map_or_else(BTreeMap::new, |now| {
                let mut recent = self.latencies.recent(index, now);
                recent.retain(|kind, _| has_trials(*kind));
                recent
            }),
            armed: detector.armed,
            score_ratio: detector.score_ratio,
            p0: detector.p0,
            p1: detector.p1,
            totals: *totals,
            trials: trials
                .iter()
                .filter(|(kind, _)| has_trials(**kind))
                .map(|(kind, totals)| (*kind, *totals))
                .collect(),
            kinds: kinds.clone(),
            expected_per_second: *expected_per_second,
            probe_passes: *probe_passes,
        }
    }
}

fn prefix_view(status: &PrefixStatus, core: &Config, bird: &Picture) -> PrefixView {
    let PrefixStatus {
        prefix,
        wanted,
        observed,
        standing,
        held_by,
        orders,
        hold_left,
        withdrawals,
        others,
    } = status;
    let config = core.prefixes.get(prefix.0 as usize);
    PrefixView {
        prefix: config.map_or_else(String::new, |config| config.prefix.to_string()),
        wanted: *wanted,
        observed: *observed,
        standing: *standing,
        held_by: *held_by,
        orders: orders.clone(),
        hold_left_seconds: hold_left.map(|left| left.as_secs_f64()),
        withdrawals: *withdrawals,
        export: ExportView::of(bird.prefixes.get(prefix.0 as usize)),
        others: others.clone(),
        last_site: config.map_or(LastSite::Unwitnessed, |config| config.last_site),
        services: config.map_or_else(Vec::new, |config| {
            config
                .services
                .iter()
                .map(|service| service_name(*service, core))
                .collect()
        }),
    }
}

/// What is wrong beyond the kernel, if something is.
fn first_trouble(bird: &Picture) -> Option<&String> {
    match &bird.bird {
        BirdState::Down { sentence } => Some(sentence),
        BirdState::Unknown | BirdState::Up { .. } => bird
            .prefixes
            .iter()
            .find_map(|prefix| prefix.alerts.values().next()),
    }
}

fn service_name(id: ServiceId, core: &Config) -> String {
    core.services
        .get(id.0 as usize)
        .map_or_else(String::new, |service| service.name.clone())
}

fn attachment_view(attachment: &Attachment) -> AttachmentView {
    AttachmentView {
        interface: attachment.interface.clone(),
        hook: attachment.hook.name().to_owned(),
        mode: attachment.mode.name().to_owned(),
    }
}

fn frozen(order: Order) -> Option<Directive> {
    match order {
        Order::Freeze { directive } => Some(directive),
        Order::Pin { .. }
        | Order::Unpin { .. }
        | Order::Drain { .. }
        | Order::Undrain { .. }
        | Order::Thaw => None,
    }
}

/// Who we are, and nothing seen yet.
fn empty_document(settings: &Settings) -> Document {
    Document {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        site: settings.daemon.site.clone(),
        host: settings.daemon.host.clone(),
        mode: settings.core.mode,
        uptime_seconds: 0.0,
        sensor: SensorView {
            trouble: None,
            attachments: Vec::new(),
        },
        frozen: None,
        journal_trouble: None,
        bird: BirdView::default(),
        configuration: ConfigurationView::default(),
        conflicts: Vec::new(),
        prefixes: Vec::new(),
        services: Vec::new(),
    }
}
