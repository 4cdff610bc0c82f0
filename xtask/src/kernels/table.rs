//! The results as people and programs read them: tables for the terminal and for the
//! documentation, and JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::kernels::catalog::Kernel;
use crate::kernels::image::Image;
use crate::kernels::record::Record;
use crate::kernels::verdict::Verdict;

/// What came of one kernel.
#[derive(Debug, Serialize)]
pub struct Row {
    /// As it is asked for.
    pub kernel: String,
    /// What came of it.
    #[serde(serialize_with = "in_words")]
    pub verdict: Verdict,
    /// Why that is not what was expected.
    pub surprise: Option<String>,
    suite: &'static str,
    package: Option<String>,
    version: Option<String>,
    release: Option<String>,
    /// The pairs of ingress and egress that were attached.
    attached: Vec<String>,
    /// What the verifier walked, by program; `None` where the kernel does not say.
    verified_instructions: BTreeMap<String, Option<u32>>,
    /// The same with tracing on.
    verified_instructions_with_trace: BTreeMap<String, Option<u32>>,
}

/// Program, title.
const PROGRAMS: [(&str, &str); 3] = [
    ("lapwing_xdp", "XDP"),
    ("lapwing_ingress", "tc ingress"),
    ("lapwing_egress", "tc egress"),
];

impl Row {
    pub fn new(
        kernel: &Kernel,
        image: Option<&Image>,
        verdict: Verdict,
        records: &[Record],
    ) -> Self {
        let mut row = Self {
            kernel: kernel.name.to_owned(),
            surprise: verdict.surprise(kernel.expected),
            verdict,
            suite: kernel.suite.name,
            package: image.map(|image| image.package.clone()),
            version: image.map(|image| image.version.clone()),
            release: None,
            attached: Vec::new(),
            verified_instructions: BTreeMap::new(),
            verified_instructions_with_trace: BTreeMap::new(),
        };
        row.read(records);
        row
    }

    fn read(&mut self, records: &[Record]) {
        let mut ingress = None;
        for record in records {
            match record {
                Record::Guest { kernel } => self.release = Some(kernel.clone()),
                Record::Program(program) => {
                    let verified = if program.trace {
                        &mut self.verified_instructions_with_trace
                    } else {
                        &mut self.verified_instructions
                    };
                    verified.insert(program.name.clone(), program.verified_instructions);
                    // A report tells of both hooks together, ingress first.
                    if program.hook == "ingress" {
                        ingress = Some(program.mode.clone());
                    } else if let Some(ingress) = ingress.take() {
                        let pair = format!("{ingress} + {}", program.mode);
                        if !self.attached.contains(&pair) {
                            self.attached.push(pair);
                        }
                    }
                }
                Record::Refused { .. } | Record::Broken { .. } | Record::Done => {}
            }
        }
    }

    fn name(&self) -> String {
        self.release.clone().unwrap_or_else(|| self.kernel.clone())
    }
}

/// JSON, an object a kernel.
pub fn json(rows: &[Row]) -> Result<String> {
    Ok(serde_json::to_string_pretty(rows)?)
}

/// For the terminal.
pub fn text(rows: &[Row]) -> String {
    format!("{}\n{}", kernels(rows).aligned(), verified(rows).aligned())
}

/// docs/kernels.md.
pub fn document(rows: &[Row]) -> String {
    format!(
        "# Kernels\n\
         \n\
         The eBPF object under Debian's kernels, written by `cargo xtask kernels --write`.\n\
         Each is booted in an emulator (QEMU without virtualization) with one static\n\
         program as its init. It loads the object through the daemon's own code, attaches it\n\
         to one end of a veth pair in every way there is, lets connections come over IPv4 and\n\
         IPv6 from a second network namespace, and compares the counters with the number of\n\
         connections. \"Loads\" means that all of this held, in every way of attaching, and\n\
         with tracing on.\n\
         \n\
         {}\
         \n\
         \"Attached\" is the hook for ingress and that for egress. Kernels before 6.6 have no\n\
         tcx; the daemon then takes clsact filters by itself.\n\
         \n\
         ## Verified instructions\n\
         \n\
         What the verifier walked, of a million allowed (`verified_insns` of the kernel's\n\
         `bpf_prog_info`). It is a measure of how near a program is to being refused, not of\n\
         its speed. A veth pair is a virtual link, so the object is loaded as for one: it\n\
         accepts partial checksums.\n\
         \n\
         {}",
        kernels(rows).markdown(),
        verified(rows).markdown()
    )
}

fn kernels(rows: &[Row]) -> Table {
    Table {
        header: ["kernel", "package version", "suite", "attached", "result"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows
            .iter()
            .map(|row| {
                vec![
                    row.name(),
                    row.version.clone().unwrap_or_default(),
                    row.suite.to_owned(),
                    row.attached.join(", "),
                    first_line(&row.verdict.text()).to_owned(),
                ]
            })
            .collect(),
    }
}

fn verified(rows: &[Row]) -> Table {
    let plain = PROGRAMS.map(|(_, title)| title.to_owned());
    let traced = PROGRAMS.map(|(_, title)| format!("{title}, tracing"));
    let mut header = vec!["kernel".to_owned()];
    header.extend(plain);
    header.extend(traced);
    Table {
        header,
        rows: rows
            .iter()
            .filter(|row| !row.verified_instructions.is_empty())
            .map(|row| {
                let mut cells = vec![row.name()];
                for counts in [
                    &row.verified_instructions,
                    &row.verified_instructions_with_trace,
                ] {
                    cells.extend(PROGRAMS.map(|(program, _)| match counts.get(program) {
                        None => String::new(),
                        Some(None) => "not told".to_owned(),
                        Some(Some(count)) => grouped(*count),
                    }));
                }
                cells
            })
            .collect(),
    }
}

/// The verifier may have said much; all of it is in JSON and where a surprise is told.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A number with its thousands apart.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn in_words<S: serde::Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&verdict.text())
}

struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.header).chain(&self.rows)
    }

    fn aligned(&self) -> String {
        let width = |column: usize| self.lines().map(|line| line[column].len()).max();
        let widths: Vec<_> = (0..self.header.len()).filter_map(width).collect();
        let mut text = String::new();
        for line in self.lines() {
            let cells: Vec<_> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            text += cells.join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let mut lines: Vec<_> = self
            .lines()
            .map(|line| format!("| {} |\n", line.join(" | ")))
            .collect();
        lines.insert(1, format!("|{}\n", "---|".repeat(self.header.len())));
        lines.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::catalog;
    use crate::kernels::record::samples::{program, refused};
    use crate::kernels::verdict;

    fn rows() -> Vec<Row> {
        let kernels = catalog::chosen(&["5.10".to_owned(), "6.1".to_owned()]).expect("both");
        let guest = |kernel: &str| Record::Guest {
            kernel: kernel.to_owned(),
        };
        let records = [
            vec![
                guest("5.10.0"),
                refused("Lapwing needs kernel 5.12 or later\nprocessed 0 insns"),
                Record::Done,
            ],
            vec![
                guest("6.1.0"),
                program("auto", false, "ingress", "native", 10),
                program("auto", false, "egress", "clsact", 10),
                program("tc", false, "ingress", "clsact", 10),
                program("tc", false, "egress", "clsact", 10),
                program("clsact", false, "ingress", "clsact", 10),
                program("clsact", false, "egress", "clsact", 10),
                program("auto", true, "ingress", "native", 10),
                program("auto", true, "egress", "clsact", 10),
                Record::Done,
            ],
        ];
        kernels
            .into_iter()
            .zip(records)
            .map(|(kernel, records)| Row::new(kernel, None, verdict::of(&records), &records))
            .collect()
    }

    #[test]
    fn terminal_shows_what_came_of_each_and_what_was_verified() {
        assert_eq!(
            text(&rows()),
            "\
kernel  package version  suite              attached                          result
5.10.0                   bullseye-security                                    refused: Lapwing needs kernel 5.12 or later
6.1.0                    bookworm           native + clsact, clsact + clsact  loads

kernel  XDP    tc ingress  tc egress  XDP, tracing  tc ingress, tracing  tc egress, tracing
6.1.0   1,500  1,500       1,500      2,500                              2,500
"
        );
    }

    #[test]
    fn document_has_a_row_for_each_kernel() {
        let document = document(&rows());
        assert!(
            document
                .contains("| 6.1.0 |  | bookworm | native + clsact, clsact + clsact | loads |\n")
        );
        assert!(document.contains("| 6.1.0 | 1,500 | 1,500 | 1,500 | 2,500 |  | 2,500 |\n"));
        assert!(document.ends_with("|\n"));
    }

    #[test]
    fn json_has_the_numbers_by_program() {
        let rows = rows();
        let text = json(&rows).expect("rows are JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value[1]["verified_instructions"]["lapwing_xdp"], 1500);
        assert_eq!(value[0]["surprise"], serde_json::Value::Null);
        assert_eq!(value[1]["verdict"], "loads");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
    }
}
