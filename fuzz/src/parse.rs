//! The target `parse`: an input is a frame, and every parser has a look at it.

use probe_common::{
    host::HostTables,
    measure::Tables as _,
    parse::{self, MAX_OFFSET, Network, dns, http, icmp, quic, tunnel::Tunnels},
    service::ServiceTable,
};

use crate::services;

/// The shortest IP header, and that of Ethernet.
const MIN_HEADER: u32 = 20;
const ETHERNET: usize = 14;
const DNS_HEADER: usize = 12;

thread_local! {
    static TABLES: HostTables = services::tables();
}

/// Panics if a parser says what the frame does not.
pub fn check(frame: &[u8]) {
    TABLES.with(|tables| {
        let Some(state) = tables.state() else {
            return;
        };
        for tunnels in [Tunnels::default(), Tunnels::all()] {
            check_frame(frame, tunnels, &state.services);
        }
    });
}

fn check_frame(frame: &[u8], tunnels: Tunnels, table: &ServiceTable) {
    let Ok(network) = parse::network(frame, tunnels, table) else {
        return;
    };
    assert!(network.header_length >= MIN_HEADER, "{network:?}");
    let start = network.transport_offset;
    assert!(
        start >= ETHERNET + network.header_length as usize,
        "{network:?}"
    );
    assert!(start <= MAX_OFFSET, "{network:?}");
    // Whatever protocol it claims, as any of them could follow.
    check_segment(frame, &network);
    check_datagram(frame, &network);
    if let Ok(Some(undelivered)) = icmp::undelivered(frame, &network) {
        assert!(undelivered.rest_offset <= frame.len(), "{undelivered:?}");
    }
}

fn check_segment(frame: &[u8], network: &Network) {
    let Ok(segment) = parse::segment(frame, network) else {
        return;
    };
    let (start, length) = (network.transport_offset, segment.header_length);
    assert!((20..=60).contains(&length), "{segment:?}");
    assert!(start + 20 <= frame.len(), "{segment:?}");
    assert_eq!(segment.payload_offset, start + length as usize);
    assert_eq!(
        segment.payload_length + length + network.header_length,
        network.ip_length
    );
    assert!(segment.end().wrapping_sub(segment.sequence) >= segment.payload_length);
    let class = http::status_class(frame, segment.payload_offset, segment.payload_length);
    assert!(class.is_none_or(|class| (1..=5).contains(&class)));
}

fn check_datagram(frame: &[u8], network: &Network) {
    let Ok(datagram) = parse::datagram(frame, network) else {
        return;
    };
    let (offset, length) = (datagram.payload_offset, datagram.payload_length);
    assert!(offset <= frame.len(), "{datagram:?}");
    if !network.is_fragment {
        assert!(
            length + 8 + network.header_length <= network.ip_length,
            "{datagram:?}"
        );
    }
    check_dns(frame, offset, length);
    if let quic::Quic::Initial { first_id: Some(_) } = quic::packet(frame, offset, length) {
        assert!(
            length >= 1200,
            "an Initial in a short datagram deserves no answer"
        );
    }
}

/// Names are the same in whatever case they are written.
fn check_dns(frame: &[u8], offset: usize, length: u32) {
    let message = dns::message(frame, offset, length);
    if let dns::Dns::Query { name_hash, .. } = message {
        assert_ne!(name_hash, 0, "a query without a name deserves no answer");
    }
    let name = offset + DNS_HEADER;
    if name < frame.len() {
        let mut shouted = frame.to_vec();
        shouted[name..].make_ascii_uppercase();
        assert_eq!(message, dns::message(shouted.as_slice(), offset, length));
    }
}
