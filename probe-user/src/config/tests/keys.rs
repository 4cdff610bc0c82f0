//! The tables of keys are what the readers do: every key is read, every default holds, every
//! word and every bound is that of the reader; and the manual has them all.
//!
//! `LAPWING_BLESS=1 cargo test -p probe-user keys` rewrites the tables in
//! `docs/configuration.md`.

use std::fmt::Write as _;

use super::{
    super::keys::{self, Key, Table, Unwritten, Values},
    *,
};

/// What has to stand beside a key so that the file is whole: keys of the same section.
fn beside(table: &str, key: &str) -> &'static [(&'static str, &'static str)] {
    match (table, key) {
        ("[[interface]]", _) => &[("name", "\"eth0\"")],
        ("[[witness]]", _) => &[
            ("site", "\"ams1\""),
            ("host", "\"edge1\""),
            ("sessions", "{ ipv4 = \"a\" }"),
        ],
        ("[[prefix]]", _) => &[("prefix", "\"192.0.2.0/24\"")],
        ("[[prefix.service]]", _) => &[
            ("name", "\"web\""),
            ("address", "\"192.0.2.10\""),
            ("port", "80"),
        ],
        ("probe", "status" | "body") => &[("http", "\"http://a.example/\"")],
        ("probe", "sni" | "verify" | "alpn") => &[("tls", "\"192.0.2.10:443\"")],
        ("probe", "transport" | "name" | "type" | "dns") => {
            &[("dns", "\"192.0.2.10:53\""), ("name", "\"a.example\"")]
        }
        // So that the longest timeout and the longest hold are not too long for others.
        ("probe", "timeout") => &[("interval", "\"1h\"")],
        ("[recover]", "hold") => &[("hold_max", "\"7days\"")],
        ("[recover]", "hold_max") => &[("hold", "\"1s\"")],
        _ => &[],
    }
}

/// Keys with their values, a line each.
fn written(keys: &[(&str, &str)]) -> Vec<String> {
    let line = |(name, value): &(&str, &str)| format!("{name} = {value}");
    keys.iter().map(line).collect()
}

/// A file with this key, or without it, in an otherwise good file.
fn file(table: &Table, key: &str, value: Option<&str>) -> String {
    let mut lines: Vec<(&str, &str)> = beside(table.name, key)
        .iter()
        .copied()
        // A name alone asks nothing.
        .filter(|(name, _)| *name != key && (value.is_some() || key != "dns"))
        .collect();
    lines.extend(value.map(|value| (key, value)));
    let lines = written(&lines);
    let section = |name: &str| {
        if name == table.name {
            lines.join("\n")
        } else {
            written(beside(name, "")).join("\n")
        }
    };
    let mut text = String::new();
    if !["[[prefix]]", "[[prefix.service]]", "probe"].contains(&table.name) {
        write!(text, "{}\n{}\n", table.name, section(table.name)).unwrap();
    }
    for name in ["[[prefix]]", "[[prefix.service]]"] {
        write!(text, "{name}\n{}\n", section(name)).unwrap();
    }
    if table.name == "probe" {
        writeln!(text, "probe = {{ {} }}", lines.join(", ")).unwrap();
    }
    text
}

/// Every key in every section that has it.
fn everywhere() -> impl Iterator<Item = (&'static Table, &'static Key)> {
    keys::ALL.into_iter().flat_map(|table| {
        let keys = table.keys.iter().chain(table.shared);
        keys.map(move |key| (table, key))
    })
}

/// What is said about this value of the key; nothing if it is good.
fn said(table: &Table, key: &str, value: &str) -> String {
    match parse(&file(table, key, Some(value))) {
        Ok(_) => String::new(),
        Err(report) => report.to_string(),
    }
}

#[test]
fn every_key_is_read() {
    for (table, key) in everywhere().filter(|(_, key)| key.name != "service") {
        // No key is a date.
        let said = said(table, key.name, "1979-05-27");
        assert!(said.contains("1979-05-27"), "{} {}", table.name, key.name);
    }
}

#[test]
fn defaults_are_those_that_hold() {
    let mut compared = 0;
    for (table, key) in everywhere() {
        let without = parse(&file(table, key.name, None));
        match key.unwritten {
            Unwritten::Value(value) => {
                let with = parse(&file(table, key.name, Some(value)));
                let place = format!("{} {} = {value}", table.name, key.name);
                let with = with.unwrap_or_else(|report| panic!("{place}\n{report}"));
                let without = without.unwrap_or_else(|report| panic!("{place}\n{report}"));
                assert_eq!(with, without, "{place}");
                compared += 1;
            }
            Unwritten::Other(_) => {
                without.unwrap_or_else(|report| panic!("{} {}\n{report}", table.name, key.name));
            }
            // The services have sections of their own.
            Unwritten::Required if key.name == "service" => {}
            Unwritten::Required => {
                assert!(
                    without.is_err(),
                    "{} {} may be left out",
                    table.name,
                    key.name
                );
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

#[test]
fn words_and_bounds_are_those_of_the_readers() {
    for (table, key) in everywhere() {
        let place = format!("{} {}", table.name, key.name);
        let said = |value: &str| said(table, key.name, value);
        let taken = |value: &str| {
            let said = said(value);
            assert!(said.is_empty(), "{place} = {value}\n{said}");
        };
        let refused = |value: &str| {
            let said = said(value);
            assert!(said.contains("out of range"), "{place} = {value}\n{said}");
        };
        match key.values {
            Values::Words(words) => {
                let known = section::list(words);
                let report = said("\"?\"");
                assert!(
                    report.contains(&format!("nown are {known}")),
                    "{place}\n{report}"
                );
            }
            Values::Boolean => ["true", "false"].into_iter().for_each(taken),
            Values::Number(least, most) => {
                for bound in [least, most] {
                    taken(&bound.to_string());
                }
                refused(&(i64::from(least) - 1).to_string());
                refused(&(i64::from(most) + 1).to_string());
            }
            Values::Duration(least, most) => {
                for bound in [least, most] {
                    taken(&format!("\"{bound}\""));
                }
                let nanosecond = Duration::from_nanos(1);
                let time = |text: &str| humantime::parse_duration(text).unwrap();
                let around = [
                    time(least).checked_sub(nanosecond),
                    Some(time(most) + nanosecond),
                ];
                for time in around.into_iter().flatten() {
                    refused(&format!("\"{}\"", humantime::format_duration(time)));
                }
            }
            Values::Other(_) => {}
        }
    }
}

/// The table of a section in the manual.
fn rendered(keys: &[Key]) -> String {
    let mut text = "| key | values | default | meaning |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            key.name, key.values, key.unwritten, key.meaning
        )
        .unwrap();
    }
    text
}

/// The manual with the tables as they have to be, each between two comments.
fn renewed(manual: &str) -> String {
    let mut manual = manual.to_owned();
    for table in keys::ALL {
        let mut parts = vec![(table.name.to_owned(), table.keys)];
        if !table.shared.is_empty() && table.name == "[detect]" {
            parts.push((format!("{} and services", table.name), table.shared));
        }
        for (name, keys) in parts {
            let begin = format!("<!-- keys of {name} -->\n");
            let end = "<!-- end -->";
            let start = manual.find(&begin).map(|at| at + begin.len());
            let start = start.unwrap_or_else(|| panic!("the manual has no {begin}"));
            let length = manual[start..].find(end).unwrap();
            manual.replace_range(start..start + length, &rendered(keys));
        }
    }
    manual
}

#[test]
fn manual_has_every_key_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let renewed = renewed(&written);
    if std::env::var_os("LAPWING_BLESS").is_some() {
        std::fs::write(&path, &renewed).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == renewed,
        "docs/configuration.md is out of date: LAPWING_BLESS=1 cargo test -p probe-user keys"
    );
}

#[test]
fn keys_that_a_service_shares_are_named_at_the_service() {
    let manual = include_str!("../../../../docs/configuration.md");
    let names: Vec<String> = keys::SERVICE
        .shared
        .iter()
        .map(|key| format!("`{}`", key.name))
        .collect();
    let (last, first) = names.split_last().unwrap();
    let sentence = format!("{} and {last} of `[detect]`", first.join(", "));
    assert!(manual.contains(&sentence), "{sentence}");
}
