//! Writes inputs to begin fuzzing with: every kind of frame that the parsers know, and
//! every kind of story that the measurement tells.
//!
//! `fuzz-seeds DIRECTORY` fills `DIRECTORY/parse` and `DIRECTORY/measure`.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lapwing_fuzz::traffic::{Content, Step};
use lapwing_tests::packets::{
    Frame, dns, encapsulate,
    flags::{ACK, FIN, PSH, RST, SYN},
    icmp, quic,
};
use probe_common::measure::Direction::{self, In, Out};

fn main() -> Result<()> {
    let directory: PathBuf = std::env::args_os()
        .nth(1)
        .context("which directory?")?
        .into();
    let frames: Vec<Vec<u8>> = frames().iter().map(Frame::build).collect();
    write(&directory.join("parse"), &frames)?;
    write(&directory.join("measure"), &stories())
}

fn write(directory: &Path, inputs: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for (index, input) in inputs.iter().enumerate() {
        let file = directory.join(format!("seed-{index:02}"));
        fs::write(&file, input).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn ends(service_port: u16, v6: bool) -> (SocketAddr, SocketAddr) {
    let text = if v6 {
        ["2001:db8:c0::7", "2001:db8:a::10"]
    } else {
        ["198.51.100.7", "192.0.2.10"]
    };
    let [client, service] = text.map(|text| text.parse::<IpAddr>().expect("an address"));
    (
        SocketAddr::new(client, 40_000),
        SocketAddr::new(service, service_port),
    )
}

fn frames() -> Vec<Frame> {
    let mut frames = Vec::new();
    for v6 in [false, true] {
        let (client, service) = ends(80, v6);
        let syn = Frame::tcp(client, service, SYN).tcp_options(&[2, 4, 5, 0xb4, 1, 3, 3, 7]);
        frames.extend([
            syn.clone().vlan(0x8100),
            syn.clone().vlan(0x88a8).vlan(0x8100),
            Frame::tcp(service, client, PSH | ACK).payload(b"HTTP/1.1 503 x"),
            Frame::tcp(client, service, SYN).tcp_options(&[19, 18]),
        ]);
        frames.extend(datagrams(v6));
        frames.extend(errors(v6));
        frames.extend(tunnels(&syn, v6));
        frames.push(syn);
    }
    let (client, service) = ends(80, false);
    frames.push(Frame::tcp(client, service, SYN).ip_options(&[7, 4, 0, 0]));
    let (client, service) = ends(80, true);
    let extended = Frame::tcp(client, service, SYN)
        .extension(0, &[0; 7])
        .extension(43, &[0; 7])
        .extension(60, &[0; 7]);
    frames.push(extended);
    frames
}

fn datagrams(v6: bool) -> Vec<Frame> {
    let (client, service) = ends(53, v6);
    let query = dns::Message::query(7, "www.example.org", dns::kind::A).edns(1232, &[]);
    let response = dns::Message::response(7, dns::rcode::SERVFAIL, "www.example.org", 1);
    let query = Frame::udp(client, service).payload(&query.build());
    let [first, second] = query.fragments(16);
    let (quic_client, quic_service) = ends(443, v6);
    let long = |kind| quic::Long::new(quic::V1, kind, &[1; 8], &[2; 8]).build();
    let negotiation = quic::version_negotiation(&[1; 8], &[2; 8], &[quic::V1]);
    vec![
        query,
        first,
        second,
        Frame::udp(service, client).payload(&response.build()),
        Frame::udp(quic_client, quic_service).payload(&long(quic::Kind::Initial)),
        Frame::udp(quic_service, quic_client).payload(&long(quic::Kind::Retry)),
        Frame::udp(quic_service, quic_client).payload(&negotiation),
        Frame::udp(quic_client, quic_service).payload(&quic::short(&[1; 8], 20)),
    ]
}

fn errors(v6: bool) -> Vec<Frame> {
    let (client, service) = ends(53, v6);
    let (kind, code) = if v6 {
        (icmp::UNREACHABLE6, icmp::PORT6)
    } else {
        (icmp::UNREACHABLE4, icmp::PORT4)
    };
    let query = dns::Message::query(7, "example.org", dns::kind::A).build();
    [
        Frame::udp(client, service).payload(&query),
        Frame::tcp(client, service, SYN),
    ]
    .map(|frame| Frame::icmp_error(service.ip(), client.ip(), kind, code, &frame.quote(12)))
    .into()
}

fn tunnels(inner: &Frame, v6: bool) -> Vec<Frame> {
    let (from, to) = ends(0, v6);
    let at = |port| (from, SocketAddr::new(to.ip(), port));
    let (gue, vxlan) = (at(encapsulate::GUE_PORT), at(encapsulate::VXLAN_PORT));
    let (geneve, fou) = (at(encapsulate::GENEVE_PORT), at(5555));
    let keyed = encapsulate::Gre {
        key: Some(1),
        ..encapsulate::Gre::default()
    };
    let ethernet = encapsulate::Carried::ethernet(inner);
    vec![
        encapsulate::ip(from.ip(), to.ip(), inner),
        encapsulate::gre(from.ip(), to.ip(), inner),
        keyed.around(from.ip(), to.ip(), ethernet.clone()),
        encapsulate::fou(fou.0, fou.1, inner),
        encapsulate::gue(gue.0, gue.1, inner),
        encapsulate::fou(gue.0, gue.1, inner),
        encapsulate::vxlan(vxlan.0, vxlan.1, 7, inner),
        encapsulate::geneve(geneve.0, geneve.1, 7, &[0; 4], inner),
        encapsulate::geneve(geneve.0, geneve.1, 7, &[], ethernet),
    ]
}

/// A millisecond, as a step's time.
const MS: u8 = 0x51;
/// A second.
const SECOND: u8 = 0xa1;

const HTTP: u8 = 0;
const PLAIN_V6: u8 = 1;
const GREETING: u8 = 2;
const DNS_STREAM: u8 = 3;
const DNS: u8 = 4;
const QUIC: u8 = 5;
const NTP: u8 = 6;
const NOBODY: u8 = 9;

fn tcp(service: u8, direction: Direction, flags: u8, numbers: (i16, i16), bytes: &[u8]) -> Vec<u8> {
    let (sequence, acknowledgment) = numbers;
    let content = Content::Tcp {
        flags,
        sequence,
        acknowledgment,
        length: u8::try_from(bytes.len()).expect("few bytes"),
        bytes,
    };
    step(service, direction, content)
}

fn udp(service: u8, direction: Direction, length: usize, bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(length.max(bytes.len())).expect("a datagram");
    step(service, direction, Content::Udp { length, bytes })
}

fn step(service: u8, direction: Direction, content: Content<'_>) -> Vec<u8> {
    Step {
        direction,
        tunnelled: false,
        wrong_checksum: false,
        client: 1,
        service,
        time: MS,
        content,
    }
    .encode()
}

/// SYN, SYN-ACK, ACK.
fn handshake(service: u8) -> Vec<u8> {
    [
        tcp(service, In, SYN, (0, 0), &[]),
        tcp(service, Out, SYN | ACK, (0, 1), &[]),
        tcp(service, In, ACK, (1, 1), &[]),
    ]
    .concat()
}

fn exchange(service: u8, request: &[u8], response: &[u8]) -> Vec<u8> {
    let asked = 1 + i16::try_from(request.len()).expect("few bytes");
    let answered = 1 + i16::try_from(response.len()).expect("few bytes");
    [
        handshake(service),
        tcp(service, In, PSH | ACK, (1, 1), request),
        tcp(service, Out, PSH | ACK, (1, asked), response),
        tcp(service, Out, PSH | ACK, (1, asked), response),
        tcp(service, In, FIN | ACK, (asked, answered), &[]),
        tcp(service, Out, FIN | ACK, (answered, asked + 1), &[]),
        tcp(service, In, ACK, (asked + 1, answered + 1), &[]),
    ]
    .concat()
}

fn stories() -> Vec<Vec<u8>> {
    let name = "www.example.org";
    let query = dns::Message::query(7, name, dns::kind::A);
    let response = dns::Message::response(7, dns::rcode::NOERROR, name, dns::kind::A);
    let failure = dns::Message::response(7, dns::rcode::SERVFAIL, name, dns::kind::A);
    let initial = quic::Long::new(quic::V1, quic::Kind::Initial, &[1; 8], &[2; 8]).build();
    let retry = quic::Long::new(quic::V1, quic::Kind::Retry, &[2; 8], &[3; 8]).build();
    let unreachable = |service, bytes| step(service, Out, Content::Unreachable { code: 3, bytes });
    let refused = [
        tcp(HTTP, In, SYN, (0, 0), &[]),
        tcp(HTTP, Out, RST | ACK, (0, 1), &[]),
    ];
    let greeted = [
        handshake(GREETING),
        tcp(GREETING, Out, PSH | ACK, (1, 1), b"220 "),
    ];
    let reset = [handshake(HTTP), tcp(HTTP, In, RST, (1, 0), &[])];
    let aborted = [
        handshake(PLAIN_V6),
        tcp(PLAIN_V6, In, PSH | ACK, (1, 1), b"x"),
        tcp(PLAIN_V6, Out, RST | ACK, (1, 2), &[]),
    ];
    let raw = ends(80, false);
    let raw = Frame::tcp(raw.0, raw.1, SYN).vlan(0x8100).build();
    vec![
        exchange(HTTP, b"GET / HTTP/1.1", b"HTTP/1.1 200 OK"),
        exchange(PLAIN_V6, b"GET / HTTP/1.1", b"HTTP/1.1 503 ??"),
        exchange(
            DNS_STREAM,
            &query.build_for_stream(),
            &response.build_for_stream(),
        ),
        exchange(NOBODY, b"x", b"y"),
        refused.concat(),
        greeted.concat(),
        reset.concat(),
        aborted.concat(),
        [
            udp(DNS, In, 0, &query.build()),
            udp(DNS, Out, 0, &response.build()),
        ]
        .concat(),
        [
            udp(DNS, In, 0, &query.build()),
            udp(DNS, Out, 0, &failure.build()),
        ]
        .concat(),
        // Eight bytes of UDP header are quoted: length and checksum, then the ID.
        [
            udp(DNS, In, 0, &query.build()),
            unreachable(DNS, &[0, 40, 0, 0, 0, 7]),
        ]
        .concat(),
        [
            udp(QUIC, In, 1200, &initial),
            udp(QUIC, Out, 0, &retry),
            udp(QUIC, In, 1200, &initial),
        ]
        .concat(),
        [udp(NTP, In, 48, &[0x23]), udp(NTP, Out, 48, &[0x24])].concat(),
        [udp(NTP, In, 48, &[0x23]), unreachable(NTP, &[0; 8])].concat(),
        [step(HTTP, In, Content::Raw(&raw)), idle(SECOND)].concat(),
    ]
}

/// A packet to nobody, after so long.
fn idle(time: u8) -> Vec<u8> {
    let mut bytes = udp(NOBODY, In, 0, &[]);
    bytes[2] = time;
    bytes
}
