//! What is wrong, in few lines: troubles flow in, worst first; a headline and a line for
//! each kind of trouble flow out.

use std::collections::BTreeMap;

use crate::status::troubles::{Severity, Subject, Trouble};

use super::words::count;

/// So many of a kind have a line each.
const TOLD_ALONE: usize = 3;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub sentence: String,
}

/// "2 faults, 1 warning", "All is well"; and how bad that is.
pub fn headline(troubles: &[Trouble]) -> (Option<Severity>, String) {
    let of = |severity| {
        let all = troubles.iter();
        all.filter(|trouble| trouble.severity == severity).count()
    };
    let counts: Vec<(Severity, String)> = [
        (Severity::Fault, "fault", "faults"),
        (Severity::Warning, "warning", "warnings"),
    ]
    .into_iter()
    .map(|(severity, one, many)| (severity, of(severity), one, many))
    .filter(|(_, number, _, _)| *number > 0)
    .map(|(severity, number, one, many)| (severity, count(number, one, many)))
    .collect();
    let Some((worst, _)) = counts.first() else {
        return (None, "All is well".to_owned());
    };
    let words: Vec<&str> = counts.iter().map(|(_, words)| &**words).collect();
    (Some(*worst), words.join(", "))
}

/// One line for many of a kind: a dead machine is not a line for each of its services.
pub fn lines(troubles: &[Trouble]) -> Vec<Line> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Vec<&Trouble>> = Vec::new();
    for trouble in troubles {
        let key = match trouble.subject {
            Subject::Prefix | Subject::Service => &trouble.kind,
            Subject::Sensor
            | Subject::Route
            | Subject::Uplink
            | Subject::Bird
            | Subject::Daemon => &trouble.sentence,
        };
        let place = *places.entry((trouble.subject, key)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(trouble),
            None => groups.push(vec![trouble]),
        }
    }
    groups
        .iter()
        .flat_map(|group| {
            let line = |trouble: &&Trouble, sentence| Line {
                severity: trouble.severity,
                sentence,
            };
            match group.as_slice() {
                [first, others @ ..] if group.len() > TOLD_ALONE => {
                    let others = match first.subject {
                        Subject::Prefix => count(others.len(), "other prefix", "other prefixes"),
                        Subject::Service
                        | Subject::Sensor
                        | Subject::Route
                        | Subject::Uplink
                        | Subject::Bird
                        | Subject::Daemon => count(others.len(), "other service", "other services"),
                    };
                    let sentence = format!(
                        "{}; the same is true of {others}",
                        without_explanation(&first.sentence)
                    );
                    vec![line(first, sentence)]
                }
                few => few
                    .iter()
                    .map(|trouble| line(trouble, trouble.sentence.clone()))
                    .collect(),
            }
        })
        .collect()
}

fn without_explanation(sentence: &str) -> &str {
    let end = ["; ", ", held by "]
        .into_iter()
        .filter_map(|mark| sentence.find(mark))
        .min();
    &sentence[..end.unwrap_or(sentence.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(subject: Subject, severity: Severity, sentence: &str) -> Trouble {
        Trouble {
            severity,
            subject,
            name: sentence.to_owned(),
            kind: "kind".into(),
            sentence: sentence.to_owned(),
        }
    }

    #[test]
    fn many_of_a_kind_are_one_line() {
        let service = |name: &str| trouble(Subject::Service, Severity::Fault, name);
        let prefix = |name: &str| {
            let sentence = format!("{name} is WITHDRAWN; it waits for the hold");
            trouble(Subject::Prefix, Severity::Fault, &sentence)
        };
        let bird = |name: &str| trouble(Subject::Bird, Severity::Warning, name);
        for (description, troubles, expected) in [
            ("none", Vec::new(), Vec::new()),
            (
                "three are told alone",
                ["a", "b", "c"].map(service).to_vec(),
                vec!["a", "b", "c"],
            ),
            (
                "five are not",
                ["a", "b", "c", "d", "e"].map(prefix).to_vec(),
                vec!["a is WITHDRAWN; the same is true of 4 other prefixes"],
            ),
            (
                "of different kinds",
                [["a", "b"].map(service), ["c", "d"].map(prefix)].concat(),
                vec![
                    "a",
                    "b",
                    "c is WITHDRAWN; it waits for the hold",
                    "d is WITHDRAWN; it waits for the hold",
                ],
            ),
            (
                "sessions are told one by one",
                ["a", "b", "c", "d"].map(bird).to_vec(),
                vec!["a", "b", "c", "d"],
            ),
        ] {
            let found: Vec<String> = lines(&troubles)
                .into_iter()
                .map(|line| line.sentence)
                .collect();
            assert_eq!(found, expected, "{description}");
        }
    }

    #[test]
    fn the_headline_counts_what_is_wrong() {
        use Severity::{Advice, Fault, Warning};

        let of = |severities: &[Severity]| {
            let troubles: Vec<Trouble> = severities
                .iter()
                .map(|severity| trouble(Subject::Service, *severity, "x"))
                .collect();
            headline(&troubles)
        };
        for (severities, expected) in [
            (vec![], (None, "All is well")),
            (vec![Advice], (None, "All is well")),
            (vec![Warning], (Some(Warning), "1 warning")),
            (
                vec![Fault, Fault, Warning, Advice],
                (Some(Fault), "2 faults, 1 warning"),
            ),
        ] {
            let expected = (expected.0, expected.1.to_owned());
            assert_eq!(of(&severities), expected, "{severities:?}");
        }
    }
}
