//! Runs the cases by every hook, and compares what is seen with what must be.
//!
//! One loaded object serves many cases, since loading takes longer than running. A
//! case is told from those before by a client of its own, by a clock that has moved
//! on, and by looking at differences.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{LazyLock, Mutex, PoisonError},
};

use probe_user::datapath::object::LoadFlags;

use crate::{
    case::{Also, Case, Seen, Where},
    machine::{Host, Ingress, Kernel},
    script::Script,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// Longer than anything is remembered.
const BETWEEN_CASES: u64 = 100 * SECOND;
/// The ports of all clients; the address tells them apart.
const CLIENT_PORT: u16 = 40_000;

/// The tables as they are without any option.
static PLAIN: LazyLock<Mutex<Bench>> =
    LazyLock::new(|| Mutex::new(Bench::new(LoadFlags::default())));

/// Checks every case on the host, and in the kernel by every hook.
pub fn check(cases: &[Case]) {
    let mut bench = PLAIN.lock().unwrap_or_else(PoisonError::into_inner);
    bench.check(cases, &[Ingress::Host, Ingress::Xdp, Ingress::Tc]);
}

/// Host build and kernel, and what was used of clock and clients.
pub struct Bench {
    host: Host,
    kernel: Kernel,
    now_ns: u64,
    clients: u16,
}

impl Bench {
    /// An object that is loaded in this way.
    pub fn new(flags: LoadFlags) -> Self {
        Self {
            host: Host::new(flags.tunnels),
            kernel: Kernel::new(flags),
            // Not zero, so that a time that was never set would be seen.
            now_ns: 5 * SECOND,
            clients: 0,
        }
    }

    /// Checks every case by these hooks, and tells all that went wrong.
    pub fn check(&mut self, cases: &[Case], hooks: &[Ingress]) {
        let mut wrong = String::new();
        for case in cases {
            for v6 in case.families {
                for hook in hooks {
                    let happens = match case.happens {
                        Where::Everywhere => true,
                        Where::Tc => *hook == Ingress::Tc,
                        Where::NotTc => *hook != Ingress::Tc,
                    };
                    if !happens {
                        continue;
                    }
                    let [expected, seen] = self.run(case, *v6, *hook);
                    if seen != expected {
                        let version = if *v6 { 6 } else { 4 };
                        let what = case.description;
                        let _ = writeln!(wrong, "{what} (IPv{version}, {hook:?}):");
                        wrong.push_str(&differences(&expected, &seen));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "\n{wrong}");
    }

    /// What must be counted, and what is.
    fn run(&mut self, case: &Case, v6: bool, hook: Ingress) -> [(Seen, Also); 2] {
        self.now_ns += BETWEEN_CASES;
        self.clients += 1;
        let script = Script::new(client(self.clients, v6), case.to.address(v6));
        let script = (case.frames)(script);
        let before = self.read(hook);
        for step in &script.steps {
            let now_ns = self.now_ns + step.at_ms * MS;
            match hook {
                Ingress::Host => self.host.run(now_ns, step),
                Ingress::Xdp | Ingress::Tc => {
                    self.kernel.run(hook, now_ns, step, case.description);
                }
            }
        }
        let seen = self.read(hook).since(&before);
        let mut expected = case.seen.clone();
        let traffic = &mut expected.traffic;
        (traffic.packets_in, traffic.bytes_in) = script.counted_in;
        (traffic.packets_out, traffic.bytes_out) = script.counted_out;
        let also = Also::of(&expected.trials, expected.verified);
        [(expected, also), seen]
    }

    fn read(&self, hook: Ingress) -> crate::machine::Reading {
        match hook {
            Ingress::Host => self.host.read(),
            Ingress::Xdp | Ingress::Tc => self.kernel.read(),
        }
    }
}

/// A client that nobody else is.
fn client(number: u16, v6: bool) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    let address = if v6 {
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0xc, number, 0, 0, 0, 7))
    } else {
        IpAddr::from([198, 18, high, low])
    };
    SocketAddr::new(address, CLIENT_PORT)
}

/// The fields that differ, with their values.
fn differences(expected: &(Seen, Also), seen: &(Seen, Also)) -> String {
    let lines = |(seen, also): &(Seen, Also)| {
        let Seen {
            traffic,
            counters,
            trials,
            verified,
            servfails,
            skips,
        } = seen;
        let mut fields: Vec<String> = Vec::new();
        for part in format!("{counters:?}").split_inclusive(", ") {
            // What has no name belongs to the array before it.
            match fields.last_mut() {
                Some(field) if part.starts_with(|c: char| c.is_ascii_digit()) => {
                    field.push_str(part);
                }
                _ => fields.push(part.to_owned()),
            }
        }
        let trials = probe_common::trial::Kind::ALL
            .iter()
            .map(|kind| format!("{}: {:?}", kind.name(), trials[*kind as usize]));
        let skips = probe_common::skip::Skip::ALL
            .iter()
            .map(|reason| format!("{}: {}", reason.name(), skips[*reason as usize]));
        let rest = [
            format!("{traffic:?}"),
            format!("verified: {verified}, servfails: {servfails:?}"),
            format!("{also:?}"),
        ];
        fields
            .into_iter()
            .chain(trials)
            .chain(skips)
            .chain(rest)
            .collect::<Vec<_>>()
    };
    let mut text = String::new();
    for (expected, seen) in lines(expected).into_iter().zip(lines(seen)) {
        if expected != seen {
            let _ = writeln!(text, "    seen {seen}\n    not  {expected}");
        }
    }
    text
}
