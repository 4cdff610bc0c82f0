//! A program of the operator's is asked whether the service is well: `exec`. It knows
//! of what no packet tells.

use std::time::Duration;

use anyhow::{Result, ensure};
use lapwing_tests::lab::{
    lapwing::{Settings, web_with},
    topology::Family,
};

use crate::stage::{play, settings, watch_web};

/// While this is there, the program is content.
const CONTENT: &str = "/run/lab/content";

fn asked(family: Family) -> String {
    web_with(
        family,
        &format!(
            r#"{{ exec = ["/bin/sh", "-c", "test -e {CONTENT} || {{ echo $LAPWING_SERVICE lost its data; exit 3; }}"], interval = "500ms", timeout = "500ms" }}"#
        ),
    )
}

#[test]
fn program_that_says_no_withdraws_though_live_trials_are_good() -> Result<()> {
    play(|lab| {
        lab.fra1.node.write(CONTENT, "")?;
        let settings = Settings {
            services: asked,
            ..settings()
        };
        let (_load, mut watched) = watch_web(lab, &settings)?;
        std::fs::remove_file(lab.fra1.node.path(CONTENT))?;
        for decision in watched.decisions("withdrawn", Duration::from_secs(20))? {
            println!("{}", decision.text("sentence"));
            ensure!(decision.text("cause") == "probe", "{decision:?}");
            ensure!(
                watched.told().contains("lost its data"),
                "the journal does not tell what the program said:\n{}",
                watched.told()
            );
        }
        lab.fra1.node.write(CONTENT, "")?;
        watched.decisions("full", Duration::from_secs(20))?;
        Ok(())
    })
}
