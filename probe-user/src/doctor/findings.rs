//! From facts to findings: pure, so that every trouble can be tested without having it.

mod links;

use super::{
    Finding, Grade,
    facts::{Facts, Holder, Place},
};
use crate::datapath::kernel;

use Grade::{Fail, Warn};

/// The first kernel with tcx.
const TCX: (u32, u32) = (6, 6);
/// Before this one, memory of maps counts against the limit of locked memory.
const NO_MEMLOCK: (u32, u32) = (5, 11);
/// Maps of the default sizes, and some room.
const MEMLOCK_NEEDED: u64 = 64 << 20;
/// What the daemon needs, by the bits of include/uapi/linux/capability.h.
const CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
/// Stands for the two newer ones.
const CAP_SYS_ADMIN: u32 = 21;

/// Judges.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![
        config(facts),
        daemon(facts),
        kernel_release(facts),
        btf(facts),
        capabilities(facts),
        memlock(facts),
        pins(facts),
        tc(facts),
    ];
    all.extend(links::interfaces(facts));
    all.extend(replies(facts));
    all.push(rules(facts));
    all.extend(table(facts));
    all.push(networkd(facts));
    all.push(manager(facts));
    all.push(clock(facts));
    all.extend(state(&facts.state));
    all
}

fn ok(check: &'static str, what: impl Into<String>) -> Finding {
    Finding {
        check,
        grade: Grade::Ok,
        what: what.into(),
        remedy: None,
    }
}

fn bad(
    grade: Grade,
    check: &'static str,
    what: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        check,
        grade,
        what: what.into(),
        remedy: Some(remedy.into()),
    }
}

fn config(facts: &Facts) -> Finding {
    match &facts.config {
        Ok(told) if facts.enforces => ok("config", format!("{told}; mode enforce")),
        Ok(told) => ok("config", format!("{told}; mode observe changes no route")),
        Err(told) => bad(
            Fail,
            "config",
            told.as_str(),
            "mend the file; all other checks are those of a host without one",
        ),
    }
}

fn daemon(facts: &Facts) -> Finding {
    match &facts.daemon {
        Holder::Nobody => ok("daemon", "no lapwing runs here"),
        Holder::Daemon { pid, troubles } if troubles.is_empty() => {
            ok("daemon", format!("lapwing runs as process {pid}"))
        }
        Holder::Daemon { pid, troubles } => bad(
            Fail,
            "daemon",
            format!(
                "lapwing runs as process {pid}, and says: {}",
                troubles.join("; ")
            ),
            "`lapwing status` and its log say more",
        ),
        Holder::Mute { pid } => bad(
            Fail,
            "daemon",
            format!(
                "process {pid} has the lock of {}, but does not answer on the configured socket",
                facts.state.path.display()
            ),
            "set `control` to the socket of that daemon, or stop it: a second one cannot start",
        ),
    }
}

fn since(facts: &Facts, least: (u32, u32)) -> bool {
    kernel::version(&facts.kernel).is_none_or(|version| version >= least)
}

fn kernel_release(facts: &Facts) -> Finding {
    let release = &facts.kernel;
    if !since(facts, kernel::NEEDED) {
        return bad(
            Fail,
            "kernel",
            format!("{release} has no compare-exchange in eBPF"),
            "boot 5.12 or newer; 6.6 or newer is recommended",
        );
    }
    ok("kernel", release.as_str())
}

fn btf(facts: &Facts) -> Finding {
    if facts.btf {
        ok("btf", "the kernel describes its types")
    } else {
        bad(
            Warn,
            "btf",
            "no /sys/kernel/btf/vmlinux: programs load, but bpftool cannot name what they hold",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF",
        )
    }
}

fn capabilities(facts: &Facts) -> Finding {
    let Some(held) = facts.capabilities else {
        return bad(
            Warn,
            "capabilities",
            "/proc/self/status does not tell them",
            "mount /proc",
        );
    };
    let has = |bit: u32| held & (1 << bit) != 0;
    let missing: Vec<&str> = CAPABILITIES
        .into_iter()
        .filter(|(bit, _)| !(has(*bit) || *bit > 31 && has(CAP_SYS_ADMIN)))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        ok("capabilities", "all that are needed")
    } else {
        bad(
            Fail,
            "capabilities",
            format!("this user lacks {}", missing.join(", ")),
            "run it as root, or give the unit AmbientCapabilities=",
        )
    }
}

fn memlock(facts: &Facts) -> Finding {
    match facts.memlock {
        Some(limit) if !since(facts, NO_MEMLOCK) && limit < MEMLOCK_NEEDED => bad(
            Fail,
            "memlock",
            format!(
                "{} KiB may be locked, and on this kernel maps count",
                limit >> 10
            ),
            "set LimitMEMLOCK=infinity in the unit",
        ),
        _ => ok("memlock", "no limit that matters on this kernel"),
    }
}

fn pins(facts: &Facts) -> Finding {
    let (path, is_bpf) = &facts.pins;
    if *is_bpf {
        ok(
            "bpffs",
            format!("{} is in a bpf file system", path.display()),
        )
    } else {
        bad(
            Fail,
            "bpffs",
            format!("{} is in no bpf file system", path.display()),
            "mount -t bpf bpf /sys/fs/bpf, or set `pin_dir` to where one is",
        )
    }
}

fn tc(facts: &Facts) -> Finding {
    if since(facts, TCX) {
        ok("tc", "tcx: replies are measured by a link of its own")
    } else {
        bad(
            Warn,
            "tc",
            "no tcx before 6.6: replies are measured by a clsact filter, which others can remove unseen",
            "boot 6.6 or newer; the module sch_ingress must be there until then",
        )
    }
}

fn replies(facts: &Facts) -> Vec<Finding> {
    let Ok(links) = &facts.links else {
        return Vec::new();
    };
    let watched = |name: &str| links.iter().any(|link| link.name == name);
    let unseen = facts.replies.iter().filter_map(|reply| {
        let interface = reply.interface.as_deref()?;
        (!watched(interface)).then(|| {
            bad(
                Fail,
                "replies",
                format!(
                    "{} answers by {interface}, which is not measured: the service never arms, and its probes decide alone",
                    reply.address
                ),
                format!("add \"{interface}\" to `interfaces` in [daemon]"),
            )
        })
    });
    let without_way = facts
        .replies
        .iter()
        .filter(|reply| reply.interface.is_none())
        .map(|reply| {
            bad(
                Warn,
                "replies",
                format!(
                    "there is no route from {} to clients elsewhere",
                    reply.address
                ),
                "add a default route, or say on which host this address is to be",
            )
        });
    let defaults = facts.unwatched_defaults.iter().map(|name| {
        bad(
            Warn,
            "replies",
            format!("{name} has a default route and is not measured"),
            format!("add \"{name}\" to `interfaces` in [daemon] if replies may leave by it"),
        )
    });
    let mut found: Vec<Finding> = unseen.chain(without_way).chain(defaults).collect();
    if found.is_empty() {
        found.push(ok("replies", "leave by measured interfaces"));
    }
    found
}

fn rules(facts: &Facts) -> Finding {
    let table = facts.table;
    match &facts.rules {
        Err(why) => bad(
            Warn,
            "rules",
            format!("cannot read the rules: {why}"),
            "run it as root",
        ),
        Ok(rules) => match rules.first() {
            None => ok("rules", format!("none leads to table {table}")),
            Some(rule) => {
                let family = if rule.v6 { "-6" } else { "-4" };
                bad(
                    Fail,
                    "rules",
                    format!(
                        "an ip rule leads to table {table} (priority {}): its blackhole routes would drop the traffic of healthy services",
                        rule.priority
                    ),
                    format!(
                        "ip {family} rule del priority {} table {table}",
                        rule.priority
                    ),
                )
            }
        },
    }
}

fn table(facts: &Facts) -> Vec<Finding> {
    let table = facts.table;
    let strays = match &facts.strays {
        Err(why) => {
            return vec![bad(
                Warn,
                "table",
                format!("cannot read table {table}: {why}"),
                "run it as root",
            )];
        }
        Ok(strays) => strays,
    };
    if strays.is_empty() {
        return vec![ok(
            "table",
            format!("nobody else's route of our prefixes in table {table}"),
        )];
    }
    strays
        .iter()
        .map(|stray| {
            let what = if stray.hides {
                "BIRD takes it and never sees Lapwing's"
            } else {
                "BIRD may announce it when Lapwing has withdrawn"
            };
            bad(
                if stray.hides { Fail } else { Warn },
                "table",
                format!(
                    "table {table} holds another program's {} of {}: {what}",
                    stray.route, stray.prefix
                ),
                "remove it, or give Lapwing a table of its own with `table` in [route]",
            )
        })
        .collect()
}

fn networkd(facts: &Facts) -> Finding {
    match facts.networkd {
        None => ok("networkd", "systemd-networkd does not run"),
        Some(true) => ok("networkd", "systemd-networkd leaves routes of others alone"),
        Some(false) => bad(
            Fail,
            "networkd",
            "systemd-networkd removes Lapwing's routes when it restarts, and so withdraws a healthy site",
            "install packaging/networkd/lapwing.conf as /etc/systemd/networkd.conf.d/lapwing.conf (ManageForeignRoutes=no) and restart systemd-networkd",
        ),
    }
}

fn manager(facts: &Facts) -> Finding {
    match &facts.manager {
        None => ok("nm", "NetworkManager does not run"),
        Some(profiles) if profiles.is_empty() => {
            ok("nm", "NetworkManager has no profile with our table")
        }
        Some(profiles) => bad(
            Fail,
            "nm",
            format!(
                "NetworkManager keeps table {} as its own: {}",
                facts.table,
                profiles.join(", ")
            ),
            "take the table out of these profiles: routes that they do not know are removed",
        ),
    }
}

fn clock(facts: &Facts) -> Finding {
    match facts.clock {
        Some(true) => ok("clock", "synchronised"),
        Some(false) => bad(
            Warn,
            "clock",
            "not synchronised: decisions do not depend on it, but the journal's times do, and what is expected at the same hour of yesterday",
            "run chrony or systemd-timesyncd",
        ),
        None => ok("clock", "does not say whether it is synchronised"),
    }
}

fn state(state: &Place) -> Vec<Finding> {
    let path = state.path.display();
    if let Some(trouble) = &state.trouble {
        return vec![bad(
            Fail,
            "state",
            format!("{path} cannot be written: {trouble}"),
            "run it as root, or set `state_dir` in [daemon]: a daemon cannot start without its lock, and the journal goes to the log",
        )];
    }
    match state.room {
        Some((needed, free)) if free < needed => vec![bad(
            Warn,
            "state",
            format!(
                "{path} has {} MiB free; the journal and its old files may take {} MiB",
                free >> 20,
                needed >> 20
            ),
            "make room, or lower `rotate_at` or `keep` in [journal]",
        )],
        Some(_) | None => vec![ok("state", format!("{path} can be written"))],
    }
}

#[cfg(test)]
mod tests;
