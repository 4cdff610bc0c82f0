//! A reader of `OpenMetrics` that finds what breaks its rules.

use std::collections::{BTreeMap, BTreeSet};

/// One sample line: name, labels, value.
pub type Sample = (String, BTreeMap<String, String>, f64);

/// Reads one label, the text behind its name and `="`: the value and the rest.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.push(match characters.next().expect("an escaped character").1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    panic!("no closing quote: {text}");
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").expect("a label");
            let (value, after) = unquote(quoted);
            assert_eq!(labels.insert(label.to_owned(), value), None, "{line}");
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else {
                rest = after.strip_prefix('}').expect("the end of the labels");
                break;
            }
        }
    }
    let value = match rest.trim() {
        "+Inf" => f64::INFINITY,
        value => value.parse().unwrap_or_else(|_| panic!("{line}")),
    };
    (name.to_owned(), labels, value)
}

/// Checks the text by the rules of `OpenMetrics` and gives its samples.
pub fn parse(text: &str) -> Vec<Sample> {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut family = "";
    let mut samples = Vec::new();
    let mut series = BTreeSet::new();
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(help.ends_with('.'), "{line}");
                assert!(helped.insert(name), "{name} twice");
                family = name;
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, family);
                assert_eq!(families.insert(name, kind), None, "{name} twice");
            }
            ["#", "UNIT", name, unit] => {
                assert_eq!(name, family);
                assert!(name.ends_with(&format!("_{unit}")), "{line}");
            }
            _ => {
                let (name, labels, value) = sample(line);
                let suffixes: &[&str] = match families[family] {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_sum", "_count", "_bucket"],
                    "info" => &["_info"],
                    other => panic!("{other}"),
                };
                assert!(
                    suffixes
                        .iter()
                        .any(|suffix| name == format!("{family}{suffix}")),
                    "{name} in family {family}"
                );
                let ours = ["lapwing_", "process_"];
                assert!(
                    ours.iter().any(|start| family.starts_with(start)),
                    "{family}"
                );
                assert!(!family.ends_with("_total"), "{family}");
                assert!(
                    series.insert((name.clone(), labels.clone())),
                    "{line} twice"
                );
                samples.push((name, labels, value));
            }
        }
    }
    samples
}

/// The value with exactly this name and these labels.
pub fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: BTreeMap<String, String> = labels
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect();
    samples
        .iter()
        .find(|(found, labels, _)| found == name && *labels == wanted)
        .map(|(_, _, value)| *value)
}
