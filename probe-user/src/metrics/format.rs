//! The two text formats that Prometheus scrapes.
//!
//! The encoder writes `OpenMetrics`; the classic format is made of it line by line. They
//! differ in the comments only: in the classic one a family has the name of its samples,
//! there is no unit, no information and no end.

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Classic,
}

impl Format {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::OpenMetrics, Self::Classic];

    /// The media type, for the header of an answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// `OpenMetrics` text as classic text.
pub(super) fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        // The type, which says by which name a family goes, comes behind the help.
        if let Some(rest) = comment.strip_prefix("HELP ") {
            help = rest;
        } else if let Some(rest) = comment.strip_prefix("TYPE ") {
            let (family, metric_type) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, metric_type) = match metric_type {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            let words = help.split_once(' ').map_or("", |(_, words)| words);
            for line in [
                ["# HELP ", family, suffix, " ", words, "\n"],
                ["# TYPE ", family, suffix, " ", metric_type, "\n"],
            ] {
                text.extend(line);
            }
        }
    }
    text
}
