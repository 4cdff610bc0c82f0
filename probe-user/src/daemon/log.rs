//! Tells records to whoever reads the log.

use std::time::Duration;

use probe_core::{
    Level,
    input::{Directive, ProbeFailure},
};

use crate::journal::record::{Record, RouteFollowed};

/// Tells a record to whoever reads the log.
pub fn log(record: &Record) {
    match record {
        Record::Started { .. } | Record::Stopped { .. } => {}
        Record::LastResort { sentence, .. } => tracing::warn!("last resort: {sentence}"),
        Record::Attached {
            interface,
            hook,
            mode,
        } => tracing::info!("attached to {interface} {hook} ({mode})"),
        Record::LockedOut {
            prefix,
            withdrawals,
            hold_ns,
        } => tracing::error!(
            "{prefix} is locked out after {withdrawals} withdraws in a quarter of an hour: it stays withdrawn for {}, or until `lapwing pin` raises it",
            humantime::format_duration(Duration::from_secs(hold_ns / 1_000_000_000))
        ),
        Record::Ordered {
            order,
            prefix,
            directive,
            expired,
            ..
        } => log_order(order, prefix.as_deref(), directive.as_ref(), *expired),
        Record::Held {
            prefix,
            level,
            guard,
            sentence,
            ..
        } => tracing::warn!("{prefix} would be {level}, held by {guard}: {sentence}"),
        Record::Reloaded { by, changes, .. } => log_reload(by, changes),
        Record::ReloadRefused { by, why } => {
            tracing::error!(
                "reload ({by}): refused, the configuration that was in force stays\n{why}"
            );
        }
        Record::Blind { blind: true, why } => tracing::error!("blind: {why}"),
        Record::Blind { blind: false, why } => tracing::info!("no longer blind: {why}"),
        Record::Armed { .. }
        | Record::Deadline { .. }
        | Record::Suspected { .. }
        | Record::Cleared { .. }
        | Record::Impaired { .. }
        | Record::Verdict { .. }
        | Record::ProbeChanged { .. } => log_service(record),
        Record::RouteDiffers { .. }
        | Record::Decision { .. }
        | Record::RouteSet { .. }
        | Record::RouteFailed { .. }
        | Record::RouteConflict { .. }
        | Record::RouteObserved { .. } => log_route(record),
        Record::Bird { .. }
        | Record::RouteFollowed(_)
        | Record::BirdReloaded { .. }
        | Record::ExportAlert { .. }
        | Record::TrafficFollowed(_) => log_closed_loop(record),
    }
}

fn log_reload(by: &str, changes: &[String]) {
    match changes.len() {
        0 => tracing::info!("reload ({by}): nothing has changed"),
        1 => tracing::info!("reload ({by}): 1 change"),
        count => tracing::info!("reload ({by}): {count} changes"),
    }
    for change in changes {
        if change.starts_with('!') {
            tracing::warn!("{change}");
        } else {
            tracing::info!("{change}");
        }
    }
}

fn log_service(record: &Record) {
    match record {
        Record::Armed {
            service,
            kind,
            trials,
            success_ratio,
        } => tracing::info!(
            "{service} is armed for {}: {trials} trials, {:.1} % of them good",
            kind.name(),
            success_ratio * 100.0
        ),
        Record::Deadline {
            service,
            deadline_ns,
        } => tracing::info!(
            "trials of {service} are late after {} ms from now on, as its answers say",
            deadline_ns / 1_000_000
        ),
        Record::Suspected { sentence, .. } => tracing::warn!("suspicion: {sentence}"),
        Record::Cleared {
            service,
            kind,
            stood_ns,
        } => tracing::info!(
            "{service} is no longer suspected for {}, after {} ms",
            kind.name(),
            stood_ns / 1_000_000
        ),
        Record::Impaired {
            service,
            impaired: true,
            sentence,
            ..
        } => tracing::warn!("{service} is held to be impaired: {sentence}"),
        Record::Impaired {
            service,
            impaired: false,
            ..
        } => tracing::info!("{service} is no longer impaired"),
        Record::Verdict {
            service,
            failed: true,
            sentence,
            ..
        } => tracing::warn!("{service} is held to be dead: {sentence}"),
        Record::Verdict {
            service,
            failed: false,
            sentence,
            ..
        } => tracing::info!("{service} is held to be alive: {sentence}"),
        Record::ProbeChanged {
            service,
            passes: true,
            ..
        } => tracing::info!("the probe of {service} passes"),
        Record::ProbeChanged {
            service,
            passes: false,
            failure,
        } => tracing::warn!(
            "the probe of {service} fails: {}",
            failure_words(failure.as_ref())
        ),
        Record::Started { .. }
        | Record::Stopped { .. }
        | Record::LastResort { .. }
        | Record::Reloaded { .. }
        | Record::ReloadRefused { .. }
        | Record::Attached { .. }
        | Record::LockedOut { .. }
        | Record::Ordered { .. }
        | Record::Held { .. }
        | Record::Blind { .. }
        | Record::RouteDiffers { .. }
        | Record::Decision { .. }
        | Record::RouteSet { .. }
        | Record::RouteFailed { .. }
        | Record::RouteConflict { .. }
        | Record::RouteObserved { .. }
        | Record::Bird { .. }
        | Record::RouteFollowed(_)
        | Record::BirdReloaded { .. }
        | Record::ExportAlert { .. }
        | Record::TrafficFollowed(_) => {}
    }
}

fn log_route(record: &Record) {
    match record {
        Record::RouteDiffers {
            prefix,
            wanted,
            observed,
        } => tracing::warn!("the table holds {prefix} {observed}, but {wanted} was decided"),
        Record::Decision {
            prefix,
            level: level @ (Level::Degraded | Level::Withdrawn),
            sentence,
            ..
        } => tracing::warn!("{prefix} -> {level}: {sentence}"),
        Record::Decision {
            prefix,
            level: level @ Level::Full,
            sentence,
            ..
        } => tracing::info!("{prefix} -> {level}: {sentence}"),
        Record::RouteSet {
            prefix,
            level,
            took_ns,
        } => tracing::info!(
            "{prefix} is {level} in the kernel, {:.3} ms after the decision",
            *took_ns as f64 / 1e6
        ),
        Record::RouteFailed { error, .. } => tracing::error!("{error}"),
        Record::RouteConflict {
            stands: true,
            sentence,
            ..
        } => tracing::error!("{sentence}"),
        Record::RouteConflict {
            stands: false,
            prefix,
            conflict,
            ..
        } => tracing::info!("the route of {prefix} is no longer {conflict}"),
        Record::RouteObserved { prefix, level } => {
            tracing::info!("the table holds {prefix} {level}");
        }
        Record::Started { .. }
        | Record::Stopped { .. }
        | Record::LastResort { .. }
        | Record::Reloaded { .. }
        | Record::ReloadRefused { .. }
        | Record::Attached { .. }
        | Record::Armed { .. }
        | Record::Deadline { .. }
        | Record::Suspected { .. }
        | Record::Cleared { .. }
        | Record::Impaired { .. }
        | Record::LockedOut { .. }
        | Record::Ordered { .. }
        | Record::Verdict { .. }
        | Record::Held { .. }
        | Record::ProbeChanged { .. }
        | Record::Blind { .. }
        | Record::Bird { .. }
        | Record::RouteFollowed(_)
        | Record::BirdReloaded { .. }
        | Record::ExportAlert { .. }
        | Record::TrafficFollowed(_) => {}
    }
}

fn log_closed_loop(record: &Record) {
    match record {
        Record::Bird { up: true, sentence } => tracing::info!("{sentence}"),
        Record::Bird {
            up: false,
            sentence,
        }
        | Record::ExportAlert {
            stands: true,
            sentence,
            ..
        } => tracing::error!("{sentence}"),
        Record::ExportAlert {
            stands: false,
            prefix,
            alert,
            ..
        } => tracing::info!("{prefix} is no longer {}", alert.name()),
        Record::RouteFollowed(RouteFollowed {
            prefix,
            level,
            export_ns: Some(took),
            sessions,
            ..
        }) => tracing::info!(
            "{prefix} is {level} at all {} BGP sessions of BIRD, {:.3} ms after the kernel had it",
            sessions.len(),
            *took as f64 / 1e6
        ),
        Record::RouteFollowed(RouteFollowed {
            prefix,
            level,
            export_ns: None,
            ..
        }) => tracing::warn!(
            "{prefix} was not seen {level} at all BGP sessions before its level changed again"
        ),
        Record::BirdReloaded {
            prefix,
            protocol,
            error: None,
        } => tracing::warn!(
            "BIRD has not learned the change of {prefix}: {protocol} was told to read its table again"
        ),
        Record::BirdReloaded {
            prefix,
            protocol,
            error: Some(error),
        } => tracing::error!(
            "BIRD has not learned the change of {prefix}, and {protocol} cannot read its table again: {error}"
        ),
        Record::TrafficFollowed(traffic) => tracing::info!(
            "clients of {} ({}): {}, {:.1} new connections a second, {:.1} before",
            traffic.prefix,
            traffic.level,
            traffic.outcome,
            traffic.after_per_second,
            traffic.before_per_second
        ),
        Record::Started { .. }
        | Record::Stopped { .. }
        | Record::LastResort { .. }
        | Record::Attached { .. }
        | Record::LockedOut { .. }
        | Record::Ordered { .. }
        | Record::Held { .. }
        | Record::Blind { .. }
        | Record::Armed { .. }
        | Record::Deadline { .. }
        | Record::Suspected { .. }
        | Record::Cleared { .. }
        | Record::Impaired { .. }
        | Record::Verdict { .. }
        | Record::ProbeChanged { .. }
        | Record::RouteDiffers { .. }
        | Record::Decision { .. }
        | Record::RouteSet { .. }
        | Record::RouteFailed { .. }
        | Record::RouteConflict { .. }
        | Record::RouteObserved { .. }
        | Record::Reloaded { .. }
        | Record::ReloadRefused { .. } => {}
    }
}

fn log_order(order: &str, prefix: Option<&str>, directive: Option<&Directive>, expired: bool) {
    let what = prefix.unwrap_or("this host");
    match directive {
        Some(directive) => {
            tracing::warn!("{order} {what} by {}: {}", directive.by, directive.why);
        }
        None if expired => tracing::warn!("{order} {what}: the order has expired"),
        None => tracing::warn!("{order} {what}"),
    }
}

fn failure_words(failure: Option<&ProbeFailure>) -> String {
    failure.map_or_else(|| "no reason known".to_owned(), ToString::to_string)
}
