//! Makes a packet that of another flow, in an order that no cache foresees, and each
//! flow once before any comes again.
//!
//! ```text
//! state ─▶ flow number (20 bits) ─┬─▶ client address and port
//!                                 ├─▶ service address (10.77.0.0 and up)
//!                                 └─▶ ISN, such that the TCP checksum stays right
//! ```
//! IPv4 without options and without tags only. What belongs to the client is the
//! source on the way in and the destination on the way out.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use probe_common::{cell::Shared, measure::Direction, parse::Flags};

/// Written by user space, except for `state`.
#[repr(C)]
struct Sequence {
    /// Where the sequence is.
    state: Shared<u32>,
    /// How many services share the flows.
    services: Shared<u32>,
    /// The first client address.
    clients: Shared<u32>,
    /// Sum of the 16-bit words of addresses, source port and sequence number in the
    /// SYN from which the packets are made (RFC 1071): it stays as it is.
    balance: Shared<u32>,
}

#[btf_map]
static SEQUENCE: Array<Sequence, 1> = Array::new();

/// Flow numbers have so many bits.
const FLOW_BITS: u32 = 20;
const FLOWS: u32 = 1 << FLOW_BITS;
const FIRST_SERVICE: u32 = u32::from_be_bytes([10, 77, 0, 0]);
const FIRST_PORT: u32 = 20_000;
/// A client address has so many ports, as a power of two.
const PORT_BITS: u32 = 4;
/// The upper half of every ISN.
const ISN_HIGH: u32 = 0x1000;

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL: usize = 14 + 9;
const SOURCE: usize = 14 + 12;
const DESTINATION: usize = 14 + 16;
const SOURCE_PORT: usize = 14 + 20;
const DESTINATION_PORT: usize = 14 + 22;
const SEQUENCE_NUMBER: usize = 14 + 24;
const ACKNOWLEDGMENT: usize = 14 + 28;
const FLAGS: usize = 14 + 33;
/// Ethernet, IPv4 and TCP, or as much of UDP.
const HEADERS: usize = 14 + 20 + 20;

/// Makes the packet that of the next flow. One that is too short stays as it is.
#[inline(always)]
pub fn next(data: usize, end: usize, direction: Direction) {
    let Some(sequence) = SEQUENCE.get(0) else {
        return;
    };
    if data + HEADERS > end {
        return;
    }
    // Full period (Knuth, The Art of Computer Programming, volume 2, section 3.2.1.2).
    let flow = sequence
        .state
        .load()
        .wrapping_mul(0x000d_9c65)
        .wrapping_add(0x0003_6d37)
        & (FLOWS - 1);
    sequence.state.store(flow);
    let client = sequence.clients.load().wrapping_add(flow >> PORT_BITS);
    let port = FIRST_PORT + (flow & ((1 << PORT_BITS) - 1));
    let number = (u64::from(flow) * u64::from(sequence.services.load())) >> FLOW_BITS;
    let service = FIRST_SERVICE + number as u32;
    let others = halves(client) + halves(service) + port + ISN_HIGH;
    let isn = ISN_HIGH << 16 | fold(sequence.balance.load() + (0xffff ^ fold(others)));

    // SAFETY: all offsets lie below HEADERS, which was checked above; the verifier
    // proves it again, and no other reference to the packet lives.
    unsafe {
        let is_tcp = *((data + PROTOCOL) as *const u8) == PROTOCOL_TCP;
        match direction {
            Direction::In => {
                *((data + SOURCE) as *mut u32) = client.to_be();
                *((data + DESTINATION) as *mut u32) = service.to_be();
                *((data + SOURCE_PORT) as *mut u16) = (port as u16).to_be();
                if is_tcp {
                    let is_syn = *((data + FLAGS) as *const u8) & Flags::SYN != 0;
                    let number = if is_syn { isn } else { isn + 1 };
                    *((data + SEQUENCE_NUMBER) as *mut u32) = number.to_be();
                }
            }
            Direction::Out => {
                *((data + SOURCE) as *mut u32) = service.to_be();
                *((data + DESTINATION) as *mut u32) = client.to_be();
                *((data + DESTINATION_PORT) as *mut u16) = (port as u16).to_be();
                if is_tcp {
                    *((data + ACKNOWLEDGMENT) as *mut u32) = (isn + 1).to_be();
                }
            }
        }
    }
}

#[inline(always)]
fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

/// Folds a sum of words into 16 bits (RFC 1071 section 2).
#[inline(always)]
fn fold(sum: u32) -> u32 {
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}
