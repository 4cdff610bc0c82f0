//! Native XDP may make a link drop for a moment. On a driver that is not known to be quiet
//! (a tap here) `attach = "auto"` takes it only while nothing is announced; else tc, until
//! the operator asks for it after a drain.
//!
//! ```text
//!  route in table 4242?  ─ no ─▶ native        lapwing attach --native ─ announced ─▶ refused
//!           └──── yes ─▶ tcx ────────────────────────┴───────────────── withdrawn ─▶ native
//! ```

use std::{net::TcpListener, sync::mpsc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    lapwing::{CONFIG, CONTROL, JOURNAL, Lapwing, STATE, Settings, binary},
    netns::Namespace,
    topology::TABLE,
    wait_until,
};

const PREFIX: &str = "192.0.2.0/24";
const SERVICE: &str = "192.0.2.10:80";
const SOON: Duration = Duration::from_secs(30);

fn config() -> String {
    format!(
        r#"[daemon]
mode = "enforce"
interfaces = ["tap0"]
http = "127.0.0.1:9477"
control = "{CONTROL}"
state_dir = "{STATE}"
[route]
table = {TABLE}
[recover]
hold = "1s"
[[prefix]]
prefix = "{PREFIX}"
[[prefix.service]]
name = "web"
address = "192.0.2.10"
port = 80
probe = {{ tcp = "{SERVICE}", interval = "200ms" }}
"#
    )
}

/// A host with a service, whose only way out is a tap.
fn host() -> Result<Namespace> {
    let host = Namespace::new("host")?;
    host.ip("tuntap add tap0 mode tap\nlink set tap0 up\naddr add 192.0.2.10/32 dev lo\n")?;
    host.write(CONFIG, &config())?;
    let (listening, ready) = mpsc::channel();
    host.network_thread("listener", move || -> Result<()> {
        let listener = TcpListener::bind(SERVICE)?;
        listening.send(())?;
        listener.incoming().for_each(drop);
        Ok(())
    })?;
    ready.recv().context("no listener")?;
    Ok(host)
}

fn start(host: &Namespace) -> Result<Lapwing> {
    Lapwing::start_again(host, &Settings::new())
}

fn lapwing(host: &Namespace, arguments: &[&str]) -> Result<std::process::Output> {
    let mut command = std::process::Command::new(binary()?);
    command.args(arguments);
    host.output(command, "")
}

fn done(host: &Namespace, arguments: &[&str]) -> Result<String> {
    let output = lapwing(host, arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the status says that the way in is attached so.
fn wait_mode(daemon: &Lapwing, host: &Namespace, mode: &str) -> Result<()> {
    wait_until(&format!("attached as {mode}"), SOON, || {
        let status = daemon.status(host)?;
        let attachments = status["sensor"]["attachments"]
            .as_array()
            .context("no attachments")?;
        let ingress = attachments.iter().find(|hook| hook["hook"] == "ingress");
        Ok(ingress.is_some_and(|hook| hook["mode"] == mode))
    })
    .with_context(|| format!("lapwing says:\n{}", daemon.log_tail()))
}

fn wait_observed(daemon: &Lapwing, host: &Namespace, level: &str) -> Result<()> {
    wait_until(&format!("{PREFIX} is {level}"), SOON, || {
        Ok(daemon.status(host)?["prefixes"][0]["observed"] == level)
    })
}

#[test]
fn native_xdp_waits_for_a_drain_where_it_may_disturb_the_link() -> Result<()> {
    let host = host()?;
    host.ip(&format!(
        "route add blackhole {PREFIX} table {TABLE} proto 201 metric 32\n"
    ))?;

    // Clients come: tc it is, and native XDP is refused.
    let mut daemon = start(&host)?;
    wait_mode(&daemon, &host, "tcx")?;
    wait_observed(&daemon, &host, "full")?;
    let native = ["attach", "--native", "--config", CONFIG];
    let refused = lapwing(&host, &native)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    for word in [PREFIX, "drain", "--force"] {
        ensure!(said.contains(word), "no {word} in: {said}");
    }
    wait_mode(&daemon, &host, "tcx")?;

    // After a drain it is taken, at once and for good.
    done(
        &host,
        &["pin", "all", "--level", "withdrawn", "--control", CONTROL],
    )?;
    wait_observed(&daemon, &host, "withdrawn")?;
    daemon.journal().read()?;
    let said = done(&host, &native)?;
    ensure!(said.contains("attached to tap0 ingress (native)"), "{said}");
    wait_mode(&daemon, &host, "native")?;
    daemon.journal().wait(SOON, |record| {
        Ok(record
            .is_some_and(|record| record.event() == "attached" && record.text("mode") == "native"))
    })?;
    let shown = host.run("bpftool", ["net", "show", "dev", "tap0"])?;
    ensure!(
        shown.contains("driver id") && !shown.contains("tcx/ingress"),
        "{shown}"
    );
    done(&host, &["unpin", "all", "--control", CONTROL])?;
    wait_observed(&daemon, &host, "full")?;
    ensure!(daemon.stop()?.success());
    let daemon = start(&host)?;
    wait_mode(&daemon, &host, "native")?;
    ensure!(daemon.stop()?.success());

    // Without a daemon the table tells.
    done(&host, &["detach", "--config", CONFIG])?;
    let refused = lapwing(&host, &native)?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let said = done(&host, &["attach", "--config", CONFIG])?;
    ensure!(said.contains("attached to tap0 ingress (tcx)"), "{said}");
    done(&host, &["detach", "--config", CONFIG])?;
    let forced = [&native[..], &["--force"]].concat();
    let said = done(&host, &forced)?;
    ensure!(said.contains("attached to tap0 ingress (native)"), "{said}");
    done(&host, &["detach", "--config", CONFIG])?;

    // Nothing is announced: a first start takes it.
    host.ip(&format!("route flush table {TABLE}\n"))?;
    std::fs::remove_file(host.path(JOURNAL))?;
    let daemon = start(&host)?;
    wait_mode(&daemon, &host, "native")?;
    ensure!(daemon.stop()?.success());
    Ok(())
}
