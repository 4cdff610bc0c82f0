//! Tunnels: where the interface carries them, the inner packet is measured as if it had
//! come alone; elsewhere they are packets of nobody's.

use std::net::{IpAddr, SocketAddr};

use lapwing_tests::packets::{
    Frame,
    encapsulate::{self, Carried, GENEVE_PORT, GUE_PORT, Gre, Gue, VXLAN_PORT},
    flags::SYN,
};
use probe_common::{parse::tunnel::Tunnels, skip::Skip};
use probe_user::datapath::object::LoadFlags;

use crate::{
    case::{Case, WAITING, case},
    machine::Ingress,
    run::{Bench, check},
    script::{CLIENT_ISN, Script, Way},
    services::To,
};

/// Linux has no port of its own for it; this is the one in its manual.
const FOU_PORT: u16 = 5_555;

/// The tunnel's ends: a load balancer and this host.
fn ends(v6: bool) -> (IpAddr, IpAddr) {
    let (from, to) = if v6 {
        ("2001:db8:f::1", "2001:db8:f::2")
    } else {
        ("203.0.113.1", "203.0.113.2")
    };
    (from.parse().unwrap(), to.parse().unwrap())
}

fn sockets(v6: bool, port: u16) -> (SocketAddr, SocketAddr) {
    let (from, to) = ends(v6);
    (SocketAddr::new(from, 50_000), SocketAddr::new(to, port))
}

fn syn(s: &Script) -> Frame {
    s.segment_in(SYN, CLIENT_ISN, 0)
}

type Wrap = fn(bool, &Frame) -> Frame;

fn ipip(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = ends(v6);
    encapsulate::ip(from, to, inner)
}

fn gre(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = ends(v6);
    encapsulate::gre(from, to, inner)
}

fn gre_ethernet(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = ends(v6);
    encapsulate::gre(from, to, Carried::ethernet(inner))
}

fn gre_with_all(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = ends(v6);
    let gre = Gre {
        checksum: true,
        key: Some(7),
        sequence: Some(9),
        version: 0,
    };
    gre.around(from, to, inner)
}

fn gre_with_key(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = ends(v6);
    let gre = Gre {
        key: Some(7),
        ..Gre::default()
    };
    gre.around(from, to, inner)
}

fn fou(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, FOU_PORT);
    encapsulate::fou(from, to, inner)
}

fn gue(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, GUE_PORT);
    encapsulate::gue(from, to, inner)
}

fn gue_with_fields(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, GUE_PORT);
    let gue = Gue {
        fields: vec![0; 8],
        ..Gue::default()
    };
    gue.around(from, to, inner)
}

fn gue_variant_1(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, GUE_PORT);
    encapsulate::fou(from, to, inner)
}

fn vxlan(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, VXLAN_PORT);
    encapsulate::vxlan(from, to, 42, inner)
}

fn geneve(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, GENEVE_PORT);
    encapsulate::geneve(from, to, 42, &[], inner)
}

fn geneve_with_options(v6: bool, inner: &Frame) -> Frame {
    let (from, to) = sockets(v6, GENEVE_PORT);
    encapsulate::geneve(from, to, 42, &[0; 12], Carried::ethernet(inner))
}

const ALL: [(&str, Wrap); 12] = [
    ("IP in IP", ipip),
    ("GRE", gre),
    ("GRE with an Ethernet frame", gre_ethernet),
    ("GRE with checksum, key and number", gre_with_all),
    ("GRE with a key", gre_with_key),
    ("FOU", fou),
    ("GUE", gue),
    ("GUE with optional fields", gue_with_fields),
    ("GUE without a header of its own", gue_variant_1),
    ("VXLAN", vxlan),
    ("Geneve", geneve),
    (
        "Geneve with options and an Ethernet frame",
        geneve_with_options,
    ),
];

fn bench() -> Bench {
    Bench::new(LoadFlags {
        tunnels: Tunnels::all(),
        ..LoadFlags::default()
    })
}

const HOOKS: [Ingress; 3] = [Ingress::Host, Ingress::Xdp, Ingress::Tc];

/// A SYN in this tunnel, whose ends have IPv4 or IPv6 addresses.
fn carried(description: &'static str, wrap: Wrap, v6: bool) -> Case {
    case(To::Web, description, move |s| {
        let inner = syn(&s);
        s.carried(0, Way::In, &wrap(v6, &inner), &inner)
    })
    .syn(WAITING)
}

fn skipped(
    description: &'static str,
    reason: Skip,
    frame: impl Fn(&Script) -> Frame + 'static,
) -> Case {
    case(To::Web, description, move |s| {
        let frame = frame(&s);
        s.aside(0, Way::In, &frame)
    })
    .skips(reason)
}

#[test]
fn what_is_inside_is_measured() {
    let mut cases = Vec::new();
    for (name, wrap) in ALL {
        cases.extend([false, true].map(|v6| carried(name, wrap, v6)));
    }
    cases.push(
        case(To::Web, "a VLAN tag inside VXLAN", |s| {
            let inner = syn(&s).vlan(0x8100);
            s.carried(0, Way::In, &vxlan(false, &inner), &inner)
        })
        .syn(WAITING),
    );
    cases.push(
        case(To::Web, "a VLAN tag around a tunnel", |s| {
            let inner = syn(&s);
            s.carried(0, Way::In, &gue(true, &inner).vlan(0x8100), &inner)
        })
        .syn(WAITING),
    );
    cases.push(
        case(To::Udp, "a datagram inside a datagram", |s| {
            let inner = s.datagram_in(b"ask");
            s.carried(0, Way::In, &fou(false, &inner), &inner)
                .answer(1, b"answer")
        })
        .trials(probe_common::trial::Kind::Answer, crate::case::SUCCEEDED),
    );
    cases.push(case(To::Web, "packets without a tunnel", Script::handshake).established());
    cases.push(
        case(
            To::Web,
            "a handshake that comes by a tunnel and leaves without",
            |s| {
                let inner = syn(&s);
                let ack = s.segment_in(
                    lapwing_tests::packets::flags::ACK,
                    crate::script::C,
                    crate::script::S,
                );
                s.carried(0, Way::In, &ipip(false, &inner), &inner)
                    .synack(1)
                    .carried(2, Way::In, &ipip(false, &ack), &ack)
            },
        )
        .established(),
    );
    bench().check(&cases, &HOOKS);
}

#[test]
fn what_cannot_be_understood_inside() {
    let unknown = Skip::UnknownTunnel;
    let cases = [
        skipped("PPTP's GRE", unknown, |s| {
            let (from, to) = ends(false);
            let gre = Gre {
                version: 1,
                ..Gre::default()
            };
            gre.around(from, to, &syn(s))
        }),
        skipped("a GUE control message", unknown, |s| {
            let (from, to) = sockets(false, GUE_PORT);
            let gue = Gue {
                control: Some(1),
                ..Gue::default()
            };
            gue.around(from, to, &syn(s))
        }),
        skipped("GUE with something that is not IP", unknown, |s| {
            let (from, to) = sockets(false, GUE_PORT);
            encapsulate::gue(from, to, Carried::ethernet(&syn(s)))
        }),
        skipped("FOU with something that is not IP", unknown, |s| {
            let (from, to) = sockets(false, FOU_PORT);
            encapsulate::fou(from, to, Carried::ethernet(&syn(s)))
        }),
        skipped("a tunnel in a tunnel", unknown, |s| {
            ipip(false, &ipip(true, &syn(s)))
        }),
        skipped("GRE in IP in IP", unknown, |s| {
            ipip(true, &gre(false, &syn(s)))
        }),
        skipped("SCTP inside", Skip::NotTransport, |s| {
            let inner = Frame::ip(s.client.ip(), s.service.ip(), 132).payload(&[0; 12]);
            ipip(false, &inner)
        }),
        skipped("a later fragment inside", Skip::LaterFragment, |s| {
            ipip(false, &syn(s).fragment(0x0010))
        })
        .v4(),
        skipped(
            "a later fragment of a tunnel's packet",
            Skip::LaterFragment,
            |s| {
                let [_, rest] = gue(false, &syn(s)).fragments(16);
                rest
            },
        ),
        skipped("nothing inside", Skip::Truncated, |_| {
            let (from, to) = ends(false);
            Frame::ip(from, to, 4)
        }),
        // A datagram of its own to a port of nobody's.
        case(To::Web, "VXLAN in VXLAN", |s| {
            let frame = vxlan(false, &vxlan(false, &syn(&s)));
            s.aside(0, Way::In, &frame)
        }),
    ];
    bench().check(&cases, &HOOKS);
}

#[test]
fn where_there_are_no_tunnels_they_are_nobody_s() {
    let mut cases = Vec::new();
    for (name, wrap) in ALL {
        let case = case(To::Web, name, move |s| {
            let frame = wrap(false, &syn(&s));
            s.aside(0, Way::In, &frame)
        });
        // A datagram to a port that is no service's, or an unknown protocol.
        let in_udp = ["FOU", "GUE", "VXLAN", "Geneve"];
        cases.push(if in_udp.iter().any(|kind| name.starts_with(kind)) {
            case
        } else {
            case.skips(Skip::NotTransport)
        });
    }
    check(&cases);
}
