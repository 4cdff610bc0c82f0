//! The form of the committed dashboards: nothing without a unit or a description, nothing
//! that overlaps, no variable that nobody uses, no colour for a series that a panel never
//! shows. That queries name metrics and values that there are is tested in `document.rs`,
//! that the generator makes these files by `cargo xtask grafana --check`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::{files, labels};

/// Columns of Grafana's grid.
const WIDTH: u64 = 24;

/// All dashboards by title.
fn dashboards() -> Vec<(String, Value)> {
    let dashboards: Vec<(String, Value)> = files("grafana/dashboards", ".json")
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let dashboard: Value = serde_json::from_str(&text).unwrap();
            (dashboard["title"].as_str().unwrap().to_owned(), dashboard)
        })
        .collect();
    assert!(dashboards.len() >= 4, "{}", dashboards.len());
    dashboards
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// All panels, also those in closed rows; and the rows.
fn panels(dashboard: &Value) -> (Vec<&Value>, Vec<&Value>) {
    let outer = list(&dashboard["panels"]).iter();
    outer
        .flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"])))
        .partition(|panel| panel["type"] != "row")
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    for (title, dashboard) in dashboards() {
        for panel in panels(&dashboard).0 {
            let place = format!("{title}: {}", panel["title"]);
            let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
            assert!(!unit.is_empty(), "{place} has no unit");
            assert!(!text(&panel["title"]).is_empty(), "{place}");
            assert!(text(&panel["description"]).len() > 10, "{place}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            assert!(!list(&panel["targets"]).is_empty(), "{place} asks nothing");
        }
    }
}

#[test]
fn panels_lie_beside_and_below_each_other_and_have_their_own_numbers() {
    for (title, dashboard) in dashboards() {
        let (panels, rows) = panels(&dashboard);
        let all: Vec<&Value> = panels.into_iter().chain(rows).collect();
        let numbers: BTreeSet<u64> = all
            .iter()
            .map(|panel| panel["id"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers.len(), all.len(), "{title}: two have one number");
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in all {
            let name = text(&panel["title"]);
            let [x, y, w, h] = ["x", "y", "w", "h"]
                .map(|side| panel["gridPos"][side].as_u64().unwrap_or_default());
            assert!(w > 0 && h > 0 && x + w <= WIDTH, "{title}: {name}");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                let other = taken.insert(place, name);
                assert_eq!(other, None, "{title}: {name} lies over it");
            }
        }
    }
}

/// Where a text names a variable, as `$name`, `${name}` or `${name:form}`; or as
/// `var-name=` in a link.
fn names(text: &str, variable: &str) -> bool {
    let ends = |rest: &str| {
        !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let plain = format!("${variable}");
    let is_plain = text
        .match_indices(&plain)
        .any(|(at, _)| ends(&text[at + plain.len()..]));
    is_plain
        || ["}", ":"]
            .iter()
            .any(|end| text.contains(&format!("${{{variable}{end}")))
}

#[test]
fn variables_are_used_and_those_that_are_used_are_there() {
    for (title, dashboard) in dashboards() {
        let variables = list(&dashboard["templating"]["list"]);
        let known: BTreeSet<&str> = variables
            .iter()
            .map(|variable| text(&variable["name"]))
            .collect();
        assert_eq!(known.len(), variables.len(), "{title}: one name twice");
        let whole = dashboard.to_string();
        for name in &known {
            // Its own definition does not name it.
            assert!(names(&whole, name), "{title}: nobody uses {name}");
        }
        for panel in panels(&dashboard).0 {
            for target in list(&panel["targets"]) {
                let query = text(&target["expr"]);
                for (at, _) in query.match_indices('$') {
                    let rest = query[at + 1..].trim_start_matches('{');
                    let end = rest
                        .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
                        .unwrap_or(rest.len());
                    let name = &rest[..end];
                    assert!(
                        known.contains(name) || name.starts_with("__"),
                        "{title}: {}: {name} is no variable",
                        panel["title"]
                    );
                }
            }
        }
    }
}

#[test]
fn every_query_asks_for_a_metric_by_name() {
    for (title, dashboard) in dashboards() {
        for panel in panels(&dashboard).0 {
            for target in list(&panel["targets"]) {
                let query = text(&target["expr"]);
                let known = ["lapwing", "process_", "ALERTS{", "up{"];
                assert!(
                    known.iter().any(|name| query.contains(name)),
                    "{title}: {}: {query}",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn colours_are_those_of_series_that_the_panel_can_have() {
    let legend = labels();
    let mut coloured = 0;
    for (title, dashboard) in dashboards() {
        for panel in panels(&dashboard).0 {
            let place = format!("{title}: {}", panel["title"]);
            // The values that the labels can have by which series are named.
            let possible: Vec<&str> = list(&panel["targets"])
                .iter()
                .filter_map(|target| {
                    let label = text(&target["legendFormat"]);
                    let label = label.strip_prefix("{{")?.strip_suffix("}}")?;
                    legend.get(label).map(String::as_str)
                })
                .collect();
            for change in list(&panel["fieldConfig"]["overrides"]) {
                let properties = list(&change["properties"]);
                let is_colour = properties.iter().any(|property| property["id"] == "color");
                if !is_colour || change["matcher"]["id"] != "byName" {
                    continue;
                }
                let name = format!("`{}`", text(&change["matcher"]["options"]));
                assert!(
                    possible.iter().any(|values| values.contains(&name)),
                    "{place}: no series is ever {name}"
                );
                coloured += 1;
            }
        }
    }
    assert!(coloured > 10, "{coloured}");
}

#[test]
fn a_variable_is_found_in_a_text_in_each_form() {
    for (text, found) in [
        ("a=~\"$site\"", true),
        ("${site}", true),
        ("${site:regex}", true),
        ("$sites", false),
        ("site", false),
    ] {
        assert_eq!(names(text, "site"), found, "{text}");
    }
}
