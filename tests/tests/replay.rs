//! `lapwing replay` over captures made here: what it counts is exactly what is in
//! them, and the object in the kernel and the host build give the same text.
//!
//! ```text
//!  frames ─▶ pcap | pcapng ─┬▶ lapwing replay --metrics        (kernel) ─┐
//!                           └▶ lapwing replay --metrics --host (host)   ─┴▶ equal, and as expected
//! ```
#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

use std::{
    fs,
    io::BufWriter,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use lapwing_tests::{
    captures::{
        self, COOKED_V1, COOKED_V2, ETHERNET, Fate, Packet, RAW, Traffic, Unit, pcap, pcapng,
    },
    lab::lapwing::binary,
    packets::{
        Frame,
        flags::{ACK, FIN, RST, SYN},
    },
};
use serde_json::Value;
use tempfile::TempDir;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * 1_000 * MS;
const SERVICE4: &str = "192.0.2.10:80";
const SERVICE6: &str = "[2001:db8:a::10]:443";
const NOBODY: u32 = 65_534;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A client of the family of `service`.
fn client(service: SocketAddr, number: u16) -> SocketAddr {
    let host = if service.is_ipv4() {
        "198.51.100.7"
    } else {
        "2001:db8:c::7"
    };
    SocketAddr::new(host.parse().unwrap(), 40_000 + number)
}

/// A connection attempt at `at` ms: the SYN, and after `after_ns` an answer with
/// these flags.
fn attempt(at: u64, service: &str, number: u16, answer: Option<(u64, u8)>) -> Vec<Packet> {
    let service = address(service);
    let client = client(service, number);
    let at = START + at * MS;
    let mut packets = vec![(at, Frame::tcp(client, service, SYN).numbers(100, 0).build())];
    if let Some((after_ns, flags)) = answer {
        let frame = Frame::tcp(service, client, flags).numbers(900, 101);
        packets.push((at + after_ns, frame.build()));
    }
    packets
}

/// Every outcome, on both services.
fn story() -> Vec<Packet> {
    let synack = |after_ns| Some((after_ns, SYN | ACK));
    let established = {
        let (service, port) = (address(SERVICE4), 20);
        let client = client(service, port);
        let mut packets = attempt(100, SERVICE4, port, synack(MS));
        let at = |ms: u64| START + (100 + ms) * MS;
        packets.extend([
            (
                at(2),
                Frame::tcp(client, service, ACK).numbers(101, 901).build(),
            ),
            (
                at(3),
                Frame::tcp(client, service, ACK)
                    .numbers(101, 901)
                    .payload(b"GET /")
                    .build(),
            ),
            (
                at(4),
                Frame::tcp(service, client, FIN | ACK)
                    .numbers(901, 106)
                    .build(),
            ),
            (
                at(5),
                Frame::tcp(client, service, RST).numbers(106, 0).build(),
            ),
        ]);
        packets
    };
    let mut packets = [
        attempt(0, SERVICE4, 0, synack(1_500_000)),
        attempt(0, SERVICE4, 1, Some((MS, RST | ACK))),
        attempt(1, SERVICE4, 2, None),
        attempt(1, SERVICE4, 3, synack(150 * MS)),
        // Too late for its deadline of 200 ms.
        attempt(1, SERVICE4, 4, synack(300 * MS)),
        attempt(2, SERVICE6, 5, synack(2 * MS)),
        attempt(2, SERVICE6, 6, None),
        established,
        // An hour of silence, then the last SYN of the capture.
        attempt(3_600_000, SERVICE4, 7, None),
        attempt(3_600_000, SERVICE6, 8, synack(MS)),
        attempt(3_600_001, SERVICE6, 9, None),
    ]
    .concat();
    // Somebody else's, and what is no IP.
    let (other, client) = (address("203.0.113.9:80"), address("198.51.100.8:4000"));
    packets.push((START + 50 * MS, Frame::tcp(client, other, ACK).build()));
    let mut arp = vec![0xff; 12];
    arp.extend([0x08, 0x06]);
    arp.resize(60, 0);
    packets.push((START + 60 * MS, arp));
    packets.sort_by_key(|(time, _)| *time);
    packets
}

/// What the story must come to: a sample's name and labels, and its value.
const EXPECTED: [(&str, u64); 30] = [
    (
        r#"packets_total{service="192.0.2.10:80/tcp",direction="in"}"#,
        10,
    ),
    (
        r#"packets_total{service="192.0.2.10:80/tcp",direction="out"}"#,
        6,
    ),
    (
        r#"packets_total{service="[2001:db8:a::10]:443/tcp",direction="in"}"#,
        4,
    ),
    (
        r#"packets_total{service="[2001:db8:a::10]:443/tcp",direction="out"}"#,
        2,
    ),
    (
        r#"bytes_total{service="192.0.2.10:80/tcp",direction="in"}"#,
        10 * 40 + 5,
    ),
    (
        r#"bytes_total{service="[2001:db8:a::10]:443/tcp",direction="in"}"#,
        4 * 60,
    ),
    (r#"tcp_syn_total{service="192.0.2.10:80/tcp"}"#, 7),
    (r#"tcp_syn_total{service="[2001:db8:a::10]:443/tcp"}"#, 4),
    (r#"tcp_synack_total{service="192.0.2.10:80/tcp"}"#, 4),
    (r#"tcp_synack_total{service="[2001:db8:a::10]:443/tcp"}"#, 2),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="out",phase="refused"}"#,
        1,
    ),
    (
        r#"trials_total{service="192.0.2.10:80/tcp",kind="connect",outcome="succeeded"}"#,
        3,
    ),
    (
        r#"trials_total{service="192.0.2.10:80/tcp",kind="connect",outcome="failed"}"#,
        1,
    ),
    (
        r#"trials_total{service="192.0.2.10:80/tcp",kind="connect",outcome="late"}"#,
        3,
    ),
    (
        r#"trials_total{service="192.0.2.10:80/tcp",kind="connect",outcome="abandoned"}"#,
        0,
    ),
    (
        r#"trials_total{service="[2001:db8:a::10]:443/tcp",kind="connect",outcome="succeeded"}"#,
        2,
    ),
    (
        r#"trials_total{service="[2001:db8:a::10]:443/tcp",kind="connect",outcome="failed"}"#,
        0,
    ),
    (
        r#"trials_total{service="[2001:db8:a::10]:443/tcp",kind="connect",outcome="late"}"#,
        2,
    ),
    (
        r#"response_seconds_count{service="192.0.2.10:80/tcp",kind="connect"}"#,
        4,
    ),
    (
        r#"response_seconds_count{service="[2001:db8:a::10]:443/tcp",kind="connect"}"#,
        2,
    ),
    (r#"skipped_packets_total{reason="not_ip"}"#, 1),
    (r#"skipped_packets_total{reason="truncated"}"#, 0),
    (r#"skipped_packets_total{reason="malformed"}"#, 0),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="in",phase="refused"}"#,
        0,
    ),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="in",phase="half_open"}"#,
        0,
    ),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="out",phase="half_open"}"#,
        0,
    ),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="out",phase="established"}"#,
        0,
    ),
    (
        r#"tcp_rst_total{service="192.0.2.10:80/tcp",direction="out",phase="unmatched"}"#,
        0,
    ),
    (r#"skipped_packets_total{reason="no_table"}"#, 0),
    (r#"skipped_packets_total{reason="not_transport"}"#, 0),
];

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    Command::new(binary().unwrap())
        .arg("replay")
        .arg(file)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The metrics, which must be the same both ways, and what was said beside them.
fn metrics(file: &Path, arguments: &[&str]) -> (String, String) {
    let kernel = replay(file, &[arguments, &["--metrics"]].concat());
    let host = replay(file, &[arguments, &["--metrics", "--host"]].concat());
    assert!(kernel.status.success(), "{}", text(&kernel.stderr));
    assert_eq!(text(&kernel.stdout), text(&host.stdout), "kernel and host");
    assert_eq!(text(&kernel.stderr), text(&host.stderr), "kernel and host");
    (
        text(&kernel.stdout).to_owned(),
        text(&kernel.stderr).to_owned(),
    )
}

/// The value of a sample, by its name without our prefix.
fn sample(metrics: &str, name: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("lapwing_")?.strip_prefix(name))
        .unwrap_or_else(|| panic!("no sample {name} in\n{metrics}"));
    line.trim().parse().unwrap()
}

#[test]
fn everything_in_a_capture_is_counted_exactly_and_alike_in_kernel_and_host() {
    let files = Files::new();
    let file = files.write("story.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &story()));
    let (metrics, said) = metrics(&file, &[]);
    for (name, value) in EXPECTED {
        assert_eq!(sample(&metrics, name), value, "{name}\n{metrics}");
    }
    assert_eq!(
        said,
        format!("found 2 services: {SERVICE4}/tcp {SERVICE6}/tcp\n")
    );
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn a_second_run_gives_the_same_text() {
    let files = Files::new();
    let file = files.write("story.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &story()));
    assert_eq!(metrics(&file, &[]), metrics(&file, &[]));
}

#[test]
fn format_unit_link_type_and_date_do_not_matter() {
    let files = Files::new();
    let packets = story();
    let expected = metrics(
        &files.write("a", &pcap(Unit::Nanoseconds, ETHERNET, &packets)),
        &[],
    );
    let earlier: Vec<Packet> = packets
        .iter()
        .map(|(time, data)| (time - START, data.clone()))
        .collect();
    for (description, bytes) in [
        ("µs", pcap(Unit::Microseconds, ETHERNET, &packets)),
        ("pcapng, ns", pcapng(Unit::Nanoseconds, ETHERNET, &packets)),
        ("pcapng, µs", pcapng(Unit::Microseconds, ETHERNET, &packets)),
        ("from 1970", pcap(Unit::Nanoseconds, ETHERNET, &earlier)),
    ] {
        let found = metrics(&files.write("b", &bytes), &[]);
        assert_eq!(found, expected, "{description}");
    }
    // Without what is no IP, which raw captures cannot hold.
    let is_ip = |(_, data): &&Packet| data[12..14] != [0x08, 0x06];
    let packets: Vec<Packet> = packets.iter().filter(is_ip).cloned().collect();
    let expected = metrics(
        &files.write("c", &pcap(Unit::Nanoseconds, ETHERNET, &packets)),
        &[],
    );
    for link_type in [RAW, COOKED_V1, COOKED_V2] {
        let packets: Vec<Packet> = packets
            .iter()
            .map(|(time, frame)| (*time, captures::relinked(link_type, frame)))
            .collect();
        let file = files.write("d", &pcap(Unit::Nanoseconds, link_type, &packets));
        assert_eq!(metrics(&file, &[]), expected, "link type {link_type}");
    }
}

#[test]
fn nanoseconds_are_kept() {
    let files = Files::new();
    let packets = attempt(0, SERVICE4, 0, Some((5_000_007, SYN | ACK)));
    for (unit, sum) in [
        (Unit::Nanoseconds, "0.005000007"),
        (Unit::Microseconds, "0.005"),
    ] {
        let file = files.write("a.pcap", &pcap(unit, ETHERNET, &packets));
        let (metrics, _) = metrics(&file, &[]);
        let name = format!(
            "lapwing_response_seconds_sum{{service=\"{SERVICE4}/tcp\",kind=\"connect\"}} {sum}\n"
        );
        assert!(metrics.contains(&name), "{unit:?}: {metrics}");
    }
}

#[test]
fn named_services_alone_are_measured_and_may_be_between_each_other() {
    let files = Files::new();
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &story()));
    let (metrics_of_one, said) = metrics(&file, &["--service", &format!("{SERVICE6}/tcp")]);
    assert_eq!(said, "");
    assert!(!metrics_of_one.contains(SERVICE4));
    let name = format!("tcp_syn_total{{service=\"{SERVICE6}/tcp\"}}");
    assert_eq!(sample(&metrics_of_one, &name), 4);

    // One service is the client of the other: each sees its own half.
    let (a, b) = (address("192.0.2.10:80"), address("192.0.2.11:5432"));
    let packets = [
        (START, Frame::tcp(a, b, SYN).numbers(100, 0).build()),
        (
            START + MS,
            Frame::tcp(b, a, SYN | ACK).numbers(900, 101).build(),
        ),
    ];
    let file = files.write("b.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &packets));
    let (metrics, _) = metrics(
        &file,
        &[
            "--service",
            "192.0.2.10:80/tcp",
            "--service",
            "192.0.2.11:5432/tcp",
        ],
    );
    for (service, syn, synack) in [("192.0.2.10:80/tcp", 0, 0), ("192.0.2.11:5432/tcp", 1, 1)] {
        let labels = format!("{{service=\"{service}\"");
        assert_eq!(sample(&metrics, &format!("tcp_syn_total{labels}}}")), syn);
        assert_eq!(
            sample(&metrics, &format!("tcp_synack_total{labels}}}")),
            synack
        );
        for direction in ["in", "out"] {
            let name = format!("packets_total{labels},direction=\"{direction}\"}}");
            assert_eq!(sample(&metrics, &name), 1, "{name}");
        }
    }
}

/// A thousand services share the room for sample cells: 128 each, in the kernel and on
/// the host.
#[test]
fn many_services_have_as_many_sample_cells_on_the_host_as_in_the_kernel() {
    let service = address(SERVICE4);
    let mut packets = Vec::new();
    for number in 0..500 {
        let at = u64::from(number);
        packets.extend(attempt(at, SERVICE4, number, Some((1000, SYN | ACK))));
        let ack = Frame::tcp(client(service, number), service, ACK).numbers(101, 901);
        packets.push((START + at * MS + 2000, ack.build()));
    }
    let files = Files::new();
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &packets));
    let mut arguments = vec!["--service".to_owned(), format!("{SERVICE4}/tcp")];
    for port in 1001..2000 {
        arguments.extend(["--service".to_owned(), format!("192.0.2.11:{port}/tcp")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (metrics, _) = metrics(&file, &arguments);
    let sampled = sample(
        &metrics,
        &format!("sampled_connections_total{{service=\"{SERVICE4}/tcp\"}}"),
    );
    assert!((64..=128).contains(&sampled), "{sampled} sampled");
}

#[test]
fn frames_of_any_length_are_measured_alike() {
    let files = Files::new();
    let mut packets = story();
    let last = packets.last().unwrap().0;
    let (service, client) = (address(SERVICE4), client(address(SERVICE4), 99));
    for length in [0, 1_400, 3_000, 3_100, 9_000, 65_000] {
        let payload = vec![7; length];
        let frame = Frame::tcp(client, service, ACK).payload(&payload).build();
        packets.push((last, frame.clone()));
        let frame = Frame::tcp(service, client, ACK).payload(&payload).build();
        packets.push((last, frame));
    }
    let whole = Frame::tcp(client, service, SYN).build();
    for length in 0..whole.len() {
        packets.push((last, whole[..length].to_vec()));
    }
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &packets));
    let (metrics, _) = metrics(&file, &[]);
    let in_and_out = |direction: &str| {
        let name = format!("packets_total{{service=\"{SERVICE4}/tcp\",direction=\"{direction}\"}}");
        sample(&metrics, &name)
    };
    assert_eq!((in_and_out("in"), in_and_out("out")), (10 + 6, 6 + 6));
    let truncated = sample(&metrics, r#"skipped_packets_total{reason="truncated"}"#);
    assert_eq!(truncated, whole.len() as u64);
}

#[test]
fn truncated_file_is_measured_as_far_as_it_goes() {
    let files = Files::new();
    let whole = pcap(Unit::Nanoseconds, ETHERNET, &story());
    let file = files.write("cut.pcap", &whole[..whole.len() - 1]);
    let (metrics, said) = metrics(&file, &[]);
    let name =
        format!("trials_total{{service=\"{SERVICE6}/tcp\",kind=\"connect\",outcome=\"late\"}}");
    assert_eq!(sample(&metrics, &name), 1, "all but the last SYN");
    let packets = story();
    let last = packets.last().unwrap().1.len() + 16;
    let warning = format!(
        "warning: {} is truncated: it ends within packet {}, which begins at byte {}; what came before it is measured\n",
        file.display(),
        packets.len(),
        whole.len() - last
    );
    assert!(said.ends_with(&warning), "{said}");
}

#[test]
fn what_is_no_capture_is_named_for_what_it_is() {
    let files = Files::new();
    let text_file = files.write("a.pcap", b"not a capture, whatever its name says\n");
    let missing = files.0.path().join("missing.pcap");
    let silent = {
        let packets = attempt(0, SERVICE4, 0, None);
        files.write("silent.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &packets))
    };
    for (file, says) in [
        (
            &text_file,
            "is not a pcap or pcapng file: it looks like text",
        ),
        (&missing, "No such file"),
        (&silent, "--service ADDR:PORT/PROTO"),
    ] {
        let output = replay(file, &["--metrics"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(said.contains(&file.display().to_string()), "{said}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn times_that_go_backwards_and_links_that_are_unknown_are_told() {
    let files = Files::new();
    let mut packets = story();
    packets.swap(0, 3);
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &packets));
    let (_, said) = metrics(&file, &[]);
    assert!(
        said.contains("a time before that of the one before"),
        "{said}"
    );
    let packets = story();
    let file = files.write("b.pcap", &pcap(Unit::Nanoseconds, 105, &packets));
    let (_, said) = metrics(&file, &["--service", "192.0.2.10:80/tcp"]);
    let count = packets.len();
    let warning = format!("warning: packets of link type 105, which cannot be replayed: {count}\n");
    assert_eq!(said, warning);
}

#[test]
fn summary_is_a_table_or_json() {
    let files = Files::new();
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &story()));
    let table = replay(&file, &[]);
    let row = format!("{SERVICE4}/tcp         10  6    connect    3          1       3     0\n");
    assert!(
        text(&table.stdout).contains(&row),
        "{}",
        text(&table.stdout)
    );
    let json = replay(&file, &["--json", "--host"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["measured_by"], "host");
    assert_eq!(json["packets"]["read"], story().len());
    assert_eq!(json["services"][1]["trials"]["connect"]["late"], 2);
}

#[test]
fn without_privilege_the_host_build_is_pointed_to_and_works() {
    let files = Files::new();
    let directory = files.0.path();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &story()));
    let program = directory.join("lapwing");
    fs::copy(binary().unwrap(), &program).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(&program)
            .arg("replay")
            .arg(&file)
            .args(arguments)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap()
    };
    let refused = run(&["--metrics"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("`--host`"), "{said}");
    let host = run(&["--metrics", "--host"]);
    let (expected, _) = metrics(&file, &[]);
    assert_eq!(text(&host.stdout), expected);
}

/// Two services, of which one refuses everybody for five seconds.
fn fault() -> Vec<Packet> {
    let refused = |ms: u64| match ms {
        15_000..20_000 => Fate::Refused,
        _ => Fate::Answered,
    };
    let faulty = Traffic::new(SERVICE4, 200).packets(Duration::from_secs(25), refused);
    let well = Traffic::new(SERVICE6, 20).packets(Duration::from_secs(25), |_| Fate::Answered);
    let mut packets = [faulty, well].concat();
    packets.sort_by_key(|(time, _)| *time);
    packets
}

/// The summary as JSON and the page, which must be the same both ways.
fn decided(files: &Files, file: &Path, arguments: &[&str]) -> (Value, String) {
    let told = ["kernel", "host"].map(|by| {
        let page = files.0.path().join(format!("{by}.html"));
        let page_argument = page.display().to_string();
        let mut arguments = [arguments, &["--json", "--html", &page_argument]].concat();
        if by == "host" {
            arguments.push("--host");
        }
        let output = replay(file, &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["measured_by"].take(), by);
        (json, fs::read_to_string(page).unwrap())
    });
    let [kernel, host] = told;
    assert_eq!(kernel.0, host.0, "kernel and host");
    assert!(kernel.1 == host.1, "the pages of kernel and host");
    kernel
}

/// The changes of level: when, of which prefix, to which level, why.
fn levels(json: &Value) -> Vec<(f64, &str, &str, &str)> {
    let happenings = json["happenings"].as_array().unwrap();
    let changes = happenings.iter().filter(|told| told["event"] == "level");
    changes
        .map(|told| {
            (
                told["seconds"].as_f64().unwrap(),
                told["about"].as_str().unwrap(),
                told["level"].as_str().unwrap(),
                told["why"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn what_would_have_been_decided_is_told_alike_by_kernel_and_host() {
    let files = Files::new();
    let file = files.write("a.pcap", &pcap(Unit::Nanoseconds, ETHERNET, &fault()));
    let config = files.write(
        "lapwing.toml",
        br#"
            [detect]
            profile = "fast"
            [[prefix]]
            prefix = "192.0.2.0/24"
            [[prefix.service]]
            name = "web"
            address = "192.0.2.10"
            port = 80
            protocol = "tcp"
        "#,
    );
    let config = config.display().to_string();
    for (description, arguments, prefix, withdrawn, why) in [
        (
            "after patience, since successes fell",
            &[][..],
            "192.0.2.10/32",
            16.0..16.2,
            "successes fell far below the expected",
        ),
        (
            "as probes that meet what clients met",
            &["--assume-probes"],
            "192.0.2.10/32",
            16.0..16.2,
            "3 of 3 probes failed",
        ),
        (
            "as configured: at once",
            &["--config", &config, "--assume-probes"],
            "192.0.2.0/24",
            15.0..15.2,
            "3 of 3 probes failed",
        ),
    ] {
        let (json, page) = decided(&files, &file, arguments);
        let levels = levels(&json);
        let (down, up) = (levels[0], levels[levels.len() - 1]);
        assert_eq!((down.1, down.2), (prefix, "withdrawn"), "{description}");
        assert!(withdrawn.contains(&down.0), "{description}: {down:?}");
        assert!(down.3.contains(why), "{description}: {down:?}");
        assert_eq!((up.1, up.2), (prefix, "full"), "{description}");
        // A slower detector may see the end of the fault as a part that still fails.
        assert!((20.0..22.0).contains(&up.0), "{description}: {up:?}");
        assert_eq!(json["prefixes"][0]["withdrawals"], 1, "{description}");
        let verdict = format!("Would have been withdrawn: {prefix}.");
        assert!(
            page.contains(&verdict) && page.contains(why),
            "{description}"
        );
    }
    let told = replay(&file, &["--host"]);
    let told = text(&told.stdout);
    assert!(
        told.contains("192.0.2.10/32 would be withdrawn: "),
        "{told}"
    );
    let refused = replay(&file, &["--config", &config, "--deadline", "1s"]);
    assert_eq!(refused.status.code(), Some(2), "both name what is measured");
}

#[test]
fn warnings_and_names_from_outside_stand_in_the_page_as_text() {
    let files = Files::new();
    let whole = pcap(Unit::Nanoseconds, ETHERNET, &story());
    let file = files.write("<b>&.pcap", &whole[..whole.len() - 1]);
    let (json, page) = decided(&files, &file, &[]);
    assert!(levels(&json).is_empty(), "too little for any decision");
    assert!(page.contains("No prefix would have been withdrawn or degraded."));
    assert!(page.contains("is truncated: it ends within packet"));
    assert!(page.contains("&lt;b&gt;&amp;.pcap") && !page.contains("<b>"));
}

/// The most memory that a replay took, in KiB.
fn peak_kib(file: &Path, arguments: &[&str]) -> u64 {
    let mut child = Command::new(binary().unwrap())
        .arg("replay")
        .arg(file)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

/// Of the size of a capture only time depends: nothing of it is kept but a bounded record.
#[test]
fn memory_does_not_grow_with_the_capture() {
    const LIMIT_KIB: u64 = 200 << 10;
    const GROWTH_KIB: u64 = 16 << 10;
    let files = Files::new();
    let page = files.0.path().join("page.html").display().to_string();
    let write = |name: &str, seconds| {
        let path = files.0.path().join(name);
        let file = fs::File::create(&path).unwrap();
        let traffic = Traffic::new(SERVICE4, 100).with_payload(60_000);
        traffic
            .write(BufWriter::new(file), Duration::from_secs(seconds))
            .unwrap();
        path
    };
    let (small, large) = (write("small.pcap", 1), write("large.pcap", 10));
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(size(&small) < 8 << 20 && size(&large) > 60 << 20);
    for way in [&["--host"][..], &[]] {
        let arguments = [way, &["--html", &page]].concat();
        let (small, large) = (peak_kib(&small, &arguments), peak_kib(&large, &arguments));
        assert!(
            small > 0 && large < small + GROWTH_KIB,
            "{small} {large} KiB"
        );
        assert!(large < LIMIT_KIB, "{large} KiB");
    }
}
