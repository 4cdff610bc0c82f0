//! Packets per second over a veth pair, with and without Lapwing.
//!
//! ```text
//!  sender ── eth0 ═══ veth ═══ eth0 ── receiver: nothing | empty XDP | Lapwing
//!    packet socket, one CPU            segments of established flows to a MAC that
//!    for both ends                     is nobody's: the stack drops them at once
//! ```
//! The stack does next to nothing with the packets and one CPU does everything, so a
//! packet's cost shows in the rate in full: a real server loses a smaller share.

use std::{
    io::IoSlice,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType, Xdp,
    links::LinkOrder,
    tc::{SchedClassifierLink, TcAttachOptions},
    xdp::{XdpLink, XdpMode},
};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, socket,
};
use probe_core::config::{Application, Endpoint, Protocol};
use probe_user::datapath::{
    ServiceSpec,
    object::{LoadFlags, Object},
};

use super::statistics::{median, spread};
use crate::{
    lab::{capture::link_address, netns::Namespace},
    packets::{Frame, flags::ACK},
};

const INTERFACE: &str = "eth0";
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
const PORT: u16 = 80;
/// Flows that take turns.
const FLOWS: u16 = 1024;
const BATCH: usize = 64;
const SLICE: Duration = Duration::from_millis(300);

/// What is attached at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Nothing at all.
    Nothing,
    /// A native XDP program that does nothing.
    EmptyXdp,
    /// Lapwing by native XDP and tc egress.
    Native,
    /// Lapwing by tc ingress and egress.
    Tc,
}

impl Attached {
    const ALL: [Self; 4] = [Self::Nothing, Self::EmptyXdp, Self::Native, Self::Tc];

    /// In words, for the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::EmptyXdp => "an empty XDP program (native)",
            Self::Native => "Lapwing: XDP (native), tc egress",
            Self::Tc => "Lapwing: tc ingress, tc egress",
        }
    }

    /// What it is to be compared with: a veth that runs any XDP program takes another
    /// way through the kernel.
    pub fn reference(self) -> Self {
        match self {
            Self::Nothing | Self::EmptyXdp | Self::Tc => Self::Nothing,
            Self::Native => Self::EmptyXdp,
        }
    }

    fn programs(self) -> &'static [(&'static str, Option<TcAttachType>)] {
        match self {
            Self::Nothing => &[],
            Self::EmptyXdp => &[("empty_xdp", None)],
            Self::Native => &[
                ("lapwing_xdp", None),
                ("lapwing_egress", Some(TcAttachType::Egress)),
            ],
            Self::Tc => &[
                ("lapwing_ingress", Some(TcAttachType::Ingress)),
                ("lapwing_egress", Some(TcAttachType::Egress)),
            ],
        }
    }
}

/// Packets per second with something attached.
#[derive(Clone, Debug)]
pub struct Rate {
    /// What was attached.
    pub attached: Attached,
    /// Packets per second, a value a round.
    pub rates: Vec<f64>,
    /// Ratios to the reference in the same round.
    pub ratios: Vec<f64>,
}

impl Rate {
    /// The median rate.
    pub fn median(&self) -> f64 {
        median(&self.rates)
    }

    /// The median ratio.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// The interquartile range of the ratios.
    pub fn spread(&self) -> f64 {
        spread(&self.ratios)
    }
}

/// Measures all ways of attaching, by turns.
pub fn measure(image: &[u8], rounds: usize) -> Result<Vec<Rate>> {
    let sender = Namespace::new("sender")?;
    let receiver = Namespace::new("receiver")?;
    for end in [&sender, &receiver] {
        // No packets but ours.
        end.sysctl(&[
            ("net.ipv6.conf.all.disable_ipv6", "1"),
            ("net.ipv6.conf.default.disable_ipv6", "1"),
        ])?;
    }
    sender.ip(&format!(
        "link add {INTERFACE} type veth peer name {INTERFACE} netns {}\nlink set {INTERFACE} up\n",
        receiver.netns_path().display()
    ))?;
    receiver.ip(&format!("link set {INTERFACE} up\n"))?;
    let mut receiver = Receiver::new(receiver, image)?;
    let mut rates = Attached::ALL.map(|attached| Rate {
        attached,
        rates: Vec::new(),
        ratios: Vec::new(),
    });
    for round in 1..=rounds {
        eprint!("\rlive: round {round} of {rounds}");
        for rate in &mut rates {
            let measured;
            (receiver, measured) = receiver.slice(&sender, rate.attached)?;
            rate.rates.push(measured);
        }
        let this_round = rates
            .each_ref()
            .map(|rate| (rate.attached, rate.rates[round - 1]));
        for rate in &mut rates {
            let reference = rate.attached.reference();
            let (_, base) = this_round
                .iter()
                .find(|(attached, _)| *attached == reference)
                .context("every reference is measured")?;
            rate.ratios.push(rate.rates[round - 1] / base);
        }
    }
    eprintln!();
    Ok(rates.into())
}

/// The receiver's programs, loaded once: what attaching costs is not measured.
struct Receiver {
    namespace: Namespace,
    object: Object,
}

/// What is attached for a slice; comes off when dropped.
#[derive(Default)]
struct Links {
    held: Vec<Link>,
}

/// One link, held for what its end does.
enum Link {
    Xdp(#[expect(dead_code, reason = "held")] XdpLink),
    Tc(#[expect(dead_code, reason = "held")] SchedClassifierLink),
}

impl Receiver {
    fn new(namespace: Namespace, image: &[u8]) -> Result<Self> {
        let service = ServiceSpec {
            endpoint: Endpoint {
                address: SERVICE.into(),
                port: PORT,
                protocol: Protocol::Tcp,
            },
            application: Application::Any,
            deadline: Duration::from_millis(100),
        };
        let mut object = Object::load(image, &[service], LoadFlags::default(), None)?;
        let programs = Attached::ALL
            .iter()
            .flat_map(|attached| attached.programs());
        for (name, hook) in programs {
            let program = object
                .ebpf_mut()
                .program_mut(name)
                .with_context(|| format!("the object has no program {name}"))?;
            let loaded = match hook {
                None => <&mut Xdp>::try_from(program)?.load(),
                Some(_) => <&mut SchedClassifier>::try_from(program)?.load(),
            };
            match loaded {
                Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
                Err(error) => return Err(error).with_context(|| format!("loading {name}")),
            }
        }
        Ok(Self { namespace, object })
    }

    /// The rate at which packets arrive with this attached.
    fn slice(self, sender: &Namespace, attached: Attached) -> Result<(Self, f64)> {
        let Self {
            namespace,
            mut object,
        } = self;
        let (object, links) = namespace.inside(move || {
            let links = attach(&mut object, attached)?;
            anyhow::Ok((object, links))
        })??;
        let (arrived_before, measured_before) = (arrived(&namespace)?, measured(&object));
        let took = sender
            .network_thread("blast", blast)?
            .join()
            .map_err(|_| anyhow!("the sender panicked"))???;
        let arrived = arrived(&namespace)? - arrived_before;
        let measured = measured(&object) - measured_before;
        match attached {
            Attached::Nothing | Attached::EmptyXdp => {}
            Attached::Native | Attached::Tc => ensure!(
                measured >= arrived,
                "{arrived} packets arrived and {measured} were measured"
            ),
        }
        drop(links);
        let rate = arrived as f64 / took.as_secs_f64();
        Ok((Self { namespace, object }, rate))
    }
}

/// Packets that Lapwing has counted.
fn measured(object: &Object) -> u64 {
    let traffic = object.traffic();
    traffic.iter().map(|traffic| traffic.packets_in).sum()
}

/// Attaches what is asked for. To be called in the receiver's namespace.
fn attach(object: &mut Object, attached: Attached) -> Result<Links> {
    let mut links = Links::default();
    for (name, hook) in attached.programs() {
        let program = object
            .ebpf_mut()
            .program_mut(name)
            .with_context(|| format!("the object has no program {name}"))?;
        match hook {
            None => {
                let xdp: &mut Xdp = program.try_into()?;
                let link = xdp.attach(INTERFACE, XdpMode::Driver)?;
                links.held.push(Link::Xdp(xdp.take_link(link)?));
            }
            Some(hook) => {
                let classifier: &mut SchedClassifier = program.try_into()?;
                let order = TcAttachOptions::TcxOrder(LinkOrder::first());
                let link = classifier.attach_with_options(INTERFACE, *hook, order)?;
                links.held.push(Link::Tc(classifier.take_link(link)?));
            }
        }
    }
    Ok(links)
}

/// Sends for a slice of time; returns how long it really took.
fn blast() -> Result<Duration> {
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    bind(socket.as_raw_fd(), &link_address(INTERFACE)?)?;
    let frames: Vec<Vec<u8>> = (0..FLOWS).map(segment).collect();
    let slices: Vec<[IoSlice; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
    let to = [None::<LinkAddr>; BATCH];
    let begin = Instant::now();
    for batch in slices.chunks(BATCH).cycle() {
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            batch,
            to,
            [],
            MsgFlags::empty(),
        )?;
        if begin.elapsed() >= SLICE {
            break;
        }
    }
    Ok(begin.elapsed())
}

fn segment(flow: u16) -> Vec<u8> {
    let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 20_000 + flow);
    let service = SocketAddr::new(IpAddr::V4(SERVICE), PORT);
    Frame::tcp(client, service, ACK).numbers(101, 501).build()
}

/// Packets that have arrived at the receiver's interface.
fn arrived(receiver: &Namespace) -> Result<u64> {
    let path = format!("/proc/{}/net/dev", receiver.holder_pid());
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(interface, _)| interface.trim() == INTERFACE)
        .and_then(|(_, counts)| counts.split_whitespace().nth(1))
        .and_then(|packets| packets.parse().ok())
        .with_context(|| format!("{INTERFACE} is not in {path}"))
}
