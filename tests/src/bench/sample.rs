//! One sample: a program run many times over one packet, in CPU time of this thread.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    programs::{Program, TestRun as _, TestRunOptions, Xdp, xdp::XdpMode},
};
use nix::{
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::lab::netns::Namespace;

/// Runs of a sample. The system call around them takes CPU time, too, but as much for
/// an empty program, so it cancels out; more runs leave less of its noise.
pub const RUNS: u32 = 1 << 16;

/// Where a program is called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP, on the way in.
    Xdp,
    /// tc egress, on the way out.
    Tc,
}

/// What a program does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Parses it.
    Parse,
    /// All that Lapwing does.
    All,
}

/// The name of a program of the benchmark's object. A varied one makes the packet
/// that of another flow first.
pub fn program(hook: Hook, body: Body, varied: bool) -> &'static str {
    match (hook, body, varied) {
        (Hook::Xdp, Body::Empty, false) => "empty_xdp",
        (Hook::Xdp, Body::Parse, false) => "parse_xdp",
        (Hook::Xdp, Body::All, false) => "lapwing_xdp",
        (Hook::Xdp, Body::Empty, true) => "varied_empty_xdp",
        (Hook::Xdp, Body::Parse, true) => "varied_parse_xdp",
        (Hook::Xdp, Body::All, true) => "varied_xdp",
        (Hook::Tc, Body::Empty, false) => "empty_tc",
        (Hook::Tc, Body::Parse, false) => "parse_tc",
        (Hook::Tc, Body::All, false) => "lapwing_egress",
        (Hook::Tc, Body::Empty, true) => "varied_empty_tc",
        (Hook::Tc, Body::Parse, true) => "varied_parse_tc",
        (Hook::Tc, Body::All, true) => "varied_egress",
    }
}

/// Keeps this thread where it is: the programs' counters are per CPU.
pub fn stay_on_one_cpu() -> Result<()> {
    let mut here = CpuSet::new();
    here.set(sched_getcpu()?)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &here)?)
}

/// Network devices, none of which carries traffic, for XDP programs to be attached to.
///
/// `BPF_PROG_TEST_RUN` puts an XDP program that is attached nowhere into the kernel's
/// XDP dispatcher and takes it out again, and both wait for an RCU grace period: that
/// is most of the time that a sample takes.
pub struct Devices {
    names: std::vec::IntoIter<String>,
}

impl Devices {
    /// Makes so many pairs in the namespace.
    pub fn make(namespace: &Namespace, pairs: usize) -> Result<Self> {
        let mut commands = String::new();
        let mut names = Vec::new();
        for pair in 0..pairs {
            let (one, other) = (format!("a{pair}"), format!("b{pair}"));
            // Writing to a String cannot fail.
            let _ = writeln!(commands, "link add {one} type veth peer name {other}");
            names.extend([one, other]);
        }
        namespace.ip(&commands)?;
        Ok(Self {
            names: names.into_iter(),
        })
    }

    /// Attaches an XDP program for as long as its object lives.
    fn occupy(&mut self, xdp: &mut Xdp) -> Result<()> {
        let device = self.names.next().context("a device for each XDP program")?;
        xdp.attach(&device, XdpMode::Skb)
            .with_context(|| format!("attaching to {device}"))?;
        Ok(())
    }
}

/// Loads programs into the kernel. To be called in the devices' namespace.
pub fn load_programs(
    ebpf: &mut Ebpf,
    names: impl IntoIterator<Item = &'static str>,
    devices: &mut Devices,
) -> Result<()> {
    for name in names {
        let program = ebpf
            .program_mut(name)
            .with_context(|| format!("the object has no program {name}"))?;
        match program {
            Program::Xdp(xdp) => {
                xdp.load().with_context(|| format!("loading {name}"))?;
                devices.occupy(xdp)?;
            }
            Program::SchedClassifier(classifier) => {
                classifier
                    .load()
                    .with_context(|| format!("loading {name}"))?;
            }
            _ => bail!("{name} is of another type"),
        }
    }
    Ok(())
}

/// Runs a program over a frame and returns the nanoseconds of CPU time a run took,
/// the system call's share included.
pub fn run(ebpf: &Ebpf, name: &str, frame: &[u8], runs: u32) -> Result<f64> {
    let program = ebpf
        .program(name)
        .with_context(|| format!("the object has no program {name}"))?;
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = runs;
    let before = cpu_ns()?;
    match program {
        Program::Xdp(xdp) => xdp.test_run(options),
        Program::SchedClassifier(classifier) => classifier.test_run(options),
        _ => bail!("{name} is of another type"),
    }
    .with_context(|| format!("running {name}"))?;
    Ok((cpu_ns()? - before) / f64::from(runs))
}

fn cpu_ns() -> Result<f64> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(time.tv_sec() as f64 * 1e9 + time.tv_nsec() as f64)
}
