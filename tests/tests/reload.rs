//! Another configuration for a daemon that runs, under load: only what was asked for
//! changes, nothing is lost, and a fault right after is found.
//!
//! ```text
//!  clients ── upstream ──(capture)── fra1   lapwing reload; kill -HUP
//!                 └───────────────── ams1
//! ```

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::lab::{
    bgp::Change,
    lapwing::{CONFIG, CONTROL, Lapwing, Settings, service_name, web, web_with},
    load::Plan,
    topology::{Edge, Family, Lab, Site},
    wait_until,
};

/// The file with both prefixes.
fn whole(settings: &Settings) -> String {
    settings.config(Site::Fra1)
}

/// The file with the IPv4 prefix alone.
fn only_v4(settings: &Settings) -> String {
    let whole = whole(settings);
    let second = whole.rfind("\n[[prefix]]").expect("two prefixes");
    whole[..second].to_owned()
}

/// One more service at the IPv4 address: nobody comes there, and its probe passes.
fn spare(port: u16) -> String {
    format!(
        "\n[[prefix.service]]\nname = \"spare{port}\"\naddress = \"{address}\"\nport = {port}\nprobe = {{ tcp = \"{address}:80\" }}\n",
        address = Family::V4.service()
    )
}

/// What a command printed, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn reload(edge: &Edge, arguments: &[&str]) -> Result<Said> {
    let arguments = [&["reload"], arguments, &["--control", CONTROL]].concat();
    let output = edge.lapwing_command(&arguments)?;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Writes the file and has it applied; what the command printed.
fn apply(edge: &Edge, file: &str) -> Result<String> {
    edge.node.write(CONFIG, file)?;
    let Said { code, out, err } = reload(edge, &[])?;
    ensure!(code == Some(0), "{code:?}: {out}{err}");
    Ok(out)
}

/// The states of all services, by name.
fn states(daemon: &Lapwing, edge: &Edge) -> Result<BTreeMap<String, String>> {
    let status = daemon.status(&edge.node)?;
    let services = status["services"].as_array().context("no services")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(services
        .iter()
        .map(|service| (text(&service["name"]), text(&service["state"])))
        .collect())
}

fn wait_state(daemon: &Lapwing, edge: &Edge, service: &str, wanted: &str) -> Result<()> {
    wait_until(
        &format!("{service} is {wanted}"),
        Duration::from_mins(1),
        || {
            Ok(states(daemon, edge)?
                .get(service)
                .is_some_and(|state| state == wanted))
        },
    )
    .with_context(|| format!("lapwing says:\n{}", daemon.log_tail()))
}

#[test]
fn only_what_is_asked_for_changes_and_a_fault_right_after_is_found() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let settings = Settings::fast();
    let _load = lab.load(Plan::steady(300))?;
    lab.fra1.node.write(CONFIG, &only_v4(&settings))?;
    let mut daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    let (web4, web6) = (service_name(Family::V4), service_name(Family::V6));
    wait_state(&daemon, &lab.fra1, web4, "armed")?;
    let heard = lab.capture(Site::Fra1)?;

    // What would change is told, and does not.
    let slower = |file: &str| file.replace("deadline = \"100ms\"", "deadline = \"150ms\"");
    lab.fra1.node.write(CONFIG, &slower(&only_v4(&settings)))?;
    let check = reload(&lab.fra1, &["--check"])?;
    let line = format!("~ service {web4}: deadline 100ms -> 150ms\n");
    ensure!(
        check.code == Some(0)
            && check.out == format!("the file is good and would change this:\n{line}"),
        "{}{}",
        check.out,
        check.err
    );
    let again = reload(&lab.fra1, &["--check"])?;
    ensure!(again.out == check.out, "it was applied: {}", again.out);

    // A deadline, patience: armed as before, and not a word upstream.
    let said = apply(&lab.fra1, &slower(&only_v4(&settings)))?;
    ensure!(said == format!("reloaded:\n{line}"), "{said}");
    ensure!(states(&daemon, &lab.fra1)?[web4] == "armed");
    heard.ensure_quiet("another deadline")?;
    let same = apply(&lab.fra1, &slower(&only_v4(&settings)))?;
    ensure!(same == "reloaded: nothing has changed\n", "{same}");

    // A prefix and a service more: the one UPDATE that this asks for.
    let more = slower(&whole(&settings)).replacen(
        &web(Family::V4),
        &format!("{}{}", web(Family::V4), spare(8080)),
        1,
    );
    let said = apply(&lab.fra1, &more)?;
    for line in [
        format!("+ prefix {}: services {web6}", Family::V6.prefix()),
        format!(
            "~ prefix {}: services {web4} -> {web4} spare8080",
            Family::V4.prefix()
        ),
        "+ service spare8080: 192.0.2.10:8080/tcp".to_owned(),
    ] {
        ensure!(said.contains(&line), "{line} in\n{said}");
    }
    heard.wait_for(
        Change::Announce(Family::V6.network()),
        Duration::from_secs(10),
    )?;
    let kept = states(&daemon, &lab.fra1)?;
    ensure!(kept[web4] == "armed", "{kept:?}");
    wait_state(&daemon, &lab.fra1, web6, "armed")?;
    heard.ensure_quiet("one prefix more")?;

    // A fault right after a reload.
    apply(&lab.fra1, &whole(&settings))?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    lab.wait_announced(Site::Fra1)?;
    heard.drain();

    // A prefix less: its route stays, and it is said how to take it away.
    let said = apply(&lab.fra1, &only_v4(&settings))?;
    let command = format!(
        "ip route del blackhole {} table 4242 proto 201",
        Family::V6.prefix()
    );
    ensure!(said.contains(&command), "{said}");
    heard.ensure_quiet("one prefix less")?;
    ensure!(lab.fra1.routes(Family::V6)?.contains("proto 201"));
    let syn = |service| format!("lapwing_tcp_syn_total{{service=\"{service}\"}}");
    wait_until("its series are gone", Duration::from_secs(5), || {
        Ok(daemon.metric(&lab.fra1.node, &syn(web6))?.is_none())
    })?;
    ensure!(daemon.metric(&lab.fra1.node, &syn(web4))?.is_some());
    let records = daemon.journal().read()?;
    let reloads = records.iter().filter(|r| r.event() == "reloaded").count();
    ensure!(reloads == 5, "{reloads} reloads in the journal");

    // It is nobody's until it is in the file again: then it is adopted as it stands.
    apply(&lab.fra1, &whole(&settings))?;
    wait_state(&daemon, &lab.fra1, web6, "armed")?;
    heard.ensure_quiet("adopted")?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn a_mistake_changes_nothing_and_is_told_everywhere() -> Result<()> {
    const SUCCESSFUL: &str = "lapwing_config_last_reload_successful";
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let settings = Settings::fast();
    let _load = lab.load(Plan::steady(300))?;
    let mut daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
    let heard = lab.capture(Site::Fra1)?;
    let metric = |daemon: &Lapwing, wanted| {
        wait_until("the metric says it", Duration::from_secs(5), || {
            Ok(daemon.metric(&lab.fra1.node, SUCCESSFUL)? == Some(wanted))
        })
    };
    metric(&daemon, 1.0)?;

    let good = whole(&settings);
    let bad = good.replace(
        "profile = \"fast\"",
        "profile = \"hasty\"\ncolour = \"red\"",
    );
    lab.fra1.node.write(CONFIG, &bad)?;
    daemon.hangup()?;
    let refused = daemon.journal().wait(Duration::from_secs(5), |record| {
        Ok(record.is_some_and(|record| record.event() == "reload_refused"))
    })?;
    for told in ["hasty", "colour", "lapwing.toml:"] {
        ensure!(refused.text("why").contains(told), "{refused:?}");
    }
    metric(&daemon, 0.0)?;
    let table = lab
        .fra1
        .lapwing_command(&["status", "--control", CONTROL])?
        .stdout;
    let table = String::from_utf8_lossy(&table).into_owned();
    ensure!(
        table.contains("! configuration: The file was refused"),
        "{table}"
    );
    let Said { code, err, .. } = reload(&lab.fra1, &[])?;
    ensure!(code == Some(2) && err.contains("colour"), "{code:?}: {err}");

    // What only a restart can apply is refused as a whole, with what could be applied.
    let elsewhere = good
        .replace("127.0.0.1:9477", "127.0.0.1:9478")
        .replace("deadline = \"100ms\"", "deadline = \"150ms\"");
    lab.fra1.node.write(CONFIG, &elsewhere)?;
    for arguments in [&["--check"][..], &[]] {
        let Said { code, err, .. } = reload(&lab.fra1, arguments)?;
        ensure!(
            code == Some(2) && err.contains("`http` of [daemon]") && err.contains("restart"),
            "{code:?}: {err}"
        );
    }
    // So is more than the kernel's tables have room for.
    let many: String = (0..70).map(|number| spare(9000 + number)).collect();
    let many = good.replacen(&web(Family::V4), &format!("{}{many}", web(Family::V4)), 1);
    lab.fra1.node.write(CONFIG, &many)?;
    let Said { code, err, .. } = reload(&lab.fra1, &[])?;
    ensure!(
        code == Some(2) && err.contains("made for 64") && err.contains("restart"),
        "{code:?}: {err}"
    );
    heard.ensure_quiet("mistakes")?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(5))?;

    // The mended file: nothing of the others was applied.
    lab.fra1.node.write(CONFIG, &good)?;
    daemon.hangup()?;
    let reloaded = daemon.journal().wait(Duration::from_secs(5), |record| {
        Ok(record.is_some_and(|record| record.event() == "reloaded"))
    })?;
    ensure!(
        reloaded.0["changes"] == serde_json::json!([]),
        "{reloaded:?}"
    );
    metric(&daemon, 1.0)?;
    heard.ensure_quiet("the mended file")?;
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn observe_becomes_enforce_and_back() -> Result<()> {
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let enforce = Settings::fast();
    let observe = Settings {
        mode: "observe",
        ..enforce.clone()
    };
    let _load = lab.load(Plan::steady(300))?;
    // Without a prefix it measures what it finds, and has no route control.
    let file = whole(&observe);
    let nothing = &file[..file.find("\n[[prefix]]").context("a prefix")?];
    lab.fra1.node.write(CONFIG, nothing)?;
    let daemon = Lapwing::start_again(&lab.fra1.node, &observe)?;
    let heard = lab.capture(Site::Fra1)?;
    let said = apply(&lab.fra1, &file)?;
    for family in Family::ALL {
        let line = format!("+ prefix {}: services ", family.prefix());
        ensure!(said.contains(&line), "{said}");
    }
    wait_until("the table is read", Duration::from_secs(5), || {
        let status = daemon.status(&lab.fra1.node)?;
        let prefixes = status["prefixes"].as_array().context("no prefixes")?;
        Ok(prefixes.len() == 2 && prefixes.iter().all(|p| p["observed"] == "withdrawn"))
    })?;
    heard.ensure_quiet("observe")?;
    let said = apply(&lab.fra1, &whole(&enforce))?;
    ensure!(
        said.contains("~ [daemon] mode observe -> enforce"),
        "{said}"
    );
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&announced, Duration::from_secs(10))?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_mins(1))?;
    heard.drain();

    apply(&lab.fra1, &whole(&observe))?;
    heard.ensure_quiet("observe again")?;
    lab.fra1.nginx.kill()?;
    heard.ensure_quiet("a dead server, observed")?;
    // Nobody keeps the routes any more, whoever deletes them.
    lab.fra1.delete_routes()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    heard.ensure_quiet("deleted by somebody else")?;
    // And back to what it finds.
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let said = apply(&lab.fra1, nothing)?;
    ensure!(said.contains("- prefix "), "{said}");
    heard.ensure_quiet("without a prefix")?;
    Ok(())
}

#[test]
fn fifty_reloads_in_a_row_lose_nothing() -> Result<()> {
    const RELOADS: u16 = 50;
    let mut lab = Lab::start()?;
    let settings = Settings::fast();
    let daemon = lab.fra1.lapwing(&settings)?;
    lab.wait_announced(Site::Fra1)?;
    let load = lab.load(Plan::steady(300))?;
    daemon.wait_ready(&lab.fra1.node, Duration::from_mins(1))?;
    let heard = lab.capture(Site::Fra1)?;

    let files = (0..RELOADS).map(|number| {
        let deadline = format!("deadline = \"{}ms\"", 100 + 10 * (number % 3));
        let file = whole(&settings).replace("deadline = \"100ms\"", &deadline);
        // A service comes and goes, and so the others' numbers change.
        match number % 2 {
            0 => file.replacen(
                &web(Family::V4),
                &format!("{}{}", spare(8000 + number), web(Family::V4)),
                1,
            ),
            _ => file,
        }
    });
    let mut took = Vec::new();
    for file in files {
        lab.fra1.node.write(CONFIG, &file)?;
        let start = Instant::now();
        let Said { code, out, err } = reload(&lab.fra1, &[])?;
        took.push(start.elapsed());
        ensure!(code == Some(0), "{code:?}: {out}{err}");
    }
    took.sort_unstable();
    println!(
        "{RELOADS} reloads, each with the start of the command: median {:?}, longest {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    heard.ensure_quiet("fifty reloads")?;
    daemon.wait_armed(&lab.fra1.node, Duration::from_secs(5))?;

    // The clients' own count against the kernel's.
    let clients = load.finish()?;
    ensure!(clients.failures() == 0, "{clients:?}");
    thread::sleep(Duration::from_secs(2));
    for family in Family::ALL {
        let count = |family_name: &str| -> Result<f64> {
            let series = format!(
                "lapwing_tcp_{family_name}_total{{service=\"{}\"}}",
                service_name(family)
            );
            daemon
                .metric(&lab.fra1.node, &series)?
                .with_context(|| series)
        };
        let answered = f64::from(clients.answers_of(Site::Fra1, family));
        for name in ["syn", "synack"] {
            let counted = count(name)?;
            ensure!(
                counted >= answered && counted <= answered + 2.0,
                "{family}: clients had {answered} answers, {name} {counted}"
            );
        }
    }

    let _load = lab.load(Plan::steady(300))?;
    thread::sleep(Duration::from_secs(1));
    lab.fra1.nginx.kill()?;
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;
    Ok(())
}

/// A bare TCP probe: while live trials can judge, they decide, and patience counts.
fn only_live_trials_decide(family: Family) -> String {
    let endpoint = std::net::SocketAddr::new(family.service(), 80);
    web_with(
        family,
        &format!(r#"{{ tcp = "{endpoint}", interval = "500ms" }}"#),
    )
}

#[test]
fn what_waits_goes_on_waiting_through_a_reload() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(4);
    const HOLD: Duration = Duration::from_secs(8);
    let settings = Settings {
        hold: HOLD,
        hold_max: HOLD,
        services: only_live_trials_decide,
        ..Settings::fast()
    };
    let file = whole(&settings)
        .replace(
            "profile = \"fast\"",
            "profile = \"fast\"\npatience = \"4s\"",
        )
        .replace("drain = \"2s\"", "drain = \"4s\"");
    // Something that is nobody's business.
    let mut budget = 100;
    let mut another = || {
        budget += 1;
        let wanted = format!("lowerings_per_hour = {budget}");
        file.replace("lowerings_per_hour = 10", &wanted)
    };
    let mut lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(300))?;
    lab.fra1.node.write(CONFIG, &another())?;
    let mut daemon = Lapwing::start_again(&lab.fra1.node, &settings)?;
    lab.wait_announced(Site::Fra1)?;
    daemon.wait_ready(&lab.fra1.node, Duration::from_mins(1))?;
    let heard = lab.capture(Site::Fra1)?;

    // Patience: a suspicion stands, and is acted on when it has stood for so long.
    daemon.journal().read()?;
    lab.fra1.nginx.kill()?;
    let suspected = daemon.journal().wait(Duration::from_secs(10), |record| {
        Ok(record.is_some_and(|record| record.event() == "suspected"))
    })?;
    let said = apply(&lab.fra1, &another())?;
    ensure!(said.contains("lowerings_per_hour"), "{said}");
    let early = heard.drain();
    ensure!(early.is_empty(), "without patience: {early:?}");
    let withdrawn = daemon
        .journal()
        .wait_decisions("withdrawn", Duration::from_secs(20))?;
    for decision in &withdrawn {
        let waited = decision.at().since(suspected.at());
        ensure!(waited > PATIENCE * 9 / 10, "{waited:?}: {decision:?}");
    }
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(5))?;

    // The hold: neither cut short nor begun again.
    lab.fra1.nginx.start_again(&lab.fra1.node)?;
    let healed = Instant::now();
    thread::sleep(HOLD * 5 / 8);
    apply(&lab.fra1, &another())?;
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    heard.wait_for_all(&announced, Duration::from_mins(1))?;
    let waited = healed.elapsed();
    ensure!(waited >= HOLD && waited < HOLD * 25 / 16, "{waited:?}");

    // A drain: degraded, and then withdrawn.
    let output = lab
        .fra1
        .lapwing_command(&["drain", "all", "--control", CONTROL])?;
    ensure!(output.status.success(), "{output:?}");
    heard.wait_for_all(&announced, Duration::from_secs(5))?;
    apply(&lab.fra1, &another())?;
    for family in Family::ALL {
        let routes = lab.fra1.routes(family)?;
        ensure!(routes.contains("proto 202"), "{family}: {routes:?}");
    }
    heard.wait_for_all(&Family::withdraws(), Duration::from_secs(20))?;
    Ok(())
}
