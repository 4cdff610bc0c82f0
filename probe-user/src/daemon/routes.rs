//! Route control by the core's numbers.
//!
//! Another configuration gives the core's prefixes other numbers. Route control runs on
//! a thread of its own, and what it tells may be on its way then; so there a prefix has
//! one number for good, and here one is translated into the other.

use std::sync::Arc;

use ipnet::IpNet;
use probe_core::{Level, config::PrefixId};

use crate::announce::{Announcer, Error};

/// Route control; without an announcer there is none.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    announcer: Option<Arc<Announcer>>,
    /// Route control's numbers, by the core's.
    outer: Vec<PrefixId>,
    /// The core's numbers, by route control's.
    inner: Vec<Option<PrefixId>>,
}

impl Routes {
    /// An announcer that was started with as many prefixes as the core has, in the same
    /// order.
    pub fn new(announcer: Option<Arc<Announcer>>, prefixes: usize) -> Self {
        let outer = (0..).map(PrefixId).take(prefixes).collect();
        let mut routes = Self {
            announcer,
            ..Self::default()
        };
        routes.number(outer);
        routes
    }

    /// The announcer.
    pub fn announcer(&self) -> Option<&Arc<Announcer>> {
        self.announcer.as_ref()
    }

    /// From now on these are the core's prefixes.
    pub fn own(&mut self, prefixes: &[IpNet]) {
        if let Some(announcer) = &self.announcer {
            let outer = announcer.own(prefixes);
            self.number(outer);
        }
    }

    fn number(&mut self, outer: Vec<PrefixId>) {
        let most = outer.iter().map(|id| id.0 as usize + 1).max();
        self.inner = vec![None; most.unwrap_or_default()];
        for (inner, outer) in (0..).map(PrefixId).zip(&outer) {
            self.inner[outer.0 as usize] = Some(inner);
        }
        self.outer = outer;
    }

    /// The core's number of what route control tells about; none of what it has let go.
    pub fn inner(&self, outer: PrefixId) -> Option<PrefixId> {
        *self.inner.get(outer.0 as usize)?
    }

    fn outer(&self, inner: PrefixId) -> Option<(&Arc<Announcer>, PrefixId)> {
        let outer = self.outer.get(inner.0 as usize)?;
        Some((self.announcer.as_ref()?, *outer))
    }

    /// Sets a level; none if there is no route control. See [`Announcer::set`].
    pub fn set(
        &self,
        prefix: PrefixId,
        level: Level,
    ) -> Option<impl Future<Output = Result<(), Error>> + Send + use<>> {
        let (announcer, prefix) = self.outer(prefix)?;
        Some(announcer.set(prefix, level))
    }

    /// See [`Announcer::keep`].
    pub fn keep(&self, prefix: PrefixId, level: Level) {
        if let Some((announcer, prefix)) = self.outer(prefix) {
            announcer.keep(prefix, level);
        }
    }

    /// See [`Announcer::let_go`]; of all prefixes.
    pub fn let_go(&self) {
        if let Some(announcer) = &self.announcer {
            for prefix in &self.outer {
                announcer.let_go(*prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_translated_there_and_back() {
        let mut routes = Routes::new(None, 2);
        assert_eq!(routes.inner(PrefixId(1)), Some(PrefixId(1)));
        routes.number(vec![PrefixId(3), PrefixId(1)]);
        let inner: Vec<_> = (0..5).map(|outer| routes.inner(PrefixId(outer))).collect();
        assert_eq!(
            inner,
            [None, Some(PrefixId(1)), None, Some(PrefixId(0)), None]
        );
        routes.number(Vec::new());
        assert_eq!(routes.inner(PrefixId(0)), None);
    }
}
