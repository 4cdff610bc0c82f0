//! Mistakes and how they are shown: place, the text itself, remedy.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where in the text, in bytes.
    place: Range<usize>,
    /// What is wrong.
    title: String,
    /// What is wrong right there; may be empty.
    label: String,
    /// What to do about it.
    help: String,
    /// Another place that matters, and why.
    context: Option<(Range<usize>, String)>,
}

impl Finding {
    /// A mistake at `place`.
    pub fn new(
        place: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            place,
            title: title.into(),
            label: label.into(),
            help: help.into(),
            context: None,
        }
    }

    /// Also shows `place`.
    #[must_use]
    pub fn with_context(mut self, place: Range<usize>, label: impl Into<String>) -> Self {
        self.context = Some((place, label.into()));
        self
    }

    fn group<'a>(&'a self, path: &'a str, text: &'a str) -> Group<'a> {
        let mut snippet = Snippet::source(text).path(path);
        let mut primary = AnnotationKind::Primary.span(within(&self.place, text));
        if !self.label.is_empty() {
            primary = primary.label(&self.label);
        }
        snippet = snippet.annotation(primary);
        if let Some((place, label)) = &self.context {
            snippet = snippet.annotation(
                AnnotationKind::Context
                    .span(within(place, text))
                    .label(label),
            );
        }
        Level::ERROR
            .primary_title(&self.title)
            .element(snippet)
            .element(Level::HELP.message(&self.help))
    }
}

/// The place, cut to the text and to its first line: a mistake in a table or a
/// long array is shown where it begins.
fn within(place: &Range<usize>, text: &str) -> Range<usize> {
    let start = floor_boundary(text, place.start);
    let end = floor_boundary(text, place.end).max(start);
    let line_end = text[start..]
        .find(['\n', '\r'])
        .map_or(text.len(), |offset| start + offset);
    start..end.min(line_end)
}

fn floor_boundary(text: &str, position: usize) -> usize {
    let mut position = position.min(text.len());
    while !text.is_char_boundary(position) {
        position -= 1;
    }
    position
}

/// One mistake, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mistake {
    /// The line, from 1; none if it is in no line.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What is wrong right there.
    pub here: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// All mistakes of one file, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    path: PathBuf,
    text: String,
    findings: Vec<Finding>,
}

impl Report {
    /// The mistakes of `text`, which was read from `path`.
    pub fn new(path: &Path, text: &str, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.place.start);
        findings.dedup();
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            findings,
        }
    }

    /// How many mistakes there are.
    pub fn count(&self) -> usize {
        self.findings.len()
    }

    /// The mistakes, for programs.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let text = |words: &str| (!words.is_empty()).then(|| words.to_owned());
        self.findings
            .iter()
            .map(|finding| {
                let before = &self.text[..floor_boundary(&self.text, finding.place.start)];
                let line_start = before.rfind('\n').map_or(0, |end| end + 1);
                Mistake {
                    line: Some(before.matches('\n').count() + 1),
                    column: Some(before[line_start..].chars().count() + 1),
                    what: finding.title.clone(),
                    here: text(&finding.label),
                    remedy: text(&finding.help),
                }
            })
            .collect()
    }

    /// The report as text, coloured for a terminal or plain.
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .decor_style(DecorStyle::Ascii)
        .term_width(120);
        let path = self.path.display().to_string();
        let mut parts: Vec<String> = self
            .findings
            .iter()
            .map(|finding| renderer.render(&[finding.group(&path, &self.text)]))
            .collect();
        if parts.len() > 1 {
            parts.push(format!("{} mistakes in {path}", parts.len()));
        }
        parts.join("\n\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}
