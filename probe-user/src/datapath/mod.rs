//! The kernel side, as the daemon sees it: load the object, attach its programs,
//! read its maps.
//!
//! Maps and links are pinned under a directory that carries the ABI version, so
//! that counting goes on while the daemon is down, and the next start continues
//! where it was.
//!
//! ```text
//! PIN_DIR/v2/maps/COHORTS ...          adopted if layout and size fit
//! PIN_DIR/v2/links/eth0-ingress-native adopted and updated in place
//! ```
//! Links that a version with another layout pinned are taken over; its maps go. Whoever
//! works with the pins holds a lock on their directory.

mod adapt;
mod attach;
mod bell;
mod changes;
mod clsact;
pub(crate) mod driver;
mod evidence;
pub(crate) mod kernel;
mod links;
mod load;
pub mod mapped;
mod measure;
pub mod object;
mod os_error;
pub mod pins;
mod publish;
mod read;
mod sampling;
mod server_first;
mod sizes;
mod slots;
mod tables;

use std::{io, path::PathBuf, time::Duration};

use aya::programs::TcAttachType;
use probe_common::{service, trial::Kind};
use probe_core::{
    Timestamp,
    config::{Application, Endpoint},
};

pub use attach::detach;
pub use bell::Bell;
pub use load::Datapath;
pub use measure::{Deadlines, InterfaceTunnels, Measure};
pub use publish::kinds;
pub use read::{Depth, Latencies, Scope, read_ring};
pub use sizes::{Sizes, capacity};
pub use slots::key;

/// What to load and where to attach it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory in bpffs for pins.
    pub pin_dir: PathBuf,
    /// Interfaces to watch.
    pub interfaces: Vec<String>,
    /// Which ingress hook to use.
    pub attach: AttachMode,
    /// The services, by service id.
    pub services: Vec<ServiceSpec>,
    /// Room, deadlines, tunnels.
    pub measure: Measure,
    /// Whether control segments are traced.
    pub trace: bool,
}

/// A service to measure.
#[derive(Clone, Copy, Debug)]
pub struct ServiceSpec {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub application: Application,
    /// When an unanswered trial is late, unless its kind has a deadline of its own.
    pub deadline: Duration,
}

/// A client's ACK takes as long as its way is. Longer deadlines make the gate's marks
/// live longer, and so more segments cost a look-up.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(1);
/// An application may think for longer than the kernel before it answers.
const MIN_REQUEST_DEADLINE: Duration = Duration::from_secs(1);
/// The span of `deliver` and what a coarse clock may be late.
const DELIVER_DEADLINE: Duration = Duration::from_secs(1);

impl ServiceSpec {
    /// What the kernel is to do for it, without what changes while it runs.
    pub fn options(&self) -> service::Options {
        service::Options(match self.application {
            Application::Any => 0,
            Application::Dns => service::Options::DNS,
            Application::Quic => service::Options::QUIC,
            Application::Http => service::Options::HTTP,
        })
    }

    /// When an unanswered trial of this kind is late.
    pub fn deadline_of(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Handshake => HANDSHAKE_DEADLINE,
            Kind::Greet | Kind::Request => self.deadline.max(MIN_REQUEST_DEADLINE),
            Kind::Deliver => DELIVER_DEADLINE,
            Kind::Connect
            | Kind::Finish
            | Kind::Status
            | Kind::Answer
            | Kind::Resolve
            | Kind::Quic => self.deadline,
        }
    }
}

/// Which ingress hook to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// Native XDP, else generic XDP, else tc. The link may drop for a moment.
    #[default]
    Auto,
    /// As `Auto` where that is known not to disturb the link, or where the program is
    /// there already; else tc. What a host gets that announces something.
    Gentle,
    /// Native XDP or nothing.
    Native,
    /// Generic XDP or nothing.
    Generic,
    /// tc ingress.
    Tc,
    /// tc on both hooks by clsact filters even where tcx is to be had: what kernels
    /// before 6.6 get. The configuration does not offer it.
    Clsact,
}

/// Direction of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Towards the host.
    Ingress,
    /// From the host.
    Egress,
}

impl Hook {
    /// The name used in metrics and pins.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    fn tc(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }
}

/// How a program is attached to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// XDP in the driver.
    Native,
    /// XDP in the network stack: slower, works everywhere.
    Generic,
    /// tc by a link (kernel 6.6 and later).
    Tcx,
    /// tc by a filter of the clsact qdisc.
    Clsact,
}

impl Mode {
    /// The name used in metrics and pins.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// One program on one hook of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The interface.
    pub interface: String,
    /// The hook.
    pub hook: Hook,
    /// How.
    pub mode: Mode,
}

/// Runs and run time of one program, as the kernel counts them while
/// `kernel.bpf_stats_enabled` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// The program's name.
    pub program: &'static str,
    /// How often it ran.
    pub runs: u64,
    /// For how long altogether.
    pub run_time: Duration,
}

/// What can go wrong between us and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary was built without its eBPF object.
    #[error(
        "this lapwing was built without its eBPF object; build it with `cargo xtask build`, \
         which embeds it"
    )]
    NoObject,
    /// The pin directory is not usable.
    #[error(
        "cannot use {path} for pins: {source}; it must lie in a bpffs \
         (mount -t bpf bpf /sys/fs/bpf) and be writable"
    )]
    PinDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works with these pins.
    #[error(
        "another lapwing holds the hooks and maps pinned in {}\nhelp: stop it first \
         (`systemctl stop lapwing`), or give this one its own `pin_dir` in [daemon]",
        .0.display()
    )]
    PinsInUse(PathBuf),
    /// The object was refused.
    #[error(
        "the kernel refuses the eBPF object: {source}; Lapwing needs kernel 5.12 or later \
         and CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root)"
    )]
    Load {
        /// What aya said.
        source: Box<aya::EbpfError>,
    },
    /// A program was refused.
    #[error("the kernel refuses program {program}: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// What aya said.
        source: Box<aya::programs::ProgramError>,
    },
    /// A program was refused, and the kernel is older than what it needs.
    #[error(
        "the kernel refuses program {program}: this is kernel {release}, and Lapwing needs \
         kernel 5.12 or later"
    )]
    KernelTooOld {
        /// The program.
        program: &'static str,
        /// The kernel's release.
        release: String,
        /// What aya said.
        source: Box<aya::programs::ProgramError>,
    },
    /// A map is missing, of another kind, or cannot be read.
    #[error("map {map} cannot be used: {why}")]
    Map {
        /// The map.
        map: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An interface does not exist.
    #[error("interface {interface} does not exist; `ip link` lists those that do")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// A hook was refused.
    #[error("cannot attach to {hook} of {interface}: {why}")]
    Attach {
        /// The interface.
        interface: String,
        /// The hook.
        hook: &'static str,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// More services than the maps in use have room for.
    #[error(
        "{count} services are more than the kernel side has room for now: its tables were made for {capacity}, \
         and {resting} places of services that are gone are free again within a minute"
    )]
    NoRoom {
        /// How many were asked for.
        count: usize,
        /// How many there may be.
        capacity: u32,
        /// How many places are not free yet.
        resting: usize,
    },
    /// More services than the table has room for.
    #[error("{count} services are more than the {limit} that one host can have")]
    TooManyServices {
        /// How many were asked for.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// The present time of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
pub fn now() -> Timestamp {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("every Linux has CLOCK_MONOTONIC");
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or(0);
    Timestamp::from_nanos(seconds * 1_000_000_000 + nanoseconds)
}
