//! The queries of the committed dashboards, with values for their variables.

use std::{fs, path::Path};

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

/// What Grafana puts in by itself; the longer names first.
const BUILT_IN: [(&str, &str); 8] = [
    ("${__rate_interval}", "10s"),
    ("$__rate_interval", "10s"),
    ("$__range_s", "60"),
    ("${__range}", "1m"),
    ("$__range", "1m"),
    ("$__interval_ms", "2000"),
    ("${__interval}", "2s"),
    ("$__interval", "2s"),
];

/// One query.
#[derive(Debug)]
pub struct Query {
    /// Dashboard and panel, for messages.
    pub place: String,
    /// As Prometheus gets it.
    pub text: String,
}

impl Query {
    /// Whether it may give nothing.
    pub fn may_be_empty(&self) -> bool {
        MAY_BE_EMPTY
            .iter()
            .any(|(part, _)| self.text.contains(part))
    }
}

/// All queries of all dashboards: of panels, annotations and variables.
pub fn queries() -> Result<Vec<Query>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/dashboards");
    let mut queries = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(&path)?;
            let dashboard: Value =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            queries.extend(of(&dashboard)?);
        }
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

fn of(dashboard: &Value) -> Result<Vec<Query>> {
    let title = dashboard["title"].as_str().context("a title")?;
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    let variables: Vec<(String, String)> = list(&dashboard["templating"]["list"])
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().unwrap_or_default().to_owned();
            let value = match variable["type"].as_str() {
                Some("query" | "datasource") => ".*",
                _ => variable["current"]["value"].as_str().unwrap_or(".*"),
            };
            (name, value.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    let mut add = |place: String, text: &str| {
        found.push(Query {
            place: format!("{title}: {place}"),
            text: filled(text, &variables),
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

fn filled(text: &str, variables: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in BUILT_IN {
        text = text.replace(name, value);
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
            r#"a{s=~".*", t="x"}[1m]"#,
        ),
    ] {
        assert_eq!(filled(text, &variables), expected);
    }
    assert_eq!(
        asked_of(r#"label_values(a{b="c"}, service)"#),
        r#"a{b="c"}"#
    );
}
