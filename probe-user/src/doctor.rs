//! `lapwing doctor`: what on this host would keep Lapwing from working, or would make it
//! work worse than it looks.
//!
//! ```text
//! /proc, /sys, netlink, control socket ─▶ Facts ─▶ findings (pure) ─▶ Report
//! ```
//!
//! Nothing is changed: every check only reads. Facts and judgement are apart, so that
//! each judgement is tested without the trouble that it is about.

mod bird;
mod facts;
mod findings;
mod network;

use std::{
    fmt::{self, Write as _},
    path::Path,
};

use serde::Serialize;

use crate::config::{self, Settings};
use facts::Facts;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it must be.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// What was looked at; the same name in every run.
    pub check: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was seen.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All that was found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The worst of all grades.
    pub grade: Grade,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

/// Looks at this host as a daemon with the configuration at `path` would use it.
/// `bird` is BIRD's control socket, if not the configured one.
pub fn examine(path: Option<&Path>, bird: Option<&Path>) -> anyhow::Result<Report> {
    let (settings, config) = settings(path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bird = socket(bird, &settings);
    let facts = runtime.block_on(Facts::read(&settings, config, bird));
    Ok(Report::of(findings::findings(&facts)))
}

/// BIRD's control socket: the one that was named, else the one that the daemon would ask.
fn socket<'a>(named: Option<&'a Path>, settings: &'a Settings) -> &'a Path {
    named.unwrap_or_else(|| settings.route.bird_socket())
}

/// The settings, or those without a file if it has mistakes, and what is to be said
/// about it. An interface that is missing is found by a check of its own.
fn settings(path: Option<&Path>) -> (Settings, Result<String, String>) {
    let Some(path) = path else {
        let told = "no configuration: observing what listens here".to_owned();
        return (Settings::without_file(), Ok(told));
    };
    match Settings::load(path, &|_| true) {
        Ok(settings) => (settings, Ok(format!("{} is valid", path.display()))),
        Err(config::Error::Mistakes(report)) => {
            let told = format!("{} has mistakes:\n{}", path.display(), report.render(false));
            (Settings::without_file(), Err(told))
        }
        Err(error) => (Settings::without_file(), Err(error.to_string())),
    }
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        let grades = findings.iter().map(|finding| finding.grade);
        Self {
            grade: grades.max().unwrap_or(Grade::Ok),
            findings,
        }
    }

    /// For people; `colours` for a terminal.
    pub fn text(&self, colours: bool) -> String {
        let mut text = String::new();
        self.write(&mut text, colours)
            .expect("a String takes everything that is written");
        text
    }

    fn write(&self, out: &mut String, colours: bool) -> fmt::Result {
        for finding in &self.findings {
            let (name, code) = match finding.grade {
                Grade::Ok => ("ok  ", "32"),
                Grade::Warn => ("warn", "33"),
                Grade::Fail => ("FAIL", "1;31"),
            };
            let name = if colours {
                format!("\x1b[{code}m{name}\x1b[0m")
            } else {
                name.to_owned()
            };
            let indented = |text: &str| text.trim_end().replace('\n', "\n                    ");
            writeln!(
                out,
                "{name}  {:<12}  {}",
                finding.check,
                indented(&finding.what)
            )?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "{:20}help: {}", "", indented(remedy))?;
            }
        }
        let count = |grade| {
            let all = self.findings.iter();
            all.filter(|finding| finding.grade == grade).count()
        };
        writeln!(
            out,
            "{} ok, {} to look at, {} that must be mended",
            count(Grade::Ok),
            count(Grade::Warn),
            count(Grade::Fail)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bird_is_asked_where_it_is_named_else_where_the_daemon_would_ask() {
        for (named, text, expected) in [
            (None, "", "/run/bird/bird.ctl"),
            (None, "[route]\nbird_socket = \"/run/x.ctl\"", "/run/x.ctl"),
            (Some("/run/y.ctl"), "", "/run/y.ctl"),
            (
                Some("/run/y.ctl"),
                "[route]\nbird_socket = \"/run/x.ctl\"",
                "/run/y.ctl",
            ),
        ] {
            let settings = Settings::parse(Path::new("x"), text, &|_| true).unwrap();
            let socket = socket(named.map(Path::new), &settings);
            assert_eq!(socket, Path::new(expected), "{named:?} {text}");
        }
    }
}
