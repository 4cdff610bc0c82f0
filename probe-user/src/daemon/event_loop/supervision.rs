//! What the service manager hears of the loop.

use probe_core::{Level, config::Mode, input::Sensor};

use super::Daemon;

impl Daemon {
    /// Tells the manager that the daemon is up: once the hooks are in place and it is known
    /// of every prefix what stands in the table, and again after a reload.
    pub(super) fn tell_when_ready(&mut self) {
        if !self.supervisor.waits() || self.reloader.is_under_way() {
            return;
        }
        let adopted = self.engine.prefixes();
        if adopted.iter().all(|status| status.observed.is_some()) {
            self.supervisor.ready();
        }
    }

    /// Tells the manager that the loop turns, and how things are.
    pub(super) fn beat(&mut self) {
        if self.supervisor.listens() {
            let levels: Vec<Option<Level>> = self
                .engine
                .prefixes()
                .iter()
                .map(|status| status.observed)
                .collect();
            let core = &self.settings.core;
            let status = sentence(core.mode, core.services.len(), &levels, &self.sensor);
            self.supervisor.beat(status);
        }
    }
}

/// How things are, in one line.
fn sentence(mode: Mode, services: usize, levels: &[Option<Level>], sensor: &Sensor) -> String {
    let mode = match mode {
        Mode::Observe => "observing",
        Mode::Enforce => "enforcing",
    };
    let mut parts = vec![format!("{mode} {}", counted(services, "service"))];
    for level in [Level::Full, Level::Degraded, Level::Withdrawn] {
        let count = levels.iter().filter(|at| **at == Some(level)).count();
        if count > 0 {
            parts.push(format!("{} {level}", counted_prefixes(count)));
        }
    }
    if let Sensor::Detached(why) = sensor {
        parts.push(format!("BLIND: {why}"));
    }
    parts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn counted_prefixes(count: usize) -> String {
    match count {
        1 => "1 prefix".to_owned(),
        _ => format!("{count} prefixes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_mode_services_and_levels() {
        let levels = [
            Some(Level::Full),
            Some(Level::Withdrawn),
            Some(Level::Full),
            None,
        ];
        for (mode, services, levels, expected) in [
            (Mode::Observe, 1, &levels[..0], "observing 1 service"),
            (
                Mode::Enforce,
                3,
                &levels[..],
                "enforcing 3 services, 2 prefixes full, 1 prefix withdrawn",
            ),
        ] {
            let told = sentence(mode, services, levels, &Sensor::Attached);
            assert_eq!(told, expected);
        }
    }
}
