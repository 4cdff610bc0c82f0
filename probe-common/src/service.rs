//! Services, and the table in which the kernel finds them.
//!
//! The table is one value of an array map, so that a look-up is a few loads
//! without a helper call. It has two copies: user space fills the one that is not
//! in use and then switches, so that a packet sees the old services or the new
//! ones, never a mixture.

use crate::{
    address::{Address, HashKey},
    cell::Shared,
    trial::{Kind, RINGS_PER_BLOCK},
};

/// Most services that one host can have.
pub const MAX_SERVICES: usize = 4096;
/// Slots of one copy of the table. So many that, even with the most services, about
/// one key in four leaves no bucket with more services than it has slots.
pub const SLOTS: usize = 8 * MAX_SERVICES;
/// Slots of a bucket, filled from the first on.
pub const WAYS: usize = 4;

/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// What [`ServiceTable::flow_key`] is made of where nobody attacks and runs must be
/// alike: in tests and replays.
pub const REPLAY_FLOW_WORD: u64 = 1;

/// A port that stands for every port of an address.
pub const ANY_PORT: u16 = 0;

/// Port and IP protocol as one word: zero marks an empty slot.
#[inline(always)]
pub const fn port_protocol(port: u16, protocol: u8) -> u32 {
    (port as u32) << 16 | protocol as u32
}

/// What the kernel is to do for a service, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(pub u32);

impl Options {
    /// The second block of rings is in use. A change of deadlines moves a service to
    /// its other block, so outcomes of two deadlines never mix.
    pub const SECOND_BLOCK: u32 = 1;
    /// Payloads are DNS messages (RFC 1035).
    pub const DNS: u32 = 2;
    /// Payloads are QUIC packets (RFC 9000).
    pub const QUIC: u32 = 4;
    /// Payloads are plaintext HTTP/1, and the trial `status` is wanted.
    pub const HTTP: u32 = 8;
    /// The service speaks first, and the trial `greet` is wanted.
    pub const SERVER_FIRST: u32 = 16;

    /// Whether any of `bits` is set.
    #[inline(always)]
    pub const fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}

/// No connection of the service is sampled.
pub const SAMPLE_NONE: u32 = u32::MAX;

/// What the kernel knows of a service.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Service {
    /// The service's address.
    pub address: Address,
    /// [`port_protocol`] of the service; zero in an empty slot.
    pub port_protocol: u32,
    /// Index of its counters.
    pub id: u32,
    /// What to do for it; may change while the copy is in use.
    pub options: Shared<u32>,
    /// Connections whose hash has none of these bits are sampled; may change while
    /// the copy is in use.
    pub sample_mask: Shared<u32>,
}

const _: () = assert!(size_of::<Service>() == 32);

impl Service {
    /// A service that is sampled as a whole.
    pub fn new(address: Address, port_protocol: u32, id: u32, options: Options) -> Self {
        Self {
            address,
            port_protocol,
            id,
            options: Shared::new(options.0),
            sample_mask: Shared::new(0),
        }
    }
}

impl Clone for Service {
    fn clone(&self) -> Self {
        Self {
            address: self.address,
            port_protocol: self.port_protocol,
            id: self.id,
            options: Shared::new(self.options.load()),
            sample_mask: Shared::new(self.sample_mask.load()),
        }
    }
}

/// The table: two copies, one of them active.
#[repr(C)]
pub struct ServiceTable {
    /// 0 or 1: the copy in use.
    pub active: Shared<u32>,
    /// Whether any service has [`ANY_PORT`]; then a packet to no service's port is
    /// looked up once more.
    pub wildcards: Shared<u32>,
    /// Always zero, which the verifier does not know: see [`ServiceTable::opaque`].
    pub zero: Shared<u64>,
    /// A secret of this host, so that nobody outside can choose connections that
    /// collide in the flow tables. It lives here, not in the program, so that
    /// entries are found again after the programs were replaced.
    pub flow_key: HashKey,
    /// Per copy: the key with which every service finds room in its bucket.
    pub keys: [HashKey; 2],
    /// Explicit padding.
    pub reserved: u64,
    /// The copies.
    pub copies: [[Service; SLOTS]; 2],
}

const _: () = assert!(size_of::<ServiceTable>() == 96 + 2 * SLOTS * 32);

impl ServiceTable {
    /// Writes services into a copy, with the first key, of those derived from `start`
    /// and the numbers after it, with which all of them find room. About every fourth
    /// does, even with the most services. False if none does.
    pub fn fill(&mut self, copy: usize, services: &[Service], start: u64) -> bool {
        let slots = &mut self.copies[copy];
        let key = (0..=u64::MAX)
            .map(|tries| HashKey::from_random(start.wrapping_add(tries)))
            .find(|key| place(slots, key, services).is_ok());
        let Some(key) = key else {
            return false;
        };
        self.keys[copy] = key;
        let any_port = |service: &Service| (service.port_protocol >> 16) as u16 == ANY_PORT;
        self.wildcards
            .store(u32::from(services.iter().any(any_port)));
        true
    }

    /// The service at an address and port, if there is one.
    #[inline(always)]
    pub fn find(&self, address: &Address, port: u16, protocol: u8) -> Option<Found> {
        let exact = self.find_exact(address, port, protocol);
        if exact.is_some() || self.wildcards.load() == 0 {
            return exact;
        }
        self.find_exact(address, ANY_PORT, protocol)
    }

    #[inline(always)]
    fn find_exact(&self, address: &Address, port: u16, protocol: u8) -> Option<Found> {
        let copy = (self.active.load() & 1) as usize;
        let wanted = port_protocol(port, protocol);
        let bucket = bucket(&self.keys[copy], address, wanted);
        let slots = &self.copies[copy];
        for way in 0..WAYS {
            let service = &slots[bucket + way];
            if service.port_protocol == wanted && service.address == *address {
                return Some(Found {
                    id: service.id,
                    options: Options(service.options.load()),
                    sample_mask: service.sample_mask.load(),
                });
            }
            if service.port_protocol == 0 {
                break;
            }
        }
        None
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

/// A service that was found. A copy rather than a reference: the verifier would
/// follow a pointer into each of a bucket's slots on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of its counters.
    pub id: u32,
    /// What to do for it.
    pub options: Options,
    /// Which of its connections are sampled.
    pub sample_mask: u32,
}

impl Found {
    /// Index of its cohort ring for trials of this kind.
    #[inline(always)]
    pub fn ring(&self, kind: Kind) -> u32 {
        ring_index(self.id, self.options, kind)
    }
}

/// Index of a service's cohort ring for trials of this kind.
#[inline(always)]
pub fn ring_index(id: u32, options: Options, kind: Kind) -> u32 {
    let block = id * 2 + (options.0 & Options::SECOND_BLOCK);
    block * RINGS_PER_BLOCK as u32 + kind.slot() as u32
}

/// The first slot of the bucket in which a service must be.
#[inline(always)]
pub fn bucket(key: &HashKey, address: &Address, port_protocol: u32) -> usize {
    (key.hash(address, u64::from(port_protocol)) >> 48) as usize & (SLOTS - WAYS)
}

/// Places services into a copy of the table.
///
/// # Errors
/// Gives back the service that found no room with this key; try another key.
pub fn place<'a>(
    slots: &mut [Service; SLOTS],
    key: &HashKey,
    services: impl IntoIterator<Item = &'a Service>,
) -> Result<(), &'a Service> {
    slots.fill_with(Service::default);
    for service in services {
        let first = bucket(key, &service.address, service.port_protocol);
        let Some(slot) = slots[first..first + WAYS]
            .iter_mut()
            .find(|slot| slot.port_protocol == 0)
        else {
            return Err(service);
        };
        *slot = service.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_services_find_room_within_a_few_keys() {
        // Neighbouring addresses and few ports, as hosts have them.
        let services: Vec<Service> = (0..MAX_SERVICES as u32)
            .map(|id| {
                let address = Address::v4((0xc000_0200 + id % 1024).to_be());
                let port = port_protocol(80 + (id / 1024) as u16, TCP);
                Service::new(address, port, id, Options::default())
            })
            .collect();
        let mut slots: Box<[Service; SLOTS]> = (0..SLOTS)
            .map(|_| Service::default())
            .collect::<Vec<_>>()
            .try_into()
            .expect("as long");
        let fitting = (1..=100)
            .filter(|word| place(&mut slots, &HashKey::from_random(*word), &services).is_ok())
            .count();
        assert!(fitting >= 5, "{fitting} of 100 keys");
    }
}
