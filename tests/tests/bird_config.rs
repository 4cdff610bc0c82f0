//! The BIRD fragment that users include: BIRD accepts it, and only what the
//! allow-list names leaves the host.
//!
//! ```text
//!  table 4242 ─▶ BIRD (bird-config/lapwing.conf) at fra1 ─▶ upstream
//!   192.0.2.0/24, 2001:db8:a::/48          pass
//!   a default route, other networks, other protocol numbers   stay
//! ```

use std::{fs, process::Command, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    bird,
    netns::Namespace,
    topology::{Family, Lab, Site},
};

/// `bird -p` on a configuration; what it complains of.
fn parse(config: &str) -> Result<String> {
    let node = Namespace::new("parser")?;
    node.write("/run/lab/bird.conf", config)?;
    let mut command = Command::new("bird");
    command.args(["-p", "-c", "/run/lab/bird.conf"]);
    let output = node.output(command, "")?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(if output.status.success() {
        complaint
    } else {
        format!("{}: {complaint}", output.status)
    })
}

#[test]
fn bird_accepts_the_example_and_a_host_of_one_family() -> Result<()> {
    let fragment = bird::fragments().join("lapwing.conf").display().to_string();
    let example = fs::read_to_string(bird::fragments().join("example-edge.conf"))?;
    ensure!(
        example.contains("/etc/bird/lapwing.conf"),
        "the example includes the fragment"
    );
    let example = example.replace("/etc/bird/lapwing.conf", &fragment);
    let only_v4 = format!(
        "router id 198.51.100.2;\nprotocol device {{ }}\n\
         define LAPWING_PREFIXES_4 = [ 192.0.2.0/24 ];\ndefine LAPWING_PREFIXES_6 = [ ];\n\
         include \"{fragment}\";\n"
    );
    for (description, config) in [("the example", example), ("one family", only_v4)] {
        let complaint = parse(&config)?;
        ensure!(complaint.is_empty(), "{description}: {complaint}");
    }
    Ok(())
}

#[test]
fn fragment_without_an_allow_list_is_refused() -> Result<()> {
    let fragment = bird::fragments().join("lapwing.conf").display().to_string();
    let complaint = parse(&format!(
        "router id 198.51.100.2;\ninclude \"{fragment}\";\n"
    ))?;
    ensure!(
        complaint.contains("lapwing.conf"),
        "BIRD says: {complaint:?}"
    );
    Ok(())
}

#[test]
fn only_allowed_prefixes_at_a_level_of_ours_are_exported() -> Result<()> {
    let lab = Lab::start()?;
    let heard = lab.capture(Site::Fra1)?;
    for route in [
        "blackhole 203.0.113.0/24 table 4242 proto 201 metric 32",
        "blackhole 192.0.2.0/25 table 4242 proto 201 metric 32",
        "blackhole default table 4242 proto 201 metric 32",
        "blackhole 2001:db8:b::/48 table 4242 proto 201 metric 32",
        "blackhole 2001:db8:a:1::/64 table 4242 proto 201 metric 32",
        // The right prefix with a number that is no level.
        "blackhole 192.0.2.0/24 table 4242 proto 186 metric 32",
        "blackhole 2001:db8:a::/48 table 4242 proto 186 metric 32",
    ] {
        lab.fra1.node.ip(&format!("route add {route}\n"))?;
    }
    if let Some(heard) = heard.next(Duration::from_secs(2)) {
        anyhow::bail!("exported: {heard:?}");
    }
    // The number in place makes it a level: replaced, not added.
    for family in Family::ALL {
        lab.fra1.node.ip(&format!(
            "route replace blackhole {} table 4242 proto 201 metric 32\n",
            family.prefix()
        ))?;
    }
    let changes = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&changes, Duration::from_secs(3))?;
    for (family, table, session) in [
        (Family::V4, "lapwing4", "up4"),
        (Family::V6, "lapwing6", "up6"),
    ] {
        ensure!(
            lab.fra1.bird.exports(table, family.prefix(), session)?,
            "{family} is exported"
        );
    }
    ensure!(
        !lab.fra1.bird.exports("lapwing4", "203.0.113.0/24", "up4")?,
        "outside the allow-list"
    );
    Ok(())
}

#[test]
fn both_prefixes_survive_a_burst_of_route_changes() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    let burst = |verb: &str| -> String {
        (0..10_000)
            .map(|n| {
                format!(
                    "route {verb} blackhole 10.{}.{}.0/24 table 4242 proto 201 metric 32\n",
                    n / 256,
                    n % 256
                )
            })
            .collect::<Vec<_>>()
            .concat()
    };
    lab.fra1.node.ip(&burst("add"))?;
    lab.fra1.node.ip(&burst("del"))?;
    lab.fra1.delete_routes()?;
    let changes = Family::ALL.map(|family| Change::Withdraw(family.network()));
    heard.wait_for_all(&changes, Duration::from_secs(2))?;
    Ok(())
}
