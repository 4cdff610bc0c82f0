//! Another configuration, applied between two turns of the loop: all of it or nothing.
//!
//! What can fail comes first and is the kernel side alone. Level changes that are under
//! way are waited for, so that none of them reaches a prefix that is no longer ours.

use std::sync::Arc;

use probe_core::{
    Input, Level, Renumbering,
    config::{Mode, PrefixId},
};

use tokio::sync::watch;

use super::{Daemon, Pace};
use crate::{
    announce::witness::News,
    config::{Difference, Settings},
    control::{Answer, Asker, Reloaded},
    daemon::{
        heard::Hearsay,
        reload::{Read, Ready},
        routes::Routes,
        setup,
    },
    datapath,
    journal::record::Record,
};

impl Daemon {
    /// Takes what was read.
    pub(super) fn has_read(&mut self, read: Read) {
        let Some(asker) = self.reloader.has_read() else {
            return;
        };
        match read {
            Err(why) => self.refuse(asker, why),
            Ok(ready) if asker.check => asker.answer(told(false, ready.difference)),
            Ok(ready) => self.reloader.keep(asker, ready),
        }
    }

    /// Once a turn: applies what is ready as soon as no level change is under way, and
    /// begins the next reading.
    pub(super) fn look_after_reload(&mut self) {
        if self.reloader.is_ready()
            && self.actor.sets_under_way() == 0
            && let Some((asker, ready)) = self.reloader.take_ready()
        {
            self.apply(asker, ready);
        }
        let routes = self.actor.routes().announcer().is_some();
        if self.reloader.begin(&self.settings, routes) {
            self.supervisor.reloading();
        }
    }

    /// Everything stays as it is.
    fn refuse(&mut self, asker: Asker, why: String) {
        if !asker.check {
            let now = datapath::now();
            self.view.refused(&asker.by, &why, now);
            let record = Record::ReloadRefused {
                by: asker.by.clone(),
                why: why.clone(),
            };
            self.actor.record(now, record);
        }
        asker.answer(Answer::Mistake(why));
    }

    fn apply(&mut self, asker: Asker, ready: Ready) {
        let Ready {
            mut settings,
            prober,
            routes,
            news,
            mut difference,
        } = ready;
        let now = datapath::now();
        let numbers = Renumbering::between(&self.settings.core, &settings.core);
        // What names the configuration is what the file says.
        let written = settings.core.clone();
        self.keep_learned_deadlines(&mut settings, &numbers);
        let services = setup::service_specs(&settings);
        let deadlines = settings.measure.deadlines;
        if let Err(error) = self.datapath.replace_services(&services, deadlines, now) {
            let why = format!(
                "error: {error}\nhelp: restart to apply the file (`systemctl restart lapwing`; \
                 routes and hooks stay in place); nothing of it was applied"
            );
            self.refuse(asker, why);
            return;
        }
        // From here on nothing can fail.
        self.tell_of_routes_left(&mut difference);
        if let Some((announcer, observations)) = routes {
            let announcer = Arc::new(announcer);
            self.inbox.observe(observations);
            self.conflicts.listen(announcer.conflicts());
            let routes = Routes::new(Some(announcer), settings.core.prefixes.len());
            self.actor.reconfigure(&written, Some(routes));
        } else {
            self.actor.reconfigure(&written, None);
        }
        let routes = self.actor.routes();
        self.conflicts
            .forget(|prefix| routes.inner(prefix).is_none());
        self.view.reconfigure(&settings, routes, &numbers, now);
        self.launcher
            .reconfigure(&settings.core.services, prober, settings.max_probes);
        self.journal.set_options(settings.journal);
        self.settings = settings;
        let core = self.settings.core.clone();
        self.engine
            .handle(Input::Configuration(Box::new(core)), now);
        self.listen_to(news);
        match self.settings.core.mode {
            Mode::Observe => self.actor.routes().let_go(),
            Mode::Enforce => {
                for status in self.engine.prefixes() {
                    if let Some(level) = self.engine.kept(status.prefix) {
                        self.actor.keep_level(status.prefix, level);
                    }
                }
            }
        }
        let prefixes = self.engine.prefixes();
        let standing: Vec<(PrefixId, Level)> = prefixes
            .iter()
            .filter_map(|status| Some((status.prefix, status.observed?)))
            .collect();
        self.closed_loop.reconfigure(&self.settings, &standing);
        let services = &self.settings.core.services;
        self.reader
            .set_pace(Pace::new(services, &self.settings.measure.deadlines));
        // What was undecided when rings changed is told by nobody.
        self.reader.rung();
        let answer = told(true, difference.clone());
        let record = Record::Reloaded {
            by: asker.by.clone(),
            mode: self.settings.core.mode,
            config: self.actor.names().config().to_owned(),
            changes: difference.lines,
        };
        self.actor.record(now, record);
        self.save();
        asker.answer(answer);
    }

    /// Listens to other witnesses. What the old ones said is not believed any more.
    fn listen_to(&mut self, news: Option<watch::Receiver<Arc<News>>>) {
        if news.is_none() {
            let now = datapath::now();
            let prefixes = self.engine.prefixes().into_iter();
            let inputs = prefixes.map(|status| Input::Witness {
                prefix: status.prefix,
                others: Vec::new(),
            });
            self.engine.handle_all(inputs, now);
        }
        self.hearsay = Hearsay::new(news);
        self.hear();
    }

    /// What the answers have taught is no less true under another file.
    fn keep_learned_deadlines(&self, settings: &mut Settings, numbers: &Renumbering) {
        let known = &self.settings.core.services;
        let wanted = &mut settings.core.services;
        let known = numbers.move_services(known, wanted.len());
        for (known, wanted) in known.into_iter().zip(wanted) {
            if let Some(known) = known
                && known.detect.learns_deadline
                && wanted.detect.learns_deadline
                && known.judged_kind() == wanted.judged_kind()
            {
                wanted.detect.deadline = known.detect.deadline;
            }
        }
    }

    /// The routes of prefixes that are gone stay as they stand: whoever takes a prefix
    /// from the file, perhaps by mistake, must not take it from the world. How to do that
    /// is said where it is left announced.
    fn tell_of_routes_left(&self, difference: &mut Difference) {
        let table = self.settings.route.table;
        for status in self.engine.prefixes() {
            let Some(config) = self.settings.core.prefixes.get(status.prefix.0 as usize) else {
                continue;
            };
            let protocol = match status.observed {
                Some(Level::Full) => self.settings.route.protocol_full,
                Some(Level::Degraded) => self.settings.route.protocol_degraded,
                Some(Level::Withdrawn) | None => continue,
            };
            if difference.gone.contains(&config.prefix) {
                difference.lines.push(format!(
                    "! prefix {prefix} is still announced, and nobody looks after it: `ip route \
                     del blackhole {prefix} table {table} proto {protocol}` withdraws it",
                    prefix = config.prefix
                ));
            }
        }
    }

    /// Begins to write down what is known, without waiting for it.
    fn save(&self) {
        let saved = self.keeper.save(&self.engine, &self.datapath);
        tokio::spawn(async move {
            if let Err(error) = saved.await {
                tracing::error!("a restart would forget what was learned: {error:#}");
            }
        });
    }
}

/// The answer to a request.
fn told(applied: bool, difference: Difference) -> Answer {
    Answer::Reloaded(Reloaded {
        applied,
        changes: difference.lines,
        refused: None,
    })
}
