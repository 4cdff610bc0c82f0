//! Reads one TOML table: knows its keys, their places and what to say when one is
//! unknown, missing or of the wrong kind.

use std::{cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::Table,
    report::Finding,
    value::{Fault, Value},
};

/// Collects mistakes while reading goes on.
#[derive(Debug, Default)]
pub struct Findings(RefCell<Vec<Finding>>);

impl Findings {
    /// Notes one.
    pub fn push(&self, finding: Finding) {
        self.0.borrow_mut().push(finding);
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Finding> {
        self.0.into_inner()
    }
}

/// One table of the file.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// As the operator writes it: `[daemon]`, `[[prefix.service]]`, `probe`.
    name: &'static str,
    place: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    /// Keys that were meant by unknown ones: wrong, but not missing.
    misspelt: Vec<String>,
    findings: &'a Findings,
}

impl<'a> Section<'a> {
    /// A table that is there. Every key that is not in `keys` is a mistake.
    pub fn new(
        name: &'static str,
        place: Range<usize>,
        table: &'a DeTable<'a>,
        keys: &[&str],
        findings: &'a Findings,
    ) -> Self {
        let mut misspelt = Vec::new();
        for key in table.keys() {
            let written: &str = key.get_ref();
            if !keys.contains(&written) {
                let meant = nearest(written, keys);
                findings.push(unknown_key(name, key, meant, keys));
                misspelt.extend(meant.map(ToOwned::to_owned));
            }
        }
        Self {
            name,
            place,
            table: Some(table),
            misspelt,
            findings,
        }
    }

    /// The section under `key`, or one without entries.
    pub fn table(&self, key: &str, known: &Table) -> Self {
        self.inner(key, known.name, &known.names())
    }

    /// The table under `key`, or one without entries; `name` is how it is written.
    pub fn inner(&self, key: &str, name: &'static str, keys: &[&str]) -> Self {
        let empty = Self {
            name,
            place: self.place.clone(),
            table: None,
            misspelt: Vec::new(),
            findings: self.findings,
        };
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return empty;
        };
        if let DeValue::Table(table) = value.get_ref() {
            Self::new(name, value.span(), table, keys, self.findings)
        } else {
            self.findings.push(Finding::new(
                value.span(),
                format!("`{key}` must be a table"),
                format!("this is {}", article(value.get_ref().type_str())),
                format!("write it as `{name}` with its keys below"),
            ));
            empty
        }
    }

    /// The tables of the array under `key`.
    pub fn tables(&self, key: &str, known: &Table) -> Vec<Self> {
        let (name, keys) = (known.name, known.names());
        let Some(value) = self.table.and_then(|table| table.get(key)) else {
            return Vec::new();
        };
        let wrong = |value: &Spanned<DeValue<'_>>| {
            self.findings.push(Finding::new(
                value.span(),
                format!("`{key}` must be a list of tables"),
                format!("this is {}", article(value.get_ref().type_str())),
                format!("write each one as `{name}`, in double brackets, with its keys below"),
            ));
        };
        let DeValue::Array(array) = value.get_ref() else {
            wrong(value);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array {
            if let DeValue::Table(table) = item.get_ref() {
                sections.push(Self::new(name, item.span(), table, &keys, self.findings));
            } else {
                wrong(item);
            }
        }
        sections
    }

    /// Whether the key is written, rightly or not.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The place of the key's value, or of the whole section.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.table
            .and_then(|table| table.get(key))
            .map_or_else(|| self.place.clone(), Spanned::span)
    }

    /// Where the section begins.
    pub fn own_place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// The raw value.
    pub fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.and_then(|table| table.get(key))
    }

    /// The value, with its place; none if it is not written or wrong, and then that
    /// is noted.
    pub fn read_spanned<T>(
        &self,
        key: &str,
        parse: impl FnOnce(Value<'_>) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let value = self.raw(key)?;
        match parse(Value::new(value.get_ref())) {
            Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
            Err(fault) => {
                self.findings.push(Finding::new(
                    value.span(),
                    format!("`{key}` {}", fault.problem),
                    fault.label,
                    fault.help,
                ));
                None
            }
        }
    }

    /// The value; none if it is not written or wrong.
    pub fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(Value<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        self.read_spanned(key, parse).map(Spanned::into_inner)
    }

    /// The value of a key that must be written.
    pub fn require<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl FnOnce(Value<'_>) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        if !self.has(key) && !self.misspelt.iter().any(|meant| meant == key) {
            self.findings.push(Finding::new(
                self.place.clone(),
                format!("`{key}` is missing in {}", self.name),
                format!("needs `{key}`"),
                format!("add a line such as `{key} = {example}`"),
            ));
        }
        self.read_spanned(key, parse)
    }
}

fn unknown_key(
    section: &str,
    key: &Spanned<impl AsRef<str>>,
    meant: Option<&str>,
    keys: &[&str],
) -> Finding {
    let written = key.get_ref().as_ref();
    let help = match meant {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("{section} knows {}", list(keys)),
    };
    Finding::new(
        key.span(),
        format!("unknown key `{written}` in {section}"),
        "not a key of this section",
        help,
    )
}

/// "`a`, `b` and `c`".
pub fn list(items: &[&str]) -> String {
    enumerated(items, "and")
}

/// "`a`, `b` or `c`".
pub fn either(items: &[&str]) -> String {
    enumerated(items, "or")
}

fn enumerated(items: &[&str], before_last: &str) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => format!("`{one}`"),
        [first @ .., last] => format!(
            "{} {before_last} `{last}`",
            first
                .iter()
                .map(|item| format!("`{item}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// "a string", "an integer".
pub fn article(kind: &str) -> String {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        format!("an {kind}")
    } else {
        format!("a {kind}")
    }
}

/// The known word that was probably meant: at most a third of it mistyped.
pub fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|word| (edit_distance(written, word), *word))
        .filter(|(distance, word)| *distance <= (word.len().max(written.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` of `b`
/// (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_found_and_a_far_one_is_not() {
        let known = ["address", "port", "name", "probe", "patience"];
        for (written, expected) in [
            ("adress", Some("address")),
            ("prot", Some("port")),
            ("nmae", Some("name")),
            ("patients", Some("patience")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, &known), expected, "{written}");
        }
    }
}
