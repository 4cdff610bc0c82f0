//! The level of a prefix on the wire: a route whose number changes in Lapwing's table
//! is one UPDATE with the attributes of the new level, and never a withdraw.
//!
//! ```text
//!  table 4242 at fra1: proto 201 → 202 → 201
//!     └─▶ BIRD (each form of bird-config/) ─▶ (capture) upstream, which prefers ams1
//!                                                       while fra1 is degraded
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    bgp::{Attributes, Change},
    bird::Form,
    capture::Capture,
    lapwing::Settings,
    topology::{Family, Lab, OUTER, Site},
    wait_until,
};

const FULL: u8 = 201;
const DEGRADED: u8 = 202;
const SOON: Duration = Duration::from_secs(3);
/// Nothing more is expected within this time.
const QUIET: Duration = Duration::from_millis(300);
/// Long enough for what a test does meanwhile.
const HOLD: Duration = Duration::from_secs(8);

/// What an announcement at full looks like.
fn full() -> Attributes {
    Attributes {
        path: vec![64501],
        ..Attributes::default()
    }
}

/// What the lab's defines make of degraded.
fn degraded(form: Form) -> Attributes {
    match form {
        Form::Standalone => Attributes {
            path: vec![64501; 3],
            communities: vec![(65535, 0)],
            ..full()
        },
        Form::Master => Attributes {
            med: Some(500),
            ..full()
        },
    }
}

/// Exactly one UPDATE for each family, and nothing else.
fn one_update_each(heard: &Capture, expected: &Attributes) -> Result<()> {
    let mut families = Vec::new();
    for _ in Family::ALL {
        let Some(update) = heard.next(SOON) else {
            anyhow::bail!("heard only of {families:?}");
        };
        ensure!(update.attributes == *expected, "{update:?}");
        families.push(update.change);
    }
    families.sort_by_key(|change| format!("{change:?}"));
    let announced = Family::ALL.map(|family| Change::Announce(family.network()));
    ensure!(families == announced, "{families:?}");
    if let Some(more) = heard.next(QUIET) {
        anyhow::bail!("one more: {more:?}");
    }
    Ok(())
}

#[test]
fn full_degraded_full_is_one_update_each_and_moves_the_upstream() -> Result<()> {
    for form in Form::ALL {
        let lab = Lab::start_in(form)?;
        let heard = lab.capture(Site::Fra1)?;
        lab.announce(Site::Fra1)?;
        one_update_each(&heard, &full())?;
        lab.announce(Site::Ams1)?;
        for round in 0..2 {
            for family in Family::ALL {
                lab.fra1.replace_route(family, DEGRADED)?;
            }
            one_update_each(&heard, &degraded(form))?;
            for family in Family::ALL {
                ensure!(
                    lab.prefers(Site::Ams1, family)? && lab.hears(Site::Fra1, family)?,
                    "{form:?}, {family}, round {round}: ams1 is preferred, fra1 stands by"
                );
                lab.fra1.replace_route(family, FULL)?;
            }
            one_update_each(&heard, &full())?;
        }
        // A degraded site alone still draws the clients.
        for family in Family::ALL {
            lab.fra1.replace_route(family, DEGRADED)?;
        }
        one_update_each(&heard, &degraded(form))?;
        lab.ams1.delete_routes()?;
        for family in Family::ALL {
            wait_until("the upstream goes to the degraded site", SOON, || {
                lab.prefers(Site::Fra1, family)
            })?;
        }
        lab.fra1.delete_routes()?;
        heard.wait_for_all(&Family::withdraws(), SOON)?;
    }
    Ok(())
}

#[test]
fn master_form_keeps_the_main_table_clean() -> Result<()> {
    let lab = Lab::start_in(Form::Master)?;
    lab.announce(Site::Fra1)?;
    lab.wait_announced(Site::Fra1)?;
    for family in Family::ALL {
        let master = lab.fra1.bird.ask(&format!(
            "show route for {} table {}",
            family.prefix(),
            Form::Master.table(family)
        ))?;
        ensure!(master.contains(family.prefix()), "{family}: {master}");
        let main = lab
            .fra1
            .node
            .run("ip", [family.flag(), "route", "show", "table", "main"])?;
        ensure!(main.contains(OUTER), "{family}: {main}");
        ensure!(!main.contains("blackhole"), "{family}: {main}");
    }
    Ok(())
}

#[test]
fn daemon_adopts_a_degraded_prefix_keeps_its_level_and_ends_it_after_the_hold() -> Result<()> {
    let lab = Lab::start()?;
    for family in Family::ALL {
        lab.fra1.add_route(family)?;
        lab.fra1.replace_route(family, DEGRADED)?;
    }
    let heard = lab.capture(Site::Fra1)?;
    while heard.next(QUIET).is_some() {}
    let daemon = lab.fra1.lapwing(&Settings {
        hold: HOLD,
        hold_max: HOLD,
        ..Settings::new()
    })?;
    for (family, index) in Family::ALL.into_iter().zip(0..) {
        wait_until("the status says degraded", SOON, || {
            let status = daemon.status(&lab.fra1.node)?;
            let prefix = &status["prefixes"][index];
            Ok(prefix["prefix"] == family.prefix()
                && prefix["wanted"] == "degraded"
                && prefix["observed"] == "degraded")
        })?;
    }
    if let Some(update) = heard.next(QUIET) {
        anyhow::bail!("the start of the daemon was heard upstream: {update:?}");
    }
    for family in Family::ALL {
        lab.fra1.replace_route(family, FULL)?;
        for expected in [full(), degraded(Form::Standalone)] {
            let Some(update) = heard.next(SOON) else {
                anyhow::bail!("{family}: nothing heard, expected {expected:?}");
            };
            ensure!(
                update.change == Change::Announce(family.network())
                    && update.attributes == expected,
                "{family}: {update:?}"
            );
        }
    }
    // Nothing is wrong here: by itself it goes back to full, again in place.
    for _ in Family::ALL {
        let update = heard.next(2 * HOLD);
        ensure!(
            update.as_ref().is_some_and(|update| {
                matches!(update.change, Change::Announce(_)) && update.attributes == full()
            }),
            "{update:?}"
        );
    }
    Ok(())
}
