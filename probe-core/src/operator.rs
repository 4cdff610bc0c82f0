//! In flow the operator's orders, out flows what holds now: pins and drains of
//! prefixes, and whether the whole host is frozen. Orders expire by themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    config::PrefixId,
    input::{Directive, Order},
    level::Level,
    time::Timestamp,
};

/// What the operator has ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    pins: BTreeMap<PrefixId, (Level, Directive)>,
    drains: BTreeMap<PrefixId, Directive>,
    freeze: Option<Directive>,
}

impl Orders {
    /// Takes an order. Says whether it changed anything.
    pub fn take(&mut self, order: &Order) -> bool {
        match order {
            Order::Pin {
                prefix,
                level,
                directive,
            } => {
                let pin = (*level, directive.clone());
                self.pins.insert(*prefix, pin.clone()) != Some(pin)
            }
            Order::Unpin { prefix } => self.pins.remove(prefix).is_some(),
            Order::Drain { prefix, directive } => {
                let before = self.drains.insert(*prefix, directive.clone());
                before.as_ref() != Some(directive)
            }
            Order::Undrain { prefix } => self.drains.remove(prefix).is_some(),
            Order::Freeze { directive } => {
                self.freeze.replace(directive.clone()).as_ref() != Some(directive)
            }
            Order::Thaw => self.freeze.take().is_some(),
        }
    }

    /// Forgets what has expired; the orders that would have taken it back.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Order> {
        let is_over = |directive: &Directive| directive.until.is_some_and(|until| until <= now);
        let mut expired = Vec::new();
        self.pins.retain(|prefix, (_, directive)| {
            let over = is_over(directive);
            if over {
                expired.push(Order::Unpin { prefix: *prefix });
            }
            !over
        });
        self.drains.retain(|prefix, directive| {
            let over = is_over(directive);
            if over {
                expired.push(Order::Undrain { prefix: *prefix });
            }
            !over
        });
        if self.freeze.as_ref().is_some_and(is_over) {
            self.freeze = None;
            expired.push(Order::Thaw);
        }
        expired
    }

    /// When the next order expires.
    pub fn due(&self) -> Option<Timestamp> {
        let pins = self.pins.values().map(|(_, directive)| directive);
        pins.chain(self.drains.values())
            .chain(&self.freeze)
            .filter_map(|directive| directive.until)
            .min()
    }

    /// The level at which a prefix is pinned.
    pub fn pin(&self, prefix: PrefixId) -> Option<&(Level, Directive)> {
        self.pins.get(&prefix)
    }

    /// The drain of a prefix.
    pub fn drain(&self, prefix: PrefixId) -> Option<&Directive> {
        self.drains.get(&prefix)
    }

    /// Why the host is frozen, if it is.
    pub fn freeze(&self) -> Option<&Directive> {
        self.freeze.as_ref()
    }

    /// Whether there is an order for a prefix.
    pub fn has(&self, prefix: PrefixId) -> bool {
        self.pins.contains_key(&prefix) || self.drains.contains_key(&prefix)
    }

    /// The orders for a prefix, as they could be given again.
    pub fn of(&self, prefix: PrefixId) -> Vec<Order> {
        let pin = self.pin(prefix).map(|(level, directive)| Order::Pin {
            prefix,
            level: *level,
            directive: directive.clone(),
        });
        let drain = self.drain(prefix).map(|directive| Order::Drain {
            prefix,
            directive: directive.clone(),
        });
        pin.into_iter().chain(drain).collect()
    }

    /// Gives the prefixes their new numbers; orders for one that has none are forgotten.
    pub fn renumber(&mut self, number: impl Fn(PrefixId) -> Option<PrefixId>) {
        fn keys<T>(
            orders: BTreeMap<PrefixId, T>,
            number: impl Fn(PrefixId) -> Option<PrefixId>,
        ) -> BTreeMap<PrefixId, T> {
            orders
                .into_iter()
                .filter_map(|(prefix, order)| Some((number(prefix)?, order)))
                .collect()
        }
        self.pins = keys(core::mem::take(&mut self.pins), &number);
        self.drains = keys(core::mem::take(&mut self.drains), &number);
    }

    /// All orders, as they could be given again.
    pub fn all(&self) -> Vec<Order> {
        let prefixes = self.pins.keys().chain(self.drains.keys());
        let prefixes: std::collections::BTreeSet<_> = prefixes.copied().collect();
        let freeze = self.freeze.clone();
        prefixes
            .into_iter()
            .flat_map(|prefix| self.of(prefix))
            .chain(freeze.map(|directive| Order::Freeze { directive }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYCAST: PrefixId = PrefixId(0);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn directive(until: Option<u64>) -> Directive {
        Directive {
            by: "root".into(),
            why: "maintenance".into(),
            until: until.map(at),
            force: false,
        }
    }

    #[test]
    fn orders_hold_until_they_are_taken_back_or_expire() {
        let mut orders = Orders::default();
        let pin = Order::Pin {
            prefix: ANYCAST,
            level: Level::Full,
            directive: directive(Some(10)),
        };
        let drain = Order::Drain {
            prefix: ANYCAST,
            directive: directive(None),
        };
        let freeze = Order::Freeze {
            directive: directive(Some(5)),
        };
        for order in [&pin, &drain, &freeze] {
            assert!(orders.take(order));
            assert!(!orders.take(order), "again");
        }
        assert_eq!(orders.all(), [pin, drain, freeze]);
        assert_eq!(orders.due(), Some(at(5)));
        assert_eq!(orders.expire(at(4)), []);
        assert_eq!(orders.expire(at(5)), [Order::Thaw]);
        assert_eq!(orders.expire(at(20)), [Order::Unpin { prefix: ANYCAST }]);
        assert!(orders.drain(ANYCAST).is_some(), "without an end");
        assert!(orders.take(&Order::Undrain { prefix: ANYCAST }));
        assert_eq!(orders, Orders::default());
    }
}
