//! Services: what the kernel knows of each, and the [`table`] in which it finds them.

pub mod table;

pub use self::table::ServiceTable;
use crate::{
    address::Address,
    cell::Shared,
    trial::{Kind, RINGS_PER_BLOCK},
};

/// Most services that one host can have.
pub const MAX_SERVICES: usize = 4096;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// What [`State::flow_key`](crate::state::State::flow_key) is made of where nobody attacks and runs must be
/// alike: in tests and replays.
pub const REPLAY_FLOW_WORD: u64 = 1;

/// A port that stands for every port of an address.
pub const ANY_PORT: u16 = 0;

/// Port and IP protocol as one word: zero marks an empty slot.
#[inline(always)]
pub const fn port_protocol(port: u16, protocol: u8) -> u32 {
    (port as u32) << 16 | protocol as u32
}

/// The same protocol at [`ANY_PORT`].
#[inline(always)]
const fn at_any_port(port_protocol: u32) -> u32 {
    port_protocol & 0xffff | (ANY_PORT as u32) << 16
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
    /// Index of its counters, and of all else that is kept by service: less than
    /// [`MAX_SERVICES`].
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

    /// Whether there is a service.
    fn is_present(&self) -> bool {
        self.port_protocol != 0
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

/// A service that was found. Its parts are read where they are needed: most packets need
/// few of them, and not at once.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Index of its counters.
    pub id: u32,
    entry: &'a Service,
}

impl<'a> Found<'a> {
    /// What the table holds of it, under an id.
    #[inline(always)]
    fn new(id: u32, entry: &'a Service) -> Self {
        Self { id, entry }
    }

    /// What to do for it.
    #[inline(always)]
    pub fn options(&self) -> Options {
        Options(self.entry.options.load())
    }

    /// Which of its connections are sampled.
    #[inline(always)]
    pub fn sample_mask(&self) -> u32 {
        self.entry.sample_mask.load()
    }

    /// Index of its cohort ring for trials of this kind.
    #[inline(always)]
    pub fn ring(&self, kind: Kind) -> u32 {
        ring_index(self.id, self.options(), kind)
    }
}

/// Index of a service's cohort ring for trials of this kind.
#[inline(always)]
pub fn ring_index(id: u32, options: Options, kind: Kind) -> u32 {
    let block = id * 2 + (options.0 & Options::SECOND_BLOCK);
    block * RINGS_PER_BLOCK as u32 + kind.slot() as u32
}
