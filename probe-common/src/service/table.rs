//! The table in which the kernel finds services.
//!
//! It is part of one value of an array map, so that a look-up is a few loads without a
//! helper call. It has two copies: user space fills the one that is not in use and then
//! switches, so that a packet sees the old services or the new ones, never a mixture.
//!
//! Each service has a place of its own, by hashing and displacing (Belazzougui et al.,
//! Hash, Displace, and Compress, section 2): services of one bucket are moved together to
//! where all of them find free places. So one place tells, without a search.
//!
//! ```text
//!  hash of address, port, protocol
//!   │ bucket           │ place            │ tag
//!   ▼                  ▼                  ▼
//!  moves[bucket] ───▶ (+) ─▶ places[ ] ─ equal? ── no ──▶ nobody's
//!                             │ yes: id
//!                             ▼
//!                            entries[id] ─ equal? ─▶ the service
//! ```
//! Most packets of a busy host are for no service, or for one among thousands, so what a
//! look-up reads has to stay in the processor's caches: 24 KiB tell nearly every stranger.
//! They also tell the service's id, so that a processor that guesses "equal" goes on to
//! what is kept by id while the entry is still on its way.

use crate::{
    address::{Address, HashKey},
    cell::Shared,
};

use super::{Found, MAX_SERVICES, Service, at_any_port};

/// Buckets of services that are moved together. So many that none has many services, and
/// about every second key has no two in a bucket that can never be told apart.
const BUCKETS: usize = MAX_SERVICES;
/// Places for them. Where all are needed, the buckets of one service come last and take
/// what is left.
const PLACES: usize = MAX_SERVICES;
/// Keys that are tried. None of them fits where a service is listed twice.
const TRIES: u64 = 256;

/// Whose a place is.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Owner {
    tag: u16,
    id: u16,
}

/// The services that are looked up together.
#[repr(C)]
pub struct Services {
    /// With which each has a place of its own.
    key: HashKey,
    /// Explicit padding.
    reserved: u64,
    /// By bucket: how far its services are moved.
    moves: [u16; BUCKETS],
    /// By id.
    entries: [Service; MAX_SERVICES],
    /// By place.
    places: [Owner; PLACES],
}

/// The table: two copies, one of them active.
#[repr(C)]
pub struct ServiceTable {
    /// 0 or 1: the copy in use.
    active: Shared<u32>,
    /// Whether any service has [`ANY_PORT`](super::ANY_PORT); then a packet to no service's
    /// port is looked up once more.
    wildcards: Shared<u32>,
    /// Always zero, which the verifier does not know: see [`ServiceTable::opaque`].
    zero: Shared<u64>,
    copies: [Services; 2],
}

const _: () = assert!(size_of::<Services>() == 32 + BUCKETS * 2 + PLACES * 4 + MAX_SERVICES * 32);
const _: () = assert!(size_of::<ServiceTable>() == 16 + 2 * size_of::<Services>());

impl ServiceTable {
    /// Writes services into the copy that is not in use, with the first key, of those
    /// derived from `start` and the numbers after it, with which each has a place, and
    /// switches to it. About every second key does, even with the most services. False,
    /// and nothing has changed, if there are more services than that, the same service or
    /// id twice, or an id that is no less than [`MAX_SERVICES`].
    pub fn replace(&mut self, services: &[Service], start: u64) -> bool {
        let is_id = |service: &Service| (service.id as usize) < MAX_SERVICES;
        if services.len() > MAX_SERVICES || !services.iter().all(is_id) {
            return false;
        }
        let unused = 1 - self.active_copy();
        let copy = &mut self.copies[unused];
        let placed = (0..TRIES)
            .map(|tries| HashKey::from_random(start.wrapping_add(tries)))
            .any(|key| copy.place(key, services));
        if !placed {
            return false;
        }
        let wildcard =
            |service: &Service| service.port_protocol == at_any_port(service.port_protocol);
        self.wildcards
            .store(u32::from(services.iter().any(wildcard)));
        self.active.store(unused as u32);
        true
    }

    #[inline(always)]
    fn active_copy(&self) -> usize {
        (self.active.load() & 1) as usize
    }

    /// The services in use, by id.
    pub fn present(&self) -> impl Iterator<Item = &Service> {
        let entries = self.copies[self.active_copy()].entries.iter();
        entries.filter(|service| service.is_present())
    }

    /// The service at an address, [`port and protocol`](super::port_protocol), if there is
    /// one.
    #[inline(always)]
    pub fn find(&self, address: &Address, port_protocol: u32) -> Option<Found<'_>> {
        let exact = self.find_exact(address, port_protocol);
        if exact.is_some() || self.wildcards.load() == 0 {
            return exact;
        }
        self.find_exact(address, at_any_port(port_protocol))
    }

    #[inline(always)]
    fn find_exact(&self, address: &Address, port_protocol: u32) -> Option<Found<'_>> {
        let (id, service) = self.look_up(address, port_protocol)?;
        Some(Found::new(id, service))
    }

    /// What the copy in use holds of a service.
    pub fn entry(&self, address: &Address, port_protocol: u32) -> Option<&Service> {
        let (_, service) = self.look_up(address, port_protocol)?;
        Some(service)
    }

    /// The service and its id, as its place tells it.
    #[inline(always)]
    fn look_up(&self, address: &Address, port_protocol: u32) -> Option<(u32, &Service)> {
        let services = &self.copies[self.active_copy()];
        let hash = Hash::of(&services.key, address, port_protocol);
        let owner = &services.places[hash.place(services.moves[hash.bucket()])];
        if owner.tag != hash.tag() {
            return None;
        }
        let id = owner.id as usize & (MAX_SERVICES - 1);
        let service = &services.entries[id];
        let is_it = service.port_protocol == port_protocol && service.address == *address;
        is_it.then_some((id as u32, service))
    }

    /// `offset`, which the verifier now takes for any number up to `mask`.
    ///
    /// It follows every way through the program on its own, unless it comes to a
    /// place in a state that it has seen there before. An offset that came about in
    /// several ways, a constant each time, makes all those states differ; as an
    /// unknown number they are the same.
    #[inline(always)]
    pub fn opaque(&self, offset: usize, mask: usize) -> usize {
        crate::verifier::bounded(offset + self.zero.load() as usize, mask)
    }
}

/// The hash of a service's address, port and protocol, from the top: 16 bits to tell it from
/// a stranger, 12 for its bucket, 12 for its place.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    #[inline(always)]
    fn of(key: &HashKey, address: &Address, port_protocol: u32) -> Self {
        Self(key.sum(address, u64::from(port_protocol)))
    }

    #[inline(always)]
    fn bucket(self) -> usize {
        (self.0 >> 36) as usize & (BUCKETS - 1)
    }

    #[inline(always)]
    fn place(self, moved: u16) -> usize {
        ((self.0 >> 24) as usize + moved as usize) & (PLACES - 1)
    }

    #[inline(always)]
    fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

impl Services {
    /// Replaces what is there; whether each service has a place with this key.
    fn place(&mut self, key: HashKey, services: &[Service]) -> bool {
        self.key = key;
        self.moves.fill(0);
        self.places.fill(Owner::default());
        self.entries.fill_with(Service::default);
        let hash_of = |service: &Service| Hash::of(&key, &service.address, service.port_protocol);
        // How many each bucket has, then where its first one goes, then all of them.
        let mut ends = [0_u16; BUCKETS];
        for service in services {
            ends[hash_of(service).bucket()] += 1;
        }
        let most = ends.iter().copied().max().unwrap_or(0);
        let mut first = 0;
        for end in &mut ends {
            first += core::mem::replace(end, first);
        }
        // The services' numbers, bucket by bucket.
        let mut numbers = [0_u16; MAX_SERVICES];
        for (number, service) in services.iter().enumerate() {
            let entry = &mut self.entries[service.id as usize];
            if entry.is_present() {
                return false;
            }
            *entry = service.clone();
            let end = &mut ends[hash_of(service).bucket()];
            numbers[*end as usize] = number as u16;
            *end += 1;
        }
        // The largest first, while nearly all places are free.
        let mut is_taken = [false; PLACES];
        for size in (1..=most).rev() {
            let mut first = 0;
            for (bucket, end) in ends.into_iter().map(usize::from).enumerate() {
                let members = core::mem::replace(&mut first, end)..end;
                if members.len() != usize::from(size) {
                    continue;
                }
                let members = numbers[members]
                    .iter()
                    .map(|number| &services[*number as usize]);
                let hashes = members.clone().map(hash_of);
                let Some(moved) = room_for(&hashes, &mut is_taken) else {
                    return false;
                };
                self.moves[bucket] = moved;
                for (service, hash) in members.zip(hashes) {
                    self.places[hash.place(moved)] = Owner {
                        tag: hash.tag(),
                        id: service.id as u16,
                    };
                }
            }
        }
        true
    }
}

/// Takes places for all services of a bucket: how far they are moved there, or none if
/// nowhere is room for all.
fn room_for(
    hashes: &(impl Iterator<Item = Hash> + Clone),
    is_taken: &mut [bool; PLACES],
) -> Option<u16> {
    (0..PLACES as u16).find(|moved| {
        let mut taken = 0;
        for hash in hashes.clone() {
            let place = &mut is_taken[hash.place(*moved)];
            if core::mem::replace(place, true) {
                break;
            }
            taken += 1;
        }
        let fits = taken == hashes.clone().count();
        if !fits {
            // What was taken in vain; at most as far as the first that was not free.
            for hash in hashes.clone().take(taken) {
                is_taken[hash.place(*moved)] = false;
            }
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Options, TCP, UDP, port_protocol};

    fn empty() -> Box<ServiceTable> {
        // SAFETY: the table is made of integers, for which zero is a value.
        unsafe { Box::<ServiceTable>::new_zeroed().assume_init() }
    }

    /// Neighbouring addresses and few ports, as hosts have them.
    fn most_services() -> Vec<Service> {
        (0..MAX_SERVICES as u32)
            .map(|id| {
                let address = Address::v4((0xc000_0200 + id % 1024).to_be());
                let port = port_protocol(80 + (id / 1024) as u16, TCP);
                Service::new(address, port, id, Options::default())
            })
            .collect()
    }

    #[test]
    fn the_most_services_find_room_within_a_few_keys() {
        let services = most_services();
        let mut table = empty();
        let fitting = (1..=100)
            .filter(|word| table.copies[0].place(HashKey::from_random(*word), &services))
            .count();
        assert!(fitting >= 20, "{fitting} of 100 keys");
    }

    #[test]
    fn every_service_is_found_and_no_neighbour_of_it() {
        let services = most_services();
        let mut table = empty();
        for start in [1, 1 << 40] {
            assert!(table.replace(&services, start));
            let present = table.present().map(|service| service.id);
            assert!(present.eq(0..MAX_SERVICES as u32));
            for service in &services {
                let port = (service.port_protocol >> 16) as u16;
                let found = table.find(&service.address, port_protocol(port, TCP));
                assert_eq!(found.map(|found| found.id), Some(service.id));
                assert!(
                    table
                        .find(&service.address, port_protocol(port, UDP))
                        .is_none()
                );
                assert!(
                    table
                        .find(&service.address, port_protocol(port + 4, TCP))
                        .is_none()
                );
            }
        }
    }

    #[test]
    fn a_service_gone_is_not_found_and_one_too_many_changes_nothing() {
        let services = most_services();
        let mut table = empty();
        assert!(table.replace(&services[..2], 1));
        assert!(table.replace(&services[1..2], 1));
        assert!(
            table
                .find(&services[0].address, port_protocol(80, TCP))
                .is_none()
        );
        let mut many = services.clone();
        many.push(Service::new(
            Address::v4(1),
            1 << 16 | 6,
            0,
            Options::default(),
        ));
        assert!(!table.replace(&many, 1));
        assert!(!table.replace(&[services[0].clone(), services[0].clone()], 1));
        let with_id = |id: u32| Service {
            id,
            ..services[1].clone()
        };
        let twice = Service {
            id: 1,
            ..services[0].clone()
        };
        assert!(!table.replace(&[twice, with_id(1)], 1), "one id twice");
        assert!(!table.replace(&[with_id(MAX_SERVICES as u32)], 1));
        assert!(
            table
                .find(&services[1].address, port_protocol(80, TCP))
                .is_some()
        );
        assert!(table.replace(&[], 1));
        assert_eq!(table.present().count(), 0);
        assert!(
            table
                .find(&services[1].address, port_protocol(80, TCP))
                .is_none()
        );
    }
}
