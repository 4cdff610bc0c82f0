//! Makes the table agree with fresh wishes, many at once.
//!
//! ```text
//! wishes ─▶ plan ─▶ in order already ──────────────────────────▶ answered
//!            ▲ ├─▶ changes ─▶ kernel, pipelined ─▶ acknowledged ─▶ answered
//!            │ └─▶ a replacement, or blocked ─┐       └ table differs
//!            └────────── read the table ◀─────┴───────────────┘
//! ```
//!
//! The kernel replaces the route of a key whoever made it. So a replacement is only
//! made of what a reading has just shown to be ours; additions and removals cannot
//! touch another program's route and go out at once.

use std::{collections::HashSet, io};

use ipnet::IpNet;
use probe_core::Level;
use tokio::sync::oneshot;

use super::{
    Error, Request,
    reconcile::Plan,
    route::Route,
    table::{Table, Work, differs},
};
use crate::datapath::now;

/// A wish is tried so often when the table turns out to be other than known.
const ATTEMPTS: usize = 4;

/// A wish that is not answered yet.
struct Wish {
    index: usize,
    net: IpNet,
    level: Level,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// Serves all of `requests`, in their order where they speak of the same prefix.
pub(super) async fn serve(table: &mut Table, requests: &mut Vec<Request>) {
    let mut waiting = core::mem::take(requests);
    while !waiting.is_empty() {
        let mut prefixes = HashSet::new();
        let end = waiting
            .iter()
            .position(|request| !prefixes.insert(request.prefix))
            .unwrap_or(waiting.len());
        let later = waiting.split_off(end);
        serve_distinct(table, waiting).await;
        waiting = later;
    }
}

async fn serve_distinct(table: &mut Table, requests: Vec<Request>) {
    let mut answers = Vec::with_capacity(requests.len());
    let mut open = Vec::with_capacity(requests.len());
    for Request {
        prefix,
        level,
        reply,
    } in requests
    {
        let index = prefix.0 as usize;
        let Some(tracked) = table.tracked.get_mut(index) else {
            answers.push((reply, Err(Error::UnknownPrefix(prefix))));
            continue;
        };
        tracked.reconciler.want(level);
        tracked.refusal = None;
        tracked.due = None;
        open.push(Wish {
            index,
            net: tracked.net,
            level,
            reply,
        });
        table.touch(index);
    }
    attempt(table, open, &mut answers).await;
    // Whoever hears of a failure finds it among the conflicts.
    table.publish();
    for (reply, result) in answers {
        // The caller may have given up waiting.
        let _ = reply.send(result);
    }
}

type Answers = Vec<(oneshot::Sender<Result<(), Error>>, Result<(), Error>)>;

async fn attempt(table: &mut Table, mut open: Vec<Wish>, answers: &mut Answers) {
    table.take_waiting(now());
    let mut seen = if table.is_fresh() {
        Seen::JustNow
    } else {
        Seen::Before
    };
    for _ in 0..ATTEMPTS {
        let mut work: Vec<Work> = Vec::with_capacity(open.len());
        let mut unclear = Vec::new();
        let mut under_way = Vec::with_capacity(open.len());
        for wish in open {
            let plan = table.tracked[wish.index].reconciler.plan();
            match (plan, seen) {
                (Plan::Rest, _) => answers.push((wish.reply, Ok(()))),
                (Plan::Blocked(route), Seen::JustNow) => {
                    let error = wish.foreign(table.id(), route);
                    answers.push((wish.reply, Err(error)));
                }
                (Plan::Blocked(_), Seen::Before) => unclear.push(wish),
                (plan @ Plan::Make(_), Seen::Before) if plan.replaces() => unclear.push(wish),
                (Plan::Make(changes), _) => {
                    work.push((wish.index, changes));
                    under_way.push(wish);
                }
            }
        }
        let results = table.make(work).await;
        for (index, result) in results {
            let Some(place) = under_way.iter().position(|wish| wish.index == index) else {
                continue;
            };
            let wish = under_way.swap_remove(place);
            match result {
                Ok(()) => answers.push((wish.reply, Ok(()))),
                Err(error) if differs(&error) => unclear.push(wish),
                Err(source) => {
                    let error = wish.refused(table.id(), source);
                    table.tracked[index].refused(error.to_string(), now());
                    answers.push((wish.reply, Err(error)));
                }
            }
        }
        open = unclear;
        if open.is_empty() {
            return;
        }
        if let Err(error) = table.read(now()).await {
            for wish in open {
                let error = Error::Read {
                    table: table.id(),
                    source: copy(&error),
                };
                answers.push((wish.reply, Err(error)));
            }
            return;
        }
        seen = Seen::JustNow;
    }
    for wish in open {
        let tracked = &mut table.tracked[wish.index];
        let result = match tracked.reconciler.plan() {
            Plan::Rest => Ok(()),
            Plan::Blocked(route) => Err(wish.foreign(table.id(), route)),
            Plan::Make(_) => {
                tracked.due = Some(now());
                Err(Error::Contended {
                    prefix: wish.net,
                    table: table.id(),
                    level: wish.level,
                })
            }
        };
        answers.push((wish.reply, result));
    }
}

/// When the table was read that a plan is made from.
#[derive(Clone, Copy)]
enum Seen {
    /// Some time ago, and events told since what changed.
    Before,
    /// For this very wish, or just before.
    JustNow,
}

/// The same error for one more caller.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Wish {
    fn foreign(&self, table: u32, route: Route) -> Error {
        Error::Foreign {
            prefix: self.net,
            table,
            level: self.level,
            route,
        }
    }

    fn refused(&self, table: u32, source: io::Error) -> Error {
        Error::Change {
            prefix: self.net,
            table,
            level: self.level,
            source,
        }
    }
}
