//! Many prefixes, and many services that all fail: nothing is lost, and nobody waits for
//! ever.
//!
//! ```text
//!  2,000 prefixes:     lapwing pin all ─▶ table 4242 ─▶ BIRD ─▶ (capture) upstream
//!  1,000 dead services: probes ═▶ lapwing ◀── 5 prefixes in table 4242
//! ```
//! Ten thousand, and their figures: `cargo xtask bench routes`.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    lab::{
        lapwing::{CONFIG, CONTROL, Lapwing, STATE, Settings},
        netns::Namespace,
        topology::TABLE,
        wait_until,
    },
    many::Many,
};
use serde_json::Value;

#[test]
fn thousands_of_prefixes_go_and_return_by_one_command_each() -> Result<()> {
    let many = Many::start(2000)?;
    let (daemon, announced) = many.daemon()?;
    many.wait_settled(&daemon, "full")?;
    let withdrawn = many.withdraw()?;
    many.wait_settled(&daemon, "withdrawn")?;
    let returned = many.announce()?;
    many.wait_settled(&daemon, "full")?;
    println!("announced {announced:.0?}, withdrawn {withdrawn:.0?}, returned {returned:.0?}");
    Ok(())
}

const PREFIXES: u8 = 5;
const SERVICES_EACH: u16 = 200;

/// Nothing listens on any of the ports. Others decide about the routes.
fn dead_services() -> Result<String> {
    let mut config = format!(
        r#"[daemon]
mode = "observe"
interfaces = ["eth0"]
http = "127.0.0.1:9477"
control = "{CONTROL}"
state_dir = "{STATE}"
[route]
table = {TABLE}
"#
    );
    for prefix in 1..=PREFIXES {
        writeln!(config, "[[prefix]]\nprefix = \"198.51.{prefix}.0/24\"")?;
        for port in 1000..1000 + SERVICES_EACH {
            writeln!(
                config,
                "[[prefix.service]]\nname = \"s{prefix}-{port}\"\naddress = \"198.51.{prefix}.1\"\n\
                 port = {port}\nprobe = {{ tcp = \"198.51.{prefix}.1:{port}\", interval = \"50ms\" }}"
            )?;
        }
    }
    Ok(config)
}

#[test]
fn routes_are_read_while_every_probe_of_a_thousand_services_fails() -> Result<()> {
    let node = Namespace::new("edge")?;
    node.ip("link add eth0 type veth peer name eth1\nlink set eth0 up\n")?;
    for prefix in 1..=PREFIXES {
        node.ip(&format!("addr add 198.51.{prefix}.1/32 dev lo\n"))?;
    }
    node.write(CONFIG, &dead_services()?)?;
    let daemon = Lapwing::start_again(&node, &Settings::new())?;
    // A daemon with so much to do may be late with an answer.
    let all = |what: &str, count: u16, is_so: &dyn Fn(&Value) -> bool| -> Result<bool> {
        let Ok(status) = daemon.status(&node) else {
            return Ok(false);
        };
        let all = status[what].as_array().context("a list")?;
        Ok(all.len() == usize::from(count) && all.iter().all(is_so))
    };
    let prefixes = |expected: &str| {
        let count = u16::from(PREFIXES);
        all("prefixes", count, &|prefix| prefix["observed"] == expected)
    };
    let soon = Duration::from_secs(20);
    wait_until("what stands in the table is known", soon, || {
        prefixes("withdrawn")
    })?;
    // And so it is when all probes have fallen, and somebody else changes the table.
    wait_until("the probes fall", Duration::from_mins(1), || {
        let count = u16::from(PREFIXES) * SERVICES_EACH;
        all("services", count, &|service| {
            service["probe_passes"] == false
        })
    })?;
    for prefix in 1..=PREFIXES {
        node.ip(&format!(
            "route add blackhole 198.51.{prefix}.0/24 table {TABLE} proto 202 metric 32\n"
        ))?;
    }
    wait_until("the change is known", soon, || prefixes("degraded"))?;
    let stopped = daemon.stop()?;
    ensure!(stopped.success(), "{stopped}");
    Ok(())
}
