//! The closed loop: a change of a route is followed through BIRD to its sessions and
//! to the clients, and whatever keeps it from arriving is told.
//!
//! ```text
//!  lapwing ─▶ table 4242 ─▶ BIRD at fra1 ─▶ (capture) upstream ─▶ clients
//!     └────── control socket ──┘  stopped, killed, reconfigured, deaf, or with a
//!                                 route of its own that makes the withdraw void
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    bird::{self, Bird, Form},
    lapwing::{CONTROL, Lapwing, Record, Settings},
    load::Plan,
    topology::{Family, Lab, Site},
    wait_until,
    withdrawal::Sample,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(5);
/// An alert waits for three seconds, a look at what was well for ten, and a question
/// for two.
const ALERTED: Duration = Duration::from_secs(20);
/// Lapwing's fragment, changed.
const SLOW_FRAGMENT: &str = "/run/lab/slow.conf";

fn settings() -> Settings {
    Settings {
        bird_socket: Some(bird::SOCKET),
        ..Settings::new()
    }
}

/// A lab in which fra1 is announced by a daemon that asks BIRD.
fn announced() -> Result<(Lab, Lapwing)> {
    let lab = Lab::start()?;
    let daemon = lab.fra1.lapwing(&settings())?;
    lab.wait_announced(Site::Fra1)?;
    wait_verified(&lab, &daemon, Some(true))?;
    Ok((lab, daemon))
}

fn prefix(status: &Value, family: Family) -> &Value {
    status["prefixes"]
        .as_array()
        .and_then(|prefixes| {
            prefixes
                .iter()
                .find(|prefix| prefix["prefix"] == family.prefix())
        })
        .unwrap_or(&Value::Null)
}

/// Waits until the status says of both prefixes whether their export is verified.
fn wait_verified(lab: &Lab, daemon: &Lapwing, verified: Option<bool>) -> Result<()> {
    let what = format!("the status says verified: {verified:?}");
    wait_until(&what, ALERTED, || {
        let status = daemon.status(&lab.fra1.node)?;
        Ok(Family::ALL
            .iter()
            .all(|family| prefix(&status, *family)["export"]["verified"] == Value::from(verified)))
    })
    .with_context(|| {
        let status = daemon.status(&lab.fra1.node);
        format!("{status:?}\n{}", daemon.log_tail())
    })
}

/// Waits for the records of both prefixes that `wanted` says yes to.
fn wait_both(
    daemon: &mut Lapwing,
    timeout: Duration,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>> {
    let mut found: Vec<Record> = Vec::new();
    let result = daemon.journal().wait(timeout, |record| {
        found.extend(record.filter(|record| wanted(record)).cloned());
        Ok(Family::ALL.iter().all(|family| {
            found
                .iter()
                .any(|record| record.text("prefix") == family.prefix())
        }))
    });
    result.with_context(|| format!("so far {found:?}\n{}", daemon.log_tail()))?;
    Ok(found)
}

fn followed(level: &'static str) -> impl Fn(&Record) -> bool {
    move |record| record.event() == "route_followed" && record.text("level") == level
}

fn alert(kind: &'static str, stands: bool) -> impl Fn(&Record) -> bool {
    move |record| {
        record.event() == "export_alert"
            && record.text("alert") == kind
            && record.0["stands"] == stands
    }
}

fn wait_bird(daemon: &mut Lapwing, up: bool) -> Result<Record> {
    let found = daemon.journal().wait(ALERTED, |record| {
        Ok(record.is_some_and(|record| record.event() == "bird" && record.0["up"] == up))
    });
    found.with_context(|| format!("bird up: {up}\n{}", daemon.log_tail()))
}

fn metrics(lab: &Lab) -> Result<String> {
    lab.fra1
        .node
        .run("curl", ["-sS", "http://127.0.0.1:9477/metrics"])
}

/// Waits for a sample of the metrics, which are new once a second.
fn wait_metric(lab: &Lab, sample: &str, good: impl Fn(f64) -> bool) -> Result<()> {
    wait_until(sample, SOON, || {
        let metrics = metrics(lab)?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.and_then(|value| value.trim().parse().ok());
        Ok(value.is_some_and(&good))
    })
}

/// Has both prefixes kept at a level.
fn pin(lab: &Lab, level: &str) -> Result<()> {
    let output =
        lab.fra1
            .lapwing_command(&["pin", "all", "--level", level, "--control", CONTROL])?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[test]
fn withdraw_and_return_are_followed_to_every_session_and_to_the_clients() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let load = lab.load(Plan::steady(200))?;
    let mut daemon = lab.fra1.lapwing(&settings())?;
    lab.wait_announced(Site::Fra1)?;
    wait_both(&mut daemon, SOON, followed("full"))?;
    daemon.wait_ready(&lab.fra1.node, Duration::from_secs(40))?;
    // Ten seconds tell what is usual.
    load.collect(Duration::from_secs(10))?;
    lab.fra1.nginx.kill()?;
    let seen = wait_both(&mut daemon, SOON, followed("withdrawn"))?;
    for record in &seen {
        ensure!(record.0["verified"] == true, "{record:?}");
        for phase in ["kernel_ns", "rib_ns", "export_ns"] {
            let took = record.0[phase].as_u64().context("a phase has its time")?;
            ensure!(
                Duration::from_nanos(took) < Duration::from_secs(1),
                "{record:?}"
            );
        }
        println!(
            "{}: ms from the decision to the kernel {}, from there to the rib {}, to the export {}",
            record.text("prefix"),
            record.0["kernel_ns"].as_f64().unwrap_or(f64::NAN) / 1e6,
            record.0["rib_ns"].as_f64().unwrap_or(f64::NAN) / 1e6,
            record.0["export_ns"].as_f64().unwrap_or(f64::NAN) / 1e6,
        );
        let sessions = record.0["sessions"].as_array().context("sessions")?;
        ensure!(
            sessions.len() == 1 && sessions[0]["took_ns"].is_u64(),
            "{record:?}"
        );
    }
    let left = wait_both(&mut daemon, ALERTED, |record| {
        record.event() == "traffic_followed" && record.text("level") == "withdrawn"
    })?;
    for record in &left {
        ensure!(record.text("outcome") == "left", "{record:?}");
    }
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let back = wait_both(&mut daemon, ALERTED, followed("full"))?;
    ensure!(
        back.iter().all(|record| record.0["verified"] == true),
        "{back:?}"
    );
    let came = wait_both(&mut daemon, ALERTED, |record| {
        record.event() == "traffic_followed" && record.text("level") == "full"
    })?;
    for record in &came {
        ensure!(record.text("outcome") == "came", "{record:?}");
    }
    for phase in ["kernel", "rib", "export", "traffic"] {
        for family in ["withdraw", "announce"] {
            let count = format!("lapwing_{family}_phase_seconds_count{{phase=\"{phase}\"}}");
            wait_metric(&lab, &count, |value| value > 0.0)?;
        }
    }
    drop(load);
    Ok(())
}

#[test]
fn hung_bird_is_told_and_verified_again_when_it_goes_on() -> Result<()> {
    let (lab, mut daemon) = announced()?;
    lab.fra1.bird.hang()?;
    pin(&lab, "withdrawn")?;
    let told = wait_bird(&mut daemon, false)?;
    ensure!(
        told.text("sentence").contains("has not answered"),
        "{told:?}"
    );
    wait_verified(&lab, &daemon, Some(false))?;
    wait_metric(&lab, "lapwing_bird_up", |value| value < 1.0)?;
    let status = daemon.status(&lab.fra1.node)?;
    ensure!(status["bird"]["up"] == false, "{status}");
    lab.fra1.bird.go_on()?;
    wait_bird(&mut daemon, true)?;
    let seen = wait_both(&mut daemon, ALERTED, followed("withdrawn"))?;
    ensure!(
        seen.iter().all(|record| record.0["verified"] == true),
        "{seen:?}"
    );
    wait_verified(&lab, &daemon, Some(true))
}

#[test]
fn killed_bird_is_told_at_once_and_a_restarted_one_is_verified_again() -> Result<()> {
    let (mut lab, mut daemon) = announced()?;
    lab.fra1.bird.kill()?;
    let told = wait_bird(&mut daemon, false)?;
    ensure!(told.text("sentence").contains("closed"), "{told:?}");
    wait_verified(&lab, &daemon, Some(false))?;
    lab.fra1.bird = Bird::start(
        &lab.fra1.node,
        &bird::edge_config(Site::Fra1, Form::Standalone),
    )?;
    wait_bird(&mut daemon, true)?;
    wait_verified(&lab, &daemon, Some(true))?;
    wait_metric(&lab, "lapwing_bird_up", |value| value > 0.0)
}

#[test]
fn filter_that_no_longer_exports_is_told_until_it_does() -> Result<()> {
    let (lab, mut daemon) = announced()?;
    let config = bird::edge_config(Site::Fra1, Form::Standalone);
    let closed = config.replace("export filter lapwing_export", "export where net.len = 1");
    lab.fra1.bird.configure(&lab.fra1.node, &closed)?;
    let told = wait_both(&mut daemon, ALERTED, alert("not_exported", true))?;
    ensure!(
        told[0].text("sentence").contains("the export filter of up"),
        "{told:?}"
    );
    wait_verified(&lab, &daemon, Some(false))?;
    let alerts = "lapwing_export_alerts{prefix=\"192.0.2.0/24\",alert=\"not_exported\"}";
    wait_metric(&lab, alerts, |value| value > 0.0)?;
    lab.fra1.bird.configure(&lab.fra1.node, &config)?;
    wait_both(&mut daemon, ALERTED, alert("not_exported", false))?;
    wait_verified(&lab, &daemon, Some(true))
}

#[test]
fn disabled_session_is_told_by_its_name() -> Result<()> {
    let (lab, mut daemon) = announced()?;
    for session in ["up4", "up6"] {
        lab.fra1.bird.ask(&format!("disable {session}"))?;
    }
    let told = wait_both(&mut daemon, ALERTED, alert("not_exported", true))?;
    ensure!(
        told[0].text("sentence").contains("not established: up"),
        "{told:?}"
    );
    wait_until("the status shows session and alert", SOON, || {
        let shown = lab
            .fra1
            .lapwing_command(&["status", "--control", CONTROL])?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(shown.contains("up4 DOWN") && shown.contains("! export: "))
    })?;
    for session in ["up4", "up6"] {
        lab.fra1.bird.ask(&format!("enable {session}"))?;
    }
    wait_both(&mut daemon, ALERTED, alert("not_exported", false))?;
    wait_verified(&lab, &daemon, Some(true))
}

#[test]
fn bird_that_lost_a_message_is_resynced_within_a_second() -> Result<()> {
    let lab = Lab::start()?;
    // Nothing repairs itself here: the next scan is a quarter of an hour away, and
    // the receive buffer holds next to nothing.
    let config = bird::edge_config(Site::Fra1, Form::Standalone).replace(
        &format!(
            "include \"{}\"",
            bird::fragments().join("lapwing.conf").display()
        ),
        &format!("include \"{SLOW_FRAGMENT}\""),
    );
    let fragment = std::fs::read_to_string(bird::fragments().join("lapwing.conf"))?
        .replace("scan time 10", "scan time 900")
        .replace("netlink rx buffer 16777216", "netlink rx buffer 4096");
    lab.fra1.node.write(SLOW_FRAGMENT, &fragment)?;
    lab.fra1.bird.configure(&lab.fra1.node, &config)?;
    let mut daemon = lab.fra1.lapwing(&settings())?;
    lab.wait_announced(Site::Fra1)?;
    wait_verified(&lab, &daemon, Some(true))?;
    let heard = lab.capture(Site::Fra1)?;
    // While BIRD is away, others fill its sockets, and then the prefixes go.
    lab.fra1.bird.hang()?;
    let foreign = (0..2000).map(|n| {
        format!(
            "route add blackhole 203.0.{}.{}/32 table 77\n",
            n / 250,
            n % 250
        )
    });
    lab.fra1.node.ip(&foreign.collect::<String>())?;
    pin(&lab, "withdrawn")?;
    wait_until("the routes are gone", SOON, || {
        Ok(Family::ALL.iter().all(|family| {
            lab.fra1
                .routes(*family)
                .is_ok_and(|routes| !routes.contains(family.prefix()))
        }))
    })?;
    lab.fra1.bird.go_on()?;
    let start = std::time::Instant::now();
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    let took = start.elapsed();
    let helped = wait_both(&mut daemon, SOON, |record| {
        record.event() == "bird_reloaded"
    })?;
    ensure!(
        helped.iter().all(|record| record.0["error"].is_null()),
        "{helped:?}"
    );
    ensure!(took < Duration::from_secs(1), "withdrawn after {took:?}");
    let seen = wait_both(&mut daemon, SOON, followed("withdrawn"))?;
    ensure!(
        seen.iter().all(|record| record.0["verified"] == true),
        "{seen:?}"
    );
    ensure!(
        seen.iter().any(|record| record.0["reloads"] != 0),
        "{seen:?}"
    );
    wait_metric(&lab, "lapwing_bird_reloads_total", |value| value > 0.0)
}

#[test]
fn bird_that_does_not_learn_the_prefix_is_told() -> Result<()> {
    let (lab, mut daemon) = announced()?;
    let config = bird::edge_config(Site::Fra1, Form::Standalone)
        .replace(Family::V4.prefix(), "203.0.113.0/24")
        .replace(Family::V6.prefix(), "2001:db8:b::/48");
    lab.fra1.bird.configure(&lab.fra1.node, &config)?;
    let told = wait_both(&mut daemon, ALERTED, alert("stale", true))?;
    ensure!(
        told[0].text("sentence").contains("LAPWING_PREFIXES_4"),
        "{told:?}"
    );
    // Without any kernel protocol of Lapwing's.
    let bare = "log stderr all;\nrouter id 198.19.1.2;\nprotocol device { }\n";
    lab.fra1.bird.configure(&lab.fra1.node, bare)?;
    wait_until("the status names the remedy", ALERTED, || {
        let status = daemon.status(&lab.fra1.node)?;
        let alerts = prefix(&status, Family::V6)["export"]["alerts"].to_string();
        Ok(alerts.contains("no kernel protocol that imports IPv6 routes"))
    })?;
    lab.fra1.bird.configure(
        &lab.fra1.node,
        &bird::edge_config(Site::Fra1, Form::Standalone),
    )?;
    wait_both(&mut daemon, Duration::from_secs(40), alert("stale", false))?;
    wait_verified(&lab, &daemon, Some(true))
}

#[test]
fn static_routes_that_make_a_withdraw_void_are_told() -> Result<()> {
    let (lab, mut daemon) = announced()?;
    // An aggregate over IPv4, the very prefix over IPv6.
    let config = bird::edge_config(Site::Fra1, Form::Standalone)
        .replace("export filter lapwing_export", "export all")
        + "protocol static own4 { ipv4 { table lapwing4; }; route 192.0.0.0/16 blackhole; }\n\
           protocol static own6 { ipv6 { table lapwing6; }; route 2001:db8:a::/48 blackhole; }\n";
    lab.fra1.bird.configure(&lab.fra1.node, &config)?;
    pin(&lab, "withdrawn")?;
    let mut told = Vec::new();
    daemon
        .journal()
        .wait(ALERTED, |record| {
            if let Some(record) = record.filter(|record| record.event() == "export_alert") {
                told.push(record.clone());
            }
            let alerted = |family: Family, kind: &str, words: &str| {
                told.iter().any(|record| {
                    record.text("prefix") == family.prefix()
                        && record.text("alert") == kind
                        && record.text("sentence").contains(words)
                })
            };
            Ok(
                alerted(Family::V4, "covered", "192.0.0.0/16, originated by own4")
                    && alerted(Family::V6, "still_exported", "as own6 originates it"),
            )
        })
        .with_context(|| format!("{told:?}\n{}", daemon.log_tail()))?;
    lab.fra1.bird.configure(
        &lab.fra1.node,
        &bird::edge_config(Site::Fra1, Form::Standalone),
    )?;
    wait_verified(&lab, &daemon, Some(true))
}

#[test]
fn bird_that_nobody_named_may_be_missing_and_one_that_was_named_may_not() -> Result<()> {
    let lab = Lab::start()?;
    let mut daemon = lab.fra1.lapwing(&Settings::new())?;
    lab.wait_announced(Site::Fra1)?;
    wait_verified(&lab, &daemon, None)?;
    let quiet = daemon.journal().read()?;
    ensure!(
        quiet.iter().all(|record| record.event() != "bird"),
        "{quiet:?}"
    );
    let shown = metrics(&lab)?;
    ensure!(
        shown.lines().all(|line| {
            !line.starts_with("lapwing_bird_up") && !line.starts_with("lapwing_export_verified")
        }),
        "{shown}"
    );
    daemon.kill()?;
    let mut daemon = lab.fra1.lapwing(&Settings {
        bird_socket: Some("/run/lab/nobody.ctl"),
        ..Settings::new()
    })?;
    let told = wait_bird(&mut daemon, false)?;
    ensure!(
        told.text("sentence")
            .contains("there is no BIRD control socket"),
        "{told:?}"
    );
    wait_verified(&lab, &daemon, Some(false))
}

#[test]
fn level_in_bird_is_verified_in_both_forms() -> Result<()> {
    for form in Form::ALL {
        let lab = Lab::start_in(form)?;
        let mut daemon = lab.fra1.lapwing(&settings())?;
        lab.wait_announced(Site::Fra1)?;
        let heard = lab.capture(Site::Fra1)?;
        for level in ["degraded", "withdrawn", "full"] {
            pin(&lab, level)?;
            let seen = wait_both(&mut daemon, SOON, move |record| {
                record.event() == "route_followed" && record.text("level") == level
            })?;
            ensure!(
                seen.iter().all(|record| record.0["verified"] == true),
                "{form:?}: {seen:?}"
            );
        }
        let changes = Family::ALL.map(|family| {
            [
                Change::Announce(family.network()),
                Change::Withdraw(family.network()),
            ]
        });
        heard.wait_for_all(changes.as_flattened(), SOON)?;
        wait_verified(&lab, &daemon, Some(true))?;
    }
    Ok(())
}

/// Changes the level of both prefixes back and forth, and returns the milliseconds of a
/// phase that the journal's records of `event` tell.
fn changes(lab: &Lab, daemon: &mut Lapwing, event: &str, phase: &str) -> Result<Sample> {
    let mut took = Vec::new();
    for level in ["withdrawn", "full"].repeat(10) {
        pin(lab, level)?;
        let records = wait_both(daemon, SOON, |record| {
            record.event() == event && record.text("level") == level
        })?;
        let times = records.iter().filter_map(|record| record.0[phase].as_f64());
        took.extend(times.map(|nanoseconds| nanoseconds / 1e6));
    }
    Ok(Sample::new(took))
}

#[test]
fn following_holds_no_decision_up() -> Result<()> {
    let lab = Lab::start()?;
    for (what, settings) in [("alone", Settings::new()), ("followed", settings())] {
        let mut daemon = lab.fra1.lapwing(&settings)?;
        lab.wait_announced(Site::Fra1)?;
        let kernel = changes(&lab, &mut daemon, "route_set", "took_ns")?;
        println!(
            "{what}: ms from the decision to the kernel: median {:.2}, max {:.2}, n = {}",
            kernel.median(),
            kernel.max(),
            kernel.len()
        );
        ensure!(kernel.median() < 20.0, "{kernel:?}");
        if settings.bird_socket.is_some() {
            let export = changes(&lab, &mut daemon, "route_followed", "export_ns")?;
            println!(
                "from the kernel to the verified export: median {:.2}, max {:.2}, n = {}",
                export.median(),
                export.max(),
                export.len()
            );
            ensure!(export.median() < 50.0, "{export:?}");
        }
        daemon.kill()?;
    }
    Ok(())
}
