//! In flow the operator's orders, out flows what holds now: pins and drains of
//! prefixes, and whether the whole host is frozen. Orders expire by themselves.

use std::collections::BTreeMap;

use crate::{
    config::PrefixId,
    input::{Directive, Order},
    level::Level,
    time::Timestamp,
};

/// What the operator has ordered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders {
    pins: BTreeMap<PrefixId, (Level, Directive)>,
    drains: BTreeMap<PrefixId, Directive>,
    freeze: Option<Directive>,
    /// No order expires before: ten thousand of them are not looked through at every
    /// decision. Orders that were taken back may leave it too early.
    not_before: Option<Timestamp>,
}

impl Orders {
    /// Takes an order. Says whether it changed anything.
    pub fn take(&mut self, order: &Order) -> bool {
        match order {
            Order::Pin { directive, .. }
            | Order::Drain { directive, .. }
            | Order::Freeze { directive } => {
                let ends = self.not_before.into_iter().chain(directive.until);
                self.not_before = ends.min();
            }
            Order::Unpin { .. } | Order::Undrain { .. } | Order::Thaw => {}
        }
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
        if self.not_before.is_none_or(|due| due > now) {
            return Vec::new();
        }
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
        self.not_before = self.next_end();
        expired
    }

    /// When to look whether an order has expired: at the latest when the next one does.
    pub fn due(&self) -> Option<Timestamp> {
        self.not_before
    }

    fn next_end(&self) -> Option<Timestamp> {
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

    #[test]
    fn an_order_taken_back_or_given_anew_leaves_the_others_their_end() {
        let mut orders = Orders::default();
        let pin = |prefix, until| Order::Pin {
            prefix: PrefixId(prefix),
            level: Level::Full,
            directive: directive(until),
        };
        for order in [
            pin(0, Some(5)),
            pin(1, Some(10)),
            pin(2, None),
            pin(0, Some(20)),
            Order::Unpin {
                prefix: PrefixId(1),
            },
            pin(3, Some(15)),
        ] {
            assert!(orders.take(&order));
        }
        for (second, expired) in [(5, vec![]), (14, vec![]), (15, vec![3]), (30, vec![0])] {
            assert!(orders.due().is_some_and(|due| due <= at(20)));
            let expired: Vec<Order> = expired
                .into_iter()
                .map(|prefix| Order::Unpin {
                    prefix: PrefixId(prefix),
                })
                .collect();
            assert_eq!(orders.expire(at(second)), expired, "at {second}");
        }
        assert_eq!(orders.due(), None);
    }
}
