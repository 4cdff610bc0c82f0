//! The task that owns the table: serves wishes, and repairs what others do to it.
//!
//! Wishes come first, always: repairs of many prefixes are made in batches, between
//! which wishes are looked for. A storm of events can delay neither.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;

use probe_core::{Level, Timestamp};
use tokio::sync::mpsc;

use super::{
    Error, Instruction, Options, Request,
    herald::Herald,
    netlink::Event,
    reconcile::Plan,
    table::{Table, Work, differs},
    wishes,
};
use crate::datapath::now;

/// Wishes, or repairs, of which the answers are waited for together.
const BATCH: usize = 128;

enum Occurrence {
    Requests,
    Instructed(Instruction),
    Repair,
    Event(Option<Event>, Timestamp),
    Told,
    Wake,
}

pub(super) struct Actor {
    table: Table,
    /// Prefixes that are to be looked after, after a reading.
    unrepaired: VecDeque<usize>,
}

impl Actor {
    /// Opens the sockets, reads the table and tells what stands there.
    pub async fn start(options: &Options, herald: Herald) -> Result<Self, Error> {
        Ok(Self {
            table: Table::open(options, herald).await?,
            unrepaired: VecDeque::new(),
        })
    }

    /// Runs until the last sender of wishes is gone.
    pub async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut instructed: mpsc::UnboundedReceiver<Instruction>,
        served: &AtomicU64,
    ) {
        let mut batch: Vec<Request> = Vec::with_capacity(BATCH);
        loop {
            let wake = self.next_wake().since(now());
            let Table {
                kernel,
                connected,
                herald,
                ..
            } = &mut self.table;
            let occurrence = tokio::select! {
                biased;
                count = requests.recv_many(&mut batch, BATCH) => match count {
                    0 => return,
                    _ => Occurrence::Requests,
                },
                Some(first) = instructed.recv() => Occurrence::Instructed(first),
                () = core::future::ready(()), if !self.unrepaired.is_empty() => Occurrence::Repair,
                event = kernel.next_event(), if *connected => Occurrence::Event(event, now()),
                () = herald.catch_up(), if herald.is_behind() => Occurrence::Told,
                () = tokio::time::sleep(wake) => Occurrence::Wake,
            };
            match occurrence {
                Occurrence::Requests => {
                    let count = batch.len() as u64;
                    wishes::serve(&mut self.table, &mut batch).await;
                    served.fetch_add(count, Ordering::Relaxed);
                }
                Occurrence::Instructed(first) => {
                    self.follow(first);
                    while let Ok(next) = instructed.try_recv() {
                        self.follow(next);
                    }
                }
                Occurrence::Repair => self.repair_some().await,
                Occurrence::Event(Some(event), at) => self.handle(&event, at).await,
                Occurrence::Event(None, at) => self.table.lost(at),
                Occurrence::Told => {}
                Occurrence::Wake => self.look(now()).await,
            }
            self.table.publish();
        }
    }

    fn follow(&mut self, instruction: Instruction) {
        match instruction {
            Instruction::Keep { prefix, level } => self.keep(prefix.0 as usize, level),
            Instruction::LetGo { prefix } => self.table.let_go(prefix.0 as usize),
            Instruction::Own(prefixes) => self.table.own(&prefixes, now()),
        }
    }

    fn keep(&mut self, index: usize, level: Level) {
        let Some(tracked) = self.table.tracked.get_mut(index) else {
            return;
        };
        if tracked.reconciler.wanted().is_some() {
            return;
        }
        tracked.reconciler.want(level);
        if tracked.reconciler.plan() != Plan::Rest {
            tracked.due = Some(now());
        }
        self.table.touch(index);
    }

    fn next_wake(&self) -> Timestamp {
        self.table
            .tracked
            .iter()
            .filter_map(|tracked| tracked.due)
            .fold(self.table.reading_due(), Timestamp::min)
    }

    /// Takes an event and all that wait behind it, and reads the table if they are
    /// news, unless it was read just now: then a wake follows.
    async fn handle(&mut self, first: &Event, at: Timestamp) {
        self.table.take(first, at);
        self.table.take_waiting(at);
        if let Some(since) = self.table.news_since()
            && self.table.reading_due() <= now()
        {
            self.look(since).await;
        }
    }

    /// Reads the table, and finds what is to be repaired. Retries and the ends of
    /// quarrels need a reading, too: nothing is replaced that was not just seen.
    async fn look(&mut self, at: Timestamp) {
        self.table.reconnect();
        let at = self.table.news_since().unwrap_or(at);
        if self.table.read(at).await.is_err() {
            for tracked in &mut self.table.tracked {
                // The next reading will find them.
                tracked.due = None;
            }
            return;
        }
        let tracked = self.table.tracked.iter().enumerate();
        self.unrepaired = tracked
            .filter(|(_, tracked)| {
                tracked.reconciler.plan() != Plan::Rest
                    || tracked.reconciler.is_contended()
                    || tracked.refusal.is_some()
                    || tracked.due.is_some()
            })
            .map(|(index, _)| index)
            .collect();
    }

    /// Repairs the next prefixes that are not as wanted and not waiting.
    async fn repair_some(&mut self) {
        let next = |unrepaired: &VecDeque<usize>| unrepaired.len().min(BATCH);
        let replaces = self
            .unrepaired
            .range(..next(&self.unrepaired))
            .any(|index| self.table.tracked[*index].reconciler.plan().replaces());
        if replaces && !self.table.is_fresh() {
            self.look(now()).await;
        }
        let count = next(&self.unrepaired);
        let now = now();
        let mut work: Vec<Work> = Vec::with_capacity(count);
        for index in self.unrepaired.drain(..count) {
            let tracked = &mut self.table.tracked[index];
            tracked.due = None;
            match tracked.reconciler.plan() {
                Plan::Rest | Plan::Blocked(_) => {
                    tracked.refusal = None;
                    tracked.due = tracked.reconciler.peace_at(now);
                }
                Plan::Make(changes) => {
                    tracked.due = tracked.pause(now);
                    if tracked.due.is_none() {
                        work.push((index, changes));
                    }
                }
            }
            self.table.touch(index);
        }
        let table = self.table.id();
        for (index, result) in self.table.make(work).await {
            let tracked = &mut self.table.tracked[index];
            match result {
                Ok(()) => {
                    tracing::debug!(prefix = %tracked.net, "somebody changed the route: repaired");
                    tracked.refusal = None;
                    tracked.reconciler.repaired(now);
                    tracked.due = tracked.reconciler.peace_at(now);
                }
                // A reading helps; the pauses between repairs end a spin.
                Err(error) if differs(&error) => {
                    tracked.reconciler.repaired(now);
                    tracked.due = Some(now);
                }
                Err(source) => {
                    let error = Error::Change {
                        prefix: tracked.net,
                        table,
                        level: tracked.reconciler.wanted().unwrap_or(Level::Withdrawn),
                        source,
                    };
                    tracked.refused(error.to_string(), now);
                }
            }
        }
    }
}
