//! What the world may see of the daemon, once a second: the status document and the
//! metrics. Nothing here is on the way of a decision.

mod counts;
mod document;
mod model;

use std::{sync::Arc, time::SystemTime};

use probe_common::{
    ABI_VERSION,
    counters::{Counters, Traffic},
};
use probe_core::{Engine, Renumbering, Timestamp, input::Sensor};
use tokio::sync::watch;

use self::document::{attachment_view, empty_document, first_trouble, frozen, prefix_view};
use super::routes::Routes;
use crate::{
    announce::Announcer,
    config::Settings,
    datapath::{Attachment, Datapath},
    follow::Picture,
    metrics::{Meter, Model, Tally},
    status::{
        BirdView, ConfigurationView, Document, History, RefusedView, SensorView, latency::Latencies,
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
    /// The services' packets and bytes, by service id.
    pub traffic: &'a [Traffic],
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
        let uplinks = sources.engine.uplinks();
        let model = self.model(
            sources,
            &latencies,
            &attachments,
            &services,
            &prefixes,
            health,
        );
        self.models.send_replace(Arc::new(model));
        let document = Document {
            uptime_seconds: now.since(self.started).as_secs_f64(),
            sensor: SensorView {
                trouble,
                attachments: attachments.iter().map(attachment_view).collect(),
            },
            uplinks,
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
}
