//! The API, version 1: JSON of what anybody on this host may see. Everybody with an account
//! here can ask, so what is shown is listed here, field by field: no address or network of
//! a client, and of a refused configuration the first line only.

use core::time::Duration;

use hyper::StatusCode;
use probe_core::{config::Mode, input::Directive};
use serde::Serialize;

use super::Picture;
use crate::{
    journal::recent::Decision,
    status::{
        BirdView, Document, PrefixView, SensorView, ServiceView,
        troubles::{Trouble, troubles},
        waiting::waits_for,
    },
};

/// The loop tells each second what it sees; one that has not for so long hangs.
const STALE_AFTER: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Index {
    version: &'static str,
    paths: [Path; 2],
}

#[derive(Serialize)]
struct Path {
    path: &'static str,
    about: &'static str,
}

const INDEX: Index = Index {
    version: env!("CARGO_PKG_VERSION"),
    paths: [
        Path {
            path: "/api/v1/status",
            about: "what is wrong, prefixes, services, sensor, BIRD",
        },
        Path {
            path: "/api/v1/decisions?limit=N",
            about: "the newest decisions and holds, newest first",
        },
    ],
};

#[derive(Serialize)]
struct Mistake {
    error: String,
}

/// What `lapwing status --json` shows, and what is wrong in words.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status<'a> {
    /// The daemon's version.
    version: &'a str,
    /// The site.
    site: &'a str,
    /// The host.
    host: &'a str,
    /// Whether decisions change routes.
    mode: Mode,
    /// For how long it runs.
    uptime_seconds: f64,
    /// How old this answer is; a new one is made each second.
    age_seconds: f64,
    /// What is wrong, worst first.
    troubles: Vec<Trouble>,
    /// The sensor.
    sensor: &'a SensorView,
    /// Who froze the host, if anybody did.
    frozen: &'a Option<Directive>,
    /// Why journal records go to the log, if they do.
    journal_trouble: &'a Option<String>,
    /// The routing daemon.
    bird: &'a BirdView,
    /// The configuration.
    configuration: Configuration<'a>,
    /// Routes of others that hide ours, in words.
    conflicts: &'a [String],
    /// The prefixes.
    prefixes: Vec<Prefix<'a>>,
    /// The services.
    services: &'a [ServiceView],
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Configuration<'a> {
    /// When it was read.
    read_seconds_ago: f64,
    /// Why a newer one is not, if there was one.
    refused: Option<Refused<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Refused<'a> {
    /// When.
    seconds_ago: f64,
    /// Who asked for it.
    by: &'a str,
    /// Why; the first line, since the others may show parts of a file that not everybody
    /// may read.
    why: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Prefix<'a> {
    #[serde(flatten)]
    view: &'a PrefixView,
    /// What has to happen before it changes its level; nothing is due if none.
    waits_for: Option<String>,
}

impl<'a> Status<'a> {
    fn of(document: &'a Document, age: Duration) -> Self {
        let configuration = &document.configuration;
        Self {
            version: &document.version,
            site: &document.site,
            host: &document.host,
            mode: document.mode,
            uptime_seconds: document.uptime_seconds,
            age_seconds: age.as_secs_f64(),
            troubles: troubles(document),
            sensor: &document.sensor,
            frozen: &document.frozen,
            journal_trouble: &document.journal_trouble,
            bird: &document.bird,
            configuration: Configuration {
                read_seconds_ago: configuration.read_seconds_ago,
                refused: configuration.refused.as_ref().map(|refused| Refused {
                    seconds_ago: refused.seconds_ago,
                    by: &refused.by,
                    why: refused.summary(),
                }),
            },
            conflicts: &document.conflicts,
            prefixes: document
                .prefixes
                .iter()
                .map(|view| Prefix {
                    view,
                    waits_for: waits_for(view, document),
                })
                .collect(),
            services: &document.services,
        }
    }
}

/// The newest decisions and holds.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DecisionList<'a> {
    /// The newest first, 200 at most.
    decisions: Vec<&'a Decision>,
}

/// What is answered to a path below `/api`.
pub fn answer(path: &str, query: Option<&str>, picture: &Picture) -> (StatusCode, Vec<u8>) {
    match path {
        "/api/v1" | "/api/v1/" => json(&INDEX),
        "/api/v1/status" | "/api/v1/decisions" if picture.age > STALE_AFTER => mistake(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "The deciding loop has told nothing for {} s: it hangs, or the machine is overloaded.",
                picture.age.as_secs()
            ),
        ),
        "/api/v1/status" => json(&Status::of(&picture.document, picture.age)),
        "/api/v1/decisions" => match limit(query) {
            Ok(limit) => json(&DecisionList {
                decisions: picture
                    .decisions
                    .iter()
                    .rev()
                    .take(limit)
                    .map(|decision| &**decision)
                    .collect(),
            }),
            Err(error) => mistake(StatusCode::BAD_REQUEST, error),
        },
        _ => mistake(
            StatusCode::NOT_FOUND,
            "not found: /api/v1/ lists what there is".to_owned(),
        ),
    }
}

/// The parameter `limit`; without one, all.
fn limit(query: Option<&str>) -> Result<usize, String> {
    let mut limit = usize::MAX;
    for parameter in query.unwrap_or_default().split('&') {
        match parameter.split_once('=') {
            None if parameter.is_empty() => {}
            Some(("limit", number)) => {
                limit = number
                    .parse()
                    .map_err(|_| format!("`limit` is a number of decisions, not `{number}`"))?;
            }
            Some(_) | None => return Err(format!("`{parameter}` is not known: write limit=N")),
        }
    }
    Ok(limit)
}

fn mistake(status: StatusCode, error: String) -> (StatusCode, Vec<u8>) {
    (status, json(&Mistake { error }).1)
}

fn json(value: &impl Serialize) -> (StatusCode, Vec<u8>) {
    match serde_json::to_vec(value) {
        Ok(body) => (StatusCode::OK, body),
        // Only a map with keys that are no text could fail, and we have none.
        Err(error) => {
            tracing::error!("an answer of the API cannot be written as JSON: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec())
        }
    }
}

#[cfg(test)]
mod tests;
