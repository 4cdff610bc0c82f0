//! What a report comes to.

use std::collections::BTreeSet;

use crate::kernels::catalog::Expected;
use crate::kernels::record::{Program, Record};

/// What came of the object under a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It loads, attaches in every way, and counts every connection.
    Loads,
    /// The kernel refuses it in every way, with this message.
    Refused(String),
    /// Neither, for this reason.
    Failed(String),
}

impl Verdict {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Self::Loads => "loads".to_owned(),
            Self::Refused(message) => format!("refused: {message}"),
            Self::Failed(why) => format!("FAILED: {why}"),
        }
    }

    /// Why it is not what was expected, if it is not.
    pub fn surprise(&self, expected: Expected) -> Option<String> {
        match (self, expected) {
            (Self::Loads, Expected::Loads) => None,
            (Self::Refused(message), Expected::Refused(part)) if message.contains(part) => None,
            (Self::Refused(message), Expected::Refused(part)) => {
                Some(format!("refused without saying \"{part}\": {message}"))
            }
            (Self::Loads, Expected::Refused(_)) => {
                Some("loads, where it was to be refused".to_owned())
            }
            (Self::Refused(_), Expected::Loads) | (Self::Failed(_), _) => Some(self.text()),
        }
    }
}

/// The programs; without all three, something was left out.
const PROGRAMS: [&str; 3] = ["lapwing_xdp", "lapwing_ingress", "lapwing_egress"];

/// Judges a report.
pub fn of(records: &[Record]) -> Verdict {
    let mut programs: Vec<&Program> = Vec::new();
    let mut refusals = Vec::new();
    let mut done = false;
    for record in records {
        match record {
            Record::Guest { .. } => {}
            Record::Program(program) => programs.push(program),
            Record::Refused {
                asked,
                trace,
                message,
            } => refusals.push((asked, trace, message)),
            Record::Broken { why } => return Verdict::Failed(why.clone()),
            Record::Done => done = true,
        }
    }
    if !done {
        return Verdict::Failed("the guest ended in the middle of it".to_owned());
    }
    match (programs.is_empty(), refusals.first()) {
        (true, Some((_, _, message))) => return Verdict::Refused((*message).clone()),
        (false, Some((asked, trace, message))) => {
            return Verdict::Failed(format!(
                "attach = {asked}, trace = {trace} is refused: {message}"
            ));
        }
        (_, None) => {}
    }
    if let Some(program) = programs.iter().find(|program| {
        let right = |count: &u64| *count == program.connections;
        !program.counted.values().all(right)
    }) {
        return Verdict::Failed(format!(
            "{} ({}) counted {:?} of {} connections",
            program.name, program.mode, program.counted, program.connections
        ));
    }
    let seen: BTreeSet<_> = programs
        .iter()
        .map(|program| program.name.as_str())
        .collect();
    match PROGRAMS.iter().find(|program| !seen.contains(*program)) {
        Some(missing) => Verdict::Failed(format!("{missing} was not tried")),
        None => Verdict::Loads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::record::samples::{program, refused};

    #[test]
    fn report_is_judged_by_all_of_it() {
        let xdp = |counted| program("auto", false, "ingress", "native", counted);
        let ingress = program("tc", false, "ingress", "tcx", 10);
        let egress = program("auto", false, "egress", "tcx", 10);
        let broken = Record::Broken {
            why: "no veth".to_owned(),
        };
        let failed = |why: &str| Verdict::Failed(why.to_owned());
        let done = Record::Done;
        let cases = [
            (
                "all three loaded and counted",
                vec![xdp(10), egress.clone(), ingress.clone(), done.clone()],
                Verdict::Loads,
            ),
            (
                "refused every time",
                vec![refused("too old"), refused("again"), done.clone()],
                Verdict::Refused("too old".to_owned()),
            ),
            (
                "refused once",
                vec![xdp(10), refused("no XDP"), done.clone()],
                failed("attach = auto, trace = false is refused: no XDP"),
            ),
            (
                "a connection was not counted",
                vec![xdp(9), egress.clone(), ingress.clone(), done.clone()],
                failed("lapwing_xdp (native) counted {\"syn\": 9} of 10 connections"),
            ),
            (
                "a program was left out",
                vec![xdp(10), egress, done.clone()],
                failed("lapwing_ingress was not tried"),
            ),
            (
                "the guest crashed",
                vec![xdp(10), ingress],
                failed("the guest ended in the middle of it"),
            ),
            ("the check failed", vec![broken, done], failed("no veth")),
            (
                "nothing",
                Vec::new(),
                failed("the guest ended in the middle of it"),
            ),
        ];
        for (description, records, expected) in cases {
            assert_eq!(of(&records), expected, "{description}");
        }
    }

    #[test]
    fn surprise_is_what_the_catalogue_does_not_say() {
        let refused = |message: &str| Verdict::Refused(message.to_owned());
        let old = Expected::Refused("needs 5.12");
        let cases = [
            (Verdict::Loads, Expected::Loads, false),
            (Verdict::Loads, old, true),
            (refused("Lapwing needs 5.12"), old, false),
            (refused("Invalid argument"), old, true),
            (refused("Lapwing needs 5.12"), Expected::Loads, true),
            (Verdict::Failed("x".to_owned()), Expected::Loads, true),
            (Verdict::Failed("needs 5.12".to_owned()), old, true),
        ];
        for (verdict, expected, surprises) in cases {
            let surprise = verdict.surprise(expected);
            assert_eq!(surprise.is_some(), surprises, "{verdict:?} {expected:?}");
        }
    }
}
