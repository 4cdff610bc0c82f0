//! What stands against the wanted routes: from the sets that route control publishes
//! to the changes that are worth a record.

use std::{collections::BTreeSet, sync::Arc};

use probe_core::config::PrefixId;
use tokio::sync::watch;

use crate::announce::conflict::Conflict;

/// The conflicts that were told last, and where to hear of others.
pub struct Conflicts {
    published: Option<watch::Receiver<Arc<Vec<Conflict>>>>,
    told: BTreeSet<Conflict>,
}

/// One conflict that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub conflict: Conflict,
    /// Whether it stands now.
    pub stands: bool,
}

impl Conflicts {
    /// Nothing was told yet.
    pub fn new(published: Option<watch::Receiver<Arc<Vec<Conflict>>>>) -> Self {
        let mut conflicts = Self {
            published: None,
            told: BTreeSet::new(),
        };
        if let Some(published) = published {
            conflicts.listen(published);
        }
        conflicts
    }

    /// They are published here from now on.
    pub fn listen(&mut self, mut published: watch::Receiver<Arc<Vec<Conflict>>>) {
        // What stood before the start is news, too.
        published.mark_changed();
        self.published = Some(published);
    }

    /// Forgets what was told about some prefixes.
    pub fn forget(&mut self, gone: impl Fn(PrefixId) -> bool) {
        self.told.retain(|conflict| !gone(conflict.prefix));
    }

    /// Waits until other conflicts stand than before. Never ready without route
    /// control.
    pub async fn changed(&mut self) {
        if let Some(published) = &mut self.published {
            if published.changed().await.is_ok() {
                return;
            }
            self.published = None;
        }
        core::future::pending::<()>().await;
    }

    /// What ended and what began since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let Some(published) = &mut self.published else {
            return Vec::new();
        };
        let now: BTreeSet<Conflict> = published.borrow_and_update().iter().cloned().collect();
        let change = |stands| {
            move |conflict: &Conflict| Change {
                conflict: conflict.clone(),
                stands,
            }
        };
        let changes = self
            .told
            .difference(&now)
            .map(change(false))
            .chain(now.difference(&self.told).map(change(true)))
            .collect();
        self.told = now;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::announce::conflict::ConflictKind;

    fn conflict(prefix: u32, kind: ConflictKind) -> Conflict {
        Conflict {
            prefix: PrefixId(prefix),
            kind,
            sentence: format!("{kind} {prefix}"),
        }
    }

    #[test]
    fn each_conflict_is_told_when_it_begins_and_when_it_ends() {
        let blocked = conflict(0, ConflictKind::Blocked);
        let contended = conflict(1, ConflictKind::Contended);
        let (sender, receiver) = watch::channel(Arc::new(vec![blocked.clone()]));
        let mut conflicts = Conflicts::new(Some(receiver));
        let told = |conflict: &Conflict, stands| Change {
            conflict: conflict.clone(),
            stands,
        };
        assert_eq!(
            conflicts.take_changes(),
            [told(&blocked, true)],
            "what stood before"
        );
        assert_eq!(conflicts.take_changes(), []);
        sender.send_replace(Arc::new(vec![contended.clone()]));
        assert_eq!(
            conflicts.take_changes(),
            [told(&blocked, false), told(&contended, true)]
        );
        // One that came and went in between is not told.
        sender.send_replace(Arc::new(vec![blocked, contended.clone()]));
        sender.send_replace(Arc::new(vec![contended.clone()]));
        assert_eq!(conflicts.take_changes(), []);
        sender.send_replace(Arc::default());
        assert_eq!(conflicts.take_changes(), [told(&contended, false)]);
        assert_eq!(Conflicts::new(None).take_changes(), []);
    }
}
