//! The BIRD fragments that users include: BIRD accepts them and all that the manual
//! shows, and only what the allow-list names leaves the host.
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
    // From 2.14 on BIRD tells of functions whose type it finds out by itself; 2.0.12
    // cannot be told.
    let complaint = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| !line.contains("Inferring function"))
        .collect::<Vec<_>>()
        .join("\n");
    Ok(if output.status.success() {
        complaint
    } else {
        format!("{}: {complaint}", output.status)
    })
}

/// A text of ours with the fragments where they stand here.
fn in_place(text: &str) -> String {
    let here = bird::fragments().display().to_string();
    text.replace("/etc/bird", &here)
}

fn read(name: &str) -> Result<String> {
    Ok(fs::read_to_string(bird::fragments().join(name))?)
}

/// The blocks of BIRD's language in a section of the manual.
fn blocks(section: &str) -> Vec<&str> {
    section
        .split("```bird\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

#[test]
fn bird_accepts_every_example_and_every_block_of_the_manual() -> Result<()> {
    let mut configs = Vec::new();
    for form in ["standalone", "master"] {
        let name = format!("example-{form}.conf");
        let example = read(&name)?;
        ensure!(
            example.contains("include \"/etc/bird/lapwing.conf\""),
            "{name} includes the fragment"
        );
        configs.push((name, example));
    }
    let manual = read("README.md")?;
    let sections: Vec<(&str, Vec<&str>)> = manual
        .split("\n## ")
        .map(|section| (section.lines().next().unwrap_or_default(), blocks(section)))
        .filter(|(_, blocks)| !blocks.is_empty())
        .collect();
    let [(_, defines), forms @ ..] = &sections[..] else {
        anyhow::bail!("the manual has no blocks");
    };
    let [forms @ .., (_, witness)] = forms else {
        anyhow::bail!("the manual has no witness");
    };
    ensure!(forms.len() == 2, "one section for each form: {forms:?}");
    for (title, blocks) in forms {
        let alone = [
            "router id 198.51.100.2;\nprotocol device { }\n",
            &defines.concat(),
            &blocks.concat(),
        ]
        .concat();
        let config = [&*alone, &witness.concat()].concat();
        configs.push((format!("{title}, without a witness"), alone));
        // A host of one family defines the other set as empty.
        for (family, used, empty) in [
            ("IPv4", "[ 2001:db8:a::/48 ]", "[ ]"),
            ("IPv6", "[ 192.0.2.0/24 ]", "[ ]"),
        ] {
            ensure!(config.contains(used), "{title}: {used}");
            configs.push((
                format!("{title}, only {family}"),
                config.replace(used, empty),
            ));
        }
        configs.push(((*title).to_owned(), config));
    }
    for (description, config) in configs {
        let complaint = parse(&in_place(&config))?;
        ensure!(complaint.is_empty(), "{description}: {complaint}");
    }
    Ok(())
}

#[test]
fn fragment_without_its_defines_is_refused() -> Result<()> {
    let example = in_place(&read("example-standalone.conf")?);
    for define in example.lines().filter(|line| line.starts_with("define ")) {
        let complaint = parse(&example.replace(define, ""))?;
        ensure!(
            complaint.contains("lapwing.conf"),
            "without {define:?} BIRD says: {complaint:?}"
        );
    }
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
        "blackhole 192.0.2.0/24 table 4242 proto 203 metric 32",
        "blackhole 2001:db8:a::/48 table 4242 proto 203 metric 32",
    ] {
        lab.fra1.node.ip(&format!("route add {route}\n"))?;
    }
    if let Some(heard) = heard.next(Duration::from_secs(2)) {
        anyhow::bail!("exported: {heard:?}");
    }
    // The number in place makes it a level: replaced, not added.
    for family in Family::ALL {
        lab.fra1.replace_route(family, 201)?;
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
    let changes = Family::withdraws();
    heard.wait_for_all(&changes, Duration::from_secs(2))?;
    Ok(())
}
