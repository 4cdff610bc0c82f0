//! What a guest wrote: one JSON object a line, as `load-check` makes them
//! (`tests/src/bin/load-check/record.rs`).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Which kernel runs.
    Guest { kernel: String },
    /// A program that was loaded and attached.
    Program(Program),
    /// The kernel refused the object, or a way of attaching.
    Refused {
        asked: String,
        trace: bool,
        message: String,
    },
    /// The check itself failed.
    Broken { why: String },
    /// All was tried.
    Done,
}

/// A program that was loaded and attached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Program {
    /// The way of attaching that was asked for.
    pub asked: String,
    /// Whether it was loaded with tracing on.
    pub trace: bool,
    /// Its name in the object.
    #[serde(rename = "program")]
    pub name: String,
    pub hook: String,
    /// How it came to the hook.
    pub mode: String,
    /// What the verifier walked, if the kernel says so.
    pub verified_instructions: Option<u32>,
    /// Connections made, of which each counter has to count every one.
    pub connections: u64,
    pub counted: BTreeMap<String, u64>,
}

/// Reads a report; a last line without its end was cut off, and is no line.
pub fn parse(report: &str) -> Result<Vec<Record>> {
    report
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line.trim())
                .with_context(|| format!("the guest wrote a line that is no record: {line}"))
        })
        .collect()
}

#[cfg(test)]
pub mod samples {
    use super::*;

    /// A program that counted so many of ten connections.
    pub fn program(asked: &str, trace: bool, hook: &str, mode: &str, counted: u64) -> Record {
        let program = match (hook, mode) {
            ("ingress", "native" | "generic") => "lapwing_xdp",
            ("ingress", _) => "lapwing_ingress",
            _ => "lapwing_egress",
        };
        Record::Program(Program {
            asked: asked.to_owned(),
            trace,
            name: program.to_owned(),
            hook: hook.to_owned(),
            mode: mode.to_owned(),
            verified_instructions: Some(if trace { 2500 } else { 1500 }),
            connections: 10,
            counted: BTreeMap::from([("syn".to_owned(), counted)]),
        })
    }

    /// A refusal.
    pub fn refused(message: &str) -> Record {
        Record::Refused {
            asked: "auto".to_owned(),
            trace: false,
            message: message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_is_read_as_the_guest_writes_it() {
        let report = concat!(
            r#"{"record":"guest","kernel":"6.1.0"}"#,
            "\r\n",
            r#"{"record":"program","asked":"auto","trace":false,"program":"lapwing_xdp","#,
            r#""hook":"ingress","mode":"native","verified_instructions":1500,"#,
            r#""connections":10,"counted":{"syn":10}}"#,
            "\r\n",
            r#"{"record":"done"}"#,
            "\r\n",
            r#"{"record":"br"#,
        );
        let records = parse(report).expect("all lines are records");
        assert_eq!(
            records,
            [
                Record::Guest {
                    kernel: "6.1.0".to_owned()
                },
                samples::program("auto", false, "ingress", "native", 10),
                Record::Done,
            ]
        );
    }

    #[test]
    fn kernel_that_does_not_tell_the_count_is_understood() {
        let report = concat!(
            r#"{"record":"program","asked":"tc","trace":false,"program":"lapwing_egress","#,
            r#""hook":"egress","mode":"clsact","verified_instructions":null,"#,
            r#""connections":10,"counted":{}}"#,
            "\n"
        );
        let records = parse(report).expect("a record");
        assert!(matches!(
            records.as_slice(),
            [Record::Program(Program {
                verified_instructions: None,
                ..
            })]
        ));
    }

    #[test]
    fn line_that_is_no_record_is_shown() {
        let error = format!("{:#}", parse("Oops: 0002\n").expect_err("no record"));
        assert!(error.contains("Oops: 0002"), "{error}");
    }
}
