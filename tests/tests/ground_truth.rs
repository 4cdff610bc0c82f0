//! Real captures: what `lapwing replay` counts is what Wireshark's dissectors count,
//! packet for packet.
//!
//! ```text
//!             ┌▶ replay (kernel) ─┐
//!  capture ───┼▶ replay (host) ───┼▶ equal for every service found
//!             └▶ tshark ──────────┘  one display filter a count
//! ```
//!
//! docs/measurement.md has the table of filters, and where the definitions differ.
//! The captures are those of Debian's source packages; `cargo xtask test` fetches
//! them and names their directory in `LAPWING_CAPTURES`.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{lab::lapwing::binary, tshark};
use probe_common::counters::{Counters, RcodeClass, Traffic};
use probe_user::{
    config::Settings,
    replay::{self, Options, Probes, Report},
};

/// Captures, and how many services are found in them at least.
const CAPTURES: [(&str, usize); 12] = [
    ("tumblr.pcap", 7),
    ("reddit.pcap", 29),
    ("netflix.pcap", 18),
    ("pinterest.pcap", 1),
    ("ookla.pcap", 1),
    ("zoom2.pcap", 1),
    ("WebattackXSS.pcap", 1),
    ("instagram.pcap", 1),
    ("tor.pcap", 1),
    ("quic-33.pcapng", 1),
    ("bad-dns-traffic.pcap", 1),
    ("dns.pcap", 1),
];

/// A counter, and the display filter that must find as many packets. `$in` and `$out`
/// stand for "to the service" and "from it".
type Truth = (&'static str, fn(&Traffic, &Counters) -> u64, &'static str);

const ANY: [Truth; 2] = [
    ("packets in", |traffic, _| traffic.packets_in, "$in"),
    ("packets out", |traffic, _| traffic.packets_out, "$out"),
];

const TCP: [Truth; 6] = [
    (
        "SYN",
        |_, counters| counters.syn,
        "$in && tcp.flags.syn == 1 && tcp.flags.ack == 0",
    ),
    (
        "SYN-ACK",
        |_, counters| counters.synack,
        "$out && tcp.flags.syn == 1 && tcp.flags.ack == 1",
    ),
    (
        "RST in",
        |_, counters| counters.rst_in.iter().sum(),
        "$in && tcp.flags.reset == 1 && tcp.flags.syn == 0",
    ),
    (
        "RST out",
        |_, counters| counters.rst_out.iter().sum(),
        "$out && tcp.flags.reset == 1 && tcp.flags.syn == 0",
    ),
    (
        "FIN in",
        |_, counters| counters.fin_in,
        "$in && tcp.flags.fin == 1 && tcp.flags.reset == 0 && tcp.flags.syn == 0",
    ),
    (
        "FIN out",
        |_, counters| counters.fin_out,
        "$out && tcp.flags.fin == 1 && tcp.flags.reset == 0 && tcp.flags.syn == 0",
    ),
];

const DNS: [Truth; 8] = [
    (
        "queries",
        |_, counters| counters.dns_queries,
        "$in && dns.flags.response == 0 && dns.flags.opcode == 0 && dns.flags.truncated == 0 && dns.count.queries == 1 && dns.count.answers == 0",
    ),
    (
        "noerror",
        |_, counters| counters.dns_responses[RcodeClass::NoError as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 0",
    ),
    (
        "formerr",
        |_, counters| counters.dns_responses[RcodeClass::FormErr as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 1",
    ),
    (
        "servfail",
        |_, counters| counters.dns_responses[RcodeClass::ServFail as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 2",
    ),
    (
        "nxdomain",
        |_, counters| counters.dns_responses[RcodeClass::NxDomain as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 3",
    ),
    (
        "notimp",
        |_, counters| counters.dns_responses[RcodeClass::NotImp as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 4",
    ),
    (
        "refused",
        |_, counters| counters.dns_responses[RcodeClass::Refused as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode == 5",
    ),
    (
        "other rcodes",
        |_, counters| counters.dns_responses[RcodeClass::Other as usize],
        "$out && dns.flags.response == 1 && dns.flags.rcode > 5",
    ),
];

fn captures() -> Result<PathBuf> {
    let path = env::var_os("LAPWING_CAPTURES").map(PathBuf::from).context(
        "LAPWING_CAPTURES does not name a directory with captures; `cargo xtask test` fetches some and sets it",
    )?;
    ensure!(path.is_dir(), "{} is no directory", path.display());
    Ok(path)
}

/// What is compared for a service: its protocol's counters, and those of DNS on the
/// port where Wireshark expects it.
fn truths(service: &str) -> Vec<Truth> {
    let mut truths = ANY.to_vec();
    if service.ends_with("/tcp") {
        truths.extend(TCP);
    } else if service.ends_with(":53/udp") {
        truths.extend(DNS);
    }
    truths
}

/// The display filters of "to the service" and "from it". An ICMP error carries the
/// headers of the packet it is about, which match as well.
fn ends(service: &str) -> Result<(String, String)> {
    let (socket, protocol) = service.split_once('/').context("a protocol")?;
    let socket: SocketAddr = socket.parse()?;
    let family = if socket.is_ipv4() { "ip" } else { "ipv6" };
    let (address, port) = (socket.ip(), socket.port());
    let end = |network: &str, transport: &str| {
        format!(
            "{family}.{network} == {address} && {protocol}.{transport} == {port} && !icmp && !icmpv6"
        )
    };
    Ok((end("dst", "dstport"), end("src", "srcport")))
}

fn replay(file: &Path, host: bool) -> Result<Report> {
    let options = Options {
        file: file.to_owned(),
        settings: Settings::without_file(),
        services: Vec::new(),
        deadline: None,
        probes: Probes::Unasked,
        host,
    };
    replay::run(&options).with_context(|| file.display().to_string())
}

#[test]
fn counts_of_real_captures_are_those_of_wireshark() -> Result<()> {
    let directory = captures()?;
    let mut compared = 0;
    let mut differing = Vec::new();
    for (name, least) in CAPTURES {
        let file = directory.join(name);
        let (kernel, host) = (replay(&file, false)?, replay(&file, true)?);
        ensure!(
            kernel.counts().eq(host.counts()),
            "kernel and host differ on {name}"
        );
        let services = kernel.services().count();
        ensure!(services >= least, "{name}: only {services} services");
        let mut filters = Vec::new();
        let mut ours = Vec::new();
        for (service, traffic, counters) in kernel.counts() {
            let (to, from) = ends(service)?;
            for (what, count, filter) in truths(service) {
                filters.push(filter.replace("$in", &to).replace("$out", &from));
                ours.push((service, what, count(&traffic, &counters)));
            }
        }
        let truth = tshark::counts(&file, &filters)?;
        for (((service, what, ours), truth), filter) in ours.iter().zip(truth).zip(&filters) {
            compared += 1;
            if *ours != truth {
                differing.push(format!(
                    "{name}: {service}: {what}: {ours} here, {truth} packets match `{filter}`"
                ));
            }
        }
    }
    println!("{compared} counts compared");
    ensure!(differing.is_empty(), "{}", differing.join("\n"));
    Ok(())
}

/// Bytes: half of the captures are smaller.
const SMALL: u64 = 40_000;

/// Whatever is in a capture, both ways say the same: link types, tunnels, malformed
/// and truncated packets. All small ones as one, one after the other: loading the
/// object takes longer than any of them.
#[test]
fn kernel_and_host_agree_on_every_small_capture() -> Result<()> {
    let mut small = Vec::new();
    for entry in fs::read_dir(captures()?)? {
        let entry = entry?;
        if entry.metadata()?.len() <= SMALL {
            small.push(entry.path());
        }
    }
    small.sort();
    ensure!(small.len() >= 100, "only {} captures", small.len());
    let directory = tempfile::tempdir()?;
    let merged = directory.path().join("merged.pcapng");
    merge(small, &merged)?;
    let kernel = run(&merged, &[])?;
    let host = run(&merged, &["--host"])?;
    let services = kernel.matches("lapwing_tcp_syn_total{").count();
    ensure!(services >= 30, "only {services} services");
    ensure!(kernel == host, "kernel and host differ:\n{kernel}\n{host}");
    Ok(())
}

/// What the program itself prints, which is quicker than it is in a test.
fn run(file: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary()?)
        .arg("replay")
        .arg(file)
        // A thousand services of years of captures: the longer the deadline, the fewer
        // the readings.
        .args(["--metrics", "--deadline", "2s"])
        .args(arguments)
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{}: {said}", file.display());
    Ok(said + &String::from_utf8(output.stdout)?)
}

/// All captures as one. mergecap stops at one that is cut short and names it; the
/// others are merged without it.
fn merge(mut captures: Vec<PathBuf>, into: &Path) -> Result<()> {
    loop {
        let output = Command::new("mergecap")
            .args(["-a", "-F", "pcapng", "-w"])
            .arg(into)
            .args(&captures)
            .output()
            .context("cannot run mergecap; it comes with tshark")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let before = captures.len();
        captures.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !said.contains(&format!("\"{name}\"")) && !said.contains(&format!("/{name}\""))
        });
        ensure!(captures.len() < before, "mergecap: {said}");
    }
}
