//! The keys of the file: what may stand there, what holds without them, what they mean.
//!
//! In flows nothing; out flow the names that a `Section` knows,
//! and the tables of `docs/configuration.md` and of the man page lapwing.toml(5), which are
//! made from here. That defaults, words and bounds are those of the readers is tested key
//! by key (`tests/keys.rs`).

use std::fmt;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand there.
    pub values: Values,
    /// What holds without it.
    pub unwritten: Unwritten,
    /// What it means; Markdown.
    pub meaning: &'static str,
}

/// What may stand there.
#[derive(Debug)]
pub enum Values {
    /// One of these texts.
    Words(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number within these bounds.
    Number(u32, u32),
    /// A text with a duration within these bounds.
    Duration(&'static str, &'static str),
    /// In words; Markdown.
    Other(&'static str),
}

/// What holds without a key.
#[derive(Debug)]
pub enum Unwritten {
    /// It must be written.
    Required,
    /// The same as with this value, which is TOML.
    Value(&'static str),
    /// In words; Markdown.
    Other(&'static str),
}

/// One section.
#[derive(Debug)]
pub struct Table {
    /// As it is written.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Its own keys.
    pub keys: &'static [Key],
    /// Keys that it shares with another section.
    pub shared: &'static [Key],
}

impl Table {
    /// The names of all its keys.
    pub fn names(&self) -> Vec<&'static str> {
        let keys = self.keys.iter().chain(self.shared);
        keys.map(|key| key.name).collect()
    }
}

const fn key(
    name: &'static str,
    values: Values,
    unwritten: Unwritten,
    meaning: &'static str,
) -> Key {
    Key {
        name,
        values,
        unwritten,
        meaning,
    }
}

use Unwritten::{Required, Value};
use Values::{Boolean, Duration, Number, Words};

const NAME: Values = Values::Other("text, at most 64 bytes");
const PATH: Values = Values::Other("absolute path");
const PROBE_TARGET: Values = Values::Other("`\"ADDRESS:PORT\"`");

/// Every section, in the order of the manual.
pub static ALL: [&Table; 14] = [
    &DAEMON, &JOURNAL, &INTERFACE, &ROUTE, &WITNESS, &MEASURE, &DETECT, &CLASSIFY, &GUARDS,
    &PROBES, &RECOVER, &PREFIX, &SERVICE, &PROBE,
];

/// `[daemon]`.
pub static DAEMON: Table = Table {
    name: "[daemon]",
    about: "How the daemon itself runs.",
    keys: &[
        key(
            "site",
            NAME,
            Unwritten::Other("the value of `host`"),
            "The site's name in journal and status.",
        ),
        key(
            "host",
            NAME,
            Unwritten::Other("the kernel's host name"),
            "The host's name in journal and status.",
        ),
        key(
            "mode",
            Words(&["observe", "enforce"]),
            Value("\"observe\""),
            "`\"observe\"` decides and records, but changes no route. `\"enforce\"` acts; it needs at least one `[[prefix]]`.",
        ),
        key(
            "attach",
            Words(&["auto", "native", "generic", "tc"]),
            Value("\"auto\""),
            "How the ingress hook is attached: `\"native\"` (XDP in the driver), `\"generic\"` (XDP in the stack), `\"tc\"` (no XDP), or `\"auto\"`: native where attaching is known not to disturb the link (veth, virtio) or nothing is announced yet, else tc, until [`lapwing attach --native`](accidents.md#the-hooks).",
        ),
        key(
            "interfaces",
            Values::Other("`\"auto\"` or a list of names"),
            Value("\"auto\""),
            "A list of names, `[\"eth0\", \"eth1\"]`, or `\"auto\"`: the interfaces of the IPv4 and IPv6 default routes when the daemon starts. Requests *and replies* must pass them.",
        ),
        key(
            "http",
            Values::Other("loopback address and port"),
            Value("\"127.0.0.1:9477\""),
            "Where the [live page and its API](page.md), `/metrics` and `/healthz` are served. Only a loopback address is accepted.",
        ),
        key(
            "control",
            PATH,
            Value("\"/run/lapwing/control.sock\""),
            "The Unix socket that `lapwing status` asks. Mode 0660.",
        ),
        key(
            "state_dir",
            PATH,
            Value("\"/var/lib/lapwing\""),
            "Holds the journal (`journal.jsonl` and its old files), what is remembered over a restart and the lock that keeps a second daemon from starting.",
        ),
        key(
            "pin_dir",
            PATH,
            Value("\"/sys/fs/bpf/lapwing\""),
            "Where hooks and maps are pinned, so that they outlive the daemon. Must be in a mounted bpf file system. One process at a time works with it.",
        ),
        key(
            "goes_first",
            Boolean,
            Value("false"),
            "Whether this host withdraws a prefix at once where another site is full, without waiting `witness_round`. At one host of all, or at none ([last-site.md](last-site.md)).",
        ),
        key(
            "on_exit",
            Words(&["keep", "withdraw"]),
            Value("\"keep\""),
            "What happens to the routes when the daemon is asked to stop (SIGTERM, SIGINT): `\"keep\"` them, or `\"withdraw\"` them all (in mode enforce). A daemon that is killed leaves them; under systemd, one whose machine goes down drains them first ([packaging](../packaging/README.md)). The hooks stay in any case; `lapwing detach` removes them.",
        ),
        key(
            "on_watchdog",
            Words(&["keep", "probe"]),
            Value("\"keep\""),
            "What happens to the routes when the daemon does not start any more, which is when systemd runs [`lapwing last-resort`](accidents.md#the-daemon): `\"keep\"` them, or `\"probe\"`: every service is asked by three probes at once, and a prefix whose `withdraw_when` is met by services that fail all three is withdrawn (in mode enforce; pins, freezes, `last_site` and `[classify]` hold it as ever).",
        ),
    ],
    shared: &[],
};

/// `[journal]`.
pub static JOURNAL: Table = Table {
    name: "[journal]",
    about: "How much of the past is kept.",
    keys: &[
        key(
            "rotate_at",
            Values::Other("`\"64KiB\"` to `\"1GiB\"`, in KiB, MiB or GiB"),
            Value("\"16MiB\""),
            "A file that is longer becomes an old one, within a second. A decision takes about 2 KiB.",
        ),
        key(
            "keep",
            Number(1, 1000),
            Value("8"),
            "So many old files are kept; the oldest is removed.",
        ),
    ],
    shared: &[],
};

/// `[[interface]]`.
pub static INTERFACE: Table = Table {
    name: "[[interface]]",
    about: "What an interface carries.",
    keys: &[
        key(
            "name",
            NAME,
            Required,
            "The interface; one of those that are measured.",
        ),
        key(
            "tunnels",
            Values::Other("list of kinds"),
            Value("[]"),
            "Whose inner packets are measured: `\"ipip\"` (IP in IP, of either version in either), `\"gre\"`, `\"fou\"`, `\"gue\"`, `\"vxlan\"`, `\"geneve\"`. Those in UDP may name their port, `\"vxlan:8472\"`; the usual ones are 5555 (FOU), 6080 (GUE), 4789 (VXLAN) and 6081 (Geneve). A kind has one port on the whole host.",
        ),
    ],
    shared: &[],
};

/// `[route]`.
pub static ROUTE: Table = Table {
    name: "[route]",
    about: "Where routes are set, and who is asked what became of them.",
    keys: &[
        key(
            "table",
            Values::Other("number but 253 to 255"),
            Value("4242"),
            "The kernel routing table that BIRD learns from. It must be used for nothing else; 253 to 255 (default, main, local) are refused.",
        ),
        key(
            "protocols",
            Values::Other("two numbers"),
            Value("{ full = 201, degraded = 202 }"),
            "The route protocol numbers that tell BIRD the level of a prefix: announced, or announced so that upstreams prefer other sites. No route stands for withdrawn. BIRD's filters must use the same numbers ([`bird-config/README.md`](../bird-config/README.md)). The two must differ; numbers up to 18 and 186 to 192 belong to other programs and are refused.",
        ),
        key(
            "bird_socket",
            PATH,
            Unwritten::Other("`\"/run/bird/bird.ctl\"`, if it is there"),
            "BIRD's control socket, where Lapwing asks what became of a change: see [the closed loop](closed-loop.md). It needs read and write permission: Lapwing's user must be in its group, on Debian `bird` ([`bird-config/README.md`](../bird-config/README.md#permission-to-ask)). If this is not written and there is no such socket, nothing is verified, and `status` says so; a socket that is named has to be there.",
        ),
        key(
            "witness_round",
            Duration("100ms", "1min"),
            Value("\"1s\""),
            "How long a degraded prefix waits before it is withdrawn, so that other hosts hear of it: longer than twice what a change of level needs from one host to another. The same at all hosts.",
        ),
    ],
    shared: &[],
};

/// `[[witness]]`.
pub static WITNESS: Table = Table {
    name: "[[witness]]",
    about: "Another host that announces the same prefixes, and how it is heard.",
    keys: &[
        key(
            "site",
            NAME,
            Required,
            "Its site, as in its own `[daemon]`. If it is this host's, it is a neighbour, and no other site.",
        ),
        key(
            "host",
            NAME,
            Required,
            "Its name, as in its own `[daemon]`.",
        ),
        key(
            "table",
            Values::Other("number but 253 to 255"),
            Unwritten::Other("4243 for the first, then 4244 and so on"),
            "The kernel table to which BIRD exports what it hears of this host, and of no other.",
        ),
        key(
            "sessions",
            Values::Other("`{ ipv4 = \"...\", ipv6 = \"...\" }`"),
            Required,
            "The names of BIRD's BGP sessions with it: `{ ipv4 = \"ams1_4\", ipv6 = \"ams1_6\" }`, one of them or both. While a session is not established, nothing is believed of the host.",
        ),
    ],
    shared: &[],
};

/// `[measure]`.
pub static MEASURE: Table = Table {
    name: "[measure]",
    about: "How much the kernel side remembers.",
    keys: &[
        key(
            "connections",
            Number(1024, 4_194_304),
            Value("131072"),
            "TCP connections that are watched at once, from their SYN to the first exchange and at their end. About 64 bytes each.",
        ),
        key(
            "exchanges",
            Number(1024, 4_194_304),
            Value("32768"),
            "UDP exchanges (DNS, QUIC, others) that wait for their answer at once.",
        ),
        key(
            "cells",
            Number(16, 65_536),
            Value("1024"),
            "Connections of each TCP service of which every segment is looked at (retransmissions, keep-alives, validity of RSTs). Which part of the connections is sampled is adapted so that about half of the cells are in use.",
        ),
    ],
    shared: &[],
};

/// `[detect]`.
pub static DETECT: Table = Table {
    name: "[detect]",
    about: "How live connections are judged.",
    keys: &[
        key(
            "false_alarm",
            Values::Other("`\"N in DURATION\"`, at most one an hour"),
            Value("\"1 in 10 years\""),
            "How often the passive detectors of the whole host may together raise a false alarm. A false alarm alone never withdraws: a second leg must agree.",
        ),
        key(
            "profile",
            Words(&["default", "fast"]),
            Value("\"default\""),
            "`\"default\"` sets `patience` to 1 s, so that the restart of a service costs no withdraw; `\"fast\"` sets it to 0.",
        ),
        key(
            "deadlines",
            Values::Other("kinds with durations, `\"10ms\"` to `\"60s\"`; `deliver` from `\"1s\"`"),
            Value("{}"),
            "When trials of a kind are late, at every service, instead of by `deadline`: `{ request = \"1s\", handshake = \"2s\" }`. See below.",
        ),
        key(
            "settle",
            Duration("0s", "1h"),
            Value("\"60s\""),
            "After a level change the number of successes is no evidence for this long, since traffic that has left is not failure.",
        ),
    ],
    shared: &OVERRIDES,
};

/// Keys of `[detect]` that a service may have of its own.
static OVERRIDES: [Key; 5] = [
    key(
        "broken",
        Values::Other("number above 0.1 and below 1"),
        Value("0.5"),
        "The ratio of failed connection attempts that is called broken.",
    ),
    key(
        "patience",
        Duration("0s", "10min"),
        Unwritten::Other("by `profile`"),
        "How long a suspicion must stand before it acts.",
    ),
    key(
        "grey_patience",
        Duration("1s", "1h"),
        Value("\"5s\""),
        "How long a suspicion that at most degrades must stand, and fail in each third of it.",
    ),
    key(
        "deadline",
        Values::Other("`\"auto\"`, or `\"10ms\"` to `\"30s\"`"),
        Value("\"auto\""),
        "When a connection attempt, query or Initial without an answer is late, or `\"auto\"`: 200 ms at first, then four times what 999 of 1,000 answers stay below, from 100 ms to 2 s. A service in doubt teaches nothing.",
    ),
    key(
        "arm_after",
        Number(20, 1_000_000),
        Value("200"),
        "So many connection attempts, at least 95 % of them answered, arm the detector of a service.",
    ),
];

/// `[classify]`.
pub static CLASSIFY: Table = Table {
    name: "[classify]",
    about: "What is done about each class of fault.",
    keys: &[
        key(
            "service",
            Words(&["withdraw", "degrade", "hold"]),
            Value("\"withdraw\""),
            "A service is dead.",
        ),
        key(
            "host",
            Words(&["withdraw", "degrade", "hold"]),
            Value("\"withdraw\""),
            "More than half of the host's services, and at least three, are in doubt at once.",
        ),
        key(
            "quiet",
            Words(&["withdraw", "degrade", "hold"]),
            Value("\"withdraw\""),
            "No live trial for ten seconds, and the probe falls.",
        ),
        key(
            "grey",
            Words(&["degrade", "hold"]),
            Value("\"degrade\""),
            "A part of what a service does fails.",
        ),
        key(
            "path",
            Words(&["degrade", "hold"]),
            Value("\"degrade\""),
            "Clients no longer complete handshakes, or segments get lost, while the server is well. Where the host has several interfaces and clients are lost behind some of them only, the reason names these.",
        ),
        key(
            "overload",
            Words(&["hold", "ignore"]),
            Value("\"hold\""),
            "Much more than usual arrives, and at least a fifth of the usual is still served: `\"hold\"`, or `\"ignore\"` to treat it like any other fault.",
        ),
        key(
            "overload_factor",
            Values::Other("number, 1.5 to 1000"),
            Value("3"),
            "Arrivals as a multiple of the usual that are too many.",
        ),
    ],
    shared: &[],
};

/// `[guards]`.
pub static GUARDS: Table = Table {
    name: "[guards]",
    about: "What a host may do in an hour.",
    keys: &[key(
        "lowerings_per_hour",
        Number(1, 1_000_000),
        Unwritten::Other("four per prefix, at least 10"),
        "The most lowerings of prefixes on this host within an hour. Further ones are held by `budget_local`. Orders of the operator do not count.",
    )],
    shared: &[],
};

/// `[probe]`.
pub static PROBES: Table = Table {
    name: "[probe]",
    about: "All probes of the host.",
    keys: &[key(
        "max_concurrent",
        Number(4, 400),
        Value("256"),
        "So many probes of all services run at once. Others wait, and their timeout begins when they run. A quarter is kept for the bursts that are to decide about a suspicion.",
    )],
    shared: &[],
};

/// `[recover]`.
pub static RECOVER: Table = Table {
    name: "[recover]",
    about: "How a withdrawn prefix returns.",
    keys: &[
        key(
            "hold",
            Duration("1s", "7days"),
            Value("\"60s\""),
            "The probes must pass for this long before a withdrawn prefix returns; doubles with each flap. Not above `hold_max`.",
        ),
        key(
            "hold_max",
            Duration("1s", "7days"),
            Value("\"1h\""),
            "The longest hold. A prefix that is withdrawn for the third time within 15 minutes is locked out for so long.",
        ),
        key(
            "canary",
            Boolean,
            Value("false"),
            "A withdrawn prefix returns as degraded, and is full after `arm_after` good live trials, or after a minute of passing probes where too few clients come.",
        ),
    ],
    shared: &[],
};

/// `[[prefix]]`.
pub static PREFIX: Table = Table {
    name: "[[prefix]]",
    about: "One announced network.",
    keys: &[
        key(
            "prefix",
            Values::Other("network"),
            Required,
            "The network, without host bits: `\"192.0.2.0/24\"` or `\"2001:db8::/48\"`.",
        ),
        key(
            "withdraw_when",
            Values::Other("`\"any\"`, `\"all\"` or `{ at_least = N }`"),
            Value("\"any\""),
            "How many of its services must be dead, or to degrade impaired.",
        ),
        key(
            "last_site",
            Words(&["auto", "hold", "allow"]),
            Value("\"auto\""),
            "Whether it may be withdrawn where no other host announces it at level full. `\"hold\"`: it is degraded instead. `\"allow\"`: it may. `\"auto\"`: hold where a `[[witness]]` has a session of its family, else allow, with a warning in `check` and `status`.",
        ),
        key(
            "drain",
            Duration("0s", "24h"),
            Value("\"30s\""),
            "How long `lapwing drain` degrades it before it withdraws it.",
        ),
        key(
            "services",
            Values::Other("list of names"),
            Unwritten::Other("none"),
            "Names of services of other prefixes that stand behind this one, too: `[\"web\", \"dns\"]`. So one service may decide about thousands of prefixes, and is probed once.",
        ),
        key(
            "service",
            Values::Other("`[[prefix.service]]`"),
            Required,
            "Its services. May be left out where `services` names some.",
        ),
    ],
    shared: &[],
};

/// `[[prefix.service]]`.
pub static SERVICE: Table = Table {
    name: "[[prefix.service]]",
    about: "One service of the prefix above it.",
    keys: &[
        key(
            "name",
            NAME,
            Required,
            "Unique on this host. The label in metrics, journal and status.",
        ),
        key(
            "address",
            Values::Other("IP address"),
            Required,
            "An address of the prefix.",
        ),
        key(
            "port",
            Values::Other("1 to 65535, or `\"any\"`"),
            Required,
            "`\"any\"`: all ports of the address that no other service has. A TCP service at any port needs a `probe` that names a port.",
        ),
        key(
            "protocol",
            Words(&["tcp", "udp"]),
            Value("\"tcp\""),
            "By which its clients come.",
        ),
        key(
            "application",
            Words(&["any", "dns", "quic", "http"]),
            Unwritten::Other("by port"),
            "What is spoken: `\"dns\"` (default at port 53), `\"quic\"` (UDP only; default at UDP port 443), `\"http\"` (TCP only; plaintext HTTP/1, must be asked for, and then responses are counted by their status), else `\"any\"`.",
        ),
        key(
            "probe",
            Values::Other("table"),
            Unwritten::Other("a TCP probe of a TCP service, none of a UDP service"),
            "The active probe, see below.",
        ),
    ],
    shared: &OVERRIDES,
};

/// `probe` of a service.
pub static PROBE: Table = Table {
    name: "probe",
    about: "How a service is asked.",
    keys: &[
        key(
            "tcp",
            PROBE_TARGET,
            Unwritten::Other("the service's address and port"),
            "Where to connect to.",
        ),
        key(
            "tls",
            PROBE_TARGET,
            Unwritten::Other("-"),
            "Where to connect to and shake hands (TLS 1.2 or 1.3).",
        ),
        key(
            "http",
            Values::Other("URL"),
            Unwritten::Other("-"),
            "`\"http://HOST[:PORT]/path\"` or `\"https://...\"` to GET by HTTP/1.1. The connection goes to the service's address, and HOST is the `Host` header and, with https, the name that the server is asked for; if HOST is an IP address, the connection goes there. Without a PORT the service's port is used.",
        ),
        key(
            "dns",
            PROBE_TARGET,
            Unwritten::Other("-"),
            "Whom to ask. Any response passes but SERVFAIL and REFUSED, also one that is truncated.",
        ),
        key(
            "quic",
            PROBE_TARGET,
            Unwritten::Other("-"),
            "Where to shake hands by QUIC. A closed port is silent to it and costs the timeout.",
        ),
        key(
            "exec",
            Values::Other("list of texts"),
            Unwritten::Other("-"),
            "`[\"/path/of/program\", \"argument\", ...]` to run, without a shell. Exit code 0 passes. See below.",
        ),
        key(
            "source",
            Values::Other("IP address"),
            Unwritten::Other("the kernel's choice"),
            "The address of this host that is asked from, of the target's family.",
        ),
        key(
            "interval",
            Duration("50ms", "1h"),
            Value("\"1s\""),
            "Time between two probes. Single ones come up to a tenth nearer or farther, so that the probes of many services spread; the mean stays.",
        ),
        key(
            "timeout",
            Duration("10ms", "60s"),
            Unwritten::Other("`\"1s\"`, or `interval` if that is shorter"),
            "When a probe has failed; not above `interval`.",
        ),
        key(
            "rise",
            Number(1, 1000),
            Value("2"),
            "Successes in a row that make the service good.",
        ),
        key(
            "fall",
            Number(1, 1000),
            Value("3"),
            "Failures in a row that make it bad.",
        ),
        key(
            "status",
            Number(100, 599),
            Unwritten::Other("any 2xx or 3xx"),
            "Of `http`: the expected status.",
        ),
        key(
            "body",
            Values::Other("text"),
            Unwritten::Other("-"),
            "Of `http`: text that must occur in the first 64 KiB of the body, to the letter.",
        ),
        key(
            "sni",
            Values::Other("host name"),
            Unwritten::Other("HOST with https, else none"),
            "Of `tls`, https, `quic`: the name that the server is asked for. An address is none, so a server may then choose any certificate.",
        ),
        key(
            "verify",
            Boolean,
            Value("false"),
            "Of `tls`, https, `quic`: whether the certificate must be valid today, be for `sni` (without it, for the address), and come from an authority that this host trusts (`/etc/ssl/certs`, or `SSL_CERT_FILE` and `SSL_CERT_DIR`).",
        ),
        key(
            "alpn",
            Values::Other("list of protocols"),
            Unwritten::Other("none is offered with `tls`; `[\"h3\"]` with `quic`"),
            "Of `tls`, `quic`: the protocols that are offered, the best first: `[\"h2\", \"http/1.1\"]`. The server must choose one of them. An https probe offers `http/1.1`.",
        ),
        key(
            "transport",
            Words(&["udp", "tcp"]),
            Value("\"udp\""),
            "Of `dns`: by which it is asked.",
        ),
        key(
            "name",
            Values::Other("domain name"),
            Required,
            "Of `dns`: the name that is asked for; `\".\"` is the root.",
        ),
        key(
            "type",
            Words(&["A", "AAAA", "NS", "SOA", "TXT"]),
            Value("\"A\""),
            "Of `dns`: the record that is asked for.",
        ),
    ],
    shared: &[],
};

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                f.write_str(&words.join(", "))
            }
            Self::Boolean => f.write_str("`true`, `false`"),
            Self::Number(least, most) => write!(f, "{least} to {most}"),
            Self::Duration(least, most) => write!(f, "`\"{least}\"` to `\"{most}\"`"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required => f.write_str("required"),
            Self::Value(value) => write!(f, "`{value}`"),
            Self::Other(words) => f.write_str(words),
        }
    }
}
