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

    /// What an `Accept` header asks for (RFC 9110 section 12.5.1): the classic format
    /// only where it is preferred by name, so that wildcards get `OpenMetrics`.
    pub fn asked_for(accept: &str) -> Self {
        if quality(accept, "text/plain") > quality(accept, "application/openmetrics-text") {
            Self::Classic
        } else {
            Self::OpenMetrics
        }
    }
}

/// The weight of a media type in an `Accept` header; 0 where it is not named.
fn quality(accept: &str, wanted: &str) -> f32 {
    accept
        .split(',')
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts
                .next()
                .filter(|media| media.eq_ignore_ascii_case(wanted))?;
            Some(
                parts
                    .find_map(|part| part.strip_prefix("q="))
                    .map_or(1.0, |weight| weight.parse().unwrap_or(0.0)),
            )
        })
        .fold(0.0, f32::max)
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

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_preferred_format_is_given() {
        for (accept, format) in [
            ("", Format::OpenMetrics),
            ("*/*", Format::OpenMetrics),
            ("text/html,*/*;q=0.8", Format::OpenMetrics),
            ("text/plain", Format::Classic),
            (
                "TEXT/PLAIN; version=0.0.4; q=0.5, */*;q=0.1",
                Format::Classic,
            ),
            (
                "application/openmetrics-text; q=0.2, text/plain; q=0.9",
                Format::Classic,
            ),
            // What Prometheus 2.42 sends.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain;q=none", Format::OpenMetrics),
        ] {
            assert_eq!(Format::asked_for(accept), format, "{accept}");
        }
    }
}
