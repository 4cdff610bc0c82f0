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
/// Buckets of the index. So many that, even with the most services, about one key in
/// four leaves no bucket with more services than it has ways.
const BUCKETS: usize = 2 * MAX_SERVICES;
/// Most services of a bucket.
const WAYS: usize = 4;
/// Above the tags of a bucket's services stands the position of the first one.
const FIRST_SHIFT: u32 = 32;

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
    /// [`port_protocol`] of the service; zero where there is none.
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

/// The services that are looked up together, and where each of them is.
///
/// Most packets of a busy host are for no service, or for one among thousands, so what
/// a look-up reads has to stay in the processor's caches: an index of eight bytes a bucket
/// tells nearly every stranger, and the services lie close together.
///
/// ```text
///  index[bucket]   63       48        32       24       16        8        0
///                   │ unused │ first   │ tag 3  │ tag 2  │ tag 1  │ tag 0  │
///                                │
///  entries         ... [first] [first + 1] ...    those of a bucket in a row
/// ```
#[repr(C)]
pub struct Services {
    /// By bucket: a tag for each of its services, which is never zero, and where the
    /// first of them is.
    index: [u64; BUCKETS],
    /// From the first on, bucket by bucket.
    entries: [Service; MAX_SERVICES],
}

/// The table: two copies, one of them active.
#[repr(C)]
pub struct ServiceTable {
    /// 0 or 1: the copy in use.
    active: Shared<u32>,
    /// Whether any service has [`ANY_PORT`]; then a packet to no service's port is
    /// looked up once more.
    wildcards: Shared<u32>,
    /// Always zero, which the verifier does not know: see [`ServiceTable::opaque`].
    zero: Shared<u64>,
    /// A secret of this host, so that nobody outside can choose connections that
    /// collide in the flow tables. It lives here, not in the program, so that
    /// entries are found again after the programs were replaced.
    pub flow_key: HashKey,
    /// Per copy: the key with which every service finds room in its bucket.
    keys: [HashKey; 2],
    /// Explicit padding.
    reserved: u64,
    copies: [Services; 2],
}

const _: () = assert!(size_of::<ServiceTable>() == 96 + 2 * (BUCKETS * 8 + MAX_SERVICES * 32));

impl ServiceTable {
    /// Writes services into the copy that is not in use, with the first key, of those
    /// derived from `start` and the numbers after it, with which all of them find room,
    /// and switches to it. About every fourth key does, even with the most services.
    /// False, and nothing has changed, if there are more services than that.
    pub fn replace(&mut self, services: &[Service], start: u64) -> bool {
        if services.len() > MAX_SERVICES {
            return false;
        }
        let unused = 1 - self.active_copy();
        let key = (0..=u64::MAX)
            .map(|tries| HashKey::from_random(start.wrapping_add(tries)))
            .find(|key| self.copies[unused].place(key, services));
        let Some(key) = key else {
            return false;
        };
        self.keys[unused] = key;
        let any_port = |service: &Service| (service.port_protocol >> 16) as u16 == ANY_PORT;
        self.wildcards
            .store(u32::from(services.iter().any(any_port)));
        self.active.store(unused as u32);
        true
    }

    #[inline(always)]
    fn active_copy(&self) -> usize {
        (self.active.load() & 1) as usize
    }

    /// The services in use, in the order of their buckets.
    pub fn present(&self) -> impl Iterator<Item = &Service> {
        let entries = self.copies[self.active_copy()].entries.iter();
        entries.take_while(|service| service.port_protocol != 0)
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
        let service = self.entry(address, port_protocol(port, protocol))?;
        Some(Found {
            id: service.id,
            options: Options(service.options.load()),
            sample_mask: service.sample_mask.load(),
        })
    }

    /// What the copy in use holds of a service.
    #[inline(always)]
    pub fn entry(&self, address: &Address, port_protocol: u32) -> Option<&Service> {
        let copy = self.active_copy();
        let place = Place::of(&self.keys[copy], address, port_protocol);
        let services = &self.copies[copy];
        let word = services.index[place.bucket];
        let first = (word >> FIRST_SHIFT) as usize;
        let mut matches = place.ways_with_tag(word as u32);
        for _ in 0..WAYS {
            // Nearly always true for a stranger, and at the second turn for the others.
            if matches == 0 {
                break;
            }
            let lowest = matches & matches.wrapping_neg();
            matches ^= lowest;
            let service = &services.entries[(first + way(lowest)) & (MAX_SERVICES - 1)];
            if service.port_protocol == port_protocol && service.address == *address {
                return Some(service);
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

/// Where the index has to tell of a service.
struct Place {
    bucket: usize,
    /// Eight bits, of which the lowest is set: zero is where no service is.
    tag: u32,
}

impl Place {
    #[inline(always)]
    fn of(key: &HashKey, address: &Address, port_protocol: u32) -> Self {
        let hash = key.hash(address, u64::from(port_protocol));
        Self {
            bucket: (hash >> 48) as usize & (BUCKETS - 1),
            tag: (hash >> 40) as u32 & 0xff | 1,
        }
    }

    /// The ways of a bucket that have this tag, each as the highest bit of its byte.
    ///
    /// All at once, since which way it is cannot be foreseen: a branch for each would be
    /// mispredicted for most packets, which costs more than all the rest of the look-up.
    #[inline(always)]
    fn ways_with_tag(&self, tags: u32) -> u32 {
        const ALL_BUT_HIGHEST: u32 = 0x7f * LOWEST_BITS;
        let differences = tags ^ (self.tag * LOWEST_BITS);
        // The highest bit of a byte is set where any bit of its tag differs.
        let differs = ((differences & ALL_BUT_HIGHEST) + ALL_BUT_HIGHEST) | differences;
        !differs & (LOWEST_BITS << 7)
    }
}

/// The lowest bit of each byte.
const LOWEST_BITS: u32 = 0x0101_0101;

/// The number of the byte whose highest bit is the only one of `highest`.
#[inline(always)]
fn way(highest: u32) -> usize {
    // Shifts the byte with that number to the top: bpf has no instruction to count zeros.
    ((highest >> 7).wrapping_mul(0x0001_0203) >> 24) as usize
}

impl Services {
    /// Replaces what is there; whether all services found room with this key.
    fn place(&mut self, key: &HashKey, services: &[Service]) -> bool {
        self.index.fill(0);
        self.entries.fill_with(Service::default);
        let place_of = |service: &Service| Place::of(key, &service.address, service.port_protocol);
        // How many each bucket has, then where its first one goes, then all of them.
        for service in services {
            let count = &mut self.index[place_of(service).bucket];
            if *count == WAYS as u64 {
                return false;
            }
            *count += 1;
        }
        let mut first = 0;
        for word in &mut self.index {
            let count = *word;
            *word = first << FIRST_SHIFT;
            first += count;
        }
        for service in services {
            let place = place_of(service);
            let word = &mut self.index[place.bucket];
            let tags = *word as u32;
            let used = (u32::BITS - tags.leading_zeros()).div_ceil(8);
            *word |= u64::from(place.tag) << (8 * used);
            let position = (*word >> FIRST_SHIFT) as usize + used as usize;
            self.entries[position] = service.clone();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            .filter(|word| table.copies[0].place(&HashKey::from_random(*word), &services))
            .count();
        assert!(fitting >= 5, "{fitting} of 100 keys");
    }

    #[test]
    fn every_service_is_found_and_no_neighbour_of_it() {
        let services = most_services();
        let mut table = empty();
        for start in [1, 1 << 40] {
            assert!(table.replace(&services, start));
            let mut present: Vec<u32> = table.present().map(|service| service.id).collect();
            present.sort_unstable();
            assert_eq!(present, (0..MAX_SERVICES as u32).collect::<Vec<_>>());
            for service in &services {
                let port = (service.port_protocol >> 16) as u16;
                let found = table.find(&service.address, port, TCP);
                assert_eq!(found.map(|found| found.id), Some(service.id));
                assert_eq!(table.find(&service.address, port, UDP), None);
                assert_eq!(table.find(&service.address, port + 4, TCP), None);
            }
        }
    }

    #[test]
    fn a_service_gone_is_not_found_and_one_too_many_changes_nothing() {
        let services = most_services();
        let mut table = empty();
        assert!(table.replace(&services[..2], 1));
        assert!(table.replace(&services[1..2], 1));
        assert_eq!(table.find(&services[0].address, 80, TCP), None);
        let mut many = services.clone();
        many.push(Service::new(
            Address::v4(1),
            1 << 16 | 6,
            0,
            Options::default(),
        ));
        assert!(!table.replace(&many, 1));
        assert!(table.find(&services[1].address, 80, TCP).is_some());
        assert!(table.replace(&[], 1));
        assert_eq!(table.present().count(), 0);
        assert_eq!(table.find(&services[1].address, 80, TCP), None);
    }
}
