//! The operator's orders: from the control socket to the core, written down before
//! they are answered, so that they survive whatever comes next.

use probe_core::Input;

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
        let wanted = |id| {
            let status = prefixes.iter().find(|status| status.prefix == id)?;
            status.wanted
        };
        let orders = match order.resolve(&by, &self.settings.core, &wanted, now) {
            Ok(orders) => orders,
            Err(why) => {
                // Who asked may have gone.
                let _ = answer.send(Answer::Error(why));
                return;
            }
        };
        for order in orders {
            self.engine.handle(Input::Operator(order), now);
        }
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
}
