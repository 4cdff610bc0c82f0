//! `docs/metrics.md` is what the families say of themselves.
//!
//! `LAPWING_BLESS=1 cargo test -p probe-user metrics` rewrites it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use probe_common::{
    counters::{RcodeClass, RstPhase},
    skip::Skip,
};
use probe_core::{
    command::{Cause, Guard},
    status::{ServiceState, Standing},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use super::{
    super::{families::GROUPS, *},
    sample::everything,
    text::parse,
};
use crate::follow::AlertKind;

/// One group of the sample model.
#[derive(Debug)]
struct Only(Arc<Model>, usize);

impl Collector for Only {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        (GROUPS[self.1].encode)(&self.0, &mut encoder)
    }
}

/// One family as its comments and its samples say.
struct Family {
    name: String,
    metric_type: String,
    unit: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families of a group, in order.
fn families(group: usize) -> Vec<Family> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Only(Arc::new(everything()), group)));
    let mut text = String::new();
    text::encode(&mut text, &registry).unwrap();
    let samples = parse(&text);
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", "HELP", name, help] => families.push(Family {
                name: name.to_owned(),
                metric_type: String::new(),
                unit: String::new(),
                help: help.to_owned(),
                labels: BTreeSet::new(),
            }),
            ["#", "TYPE", _, metric_type] => {
                families.last_mut().unwrap().metric_type = metric_type.to_owned();
            }
            ["#", "UNIT", _, unit] => families.last_mut().unwrap().unit = unit.to_owned(),
            _ => {}
        }
    }
    for family in &mut families {
        let suffixes: &[&str] = match &*family.metric_type {
            "counter" => &["_total"],
            "info" => &["_info"],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            other => panic!("{other}"),
        };
        let all = family.name.clone();
        let names: Vec<String> = suffixes
            .iter()
            .map(|suffix| format!("{all}{suffix}"))
            .collect();
        let own: Vec<_> = samples
            .iter()
            .filter(|(name, _, _)| names.contains(name))
            .collect();
        assert!(!own.is_empty(), "the sample model has no sample of {all}");
        family.labels = own
            .iter()
            .flat_map(|(_, labels, _)| labels.keys().cloned())
            .filter(|label| label != "le")
            .collect();
        if suffixes.len() == 1 {
            family.name = names.concat();
        }
    }
    families
}

/// What stands in each label: the configuration's names, or names of our own enums.
pub fn labels() -> BTreeMap<&'static str, String> {
    fn any<const N: usize>(names: [&'static str; N]) -> String {
        names.map(|name| format!("`{name}`")).join(", ")
    }
    BTreeMap::from([
        (
            "abi",
            "the version of the layout shared with the kernel side".to_owned(),
        ),
        ("action", any(["announce", "degrade", "withdraw"])),
        ("alert", any(AlertKind::ALL.map(AlertKind::name))),
        ("cause", any(Cause::ALL.map(Cause::name))),
        ("class", any(["1xx", "2xx", "3xx", "4xx", "5xx"])),
        ("conflict", any(ConflictKind::ALL.map(ConflictKind::name))),
        ("direction", "`in` (towards the service), `out`".to_owned()),
        ("guard", any(Guard::ALL.map(Guard::name))),
        ("hook", any(["ingress", "egress"])),
        ("host", "the host's name in the configuration".to_owned()),
        ("interface", "a measured interface".to_owned()),
        ("kind", any(Kind::ALL.map(Kind::name))),
        (
            "mode",
            format!(
                "of the daemon {}; of a hook, how it is attached",
                any(Mode::ALL.map(Mode::name))
            ),
        ),
        ("outcome", any(["succeeded", "failed", "late", "abandoned"])),
        (
            "phase",
            format!(
                "of a RST {}; of a change {}",
                any(RstPhase::ALL.map(RstPhase::name)),
                any(Phase::ALL.map(Phase::name))
            ),
        ),
        ("prefix", "a configured prefix".to_owned()),
        (
            "program",
            "one of Lapwing's programs in the kernel".to_owned(),
        ),
        ("rcode", any(RcodeClass::ALL.map(RcodeClass::name))),
        ("reason", any(Skip::ALL.map(Skip::name))),
        (
            "service",
            "the service's name in the configuration".to_owned(),
        ),
        ("session", "the name of a BGP session in BIRD".to_owned()),
        ("site", "the site's name in the configuration".to_owned()),
        ("standing", any(Standing::ALL.map(Standing::name))),
        ("state", any(ServiceState::ALL.map(ServiceState::name))),
        ("version", "Lapwing's version".to_owned()),
        (
            "way",
            "`came` (the SYN came in by the interface), `left` (our SYN-ACK left by it)".to_owned(),
        ),
        ("witness_host", "the `host` of a `[[witness]]`".to_owned()),
        ("witness_site", "the `site` of a `[[witness]]`".to_owned()),
    ])
}

const INTRODUCTION: &str = "\
# Metrics

This page is made from the registry; do not edit it. `LAPWING_BLESS=1 cargo test -p
probe-user metrics` makes it again, and the same test fails where it is not what `/metrics`
shows.

`/metrics` on `http` of the configuration (by default `127.0.0.1:9477`) answers in
OpenMetrics, or in Prometheus' text format for who asks for that alone. What it shows is made
once a second. Rules and alerts over these metrics, and how to load them, stand in
[runbooks](runbooks/README.md).

- Names are those of the samples; a histogram has `_bucket`, `_sum` and `_count` besides.
- Labels are names of the configuration or of the lists [below](#labels), never an address of
  a client.
- A counter is there, at 0, before it counts anything. A gauge is absent while its value is
  not known, which its description then says.
- A family is left out where no service can have it.
";

fn rendered() -> String {
    let legend = labels();
    let mut used = BTreeSet::new();
    let mut page = INTRODUCTION.to_owned();
    for (index, group) in GROUPS.iter().enumerate() {
        write!(
            page,
            "\n## {}\n\n| metric | type | unit | labels | what |\n|---|---|---|---|---|\n",
            group.title
        )
        .unwrap();
        for family in families(index) {
            let labels: Vec<String> = family
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                family.name,
                family.metric_type,
                if family.unit.is_empty() {
                    "-"
                } else {
                    &family.unit
                },
                if labels.is_empty() {
                    "-".to_owned()
                } else {
                    labels.join(", ")
                },
                family.help.replace('|', "\\|"),
            )
            .unwrap();
            used.extend(family.labels);
        }
    }
    page += "\n## Labels\n\n| label | what stands there |\n|---|---|\n";
    for label in &used {
        let words = legend.get(&**label);
        let words = words.unwrap_or_else(|| panic!("the label {label} is not described"));
        writeln!(page, "| `{label}` | {words} |").unwrap();
    }
    let unused: Vec<_> = legend
        .keys()
        .filter(|label| !used.contains(**label))
        .collect();
    assert!(unused.is_empty(), "no family has {unused:?}");
    page
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_page_is_what_the_families_say() {
    let page = rendered();
    let path = checkout().join("docs/metrics.md");
    if std::env::var_os("LAPWING_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/metrics.md is out of date: LAPWING_BLESS=1 cargo test -p probe-user metrics"
    );
}

/// The files below a directory of the checkout that end so.
pub fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(checkout().join(directory));
    let paths = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect()
}

#[test]
fn rules_and_dashboards_ask_for_metrics_that_there_are() {
    let known: BTreeSet<String> = (0..GROUPS.len())
        .flat_map(families)
        .flat_map(|family| {
            let suffixes = ["", "_bucket", "_sum", "_count"];
            suffixes.map(|suffix| format!("{}{suffix}", family.name))
        })
        .collect();
    let rules = files("grafana/rules", ".yml");
    assert!(!rules.is_empty(), "no rules");
    for path in rules.iter().chain(&files("grafana/dashboards", ".json")) {
        let text = fs::read_to_string(path).unwrap();
        let names = text.split(|letter: char| {
            !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')
        });
        for name in
            names.filter(|name| name.starts_with("lapwing_") || name.starts_with("process_"))
        {
            assert!(known.contains(name), "{}: {name}", path.display());
        }
    }
}

/// The matchers of a text's queries: label, and the values that are asked for.
fn matchers(text: &str) -> Vec<(String, String)> {
    // As they stand in JSON.
    let text = text.replace("\\\"", "\"");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("=\"").chain(text.match_indices("~\"")) {
        let label = text[..at].trim_end_matches(['=', '!']);
        let start = label
            .rfind(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .map_or(0, |before| before + 1);
        let value = &text[at + 2..];
        let values = value.split('"').next().unwrap_or_default().split('|');
        found.extend(values.map(|value| (label[start..].to_owned(), value.to_owned())));
    }
    found
}

#[test]
fn rules_and_dashboards_ask_for_values_that_labels_can_have() {
    assert_eq!(
        matchers(r#"a{b="c", d!~"e|f"} \"g=~\"$h\""#)
            .into_iter()
            .collect::<BTreeSet<_>>(),
        [("b", "c"), ("d", "e"), ("d", "f"), ("g", "$h")]
            .map(|(label, value)| (label.to_owned(), value.to_owned()))
            .into()
    );
    // Labels whose values are the names of an enum.
    let labels: BTreeMap<_, _> = labels()
        .into_iter()
        .filter(|(_, words)| words.contains('`') && !words.contains("[["))
        .collect();
    let mut compared = 0;
    for path in files("grafana/rules", ".yml")
        .iter()
        .chain(&files("grafana/dashboards", ".json"))
    {
        for (label, value) in matchers(&fs::read_to_string(path).unwrap()) {
            let Some(words) = labels.get(&*label) else {
                continue;
            };
            if value
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
            {
                assert!(
                    words.contains(&format!("`{value}`")),
                    "{}: {label} is never {value}",
                    path.display()
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "{compared}");
}
