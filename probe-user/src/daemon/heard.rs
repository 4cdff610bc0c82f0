//! What is heard of other hosts: from the news of the witnesses to the changes that are
//! worth an input for the core.

use std::sync::Arc;

use probe_core::{
    Input, Timestamp,
    config::PrefixId,
    witness::{Heard, Other},
};
use tokio::sync::watch;

use crate::announce::witness::{News, STALE_AFTER};

/// The news that were told last, and where to hear others.
pub struct Hearsay {
    news: Option<watch::Receiver<Arc<News>>>,
    told: Vec<Vec<Other>>,
}

impl Hearsay {
    /// Nothing was told yet; no news without witnesses.
    pub fn new(mut news: Option<watch::Receiver<Arc<News>>>) -> Self {
        if let Some(news) = &mut news {
            news.mark_changed();
        }
        Self {
            news,
            told: Vec::new(),
        }
    }

    /// Waits until there are news. Never ready without witnesses.
    pub async fn changed(&mut self) {
        if let Some(news) = &mut self.news
            && news.changed().await.is_ok()
        {
            return;
        }
        // A thread that has ended grows stale: see `inputs`.
        core::future::pending::<()>().await;
    }

    /// What the core does not know yet. To be called now and then even without news:
    /// old ones are not believed.
    pub fn inputs(&mut self, now: Timestamp) -> Vec<Input> {
        let Some(news) = &mut self.news else {
            return Vec::new();
        };
        let news = Arc::clone(&news.borrow_and_update());
        let age = now.since(news.at);
        let mut heard = news.others.clone();
        if age > STALE_AFTER {
            for other in heard.iter_mut().flatten() {
                other.heard = Heard::Stale(
                    "the thread that listens is stuck: the kernel's routing lock is held, or the host is overloaded"
                        .to_owned(),
                );
            }
        }
        self.told.resize(heard.len(), Vec::new());
        (0..)
            .map(PrefixId)
            .zip(heard.into_iter().zip(&mut self.told))
            .filter(|(_, (others, told))| others != *told)
            .map(|(prefix, (others, told))| {
                told.clone_from(&others);
                Input::Witness { prefix, others }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use probe_core::Level;

    use super::*;

    fn other(heard: Heard) -> Vec<Other> {
        vec![Other {
            site: "ams1".into(),
            host: "edge1".into(),
            is_neighbour: false,
            heard,
        }]
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_core_hears_what_is_new_and_that_news_are_old() {
        let news = |seconds, levels: [Level; 2]| {
            Arc::new(News {
                at: at(seconds),
                others: levels.map(|level| other(Heard::Level(level))).to_vec(),
            })
        };
        let (sender, receiver) = watch::channel(news(1, [Level::Full; 2]));
        let mut hearsay = Hearsay::new(Some(receiver));
        assert_eq!(hearsay.inputs(at(1)).len(), 2, "the first");
        sender.send_replace(news(2, [Level::Full; 2]));
        assert_eq!(hearsay.inputs(at(2)), [], "nothing new");
        sender.send_replace(news(3, [Level::Full, Level::Degraded]));
        let prefix = PrefixId(1);
        let others = other(Heard::Level(Level::Degraded));
        assert_eq!(hearsay.inputs(at(3)), [Input::Witness { prefix, others }]);
        assert_eq!(hearsay.inputs(at(8)), [], "five seconds old");
        let old = hearsay.inputs(at(9));
        assert_eq!(old.len(), 2);
        for input in old {
            let Input::Witness { others, .. } = input else {
                panic!("{input:?}");
            };
            assert_eq!(others[0].level(), None);
        }
        assert_eq!(hearsay.inputs(at(10)), []);
        sender.send_replace(news(10, [Level::Full; 2]));
        assert_eq!(hearsay.inputs(at(10)).len(), 2, "it goes on");
        assert_eq!(Hearsay::new(None).inputs(at(1)), []);
    }
}
