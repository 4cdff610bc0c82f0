//! The operator's orders: from the control socket to the core, written down before
//! they are answered, so that they survive whatever comes next.

use probe_core::{
    Input,
    config::{LastSite, PrefixId},
    status::PrefixStatus,
    witness::{Other, Refuge},
};

use super::Daemon;
use crate::{
    control::{Answer, Asked},
    datapath,
};

impl Daemon {
    /// Gives the core an order. It is answered when it is on the disk.
    pub(super) fn ordered(&mut self, asked: Asked) {
        let Asked { order, by, answer } = asked;
        let now = datapath::now();
        let prefixes = self.engine.prefixes();
        let wanted = |id: PrefixId| prefixes.get(id.0 as usize)?.wanted;
        let alone = |id| self.alone(&prefixes, id);
        let orders = match order.resolve(&by, &self.settings.core, &wanted, &alone, now) {
            Ok(orders) => orders,
            Err(why) => {
                // Who asked may have gone.
                let _ = answer.send(Answer::Error(why));
                return;
            }
        };
        let orders = orders.into_iter().map(Input::Operator);
        self.engine.handle_all(orders, now);
        let done = order.sentence();
        let saved = self.keeper.save(&self.engine, &self.datapath);
        tokio::spawn(async move {
            let done = match saved.await {
                Ok(()) => done,
                Err(error) => {
                    format!("{done}\nwarning: a restart of the daemon would forget it: {error}")
                }
            };
            // As above.
            let _ = answer.send(Answer::Done(done));
        });
    }

    /// Why nobody would announce a prefix without this host, if that matters.
    fn alone(&self, prefixes: &[PrefixStatus], id: PrefixId) -> Option<String> {
        let config = self.settings.core.prefixes.get(id.0 as usize)?;
        let status = prefixes.get(id.0 as usize)?;
        match config.last_site {
            LastSite::Allow | LastSite::Unwitnessed => return None,
            LastSite::Hold(_) => {}
        }
        if Refuge::among(&status.others).exists() {
            return None;
        }
        let others: Vec<String> = status.others.iter().map(Other::sentence).collect();
        let others = match &others[..] {
            [] => "no [[witness]] of its family is configured".to_owned(),
            others => others.join(", "),
        };
        Some(format!(
            "{} would be announced by nobody: {others}; nothing was drained. Drain it once another host announces it at level full, or say --force",
            config.prefix
        ))
    }
}
