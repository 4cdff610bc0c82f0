//! What a prefix waits for, in words.

use probe_core::{Level, command::Guard, config::Mode, status::Standing};

use super::{Document, PrefixView, ServiceView, seconds};

/// What has to happen before the prefix is announced in full again, or for the first
/// time, or before a change that is due is made; none if nothing is due.
pub fn waits_for(prefix: &PrefixView, document: &Document) -> Option<String> {
    if let Some(guard) = prefix.held_by {
        return Some(format!("guard {guard}: {}", guard_words(guard)));
    }
    if prefix.standing == Standing::Announced && prefix.wanted == Some(Level::Full) {
        return None;
    }
    if document.frozen.is_some() {
        return Some("`lapwing thaw` by the operator, who froze the host".to_owned());
    }
    if prefix.is_pinned() {
        return Some("`lapwing unpin` by the operator, who pinned it".to_owned());
    }
    let left = prefix.hold_left_seconds.map(seconds);
    match (prefix.standing, left) {
        (Standing::Announced, _) => None,
        (Standing::Unread, _) => Some("a first look at the kernel's table".to_owned()),
        (Standing::Waiting, _) if document.mode == Mode::Observe => {
            Some("nothing: mode observe announces nothing".to_owned())
        }
        (Standing::Waiting, _) => Some("the first passing probes of its services".to_owned()),
        (Standing::Impaired, _) => Some(match unwell(prefix, document) {
            Some(services) => format!("{services} to be good again"),
            None => "its services to stay good for a while".to_owned(),
        }),
        (Standing::Canary, _) => Some("a good time at level degraded".to_owned()),
        (Standing::Drained, _) => Some("`lapwing undrain` by the operator".to_owned()),
        (Standing::Withdrawn, Some(left)) => {
            Some(format!("the hold: probes must pass for another {left}"))
        }
        (Standing::Withdrawn, None) => Some(match unwell(prefix, document) {
            Some(services) => format!("passing probes of {services}"),
            None => "passing probes of its services".to_owned(),
        }),
        (Standing::LockedOut, Some(left)) => Some(format!(
            "the end of the lock-out in {left}, or `lapwing pin` by the operator"
        )),
        (Standing::LockedOut, None) => {
            Some("the end of the lock-out, or `lapwing pin` by the operator".to_owned())
        }
    }
}

/// Its services that are not well, a few by name; none if all are.
fn unwell(prefix: &PrefixView, document: &Document) -> Option<String> {
    const NAMED: usize = 3;
    let is_unwell =
        |service: &&ServiceView| !service.is_well() && prefix.services.contains(&service.name);
    let names: Vec<&str> = document
        .services
        .iter()
        .filter(is_unwell)
        .map(|service| &*service.name)
        .collect();
    let first = names.get(..NAMED).unwrap_or(&names).join(", ");
    match names.len() {
        0 => None,
        1..=NAMED => Some(first),
        all => Some(format!("{first} and {} more", all - NAMED)),
    }
}

/// Why a guard holds.
pub fn guard_words(guard: Guard) -> &'static str {
    match guard {
        Guard::Observe => "mode observe changes no route",
        Guard::NotArmed => "too few good trials were seen to trust the failing ones",
        Guard::SecondLeg => "live trials fail, and nothing else agrees yet",
        Guard::Blind => "the sensor cannot be believed",
        Guard::Overload => "far more than usual arrives, and moving it elsewhere would cascade",
        Guard::Policy => "the configuration holds faults of this class",
        Guard::BudgetLocal => "this host has used up its lowerings of the hour",
        Guard::LastSite => "nobody else announces it in full",
        Guard::WitnessStale => "nobody can say who else announces it",
        Guard::Pinned => "the operator pinned it, which `lapwing unpin` ends",
        Guard::Frozen => "the operator froze the host, which `lapwing thaw` ends",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::document;

    #[test]
    fn it_is_said_what_has_to_happen() {
        type Change = fn(&mut Document);
        let cases: [(Change, Option<&str>); 9] = [
            (|_| (), Some("the hold: probes must pass for another 42s")),
            (
                |document| document.prefixes[0].hold_left_seconds = None,
                Some("passing probes of web"),
            ),
            (
                |document| {
                    document.prefixes[0].standing = Standing::Announced;
                    document.prefixes[0].wanted = Some(Level::Full);
                },
                None,
            ),
            (
                |document| {
                    document.prefixes[0].standing = Standing::Announced;
                    document.prefixes[0].wanted = Some(Level::Full);
                    document.prefixes[0].held_by = Some(Guard::LastSite);
                },
                Some("guard last_site: nobody else announces it in full"),
            ),
            (
                |document| document.prefixes[0].standing = Standing::Impaired,
                Some("web to be good again"),
            ),
            (
                |document| document.prefixes[0].standing = Standing::LockedOut,
                Some("the end of the lock-out in 42s, or `lapwing pin` by the operator"),
            ),
            (
                |document| document.prefixes[0].standing = Standing::Drained,
                Some("`lapwing undrain` by the operator"),
            ),
            (
                |document| {
                    document.mode = Mode::Observe;
                    document.prefixes[0].standing = Standing::Waiting;
                },
                Some("nothing: mode observe announces nothing"),
            ),
            (
                |document| {
                    let service = document.services[0].clone();
                    for name in ["a", "b", "c", "d"] {
                        document.services.push(ServiceView {
                            name: name.into(),
                            ..service.clone()
                        });
                        document.prefixes[0].services.push(name.into());
                    }
                    document.prefixes[0].hold_left_seconds = None;
                },
                Some("passing probes of web, a, b and 2 more"),
            ),
        ];
        for (change, expected) in cases {
            let mut document = document();
            change(&mut document);
            let found = waits_for(&document.prefixes[0], &document);
            assert_eq!(found.as_deref(), expected);
        }
    }
}
