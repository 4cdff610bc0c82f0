//! `cargo xtask grafana-check`: draws every panel of every dashboard in a real browser, from
//! a real Prometheus beside real daemons at two sites, in the middle of a fault.
//!
//! ```text
//!  arguments: the directory of the page that draws, a directory for the pictures
//!
//!  story ──▶ Prometheus at fra1 ──▶ page in Chromium at fra1 ──▶ NAME-THEME.png, report
//! ```
//! Exit codes: 0 every panel is drawn and has what it needs; 1 not so.

mod draw;
mod story;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::dashboards::Dashboard;

use draw::{Span, Theme};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the dashboards are not as they should be: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let page = arguments.next().context("the page that draws")?;
    let pictures = arguments.next().context("a directory for the pictures")?;
    let story = story::play(&page)?;
    let shown = story.began.elapsed();
    let span = Span::last(shown)?;
    let mut browser = draw::browser(&story.lab.fra1.node)?;
    let mut wrong = Vec::new();
    for mut dashboard in Dashboard::all()? {
        dashboard.fill(shown, story.lab.fra1.site.name())?;
        for theme in [Theme::Dark, Theme::Light] {
            let drawn = draw::draw(&mut browser, &dashboard, span, theme)?;
            let path = pictures.join(format!("{}-{}.png", dashboard.name, theme.name()));
            std::fs::write(&path, &drawn.picture)
                .with_context(|| format!("writing {}", path.display()))?;
            println!("  {} ({} panels)", path.display(), drawn.panels);
            wrong.extend(drawn.wrong);
        }
    }
    wrong.sort();
    wrong.dedup();
    ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    Ok(())
}
