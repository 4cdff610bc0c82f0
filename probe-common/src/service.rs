//! Services, and the table in which the kernel finds them.
//!
//! The table is one value of an array map, so that a look-up is a few loads
//! without a helper call. It has two copies: user space fills the one that is not
//! in use and then switches, so that a packet sees the old services or the new
//! ones, never a mixture.

use crate::cell::Shared;

/// Most services that one host can have.
pub const MAX_SERVICES: usize = 4096;
/// Slots of one copy of the table. So many that, even with the most services, about
/// one seed in four leaves no bucket with more services than it has slots.
pub const SLOTS: usize = 8 * MAX_SERVICES;
/// Slots of a bucket.
pub const WAYS: usize = 4;
/// Verified handshakes are counted by so many hash buckets of client networks.
pub const NETWORK_BUCKETS: usize = 64;

/// An IPv6 address, or an IPv4 address as IPv4-mapped IPv6 (RFC 4291 section
/// 2.5.5.2): four words in wire order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub [u32; 4]);

/// The third word of an IPv4-mapped address, in wire order.
const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

impl Address {
    /// From an IPv4 address in wire order.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self([0, 0, MAPPED, word])
    }

    /// From the words of an IPv6 address in wire order.
    #[inline(always)]
    pub const fn v6(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// From the bytes of an IPv6 (or IPv4-mapped) address.
    pub fn from_octets(octets: [u8; 16]) -> Self {
        let (words, _) = octets.as_chunks::<4>();
        let mut address = Self::default();
        for (to, from) in address.0.iter_mut().zip(words) {
            *to = u32::from_ne_bytes(*from);
        }
        address
    }

    /// Whether it is an IPv4-mapped address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.0[0] == 0 && self.0[1] == 0 && self.0[2] == MAPPED
    }

    /// The sum of the words that belong to the pseudo-header of a checksum.
    #[inline(always)]
    pub fn sum(&self) -> u64 {
        if self.is_v4() {
            u64::from(self.0[3])
        } else {
            u64::from(self.0[0])
                + u64::from(self.0[1])
                + u64::from(self.0[2])
                + u64::from(self.0[3])
        }
    }

    /// The bucket of the address's network: /24 of IPv4, /48 of IPv6.
    #[inline(always)]
    pub fn network_bucket(&self) -> usize {
        let network = if self.is_v4() {
            u64::from(u32::from_be(self.0[3]) >> 8)
        } else {
            u64::from(self.0[0]) << 32 | u64::from(u32::from_be(self.0[1]) >> 16)
        };
        (network.wrapping_mul(MULTIPLIER) >> 58) as usize & (NETWORK_BUCKETS - 1)
    }
}

/// 2^64 divided by the golden ratio, odd: spreads neighbouring values (Knuth, The
/// Art of Computer Programming, volume 3, section 6.4).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes `seed`, an address and one more word into a hash whose upper bits are good.
#[inline(always)]
pub fn hash(seed: u64, address: &Address, word: u64) -> u64 {
    let words = &address.0;
    let mut hash = seed ^ (u64::from(words[0]) << 32 | u64::from(words[1]));
    hash = (hash ^ hash >> 32).wrapping_mul(MULTIPLIER);
    hash ^= u64::from(words[2]) << 32 | u64::from(words[3]);
    hash = (hash ^ hash >> 32).wrapping_mul(MULTIPLIER);
    hash ^= word;
    (hash ^ hash >> 32).wrapping_mul(MULTIPLIER)
}

/// Port and IP protocol as one word: zero marks an empty slot.
#[inline(always)]
pub const fn port_protocol(port: u16, protocol: u8) -> u32 {
    (port as u32) << 16 | protocol as u32
}

/// IP protocol number of TCP.
pub const TCP: u8 = 6;

/// What the kernel knows of a service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The service's address.
    pub address: Address,
    /// [`port_protocol`] of the service; zero in an empty slot.
    pub port_protocol: u32,
    /// Index of its counters.
    pub id: u32,
    /// Index of its cohort ring for `connect`. A change of deadline moves it to
    /// another ring, so outcomes of two deadlines never mix.
    pub ring: u32,
    /// Explicit padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Service>() == 32);

/// The table: two copies, one of them active.
#[repr(C)]
pub struct ServiceTable {
    /// 0 or 1: the copy in use.
    pub active: Shared<u32>,
    /// Explicit padding.
    pub reserved: u32,
    /// A secret of this host, so that nobody outside can choose flows that collide
    /// in the handshake table. It lives here, not in the program, so that entries
    /// are found again after the programs were replaced.
    pub flow_seed: Shared<u64>,
    /// Per copy: the seed with which every service finds room in its bucket.
    pub seeds: [u64; 2],
    /// The copies.
    pub copies: [[Service; SLOTS]; 2],
}

const _: () = assert!(size_of::<ServiceTable>() == 32 + 2 * SLOTS * 32);

impl ServiceTable {
    /// The service at an address and port, if there is one.
    #[inline(always)]
    pub fn find(&self, address: &Address, port: u16, protocol: u8) -> Option<Found> {
        let copy = (self.active.load() & 1) as usize;
        let wanted = port_protocol(port, protocol);
        let bucket = bucket(self.seeds[copy], address, wanted);
        let slots = &self.copies[copy];
        for way in 0..WAYS {
            let service = &slots[bucket + way];
            if service.port_protocol == wanted && service.address == *address {
                return Some(Found {
                    id: service.id,
                    ring: service.ring,
                });
            }
        }
        None
    }
}

/// A service that was found. A copy rather than a reference: the verifier would
/// follow a pointer into each of a bucket's slots on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of its counters.
    pub id: u32,
    /// Index of its cohort ring for `connect`.
    pub ring: u32,
}

/// The first slot of the bucket in which a service must be.
#[inline(always)]
pub fn bucket(seed: u64, address: &Address, port_protocol: u32) -> usize {
    (hash(seed, address, u64::from(port_protocol)) >> 48) as usize & (SLOTS - WAYS)
}

/// Places services into a copy of the table.
///
/// # Errors
/// Gives back the service that found no room with this seed; try another seed.
pub fn place(
    slots: &mut [Service; SLOTS],
    seed: u64,
    services: impl IntoIterator<Item = Service>,
) -> Result<(), Service> {
    slots.fill(Service::default());
    for service in services {
        let first = bucket(seed, &service.address, service.port_protocol);
        let Some(slot) = slots[first..first + WAYS]
            .iter_mut()
            .find(|slot| slot.port_protocol == 0)
        else {
            return Err(service);
        };
        *slot = service;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_services_find_room_within_a_few_seeds() {
        // Neighbouring addresses and few ports, as hosts have them.
        let services = (0..MAX_SERVICES as u32).map(|id| Service {
            address: Address::v4((0xc000_0200 + id % 1024).to_be()),
            port_protocol: port_protocol(80 + (id / 1024) as u16, TCP),
            id,
            ring: id * 2,
            reserved: 0,
        });
        let mut slots: Box<[Service; SLOTS]> =
            vec![Service::default(); SLOTS].try_into().expect("as long");
        let fitting = (1..=100)
            .filter(|seed| place(&mut slots, *seed, services.clone()).is_ok())
            .count();
        assert!(fitting >= 5, "{fitting} of 100 seeds");
    }
}
