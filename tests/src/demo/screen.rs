//! How the demo looks: plain lines of at most 96 columns, colours only on a
//! terminal.

use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};

use probe_user::colours;

use crate::lab::{
    load::Interval,
    topology::{Family, Site},
};

const WIDTH: usize = 96;
/// Where the text of a timeline entry begins.
const INDENT: usize = 25;

/// The meaning of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary.
    Plain,
    /// Something breaks.
    Bad,
    /// Something is well again.
    Good,
    /// A heading.
    Strong,
    /// An aside.
    Faint,
}

/// The terminal or file that the demo writes to.
pub struct Screen {
    colours: bool,
    start: Instant,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self {
            colours: colours::wanted_on(&io::stdout()),
            start: Instant::now(),
        }
    }

    /// Since the demo began.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// One line.
    pub fn line(&self, tone: Tone, text: &str) {
        println!("{}", self.paint(tone, text));
        // A pipe must see it as it happens, too.
        let _ = io::stdout().flush();
    }

    /// A heading with an empty line before it.
    pub fn heading(&self, text: &str) {
        println!();
        self.line(Tone::Strong, text);
    }

    /// A step of the set-up, with the time since the start.
    pub fn step(&self, text: &str) {
        self.line(
            Tone::Faint,
            &format!("  {:>5.1} s  {text}", self.elapsed().as_secs_f64()),
        );
    }

    /// An entry of the timeline: milliseconds since the fault, who says so, what.
    pub fn entry(&self, millis: f64, witness: &str, tone: Tone, text: &str) {
        let mut lines = wrap(text, WIDTH - INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        let head = self.paint(
            Tone::Faint,
            &format!("{:>11} ms  {witness:<9}", group(millis)),
        );
        println!("{head}{}", self.paint(tone, &first));
        for line in lines {
            println!("{:INDENT$}{}", "", self.paint(tone, &line));
        }
        let _ = io::stdout().flush();
    }

    /// Who serves the clients, over one second or so.
    pub fn traffic(&self, sum: &Interval, span: Duration) {
        const BAR: usize = 24;
        let all: u32 = Site::ALL.iter().map(|site| sum.answers(*site)).sum();
        for site in Site::ALL {
            let answers = sum.answers(site);
            let filled = usize::try_from(u64::from(answers) * BAR as u64 / u64::from(all.max(1)))
                .unwrap_or(0);
            let rate = |family| f64::from(sum.answers_of(site, family)) / span.as_secs_f64();
            self.line(
                Tone::Plain,
                &format!(
                    "  traffic  {site}  {}{}  IPv4 {:>5.0}/s  IPv6 {:>5.0}/s",
                    "#".repeat(filled),
                    ".".repeat(BAR - filled),
                    rate(Family::V4),
                    rate(Family::V6),
                ),
            );
        }
    }

    fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Bad => "\x1b[31m",
            Tone::Good => "\x1b[32m",
            Tone::Strong => "\x1b[1m",
            Tone::Faint => "\x1b[2m",
        };
        if self.colours && !code.is_empty() {
            format!("{code}{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// Milliseconds with a sign, one decimal and thousands apart: `+12,345.6`.
pub fn group(millis: f64) -> String {
    let text = format!("{:.1}", millis.abs());
    let (whole, decimal) = text.split_once('.').unwrap_or((&text, "0"));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if millis < 0.0 { '-' } else { '+' };
    format!("{sign}{grouped}.{decimal}")
}

/// Lines of at most `width` columns, broken at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{group, wrap};

    #[test]
    fn milliseconds_are_grouped() {
        for (millis, expected) in [
            (0.0, "+0.0"),
            (12.34, "+12.3"),
            (-0.5, "-0.5"),
            (1234.5, "+1,234.5"),
            (1_000_000.0, "+1,000,000.0"),
        ] {
            assert_eq!(group(millis), expected);
        }
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
    }
}
