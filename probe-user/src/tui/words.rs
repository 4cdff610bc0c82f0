//! Figures and times in the words of the live page, and text in lines.

use std::time::SystemTime;

use ratatui::text::Span;

/// "0.5 %", "42 %".
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if value != 0.0 && value < 10.0 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// "250 µs", "3.1 ms", "1.2 s".
pub fn time(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 0.1 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// "90 s", "12 min", "3 h 12 min", "4 days". Coarse, so that it changes seldom.
pub fn span(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    match seconds {
        ..120.0 => format!("{:.0} s", seconds.max(0.0).floor()),
        ..7200.0 => format!("{:.0} min", minutes.floor()),
        ..172_800.0 => format!(
            "{:.0} h {:.0} min",
            (minutes / 60.0).floor(),
            (minutes % 60.0).floor()
        ),
        _ => format!("{:.0} days", (minutes / 1440.0).floor()),
    }
}

/// A number a second.
pub fn rate(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// "1 service", "1,000 services".
pub fn count(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", self::number(number))
}

/// "1,000".
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A name that programs read, for people.
pub fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// "10:00:00 UTC".
pub fn clock(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    format!("{} UTC", text.get(11..19).unwrap_or(&text))
}

/// The time of day of a moment (RFC 3339), or the day if it was another one than today.
pub fn moment(time: &str, now: SystemTime) -> &str {
    let today = humantime::format_rfc3339_seconds(now).to_string();
    let part = if time.get(..10) == today.get(..10) {
        time.get(11..19)
    } else {
        time.get(..10)
    };
    part.unwrap_or(time)
}

/// How many columns a text takes.
pub fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A moment (RFC 3339) to the second.
pub fn date(time: &str) -> String {
    let second = time.get(..19).unwrap_or(time);
    format!("{} UTC", second.replace('T', " "))
}

/// The text in lines of at most so many columns. A number stays with what it counts; a word
/// that is longer than a line is broken.
pub fn wrap(text: &str, columns: u16) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in unbreakable(paragraph) {
            if !line.is_empty() && width(&line) + 1 + width(&word) > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            for letter in word.chars() {
                if width(&line) >= columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(letter);
            }
        }
        lines.push(line);
    }
    lines
}

/// Where a text may be broken: between words, but not after a number.
fn unbreakable(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match words.last_mut() {
            Some(last) if is_number(last.rsplit(' ').next().unwrap_or(last)) => {
                last.push(' ');
                last.push_str(word);
            }
            Some(_) | None => words.push(word.to_owned()),
        }
    }
    words
}

fn is_number(word: &str) -> bool {
    !word.is_empty()
        && word
            .chars()
            .all(|letter| letter.is_ascii_digit() || letter == '.')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_those_of_the_page() {
        let found = [
            percent(0.0),
            percent(0.0052),
            percent(0.5),
            time(0.000_25),
            time(0.0031),
            time(0.25),
            time(1.23),
            span(90.4),
            span(725.0),
            span(11_520.7),
            span(400_000.0),
            rate(1.25),
            rate(1023.4),
            count(1, "service", "services"),
            count(1000, "service", "services"),
        ];
        let expected = [
            "0 %",
            "0.5 %",
            "50 %",
            "250 µs",
            "3.1 ms",
            "250 ms",
            "1.2 s",
            "90 s",
            "12 min",
            "3 h 12 min",
            "4 days",
            "1.2",
            "1023",
            "1 service",
            "1,000 services",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_moment_of_today_has_no_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        assert_eq!(moment("1970-01-01T00:30:00Z", now), "00:30:00");
        assert_eq!(moment("1969-12-31T23:30:00Z", now), "1969-12-31");
        assert_eq!(moment("soon", now), "soon");
        assert_eq!(date("1970-01-01T00:30:00.123Z"), "1970-01-01 00:30:00 UTC");
        assert_eq!(clock(now), "01:00:00 UTC");
    }

    #[test]
    fn text_is_broken_between_words_if_it_can_be() {
        for (text, columns, expected) in [
            ("all is well", 80, vec!["all is well"]),
            ("all is well", 6, vec!["all is", "well"]),
            (
                "2001:db8:a::/48 gone",
                8,
                vec!["2001:db8", ":a::/48", "gone"],
            ),
            ("one\ntwo", 80, vec!["one", "two"]),
            ("ab", 0, vec!["a", "b"]),
            ("score 100 %, normal", 9, vec!["score", "100 %,", "normal"]),
        ] {
            assert_eq!(wrap(text, columns), expected, "{text:?} in {columns}");
        }
    }
}
