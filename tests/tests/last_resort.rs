//! No daemon starts any more, and `lapwing last-resort` is all that is left: it withdraws
//! only what its probes prove to be dead, and only if it is told to.
//!
//! ```text
//!  upstream ──(capture)── fra1   lapwing last-resort, once for each state of the site
//!      └───────────────── ams1
//! ```

use std::{fs, thread, time::Duration};

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    bird::{Form, WITNESS_TABLE},
    capture::{Capture, Heard},
    lapwing::{CONFIG, CONTROL, JOURNAL, Lapwing, STATE, Settings, service_name},
    topology::{Edge, Family, Lab, Site},
    wait_until,
};

/// A machine with other work may need so long for what takes a moment.
const SOON: Duration = Duration::from_secs(10);

/// What it printed, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn lapwing(edge: &Edge, arguments: &[&str]) -> Result<Said> {
    let output = edge.lapwing_command(arguments)?;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn last_resort(edge: &Edge) -> Result<Said> {
    lapwing(edge, &["last-resort", "--config", CONFIG])
}

/// Its routes stay, and it says so, for this reason.
fn ensure_kept(edge: &Edge, heard: &Capture, case: &str, reason: &str) -> Result<()> {
    let Said { code, out, err } = last_resort(edge)?;
    ensure!(code == Some(0), "{case}: {code:?}\n{out}{err}");
    ensure!(
        out.contains(reason) || err.contains(reason),
        "{case}: no {reason:?} in\n{out}{err}"
    );
    heard.ensure_quiet(case)?;
    for family in Family::ALL {
        let routes = edge.routes(family)?;
        ensure!(routes.contains("proto 201"), "{case}: {routes:?}");
    }
    Ok(())
}

fn ordered(edge: &Edge, arguments: &[&str]) -> Result<()> {
    let said = lapwing(edge, &[arguments, &["--control", CONTROL]].concat())?;
    ensure!(said.code == Some(0), "{arguments:?}: {}", said.err);
    Ok(())
}

fn settings(on_watchdog: &'static str) -> Settings {
    Settings {
        on_watchdog,
        ..Settings::fast()
    }
}

#[test]
fn only_a_dead_site_is_withdrawn_when_no_daemon_starts() -> Result<()> {
    let mut lab = Lab::start()?;
    let probe = settings("probe");
    let daemon = lab.fra1.lapwing(&probe)?;
    lab.wait_announced(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;

    let refused = last_resort(&lab.fra1)?;
    ensure!(
        refused.code == Some(1) && refused.err.contains("another lapwing (process "),
        "beside a daemon: {:?} {}",
        refused.code,
        refused.err
    );
    heard.ensure_quiet("a daemon runs")?;

    ordered(&lab.fra1, &["pin", "all", "--reason", "new kernel"])?;
    ensure!(daemon.stop()?.success());
    lab.fra1.nginx.kill()?;
    ensure_kept(&lab.fra1, &heard, "pinned", "held by pinned")?;

    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let daemon = Lapwing::start_again(&lab.fra1.node, &probe)?;
    ordered(&lab.fra1, &["unpin", "all"])?;
    ensure!(daemon.stop()?.success());
    ensure_kept(&lab.fra1, &heard, "healthy", "0 of 3 probes failed")?;

    lab.fra1.nginx.kill()?;
    let keep = settings("keep").config(Site::Fra1);
    lab.fra1.node.write(CONFIG, &keep)?;
    ensure_kept(&lab.fra1, &heard, "keep", "on_watchdog is keep")?;

    let probe = probe.config(Site::Fra1);
    let observe = probe.replace("mode = \"enforce\"", "mode = \"observe\"");
    lab.fra1.node.write(CONFIG, &observe)?;
    ensure_kept(&lab.fra1, &heard, "observe", "held by observe")?;

    lab.fra1.node.write(CONFIG, &probe)?;
    let memory = format!("{STATE}/memory.json");
    let remembered = fs::read_to_string(lab.fra1.node.path(&memory))?;
    lab.fra1.node.write(&memory, &remembered[..100])?;
    let unknown = "nobody knows what was ordered";
    ensure_kept(&lab.fra1, &heard, "memory damaged", unknown)?;

    lab.fra1.node.write(&memory, &remembered)?;
    let Said { code, out, err } = last_resort(&lab.fra1)?;
    ensure!(code == Some(0), "{code:?}\n{out}{err}");
    heard.wait_for_all(&Family::withdraws(), SOON)?;
    for family in Family::ALL {
        let (service, prefix) = (service_name(family), family.prefix());
        for line in [
            format!("{service}: 3 of 3 probes failed\n"),
            format!("{prefix}: full -> withdrawn: {service}: the probe failed 3 times in a row"),
        ] {
            ensure!(out.contains(&line), "no {line:?} in\n{out}");
        }
    }
    ensure_journalled(&lab.fra1)?;

    // Who starts again announces what is well again.
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let _daemon = Lapwing::start_again(&lab.fra1.node, &settings("probe"))?;
    lab.wait_announced(Site::Fra1)
}

#[test]
fn the_last_site_is_degraded_and_a_site_that_is_not_waits_and_goes() -> Result<()> {
    let mut lab = Lab::start_witnessed(Form::Standalone)?;
    let settings = Settings {
        witnessed: true,
        ..settings("probe")
    };
    let config = settings.config(Site::Fra1);
    lab.fra1.node.write(CONFIG, &config)?;
    lab.announce(Site::Fra1)?;
    let heard = lab.capture(Site::Fra1)?;
    lab.fra1.nginx.kill()?;

    let alone = last_resort(&lab.fra1)?;
    ensure!(alone.code == Some(0), "{}{}", alone.out, alone.err);
    ensure!(alone.err.contains("held by last_site"), "{}", alone.err);
    for family in Family::ALL {
        let line = format!("{}: full -> degraded: ", family.prefix());
        ensure!(alone.out.contains(&line), "no {line:?} in\n{}", alone.out);
    }
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&announced, SOON)?;
    thread::sleep(Duration::from_secs(2));
    // The sites' own sessions pass here, too, and say the same.
    let events = heard.drain();
    let withdraws = |heard: &Heard| matches!(heard.change, Change::Withdraw(_));
    ensure!(!events.iter().any(withdraws), "withdrawn: {events:?}");

    for family in Family::ALL {
        lab.fra1.replace_route(family, 201)?;
    }
    lab.announce(Site::Ams1)?;
    for family in Family::ALL {
        wait_until("the other site is heard", SOON, || {
            let table = WITNESS_TABLE.to_string();
            let show = [family.flag(), "route", "show", "table", &table];
            let routes = lab.fra1.node.run("ip", show).unwrap_or_default();
            Ok(routes.contains(family.prefix()))
        })?;
    }
    heard.drain();
    let other = last_resort(&lab.fra1)?;
    ensure!(other.code == Some(0), "{}{}", other.out, other.err);
    for family in Family::ALL {
        let line = format!("{}: full -> withdrawn: ", family.prefix());
        ensure!(other.out.contains(&line), "no {line:?} in\n{}", other.out);
    }
    heard.wait_for_all(&[announced, Family::withdraws()].concat(), SOON)?;
    Ok(())
}

/// Every decision stands in the daemon's own journal, and its chain is whole.
fn ensure_journalled(edge: &Edge) -> Result<()> {
    let verified = lapwing(edge, &["journal", "verify", "--config", CONFIG])?;
    ensure!(
        verified.code == Some(0),
        "the chain: {}{}",
        verified.out,
        verified.err
    );
    let journal = fs::read_to_string(edge.node.path(JOURNAL))?;
    let count = |parts: &[&str]| {
        let lines = journal.lines();
        lines
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    };
    let begun = count(&[r#""event":"last_resort""#]);
    ensure!(begun == 6, "begun {begun} times");
    for family in Family::ALL {
        let prefix = format!(r#""prefix":"{}""#, family.prefix());
        let decision = [
            r#""event":"decision""#,
            r#""level":"withdrawn""#,
            r#""cause":"probe""#,
            &prefix,
        ];
        ensure!(count(&decision) == 1, "{family}: decided");
        let set = [r#""event":"route_set""#, r#""level":"withdrawn""#, &prefix];
        ensure!(count(&set) == 1, "{family}: set");
    }
    Ok(())
}
