//! The two acts.

use std::time::{Duration, Instant};

use anyhow::Result;
use probe_core::Timestamp;

use super::{
    screen::{Screen, Tone},
    table::{self, Milestone, Turn},
    witness::{self, Moment, What, Witnesses},
};
use crate::lab::{
    clock::{self, millis_between},
    faults::Direction,
    lapwing::{self, Lapwing, Settings},
    load::Plan,
    topology::{Family, Lab, Site},
};

/// New connections per second of each family; each site gets about half.
const PER_FAMILY: u32 = 2000;
/// Witnesses speak with a little delay: entries wait this long to be in order.
const REORDER: Duration = Duration::from_millis(150);
/// Connections that a fault hits were opened no earlier than this before it.
const UNDER_WAY_NS: u64 = 20_000_000;
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(6);
const RETURN_TIMEOUT: Duration = Duration::from_secs(20);

/// Plays the demo. Returns whether everything happened.
pub fn run() -> Result<bool> {
    // Before anything is raised: without the binary there is nothing to show.
    lapwing::binary()?;
    let screen = Screen::new();
    introduce(&screen);
    let settings = Settings {
        settle: Duration::from_secs(3),
        hold: Duration::from_secs(3),
        hold_max: Duration::from_secs(6),
        ..Settings::fast()
    };
    screen.heading("Set-up");
    let mut lab = Lab::start_with(|step| screen.step(step))?;
    screen.step("lapwing at both sites");
    let fra1 = lab.fra1.lapwing(&settings)?;
    let ams1 = lab.ams1.lapwing(&settings)?;
    for site in Site::ALL {
        lab.wait_announced(site)?;
    }
    screen.step(&format!(
        "clients: {} new connections per second, from 64 networks",
        2 * PER_FAMILY
    ));
    let load = lab.load(Plan::steady(PER_FAMILY))?;
    load.wait_served_by(&Site::ALL, Duration::from_secs(15))?;
    let witnesses = Witnesses::new(&lab, &lab.fra1, &fra1, load)?;
    let mut demo = Demo {
        screen,
        witnesses,
        waiting: Vec::new(),
        turns: Vec::new(),
    };

    demo.screen
        .step("learning what is normal, until live trials guard both sites");
    demo.ready(&lab, &fra1)?;
    ams1.wait_ready(&lab.ams1.node, Duration::from_secs(30))?;
    demo.show_traffic()?;
    demo.killed_server(&mut lab)?;
    demo.screen
        .step("traffic settles (settle = 3 s), until live trials guard fra1 again");
    demo.ready(&lab, &fra1)?;
    demo.silent_site(&lab)?;
    Ok(demo.close())
}

fn introduce(screen: &Screen) {
    screen.line(
        Tone::Strong,
        "Lapwing: a site that cannot serve leaves the routing",
    );
    for line in [
        "",
        "  clients ---- upstream ---+-- fra1   BIRD, nginx, lapwing",
        "  64 networks  BIRD, ECMP  +-- ams1   BIRD, nginx, lapwing",
        "",
        "Both sites announce 192.0.2.0/24 and 2001:db8:a::/48. All programs are real, in network",
        "namespaces that vanish with this process. Times are measured, the BGP ones on the",
        "upstream's own link. Profile fast, deadline 100 ms. Holds are short for the show: hold",
        "3 s, hold_max 6 s, settle 3 s (the defaults: 60 s, 1 h, 60 s).",
    ] {
        screen.line(Tone::Plain, line);
    }
}

struct Demo {
    screen: Screen,
    witnesses: Witnesses,
    /// Seen, but not yet old enough to be shown in order.
    waiting: Vec<Moment>,
    turns: Vec<Turn>,
}

impl Demo {
    fn ready(&mut self, lab: &Lab, daemon: &Lapwing) -> Result<()> {
        daemon.wait_ready(&lab.fra1.node, Duration::from_secs(30))?;
        // What was seen on the way belongs to no turn.
        self.witnesses.poll()?;
        self.waiting.clear();
        Ok(())
    }

    fn killed_server(&mut self, lab: &mut Lab) -> Result<()> {
        self.screen.heading("Act 1: nginx at fra1 is killed");
        let at = lab.fra1.nginx.kill()?;
        self.done(Tone::Bad, "nginx at fra1 is killed, master and workers");
        let mut turn = Turn::new("nginx killed at fra1", at, Milestone::OF_WITHDRAWAL);
        self.watch(&mut turn, WITHDRAW_TIMEOUT)?;
        self.end_withdrawal(turn)?;

        let at = lab.fra1.nginx.start_again(&lab.fra1.node)?;
        self.screen.heading("nginx at fra1 is started again");
        self.done(Tone::Good, "nginx at fra1 answers again");
        let mut turn = Turn::new("nginx started again at fra1", at, Milestone::OF_RETURN);
        self.watch(&mut turn, RETURN_TIMEOUT)?;
        self.end_return(turn)
    }

    fn silent_site(&mut self, lab: &Lab) -> Result<()> {
        self.screen
            .heading("Act 2: fra1 falls silent (port 80 dropped on its outer interface only)");
        self.screen.line(
            Tone::Faint,
            "  (clients wait 0.9 s for an answer, so their first failure is known only then)",
        );
        let at = lab.fra1.drop_outside(Direction::Inward)?;
        self.done(
            Tone::Bad,
            "drop rule on eth0 of fra1, behind Lapwing's hook; nginx is well",
        );
        let mut turn = Turn::new("fra1 silent on the outside", at, Milestone::OF_WITHDRAWAL);
        self.watch(&mut turn, WITHDRAW_TIMEOUT)?;
        for family in Family::ALL {
            let local = lab.fra1.local_check(family);
            let shown = local
                .as_ref()
                .map_or_else(|error| format!("{error:#}"), Clone::clone);
            let url = match family {
                Family::V4 => "http://192.0.2.10/",
                Family::V6 => "http://[2001:db8:a::10]/",
            };
            self.screen.entry(
                millis_between(at, clock::now()),
                "check",
                Tone::Plain,
                &format!("curl {url} on fra1 itself: {shown}"),
            );
            let passes = local.is_ok_and(|local| local.contains("HTTP 200"));
            turn.checks.push((
                format!("the check from the host still passed ({family})"),
                passes,
            ));
        }
        self.end_withdrawal(turn)?;

        self.screen.heading("the drop rule is removed");
        let at = lab.fra1.heal_outside()?;
        self.done(
            Tone::Good,
            "rule removed; no probe can tell, so the one retry at hold_max must",
        );
        let mut turn = Turn::new("drop rule removed at fra1", at, Milestone::OF_RETRY);
        self.watch(&mut turn, RETURN_TIMEOUT)?;
        self.end_return(turn)
    }

    /// Both families are withdrawn: only ams1 may serve.
    fn end_withdrawal(&mut self, mut turn: Turn) -> Result<()> {
        let traffic = self.show_traffic()?;
        let moved = traffic.0 == 0 && traffic.1 > 0;
        turn.checks
            .push(("all clients are served by ams1".to_owned(), moved));
        self.turns.push(turn);
        Ok(())
    }

    /// Both families are announced again: both sites must serve.
    fn end_return(&mut self, mut turn: Turn) -> Result<()> {
        let traffic = self.show_traffic()?;
        turn.checks.push((
            "both sites carry traffic".to_owned(),
            traffic.0 > 0 && traffic.1 > 0,
        ));
        self.turns.push(turn);
        Ok(())
    }

    /// Shows what happens until all milestones of the turn have come, or time is up.
    fn watch(&mut self, turn: &mut Turn, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        while !turn.complete() && start.elapsed() < timeout {
            let fresh = self.witnesses.poll()?;
            // A connection that fails may have been opened a little before the fault.
            let under_way = Timestamp::from_nanos(turn.at.as_nanos().saturating_sub(UNDER_WAY_NS));
            for moment in fresh.into_iter().filter(|moment| moment.at >= under_way) {
                turn.moments.push(moment.clone());
                self.waiting.push(moment);
            }
            self.show_until(clock::ago(REORDER), turn.at);
            witness::pause();
        }
        self.show_until(clock::now(), turn.at);
        for missing in turn.missing() {
            self.screen.line(
                Tone::Bad,
                &format!("  did not happen within {timeout:?}: {missing}"),
            );
        }
        Ok(())
    }

    fn show_until(&mut self, limit: Timestamp, turn: Timestamp) {
        self.waiting.sort_by_key(|moment| moment.at);
        let count = self.waiting.partition_point(|moment| moment.at <= limit);
        for moment in self.waiting.drain(..count) {
            let (witness, tone, text) = describe(&moment);
            self.screen
                .entry(millis_between(turn, moment.at), witness, tone, &text);
        }
    }

    fn done(&self, tone: Tone, text: &str) {
        self.screen.entry(0.0, "lab", tone, text);
    }

    /// One second of traffic; the answers of fra1 and of ams1.
    fn show_traffic(&mut self) -> Result<(u32, u32)> {
        const SPAN: Duration = Duration::from_secs(1);
        let start = Instant::now();
        while start.elapsed() < SPAN + Duration::from_millis(300) {
            let fresh = self.witnesses.poll()?;
            self.waiting.extend(fresh);
            witness::pause();
        }
        self.waiting.clear();
        let sum = self.witnesses.traffic(SPAN);
        self.screen.traffic(&sum, SPAN);
        Ok((sum.answers(Site::Fra1), sum.answers(Site::Ams1)))
    }

    fn close(&self) -> bool {
        table::print(&self.screen, &self.turns);
        let missing: Vec<String> = self.turns.iter().flat_map(Turn::missing).collect();
        let elapsed = self.screen.elapsed().as_secs_f64();
        if missing.is_empty() {
            self.screen.heading(&format!(
                "Everything happened as it must, in {elapsed:.0} s."
            ));
        } else {
            self.screen.heading("This did not happen:");
            for missing in &missing {
                self.screen.line(Tone::Bad, &format!("  {missing}"));
            }
        }
        missing.is_empty()
    }
}

fn describe(moment: &Moment) -> (&'static str, Tone, String) {
    let (family, prefix) = (moment.family, moment.family.prefix());
    match &moment.what {
        What::FirstFailed => (
            "clients",
            Tone::Bad,
            format!("first {family} connection that fails is opened"),
        ),
        What::LastFailed => (
            "clients",
            Tone::Good,
            format!("last {family} connection that fails is opened; ams1 answers all later ones"),
        ),
        What::Answered => (
            "clients",
            Tone::Good,
            format!("fra1 answers an {family} client again"),
        ),
        What::Suspected(sentence) => ("lapwing", Tone::Plain, format!("suspects: {sentence}")),
        What::Decided {
            withdraw: true,
            sentence,
        } => (
            "lapwing",
            Tone::Bad,
            format!("withdraws {prefix}: {sentence}"),
        ),
        What::Decided {
            withdraw: false,
            sentence,
        } => (
            "lapwing",
            Tone::Good,
            format!("announces {prefix}: {sentence}"),
        ),
        What::Held(text) => ("lapwing", Tone::Plain, format!("{prefix}: {text}")),
        What::ProbePasses => ("lapwing", Tone::Plain, format!("the {family} probe passes")),
        What::Kernel { present: true } => {
            ("kernel", Tone::Plain, format!("{prefix} is in table 4242"))
        }
        What::Kernel { present: false } => (
            "kernel",
            Tone::Plain,
            format!("{prefix} is gone from table 4242"),
        ),
        What::Heard { withdraw: true } => (
            "upstream",
            Tone::Bad,
            format!("BGP withdraw of {prefix} arrives on its link to fra1"),
        ),
        What::Heard { withdraw: false } => (
            "upstream",
            Tone::Good,
            format!("BGP announcement of {prefix} arrives on its link to fra1"),
        ),
    }
}
