//! What is remembered over a restart of the daemon: what is normal, what was going on
//! with each prefix, and the operator's orders.
//!
//! Services and prefixes are known again by what they are, not by their position: the
//! configuration may have changed meanwhile.

use core::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Engine, roster::Roster};
use crate::{
    config::{Endpoint, PrefixId, ServiceId},
    input::{Directive, Order},
    prefix,
    time::Timestamp,
    watch,
};

/// Everything that is worth remembering of an [`Engine`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// When it was written, on the clock of that time.
    at: Timestamp,
    services: Vec<Service>,
    prefixes: Vec<Prefix>,
    orders: Vec<Order>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Service {
    name: String,
    endpoint: Endpoint,
    memory: watch::Memory,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Prefix {
    prefix: IpNet,
    memory: prefix::Memory,
}

impl Engine {
    /// What is worth remembering now.
    pub fn memory(&self) -> Memory {
        Memory {
            at: self.now,
            services: self
                .watches
                .iter()
                .map(|watch| Service {
                    name: watch.config().name.clone(),
                    endpoint: watch.config().endpoint,
                    memory: watch.memory(),
                })
                .collect(),
            prefixes: self
                .announcements
                .iter()
                .map(|announcement| Prefix {
                    prefix: announcement.prefix(),
                    memory: announcement.memory(self.now),
                })
                .collect(),
            orders: self.orders.all(),
        }
    }

    /// Knows again what was remembered `ago`. To be called before the first input.
    pub fn recall(&mut self, memory: Memory, ago: Duration) {
        let services: Vec<Option<ServiceId>> = memory
            .services
            .iter()
            .map(|known| self.service_like(known))
            .collect();
        let prefixes: Vec<Option<PrefixId>> = memory
            .prefixes
            .iter()
            .map(|known| self.prefix_like(known.prefix))
            .collect();
        for (known, id) in memory.services.into_iter().zip(&services) {
            let watch = id.and_then(|id| super::watch_mut(&mut self.watches, id));
            if let Some(watch) = watch {
                watch.recall(known.memory, ago, memory.at, self.now);
            }
        }
        for (known, id) in memory.prefixes.into_iter().zip(&prefixes) {
            let slot = id.and_then(|id| self.remembered.get_mut(usize::try_from(id.0).ok()?));
            if let Some(slot) = slot {
                let memory = known.memory.with_services(|id| at(&services, id.0));
                *slot = Some((memory, ago));
            }
        }
        let from_then = |directive: Directive| Directive {
            until: directive.until.map(|until| {
                let left = until.since(memory.at).saturating_sub(ago);
                self.now.after(left)
            }),
            ..directive
        };
        for order in memory.orders {
            let order = match order {
                Order::Pin {
                    prefix,
                    level,
                    directive,
                } => at(&prefixes, prefix.0).map(|prefix| Order::Pin {
                    prefix,
                    level,
                    directive: from_then(directive),
                }),
                Order::Drain { prefix, directive } => {
                    at(&prefixes, prefix.0).map(|prefix| Order::Drain {
                        prefix,
                        directive: from_then(directive),
                    })
                }
                Order::Freeze { directive } => Some(Order::Freeze {
                    directive: from_then(directive),
                }),
                Order::Unpin { .. } | Order::Undrain { .. } | Order::Thaw => None,
            };
            if let Some(order) = order {
                self.orders.take(&order);
            }
        }
        self.set_thresholds();
        self.roster = Roster::new(&self.watches);
    }

    fn service_like(&self, known: &Service) -> Option<ServiceId> {
        self.watches
            .iter()
            .find(|watch| {
                watch.config().name == known.name && watch.config().endpoint == known.endpoint
            })
            .map(watch::Watch::id)
    }

    fn prefix_like(&self, known: IpNet) -> Option<PrefixId> {
        self.announcements
            .iter()
            .find(|announcement| announcement.prefix() == known)
            .map(prefix::Announcement::id)
    }
}

fn at<T: Copy>(ids: &[Option<T>], index: u32) -> Option<T> {
    *ids.get(usize::try_from(index).ok()?)?
}
