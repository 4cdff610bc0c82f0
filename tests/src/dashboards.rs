//! The committed dashboards and their queries, with values for their variables.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Queries that give nothing while nothing is wrong, by a part of them, and why.
const MAY_BE_EMPTY: [(&str, &str); 8] = [
    (
        "lapwing_program_run_seconds_total",
        "the kernel counts only while kernel.bpf_stats_enabled is set, for the whole machine",
    ),
    ("lapwing_http_", "no service here is said to speak HTTP"),
    ("lapwing_dns_", "no service here speaks DNS"),
    ("lapwing_quic_", "no service here speaks QUIC"),
    ("lapwing_witness_", "the site here has no witness"),
    ("lapwing_export_alerts", "absent while nothing is wrong"),
    ("lapwing_prefix_held", "absent while nothing is held"),
    ("lapwing_holds_total", "nothing was held"),
];

/// The step of a query over time, as a browser asks.
pub const STEP: Duration = Duration::from_secs(2);

/// What Grafana puts in by itself for what is shown; the longer names first.
fn built_in(shown: Duration) -> [(&'static str, String); 8] {
    let (range, step) = (shown.as_secs(), STEP.as_secs());
    [
        ("${__rate_interval}", "10s".to_owned()),
        ("$__rate_interval", "10s".to_owned()),
        ("$__range_s", range.to_string()),
        ("${__range}", format!("{range}s")),
        ("$__range", format!("{range}s")),
        ("$__interval_ms", STEP.as_millis().to_string()),
        ("${__interval}", format!("{step}s")),
        ("$__interval", format!("{step}s")),
    ]
}

/// A dashboard as it is committed.
#[derive(Debug)]
pub struct Dashboard {
    /// Its file's name, without the ending.
    pub name: String,
    /// The file.
    pub json: Value,
}

impl Dashboard {
    /// All of them.
    pub fn all() -> Result<Vec<Self>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/dashboards");
        let mut all = Vec::new();
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let text = fs::read_to_string(&path)?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                all.push(Self {
                    name: name.into_owned(),
                    json: serde_json::from_str(&text)
                        .with_context(|| path.display().to_string())?,
                });
            }
        }
        Ok(all)
    }

    /// Puts values for the variables into the queries of its panels. What lets one host be
    /// chosen shows `host`.
    pub fn fill(&mut self, shown: Duration, host: &str) -> Result<()> {
        let variables = variables(&self.json, host);
        let panels = self.json["panels"].as_array_mut().context("panels")?;
        for panel in panels {
            fill_targets(panel, &variables, shown);
            for inner in panel["panels"].as_array_mut().into_iter().flatten() {
                fill_targets(inner, &variables, shown);
            }
        }
        Ok(())
    }
}

fn fill_targets(panel: &mut Value, variables: &[(String, String)], shown: Duration) {
    for target in panel["targets"].as_array_mut().into_iter().flatten() {
        if let Some(text) = target["expr"].as_str() {
            target["expr"] = filled(text, variables, shown).into();
        }
    }
}

/// One query.
#[derive(Debug)]
pub struct Query {
    /// Dashboard and panel, for messages.
    pub place: String,
    /// As Prometheus gets it.
    pub text: String,
}

/// Whether a query may give nothing.
pub fn may_be_empty(query: &str) -> bool {
    MAY_BE_EMPTY.iter().any(|(part, _)| query.contains(part))
}

/// All queries of all dashboards, of panels, annotations and variables, as they are asked
/// when so much time is shown.
pub fn queries(shown: Duration) -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for dashboard in Dashboard::all()? {
        queries.extend(of(&dashboard.json, shown)?);
    }
    ensure!(!queries.is_empty(), "no dashboard has a query");
    for (part, reason) in MAY_BE_EMPTY {
        ensure!(
            queries.iter().any(|query| query.text.contains(part)),
            "no query has {part} any more ({reason})"
        );
    }
    Ok(queries)
}

/// A value for each variable: everything, where that can be chosen.
fn variables(dashboard: &Value, host: &str) -> Vec<(String, String)> {
    let list = dashboard["templating"]["list"].as_array();
    let value = |variable: &Value| match variable["type"].as_str() {
        Some("query") if variable["multi"] == false => host.to_owned(),
        Some("query" | "datasource") => ".*".to_owned(),
        _ => variable["current"]["value"]
            .as_str()
            .unwrap_or(".*")
            .to_owned(),
    };
    list.into_iter()
        .flatten()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap_or_default();
            (name.to_owned(), value(variable))
        })
        .collect()
}

fn of(dashboard: &Value, shown: Duration) -> Result<Vec<Query>> {
    let title = dashboard["title"].as_str().context("a title")?;
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let variables = variables(dashboard, ".*");
    let mut found = Vec::new();
    let mut add = |place: String, text: &str| {
        found.push(Query {
            place: format!("{title}: {place}"),
            text: filled(text, &variables, shown),
        });
    };
    for variable in list(&dashboard["templating"]["list"]) {
        if variable["type"] == "query" {
            let query = &variable["query"];
            let text = query["query"].as_str().or(query.as_str());
            let text = text.context("a query variable has a query")?;
            add(format!("variable {}", variable["name"]), &asked_of(text));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let target = annotation["target"]["expr"].as_str();
        if let Some(text) = annotation["expr"].as_str().or(target) {
            add(format!("annotation {}", annotation["name"]), text);
        }
    }
    let mut panels = list(&dashboard["panels"]);
    while let Some(panel) = panels.pop() {
        panels.extend(list(&panel["panels"]));
        for target in list(&panel["targets"]) {
            let text = target["expr"].as_str().context("a target has a query")?;
            add(format!("panel {}", panel["title"]), text);
        }
    }
    Ok(found)
}

/// `label_values(X, label)` and `query_result(X)` ask for X.
fn asked_of(text: &str) -> String {
    let inner = |function: &str| text.strip_prefix(function)?.strip_suffix(')');
    if let Some(arguments) = inner("label_values(") {
        let vector = arguments.rsplit_once(',').map(|(vector, _)| vector);
        return vector.unwrap_or("up").to_owned();
    }
    inner("query_result(").unwrap_or(text).to_owned()
}

fn filled(text: &str, variables: &[(String, String)], shown: Duration) -> String {
    let mut text = text.to_owned();
    for (name, value) in built_in(shown) {
        text = text.replace(name, &value);
    }
    let mut variables = variables.to_vec();
    variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in variables {
        for form in [
            format!("${{{name}:regex}}"),
            format!("${{{name}}}"),
            format!("${name}"),
        ] {
            text = text.replace(&form, &value);
        }
    }
    text
}

#[cfg(test)]
#[test]
fn variables_are_filled_in() {
    let variables = [
        ("site".to_owned(), ".*".to_owned()),
        ("sites".to_owned(), "x".to_owned()),
    ];
    for (text, expected) in [
        (
            r#"rate(a{s=~"$site"}[$__rate_interval])"#,
            r#"rate(a{s=~".*"}[10s])"#,
        ),
        (
            r#"a{s=~"${site:regex}", t="$sites"}[$__range]"#,
            r#"a{s=~".*", t="x"}[60s]"#,
        ),
    ] {
        assert_eq!(filled(text, &variables, Duration::from_mins(1)), expected);
    }
    assert_eq!(
        asked_of(r#"label_values(a{b="c"}, service)"#),
        r#"a{b="c"}"#
    );
}
