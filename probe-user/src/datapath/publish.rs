//! Writing the services into the kernel's table.

use std::time::Duration;

use probe_common::{
    address::{Address, HashKey},
    gate::generation_shift,
    service::{Options, REPLAY_FLOW_WORD, SAMPLE_NONE, Service, ring_index},
    trial::{Kind, width_shift},
};
use probe_core::config::Protocol;

use super::{
    Deadlines, Error, ServiceSpec,
    object::{LoadFlags, map_missing, random_word},
    slots::{Slot, assign, key},
    tables::Tables,
};
use crate::journal::record::nanoseconds;

/// Where the kernel keeps a service's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address, port and protocol in the kernel's table.
    pub key: (Address, u32),
    /// Index of its counters.
    pub id: u32,
    /// What the kernel does for it.
    pub options: Options,
    /// Which kinds of trials it has.
    pub kinds: &'static [Kind],
    /// The kind on which it is judged.
    pub judged: Kind,
}

impl Place {
    /// Index of its ring for trials of this kind.
    pub fn ring(&self, kind: Kind) -> usize {
        ring_index(self.id, self.options, kind) as usize
    }
}

/// The kinds of trials of a protocol.
pub fn kinds(protocol: Protocol) -> &'static [Kind] {
    match protocol {
        Protocol::Tcp => Kind::TCP,
        Protocol::Udp => Kind::UDP,
    }
}

/// Writes the services into the unused copy of the table and switches to it.
pub fn publish(
    tables: &mut Tables,
    services: &[ServiceSpec],
    flags: &LoadFlags,
) -> Result<Vec<Place>, Error> {
    let deadlines = &flags.deadlines;
    let table = &mut tables.state.get_mut().services;
    if table.flow_key == HashKey::default() {
        let word = if flags.replay {
            REPLAY_FLOW_WORD
        } else {
            random_word()?
        };
        table.flow_key = HashKey::from_random(word);
    }
    let active = (table.active.load() & 1) as usize;
    let present: Vec<Service> = table.copies[active]
        .iter()
        .filter(|service| service.port_protocol != 0)
        .cloned()
        .collect();
    let endpoints: Vec<_> = services.iter().map(|service| service.endpoint).collect();
    let slots = assign(&present, &endpoints);
    let mut places = Vec::with_capacity(services.len());
    let mut longest = Duration::ZERO;
    for (spec, slot) in services.iter().zip(&slots) {
        let place = set_up(tables, spec, deadlines, slot)?;
        for kind in place.kinds {
            longest = longest.max(deadlines.of(spec, *kind));
        }
        places.push(place);
    }
    tables
        .state
        .gate
        .generation_shift
        .store(generation_shift(nanoseconds(longest)));
    let entries: Vec<Service> = services
        .iter()
        .zip(&places)
        .zip(&slots)
        .map(|((spec, place), slot)| {
            let (address, port_protocol) = key(&spec.endpoint);
            let service = Service::new(address, port_protocol, place.id, place.options);
            service
                .sample_mask
                .store(slot.known.map_or(0, |known| known.sample_mask));
            if !place.kinds.contains(&Kind::Deliver) {
                service.sample_mask.store(SAMPLE_NONE);
            }
            service
        })
        .collect();
    let table = &mut tables.state.get_mut().services;
    let unused = 1 - active;
    if !table.fill(unused, &entries, random_word()?) {
        return Err(map_missing("STATE"));
    }
    table
        .active
        .store(u32::try_from(unused).unwrap_or_default());
    Ok(places)
}

/// The place of a service: the rings that it had if all its deadlines are still the
/// same, else its other ones. What somebody else may have counted there is forgotten.
fn set_up(
    tables: &mut Tables,
    spec: &ServiceSpec,
    deadlines: &Deadlines,
    slot: &Slot,
) -> Result<Place, Error> {
    let kinds = kinds(spec.endpoint.protocol);
    let block = slot
        .known
        .map_or(0, |known| known.options.0 & Options::SECOND_BLOCK);
    let place = |block: u32| Place {
        key: key(&spec.endpoint),
        id: slot.id,
        options: Options(spec.options().0 | block),
        kinds,
        judged: spec.endpoint.protocol.judged_kind(spec.application),
    };
    let same = place(block);
    let ring_at = |place: &Place, kind: Kind| {
        tables
            .rings
            .get(place.ring(kind))
            .ok_or_else(|| map_missing("RINGS"))
    };
    let mut unchanged = slot.known.is_some();
    for kind in kinds {
        let deadline_ns = ring_at(&same, *kind)?.deadline_ns.load();
        unchanged &= deadline_ns == nanoseconds(deadlines.of(spec, *kind));
    }
    if unchanged {
        return Ok(same);
    }
    let other = if slot.known.is_some() {
        place(block ^ Options::SECOND_BLOCK)
    } else {
        same
    };
    for kind in kinds {
        let deadline_ns = nanoseconds(deadlines.of(spec, *kind));
        let ring = ring_at(&other, *kind)?;
        ring.width_shift.store(width_shift(deadline_ns));
        ring.deadline_ns.store(deadline_ns);
    }
    if slot.known.is_none() {
        tables.forget(slot.id);
    }
    Ok(other)
}
