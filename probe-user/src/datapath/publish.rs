//! Writing the services into the kernel's table.

use std::time::Duration;

use probe_common::{
    address::Address,
    cohort::width_shift,
    ends::FlowHashKey,
    gate::generation_shift,
    service::{Options, REPLAY_FLOW_WORD, SAMPLE_NONE, Service, ring_index},
    trial::Kind,
};
use probe_core::config::Protocol;

use super::{
    Deadlines, Error, ServiceSpec,
    object::{LoadFlags, map_missing, random_word},
    slots::{Resting, Slot, assign, key},
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
    /// Number of its ring for trials of this kind.
    pub fn ring(&self, kind: Kind) -> u32 {
        ring_index(self.id, self.options, kind)
    }
}

/// The kinds of trials of a protocol.
pub fn kinds(protocol: Protocol) -> &'static [Kind] {
    match protocol {
        Protocol::Tcp => Kind::TCP,
        Protocol::Udp => Kind::UDP,
    }
}

/// When services are published.
#[derive(Clone, Copy, Debug)]
pub enum When<'a> {
    /// At the start, before any of our programs of this life runs.
    AtStart,
    /// Again, while the programs run; these slots rest.
    Running(&'a Resting),
}

/// Writes the services into the unused copy of the table and switches to it. Up to then
/// nothing changes for the services that are there; after an error nothing has changed.
pub fn publish(
    tables: &mut Tables,
    services: &[ServiceSpec],
    flags: &LoadFlags,
    when: When<'_>,
) -> Result<Vec<Place>, Error> {
    let deadlines = &flags.deadlines;
    let state = tables.state.get_mut();
    if state.flow_key == FlowHashKey::default() {
        let word = if flags.replay {
            REPLAY_FLOW_WORD
        } else {
            random_word()?
        };
        state.flow_key = FlowHashKey::from_random(word);
    }
    let present: Vec<Service> = state.services.present().cloned().collect();
    let endpoints: Vec<_> = services.iter().map(|service| service.endpoint).collect();
    let none = Resting::default();
    let resting = match when {
        When::AtStart => &none,
        When::Running(resting) => resting,
    };
    let slots = assign(&present, &endpoints, resting);
    let capacity = tables.layout.capacity;
    if slots.iter().any(|slot| slot.id >= capacity) {
        return Err(Error::NoRoom {
            count: services.len(),
            capacity,
            resting: resting.count(),
        });
    }
    let mut places = Vec::with_capacity(services.len());
    let mut longest = Duration::ZERO;
    for (spec, slot) in services.iter().zip(&slots) {
        let place = set_up(tables, spec, deadlines, slot)?;
        for kind in place.kinds {
            longest = longest.max(deadlines.of(spec, *kind));
        }
        places.push(place);
    }
    let shift = generation_shift(nanoseconds(longest));
    let present_shift = &tables.state.gate.generation_shift;
    // Another shift makes every mark void, and what waits behind one would look late. So
    // a running gate only changes where its marks would not live for long enough.
    match when {
        When::AtStart => present_shift.store(shift),
        When::Running(_) => present_shift.store(shift.max(present_shift.load())),
    }
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
    if !table.replace(&entries, random_word()?) {
        return Err(map_missing("STATE"));
    }
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
    let head_at = |place: &Place, kind: Kind| {
        tables
            .head(place.ring(kind))
            .ok_or_else(|| map_missing("COHORT_HEADS"))
    };
    let mut unchanged = slot.known.is_some();
    for kind in kinds {
        let deadline_ns = head_at(&same, *kind)?.deadline_ns.load();
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
        let head = head_at(&other, *kind)?;
        head.width_shift.store(width_shift(deadline_ns));
        head.deadline_ns.store(deadline_ns);
    }
    if slot.known.is_none() {
        tables.forget(slot.id);
    }
    Ok(other)
}
