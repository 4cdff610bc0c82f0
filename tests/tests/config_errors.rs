//! Mistakes in the configuration: each is found before anything is attached, named
//! with its line, and comes with a remedy.
//!
//! ```text
//!  lapwing.toml with one mistake ─▶ lapwing check │ run ─▶ exit code 2, file:line, help
//! ```

use std::{fs, process::Output};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    lapwing::{CONFIG, Settings},
    topology::{Family, Lab, Site},
};

struct Mistake {
    description: &'static str,
    /// In the good configuration, and what stands there instead.
    replace: (&'static str, &'static str),
    /// A piece of the line that must be named.
    at: &'static str,
    /// What the message must mention.
    says: &'static str,
}

const MISTAKES: [Mistake; 9] = [
    Mistake {
        description: "unknown key",
        replace: ("on_exit = \"keep\"", "on_exit = \"keep\"\ncolour = \"red\""),
        at: "colour",
        says: "colour",
    },
    Mistake {
        description: "syntax error",
        replace: ("profile = \"default\"", "profile = \"default"),
        at: "profile = ",
        says: "profile",
    },
    Mistake {
        description: "bad prefix",
        replace: ("prefix = \"192.0.2.0/24\"", "prefix = \"192.0.2.0/33\""),
        at: "192.0.2.0/33",
        says: "192.0.2.0/33",
    },
    Mistake {
        description: "host bits in a prefix",
        replace: ("prefix = \"192.0.2.0/24\"", "prefix = \"192.0.2.7/24\""),
        at: "192.0.2.7/24",
        says: "192.0.2.0/24",
    },
    Mistake {
        description: "address outside its prefix",
        replace: ("address = \"192.0.2.10\"", "address = \"198.51.100.10\""),
        at: "address = \"198.51.100.10\"",
        says: "192.0.2.0/24",
    },
    Mistake {
        description: "IPv6 address outside its prefix",
        replace: (
            "address = \"2001:db8:a::10\"",
            "address = \"2001:db8:b::10\"",
        ),
        at: "address = \"2001:db8:b::10\"",
        says: "2001:db8:a::/48",
    },
    Mistake {
        description: "duplicate service",
        replace: ("name = \"web6\"", "name = \"web4\""),
        at: "name = \"web4\"",
        says: "web4",
    },
    Mistake {
        description: "missing interface",
        replace: ("interfaces = [\"eth0\"]", "interfaces = [\"eth7\"]"),
        at: "eth7",
        says: "eth7",
    },
    Mistake {
        description: "hold above its maximum",
        replace: ("hold = \"1000ms\"", "hold = \"9s\""),
        at: "hold",
        says: "hold_max",
    },
];

#[test]
fn each_mistake_is_named_with_line_and_remedy_and_nothing_is_attached() -> Result<()> {
    let lab = Lab::start()?;
    let good = Settings::new().config(Site::Fra1);
    for mistake in MISTAKES {
        let (from, to) = mistake.replace;
        ensure!(
            good.contains(from),
            "{}: the good configuration lacks {from:?}",
            mistake.description
        );
        let config = good.replacen(from, to, 1);
        lab.fra1.node.write(CONFIG, &config)?;
        let lines = lines_with(&config, mistake.at);
        for arguments in [&["check", CONFIG][..], &["run", "--config", CONFIG]] {
            let output = lab.fra1.lapwing_command(arguments)?;
            judge(&mistake, &lines, &output)
                .with_context(|| format!("{} by {arguments:?}: {output:?}", mistake.description))?;
            ensure_nothing_attached(&lab).with_context(|| mistake.description)?;
        }
        println!(
            "--- {}\n{}",
            mistake.description,
            String::from_utf8_lossy(&lab.fra1.lapwing_command(&["check", CONFIG])?.stderr)
        );
    }
    Ok(())
}

fn judge(mistake: &Mistake, lines: &[usize], output: &Output) -> Result<()> {
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(2),
        "exit code {:?}",
        output.status.code()
    );
    ensure!(
        lines
            .iter()
            .any(|line| message.contains(&format!("lapwing.toml:{line}:"))),
        "the message names none of the lines {lines:?}"
    );
    ensure!(
        message.contains(mistake.says),
        "the message does not mention {}",
        mistake.says
    );
    ensure!(message.contains("help:"), "no remedy");
    Ok(())
}

#[test]
fn good_configuration_passes_and_a_missing_file_does_not() -> Result<()> {
    let lab = Lab::start()?;
    lab.fra1
        .node
        .write(CONFIG, &Settings::new().config(Site::Fra1))?;
    let output = lab.fra1.lapwing_command(&["check", CONFIG])?;
    ensure!(output.status.success(), "a good configuration: {output:?}");
    for arguments in [
        &["check", "/run/lapwing/none.toml"][..],
        &["run", "--config", "/run/lapwing/none.toml"],
    ] {
        let output = lab.fra1.lapwing_command(arguments)?;
        let message = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{arguments:?}: {output:?}");
        ensure!(message.contains("none.toml"), "{arguments:?}: {message}");
    }
    ensure_nothing_attached(&lab)
}

/// Line numbers, from one, of the lines that contain `piece`.
fn lines_with(config: &str, piece: &str) -> Vec<usize> {
    let numbered = config.lines().zip(1..);
    numbered
        .filter(|(line, _)| line.contains(piece))
        .map(|(_, number)| number)
        .collect()
}

/// No pin, no program on the interface, no route.
fn ensure_nothing_attached(lab: &Lab) -> Result<()> {
    // The kernel itself puts two iterators, `*.debug`, into every bpffs.
    let pins: Vec<String> = fs::read_dir(lab.fra1.node.path("/sys/fs/bpf"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let ours: Vec<&String> = pins
        .iter()
        .filter(|name| !["maps.debug", "progs.debug"].contains(&name.as_str()))
        .collect();
    ensure!(ours.is_empty(), "pinned: {ours:?}");
    let link = lab.fra1.node.run("ip", ["-d", "link", "show", "eth0"])?;
    ensure!(!link.contains("xdp"), "an XDP program is attached: {link}");
    for family in Family::ALL {
        let routes = lab.fra1.routes(family)?;
        ensure!(routes.trim().is_empty(), "routes: {routes}");
    }
    Ok(())
}
