//! Which number each service and prefix has in another configuration.
//!
//! In flow two configurations, out flows the new number of everything that stays. A
//! service is the same one if it answers at the same endpoint, whatever its name; a
//! prefix if it is the same network. The order in a file means nothing.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::config::{Config, Endpoint, PrefixId, ServiceId};

/// The numbers of one configuration in another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renumbering {
    services: Vec<Option<u32>>,
    prefixes: Vec<Option<u32>>,
}

impl Renumbering {
    /// From one configuration to another one.
    pub fn between(before: &Config, after: &Config) -> Self {
        Self::of(
            before.services.iter().map(|service| service.endpoint),
            before.prefixes.iter().map(|prefix| prefix.prefix),
            after,
        )
    }

    /// From the order of these to a configuration.
    pub fn of(
        endpoints: impl IntoIterator<Item = Endpoint>,
        nets: impl IntoIterator<Item = IpNet>,
        after: &Config,
    ) -> Self {
        let services = after.services.iter().map(|service| service.endpoint);
        let prefixes = after.prefixes.iter().map(|prefix| prefix.prefix);
        Self {
            services: numbers(endpoints, services),
            prefixes: numbers(nets, prefixes),
        }
    }

    /// The new number of a service; none if it is gone.
    pub fn service(&self, before: ServiceId) -> Option<ServiceId> {
        number(&self.services, before.0).map(ServiceId)
    }

    /// The new number of a prefix; none if it is gone.
    pub fn prefix(&self, before: PrefixId) -> Option<PrefixId> {
        number(&self.prefixes, before.0).map(PrefixId)
    }

    /// What belongs to each service, moved to where it belongs now: one item for each of
    /// `count` services, none for a new one.
    pub fn move_services<T>(
        &self,
        before: impl IntoIterator<Item = T>,
        count: usize,
    ) -> Vec<Option<T>> {
        moved(&self.services, before, count)
    }

    /// The same for prefixes.
    pub fn move_prefixes<T>(
        &self,
        before: impl IntoIterator<Item = T>,
        count: usize,
    ) -> Vec<Option<T>> {
        moved(&self.prefixes, before, count)
    }
}

fn numbers<T: Ord>(
    before: impl IntoIterator<Item = T>,
    after: impl IntoIterator<Item = T>,
) -> Vec<Option<u32>> {
    let after: BTreeMap<T, u32> = after.into_iter().zip(0..).collect();
    before
        .into_iter()
        .map(|thing| after.get(&thing).copied())
        .collect()
}

fn number(numbers: &[Option<u32>], before: u32) -> Option<u32> {
    *numbers.get(usize::try_from(before).ok()?)?
}

fn moved<T>(
    numbers: &[Option<u32>],
    before: impl IntoIterator<Item = T>,
    count: usize,
) -> Vec<Option<T>> {
    let mut after: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for (thing, number) in before.into_iter().zip(numbers) {
        let place = number
            .and_then(|number| usize::try_from(number).ok())
            .and_then(|number| after.get_mut(number));
        if let Some(place) = place {
            *place = Some(thing);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_moves_to_its_new_place_and_what_is_gone_has_none() {
        let numbers = Renumbering {
            services: numbers(["web", "dns", "mail"], ["mail", "ssh", "web"]),
            prefixes: numbers([1, 2], [2]),
        };
        let service = |number| numbers.service(ServiceId(number)).map(|id| id.0);
        assert_eq!(
            (0..4).map(service).collect::<Vec<_>>(),
            [Some(2), None, Some(0), None]
        );
        assert_eq!(numbers.prefix(PrefixId(1)), Some(PrefixId(0)));
        assert_eq!(numbers.prefix(PrefixId(0)), None);
        assert_eq!(
            numbers.move_services(["w", "d", "m"], 3),
            [Some("m"), None, Some("w")]
        );
        assert_eq!(numbers.move_prefixes(["a", "b"], 1), [Some("b")]);
    }
}
