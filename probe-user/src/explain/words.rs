//! A record of the story in a few words.

use std::time::Duration;

use crate::journal::entry::Entry;

/// What a record tells.
pub fn of(entry: &Entry) -> String {
    let text = |field| entry.text(field).unwrap_or("?");
    let level = entry
        .level()
        .map_or_else(|| "?".to_owned(), |level| level.to_string());
    match entry.event() {
        "suspected" => format!("suspicion: {}", text("sentence")),
        "cleared" => format!("{} is no longer suspected", text("service")),
        "verdict" if entry.truth("failed") == Some(true) => {
            format!("{} is held to be dead", text("service"))
        }
        "verdict" => format!("{} is held to be well again", text("service")),
        "impaired" if entry.truth("impaired") == Some(true) => {
            format!("{} is held to be impaired", text("service"))
        }
        "impaired" => format!("{} is no longer impaired", text("service")),
        "decision" => format!("decided: {level}"),
        "held" => format!("held by {}: would be {level}", text("guard")),
        "route_set" => {
            let took = Duration::from_nanos(entry.number("took_ns").unwrap_or_default());
            format!("the kernel has the route {level}, {took:.1?} after the decision")
        }
        "route_failed" => format!("the kernel refused {level}: {}", text("error")),
        "route_observed" => format!("the table holds the prefix {level}"),
        "route_differs" => format!(
            "the table holds {}, but {} was decided: somebody else changed it",
            text("observed"),
            text("wanted")
        ),
        "route_conflict" if entry.truth("stands") == Some(false) => {
            format!("the route is no longer {}", text("conflict"))
        }
        "probe_changed" if entry.truth("passes") == Some(true) => {
            format!("the probe of {} passes", text("service"))
        }
        "probe_changed" => format!("the probe of {} fails", text("service")),
        "blind" if entry.truth("blind") == Some(true) => format!("blind: {}", text("why")),
        "blind" => "no longer blind".to_owned(),
        "locked_out" => "withdrawn too often: locked out for the longest hold".to_owned(),
        "started" => "the daemon started again".to_owned(),
        "stopped" => format!("the daemon stopped; routes: {}", text("on_exit")),
        "reloaded" => "another configuration was in force from then on".to_owned(),
        "reload_refused" => "another configuration was refused".to_owned(),
        "ordered" => order(entry),
        // Of another version, perhaps; it says of itself what it is.
        event => match entry.text("sentence") {
            Some(sentence) => sentence.to_owned(),
            None => other(event, entry),
        },
    }
}

fn order(entry: &Entry) -> String {
    let what = entry.text("order").unwrap_or("order");
    let directive = &entry.value()["directive"];
    let (by, why) = (directive["by"].as_str(), directive["why"].as_str());
    let mut words = match (by, entry.truth("expired")) {
        (Some(by), _) => format!("{what} by {by}"),
        (None, Some(true)) => format!("{what}: the order has expired"),
        (None, _) => what.to_owned(),
    };
    if let Some(why) = why.filter(|why| !why.is_empty()) {
        words = format!("{words}: {why}");
    }
    words
}

/// Its own fields, without those that every record has.
fn other(event: &str, entry: &Entry) -> String {
    const COMMON: [&str; 11] = [
        "seq",
        "prev",
        "torn_bytes",
        "gap",
        "time",
        "mono_ns",
        "site",
        "host",
        "event",
        "prefix",
        "reason",
    ];
    let fields = entry.value().as_object().into_iter().flatten();
    let fields: Vec<String> = fields
        .filter(|(name, _)| !COMMON.contains(&name.as_str()))
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name} {text}"),
            None => format!("{name} {value}"),
        })
        .collect();
    format!("{} {}", event.replace('_', " "), fields.join(", "))
        .trim_end()
        .to_owned()
}
