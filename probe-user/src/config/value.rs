//! Single values: from a TOML value to a typed one, or what is wrong with it.

use std::{path::PathBuf, time::Duration};

use probe_core::config::WithdrawWhen;
use toml::de::DeValue;

use super::section::{article, list, nearest};

/// What is wrong with a value; the section adds key and place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Continues "`key` ...".
    pub problem: String,
    /// What stands there.
    pub label: String,
    /// The remedy.
    pub help: String,
}

impl Fault {
    /// All three texts.
    pub fn new(
        problem: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            problem: problem.into(),
            label: label.into(),
            help: help.into(),
        }
    }
}

/// A TOML value with typed views.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a>(&'a DeValue<'a>);

impl<'a> Value<'a> {
    /// A view of `value`.
    pub fn new(value: &'a DeValue<'a>) -> Self {
        Self(value)
    }

    fn wrong_type(self, wanted: &str, example: &str) -> Fault {
        Fault::new(
            format!("must be {}", article(wanted)),
            format!("this is {}", article(self.0.type_str())),
            format!("write it like `{example}`"),
        )
    }

    /// The value as text.
    pub fn text(self, example: &str) -> Result<&'a str, Fault> {
        self.0
            .as_str()
            .ok_or_else(|| self.wrong_type("string", example))
    }

    /// The value as a list of at least one text.
    pub fn texts(self, example: &str) -> Result<Vec<&'a str>, Fault> {
        let list = self
            .0
            .as_array()
            .ok_or_else(|| self.wrong_type("list", example))?;
        if list.is_empty() {
            return Err(Fault::new(
                "must not be empty",
                "nothing here",
                format!("write it like `{example}`, or remove the line"),
            ));
        }
        list.iter()
            .map(|item| Value::new(item.get_ref()).text(example))
            .collect()
    }

    /// The value as a number.
    pub fn number(self, example: &str) -> Result<f64, Fault> {
        let number = match self.0 {
            DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
            DeValue::Integer(integer) => integer.as_str().replace('_', "").parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wrong_type("number", example))
    }

    /// The value as a whole number.
    pub fn integer(self, example: &str) -> Result<i128, Fault> {
        self.0
            .as_integer()
            .and_then(|integer| i128::from_str_radix(integer.as_str(), integer.radix()).ok())
            .ok_or_else(|| self.wrong_type("whole number", example))
    }
}

/// A text that says something.
pub fn text(value: Value<'_>) -> Result<String, Fault> {
    let text = value.text("\"...\"")?;
    if text.trim().is_empty() {
        return Err(Fault::new(
            "must not be empty",
            "nothing here",
            "write a name or remove the line",
        ));
    }
    Ok(text.to_owned())
}

/// A list of names of services.
pub fn names(value: Value<'_>) -> Result<Vec<String>, Fault> {
    let names = value.texts("[\"web\"]")?;
    Ok(names.into_iter().map(ToOwned::to_owned).collect())
}

/// A name for people, journals and metrics labels.
pub fn name(value: Value<'_>) -> Result<String, Fault> {
    let name = text(value)?;
    if name.len() > 64
        || name
            .chars()
            .any(|c| c.is_control() || c == '"' || c == '\\')
    {
        return Err(Fault::new(
            "must be a short plain name",
            "too long, or with control characters, quotes or backslashes",
            "use at most 64 bytes, for example `web` or `dns-v6`",
        ));
    }
    Ok(name)
}

/// `true` or `false`.
pub fn boolean(value: Value<'_>) -> Result<bool, Fault> {
    value
        .0
        .as_bool()
        .ok_or_else(|| value.wrong_type("boolean", "true"))
}

/// One of a few words.
pub fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(Value<'_>) -> Result<T, Fault> {
    move |value| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let written = value.text(&format!("\"{}\"", known.first().unwrap_or(&"")))?;
        words
            .iter()
            .find(|(word, _)| *word == written)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                let help = match nearest(written, &known) {
                    Some(near) => format!("did you mean `\"{near}\"`? Known are {}", list(&known)),
                    None => format!("known are {}", list(&known)),
                };
                Fault::new(format!("cannot be `{written}`"), "not a known word", help)
            })
    }
}

/// A duration such as `"200ms"` within bounds.
pub fn duration(least: Duration, most: Duration) -> impl Fn(Value<'_>) -> Result<Duration, Fault> {
    move |value| {
        let written = value.text("\"200ms\"")?;
        let duration = parse_duration(written)?;
        if duration < least || duration > most {
            return Err(Fault::new(
                "is out of range",
                humantime::format_duration(duration).to_string(),
                format!(
                    "choose from {} to {}",
                    humantime::format_duration(least),
                    humantime::format_duration(most)
                ),
            ));
        }
        Ok(duration)
    }
}

fn parse_duration(written: &str) -> Result<Duration, Fault> {
    if written.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(written).map_err(|error| {
        Fault::new(
            "is not a duration",
            error.to_string(),
            "write a number and a unit, for example \"200ms\", \"1s\", \"5min\" or \"1h\"",
        )
    })
}

/// `"1 in 10 years"`: the mean time between two false alarms.
pub fn false_alarm(value: Value<'_>) -> Result<Duration, Fault> {
    const HELP: &str = "write it like \"1 in 10 years\" or \"2 in 90 days\"";
    let written = value.text("\"1 in 10 years\"")?;
    let wrong = |label: String| Fault::new("is not a false-alarm rate", label, HELP);
    let (count, period) = written
        .split_once(" in ")
        .ok_or_else(|| wrong("no \"N in TIME\"".to_owned()))?;
    let count: u32 = count
        .trim()
        .parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| wrong(format!("`{}` is not a count from 1", count.trim())))?;
    let period = match period.trim() {
        unit @ ("year" | "month" | "week" | "day" | "hour") => format!("1 {unit}"),
        period => period.to_owned(),
    };
    let period = parse_duration(&period).map_err(|fault| wrong(fault.label))? / count;
    if period < Duration::from_hours(1) {
        return Err(Fault::new(
            "allows more than one false alarm an hour",
            humantime::format_duration(period).to_string(),
            HELP,
        ));
    }
    Ok(period)
}

/// A failure ratio that can be called broken.
pub fn broken(value: Value<'_>) -> Result<f64, Fault> {
    let ratio = value.number("0.5")?;
    // Below 10 % the learned normal ratio and the broken one could not be told
    // apart; at 1 a single success would acquit.
    if ratio > 0.1 && ratio < 1.0 {
        Ok(ratio)
    } else {
        Err(Fault::new(
            "is out of range",
            format!("{ratio} is not between 0.1 and 1"),
            "write the failure ratio that means broken: above 0.1 and below 1, for example 0.5",
        ))
    }
}

/// A multiple of what is usual.
pub fn factor(value: Value<'_>) -> Result<f64, Fault> {
    let factor = value.number("3")?;
    if (1.5..=1000.0).contains(&factor) {
        Ok(factor)
    } else {
        Err(Fault::new(
            "is out of range",
            format!("{factor} is not between 1.5 and 1000"),
            "write how many times the usual arrivals are too many, for example 3",
        ))
    }
}

/// A whole number within bounds.
pub fn integer(least: u32, most: u32) -> impl Fn(Value<'_>) -> Result<u32, Fault> {
    move |value| {
        let number = value.integer(&least.to_string())?;
        u32::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                Fault::new(
                    "is out of range",
                    number.to_string(),
                    format!("choose from {least} to {most}"),
                )
            })
    }
}

/// An absolute path.
pub fn path(value: Value<'_>) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Fault::new(
            "must be an absolute path",
            "does not begin with /",
            format!("write the whole path, for example \"/{}\"", path.display()),
        ))
    }
}

/// `"any"`, `"all"` or `{ at_least = n }`.
pub fn withdraw_when(value: Value<'_>) -> Result<WithdrawWhen, Fault> {
    const HELP: &str = "write \"any\", \"all\" or { at_least = 2 }";
    let wrong = |label: &str| Fault::new("is not a rule", label, HELP);
    match value.0 {
        DeValue::String(written) => match written.as_ref() {
            "any" => Ok(WithdrawWhen::Any),
            "all" => Ok(WithdrawWhen::All),
            _ => Err(wrong("not a known word")),
        },
        DeValue::Table(table) => {
            let mut entries = table.iter();
            match (entries.next(), entries.next()) {
                (Some((key, count)), None) if key.get_ref() == "at_least" => {
                    integer(1, u32::MAX)(Value::new(count.get_ref())).map(WithdrawWhen::AtLeast)
                }
                (Some(_) | None, _) => Err(wrong("only `at_least` is known here")),
            }
        }
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Err(wrong("neither a word nor a table")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, parse: impl Fn(Value<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let value = DeValue::parse(text).unwrap();
        parse(Value::new(value.get_ref()))
    }

    #[test]
    fn a_false_alarm_rate_becomes_the_time_between_two() {
        let day = Duration::from_hours(24);
        for (written, expected) in [
            (r#""1 in 10 years""#, day * 3652 + day / 2),
            (r#""2 in 90 days""#, day * 45),
            (r#""1 in year""#, day * 365 + day / 4),
            (r#""1 in 1day 12h""#, day * 3 / 2),
        ] {
            assert_eq!(with(written, false_alarm), Ok(expected), "{written}");
        }
        for written in [
            r#""never""#,
            r#""0 in 1 year""#,
            r#""5 in 1h""#,
            r#""1 in a while""#,
            "3",
        ] {
            assert!(with(written, false_alarm).is_err(), "{written}");
        }
    }
}
