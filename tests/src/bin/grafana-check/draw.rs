//! One dashboard in one browser. In: the dashboard with its queries, what is shown. Out: a
//! picture, and what is wrong with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use lapwing_tests::{
    dashboards::{self, Dashboard},
    lab::{browser::Browser, netns::Namespace, prometheus, wait_until},
};
use serde_json::{Value, json};

/// As wide as a laptop's screen.
const WIDTH: u32 = 1600;
/// Some fifty panels, with a second browser beside a build.
const PATIENCE: Duration = Duration::from_mins(2);

/// Grafana's two.
#[derive(Clone, Copy)]
pub enum Theme {
    Dark,
    Light,
}

impl Theme {
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }
}

/// What is shown, since the epoch.
#[derive(Clone, Copy)]
pub struct Span {
    from: Duration,
    to: Duration,
}

impl Span {
    /// From `shown` ago until now.
    pub fn last(shown: Duration) -> Result<Self> {
        let to = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(Self {
            from: to.saturating_sub(shown),
            to,
        })
    }
}

/// What came of it.
pub struct Drawn {
    pub picture: Vec<u8>,
    pub panels: usize,
    /// One line for each thing that is wrong.
    pub wrong: Vec<String>,
}

/// A browser at a node whose Prometheus serves the page.
pub fn browser(node: &Namespace) -> Result<Browser> {
    Browser::open(node, "about:blank")
}

pub fn draw(
    browser: &mut Browser,
    dashboard: &Dashboard,
    span: Span,
    theme: Theme,
) -> Result<Drawn> {
    let asked = format!("?{}-{}", dashboard.name, theme.name());
    browser.go(&format!(
        "http://{}/user/index.html{asked}",
        prometheus::ADDRESS
    ))?;
    wait_until("the page is loaded", PATIENCE, || {
        let loaded = format!("location.search === '{asked}' && typeof window.draw === 'function'");
        Ok(browser.evaluate(&loaded)? == true)
    })?;
    let order = json!({
        "board": dashboard.json,
        "span": {
            "from": span.from.as_millis(),
            "to": span.to.as_millis(),
            "step": dashboards::STEP.as_millis(),
        },
        "theme": theme.name(),
        "width": WIDTH,
    });
    browser.evaluate(&format!("void window.draw({order})"))?;
    let mut report = Value::Null;
    wait_until("the dashboard is drawn", PATIENCE, || {
        report = browser.evaluate("window.report ?? null")?;
        Ok(!report.is_null())
    })
    .with_context(|| format!("{}: {:?}", dashboard.name, browser.complaints()))?;
    let height = report["height"].as_f64().context("a height")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "pixels"
    )]
    let picture = browser.picture(WIDTH, height.ceil() as u32)?;
    let panels = report["panels"].as_array().context("panels")?;
    ensure!(!panels.is_empty(), "{} has panels", dashboard.name);
    let mut wrong: Vec<String> = panels.iter().flat_map(faults).collect();
    wrong.extend(browser.complaints()?.iter().cloned());
    Ok(Drawn {
        picture,
        panels: panels.len(),
        wrong: wrong
            .into_iter()
            .map(|line| format!("{}: {line}", dashboard.name))
            .collect(),
    })
}

/// What the page says is wrong with a panel, and queries that gave nothing.
fn faults(panel: &Value) -> Vec<String> {
    let title = &panel["title"];
    let list = |name: &str| panel[name].as_array().cloned().unwrap_or_default();
    let errors = list("errors");
    let errors = errors.iter().map(|error| format!("{title}: {error}"));
    let queries = list("queries");
    let empty = queries.iter().filter_map(|query| {
        let text = query["expr"].as_str()?;
        let nothing = query["series"] == 0 && !dashboards::may_be_empty(text);
        nothing.then(|| format!("{title}: NO DATA: {text}"))
    });
    errors.chain(empty).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_without_data_and_with_errors_are_faults() {
        let panel = |errors: &[&str], query: &str, series: u32| {
            json!({
                "title": "Handshakes",
                "errors": errors,
                "queries": [{ "expr": query, "series": series }],
            })
        };
        for (description, panel, expected) in [
            ("drawn", panel(&[], "lapwing_trials_total", 2), vec![]),
            ("may be empty", panel(&[], "lapwing_quic_x", 0), vec![]),
            (
                "empty",
                panel(&[], "lapwing_trials_total", 0),
                vec![r#""Handshakes": NO DATA: lapwing_trials_total"#],
            ),
            (
                "not drawn",
                panel(&["nothing is drawn"], "lapwing_trials_total", 1),
                vec![r#""Handshakes": "nothing is drawn""#],
            ),
        ] {
            assert_eq!(faults(&panel), expected, "{description}");
        }
    }
}
