//! What user space changes while the kernel side measures, by what the counters say:
//! which connections are sampled, and whether a service speaks first.

use probe_common::{
    address::Address,
    counters::Counters,
    service::{Options, SAMPLE_NONE},
};
use probe_core::Timestamp;

use super::{object::Object, sampling::Sampler, server_first::ServerFirst};

/// The state of all services, by service id.
pub struct Adaptation(Vec<Adapted>);

struct Adapted {
    /// None for a service that has no sample cells.
    sampler: Option<Sampler>,
    server_first: ServerFirst,
}

impl Adapted {
    /// Goes on with what the kernel side does for a service.
    fn new(object: &Object, service: usize) -> Self {
        let entry = object.entry(service);
        let mask = entry.map_or(SAMPLE_NONE, |entry| entry.sample_mask.load());
        Self {
            sampler: (mask != SAMPLE_NONE).then(|| Sampler::from_mask(mask)),
            server_first: ServerFirst::default(),
        }
    }
}

impl Adaptation {
    /// Goes on with what the kernel side does.
    pub fn new(object: &Object) -> Self {
        let services = 0..object.places.len();
        Self(
            services
                .map(|service| Adapted::new(object, service))
                .collect(),
        )
    }

    /// The object measures other services than those with these keys.
    pub fn follow(&mut self, before: &[(Address, u32)], object: &Object) {
        let mut known: Vec<_> = before.iter().zip(self.0.drain(..)).collect();
        let services = object.places.iter().enumerate();
        self.0 = services
            .map(|(service, place)| {
                let known_at = known.iter().position(|(key, _)| **key == place.key);
                known_at.map_or_else(
                    || Adapted::new(object, service),
                    |index| known.swap_remove(index).1,
                )
            })
            .collect();
    }

    /// Takes the services' counters as of `now`.
    pub fn update(&mut self, object: &Object, counters: &[Counters], now: Timestamp) {
        for (service, (adapted, counters)) in self.0.iter_mut().zip(counters).enumerate() {
            let Some(entry) = object.entry(service) else {
                continue;
            };
            if let Some(sampler) = &mut adapted.sampler {
                let before = sampler.mask();
                let mask = sampler.update(counters.sampled, counters.cells_busy, now);
                if mask != before {
                    tracing::debug!(service, mask, "sample mask");
                    entry.sample_mask.store(mask);
                }
            }
            let speaks_first = adapted
                .server_first
                .update(counters.client_first, counters.server_first);
            let options = entry.options.load();
            let wanted = if speaks_first {
                options | Options::SERVER_FIRST
            } else {
                options & !Options::SERVER_FIRST
            };
            if wanted != options {
                tracing::debug!(service, speaks_first, "who speaks first");
                entry.options.store(wanted);
            }
        }
    }
}
