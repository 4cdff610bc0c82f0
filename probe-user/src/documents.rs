//! `docs/json.md` and `docs/schema/`: what programs read from Lapwing, as the types say it.
//!
//! `LAPWING_BLESS=1 cargo test -p probe-user documents` rewrites them. What the commands
//! really print is held against the schemas by `tests/tests/documents`.

mod table;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use schemars::{Schema, generate::SchemaSettings};

use crate::{check, control, doctor, explain, http, journal, replay, simulate, status};

/// One kind of document.
struct Document {
    /// The name of its schema.
    name: &'static str,
    /// Who prints it.
    printed_by: &'static str,
    /// What there is to say beside the fields.
    note: &'static str,
    /// A document whose fields it has, too: they are not listed again.
    like: Option<Schema>,
    schema: Schema,
}

fn schema<T: schemars::JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>()
}

fn all() -> [Document; 11] {
    [
        Document {
            name: "status",
            printed_by: "`lapwing status --json`",
            note: "In one line. The control socket answers `{\"cmd\":\"status\"}` with the same.",
            like: None,
            schema: schema::<status::Document>(),
        },
        Document {
            name: "api-status",
            printed_by: "`GET /api/v1/status`",
            note: "For everybody on the host ([page.md](page.md#the-api)): the fields of [status](#status) \
                   but `pid`, and these.",
            like: Some(schema::<status::Document>()),
            schema: schema::<http::Status<'_>>(),
        },
        Document {
            name: "decisions",
            printed_by: "`GET /api/v1/decisions?limit=N`",
            note: "",
            like: None,
            schema: schema::<http::DecisionList<'_>>(),
        },
        Document {
            name: "explain",
            printed_by: "`lapwing explain ID --json`",
            note: "The fields of a record stand in [design.md](design.md#journal).",
            like: None,
            schema: schema::<explain::Explanation>(),
        },
        Document {
            name: "journal-summary",
            printed_by: "`lapwing journal summary --json`",
            note: "",
            like: None,
            schema: schema::<journal::summary::Summary>(),
        },
        Document {
            name: "journal-verify",
            printed_by: "`lapwing journal verify --json`",
            note: "Exit code 3 if `broken` is not `null`.",
            like: None,
            schema: schema::<journal::verify::Report>(),
        },
        Document {
            name: "doctor",
            printed_by: "`lapwing doctor --json`",
            note: "Exit code 3 if `grade` is `\"fail\"`.",
            like: None,
            schema: schema::<doctor::Report>(),
        },
        Document {
            name: "check",
            printed_by: "`lapwing check FILE --json`",
            note: "Exit code 2 if `good` is `false`; the report for people is then on stderr.",
            like: None,
            schema: schema::<check::Document>(),
        },
        Document {
            name: "reload",
            printed_by: "`lapwing reload --json`",
            note: "Also with `--check`. Exit code 2 if `refused` is not `null`; the report is \
                   then on stderr, too.",
            like: None,
            schema: schema::<control::Reloaded>(),
        },
        Document {
            name: "replay",
            printed_by: "`lapwing replay FILE --json`",
            note: "",
            like: None,
            schema: schema::<replay::Summary<'_>>(),
        },
        Document {
            name: "simulate",
            printed_by: "`lapwing simulate --json`",
            note: "Exit code 1 if a scenario has `violations`. `lapwing simulate --with FILE` \
                   reads it.",
            like: None,
            schema: schema::<simulate::Document<'_>>(),
        },
    ]
}

const INTRODUCTION: &str = "\
# JSON for programs

This page and the schemas in `schema/` are made from the types; do not edit them.
`LAPWING_BLESS=1 cargo test -p probe-user documents` makes them again, and the same test
fails where they are not what the types say. What the commands really print is held against
the schemas, too.

- Documents only grow: fields are added, none changes its meaning before a new major version.
  Ignore what you do not know.
- A field whose type ends in *or null* is always there, and `null` while its value is not known
  or there is none. A field that may be left out says so.
- Seconds are decimal numbers. Fields in `_ns`, and `until` of an order, are nanoseconds; the
  latter of the host's monotonic clock. A duration as an object has `secs` and `nanos`.
- Exit codes are those of the command without `--json`; errors are told on stderr.
- The journal itself is JSON lines: [design.md](design.md#journal). Figures over time are
  metrics: [metrics.md](metrics.md).

`pin`, `unpin`, `drain`, `undrain`, `freeze`, `thaw`, `attach` and `detach` print a sentence
each for people and have no `--json`: their exit code says all, and `lapwing status --json`
shows what came of it.

In the tables `[]` stands for each element of a list, `.*` for each key of a map.
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut undescribed = Vec::new();
    for document in all() {
        let Document {
            name,
            printed_by,
            note,
            like,
            schema,
        } = document;
        let listed = like.map_or_else(Vec::new, |like| table::rows(like.as_value()));
        write!(
            page,
            "\n## {name}\n\n{printed_by}, [schema](schema/{name}.json). {note}"
        )
        .unwrap();
        page.truncate(page.trim_end().len());
        page += "\n\n| field | type | what |\n|---|---|---|\n";
        let rows = table::rows(schema.as_value());
        for row in rows.iter().filter(|row| !listed.contains(row)) {
            if row.meaning.is_empty() {
                undescribed.push(format!("{name}: {}", row.path));
            }
            writeln!(page, "| `{}` | {} | {} |", row.path, row.kind, row.meaning).unwrap();
        }
    }
    assert!(undescribed.is_empty(), "not described: {undescribed:#?}");
    page
}

/// What has to stand in `docs/`: file and text.
fn files() -> Vec<(String, String)> {
    let mut files = vec![("json.md".to_owned(), page())];
    for document in all() {
        let text = serde_json::to_string_pretty(&document.schema).unwrap() + "\n";
        files.push((format!("schema/{}.json", document.name), text));
    }
    files
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn page_and_schemas_are_what_the_types_say() {
    for (name, text) in files() {
        let path = docs().join(&name);
        if std::env::var_os("LAPWING_BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == text,
            "docs/{name} is out of date: LAPWING_BLESS=1 cargo test -p probe-user documents"
        );
    }
    // None is left of a document that is gone.
    let written: BTreeSet<String> = fs::read_dir(docs().join("schema"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let known = all().map(|document| format!("{}.json", document.name));
    assert_eq!(written, known.into());
}
