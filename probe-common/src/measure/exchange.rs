//! UDP exchanges: a datagram that deserves an answer, and the answer.

use crate::{
    flow::{Entry, Inserted, Newcomer, Phase, State},
    trial::{Kind, Outcome},
    uplink::Ways,
};

use super::{Flow, Tables, connection::evict, trials};

/// A client that comes again within this time, from the same port, goes on with the
/// QUIC connection that it has (an answered Initial is followed by more Initials,
/// with the connection ID that the server chose).
const QUIC_SAME_CONNECTION_NS: u64 = 10_000_000_000;

/// A datagram that may deserve an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which trial it is for.
    pub kind: Kind,
    /// A hash of what is asked for: a name (DNS), a connection ID (QUIC).
    pub about: u32,
    /// Whether a server has to answer.
    pub deserves_answer: bool,
}

impl Query {
    /// A datagram of which nothing more is known.
    #[inline(always)]
    pub const fn plain() -> Self {
        Self {
            kind: Kind::Answer,
            about: 0,
            deserves_answer: true,
        }
    }
}

/// A datagram that may be an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// It answers only what asked for this.
    pub to: Option<u32>,
    /// It tells the client to ask again (QUIC Retry, Version Negotiation).
    pub asks_again: bool,
}

impl Answer {
    /// An answer to whatever was asked.
    #[inline(always)]
    pub const fn plain() -> Self {
        Self {
            to: None,
            asks_again: false,
        }
    }
}

/// Starts a trial, unless the query goes on with one that is there.
#[inline(always)]
pub fn begin<T: Tables>(tables: &T, flow: &Flow<'_>, query: &Query) -> Option<()> {
    let set = tables.exchanges(flow.hash)?;
    let own = set.find(&flow.key);
    let now_ns = tables.now_ns();
    if let Some((entry, seen)) = own
        && goes_on(entry, seen, query, now_ns)
    {
        return Some(());
    }
    let (trial, ring) = trials::new_trial(tables, &flow.service, query.kind, now_ns)?;
    let client = Newcomer {
        number: query.about,
        ways: Ways::default(),
    };
    let inserted = set.insert::<T>(own, &flow.key, client, &trial);
    if inserted == Inserted::NoRoom {
        return tables.count(flow.key.service, |counters| {
            counters.trials_without_room += 1;
        });
    }
    ring.begin::<T>(now_ns);
    if query.kind == Kind::Quic {
        tables.state()?.gate.open::<T>(flow.hash, now_ns);
    }
    if ring.is_silent(now_ns) {
        tables.wake();
    }
    evict(tables, inserted, now_ns)
}

/// Whether a query belongs to the exchange that its client has already.
#[inline(always)]
fn goes_on(entry: &Entry, seen: State, query: &Query, now_ns: u64) -> bool {
    if seen.phase() == Phase::Waiting {
        // Sent again before the deadline: the same trial.
        return !entry.is_late(now_ns);
    }
    if query.kind != Kind::Quic {
        return false;
    }
    if query.about != entry.client_number() && seen.any(State::RETRIED) {
        return false;
    }
    now_ns.saturating_sub(entry.trial().started_ns) < QUIC_SAME_CONNECTION_NS
}

/// Ends the trial that waits for this answer.
#[inline(always)]
pub fn end<T: Tables>(tables: &T, flow: &Flow<'_>, answer: &Answer) -> Option<()> {
    let Some((entry, seen)) = tables.exchanges(flow.hash)?.find(&flow.key) else {
        return Some(());
    };
    if seen.phase() != Phase::Waiting || answer.to.is_some_and(|to| to != entry.client_number()) {
        return Some(());
    }
    let mark = if answer.asks_again { State::RETRIED } else { 0 };
    let trial = entry.trial();
    if entry.advance::<T>(seen, seen.with(Phase::Closed).marked(mark)) {
        let now_ns = tables.now_ns();
        trials::end(tables, flow.key.service, trial, now_ns, Outcome::Succeeded)?;
    }
    Some(())
}

/// Ends the trial whose query could not be delivered.
#[inline(always)]
pub fn fail<T: Tables>(
    tables: &T,
    flow: &Flow<'_>,
    entry: &Entry,
    seen: State,
    outcome: Outcome,
) -> Option<()> {
    let trial = entry.trial();
    if seen.phase() == Phase::Waiting && entry.advance::<T>(seen, seen.with(Phase::Closed)) {
        let now_ns = tables.now_ns();
        trials::end(tables, flow.key.service, trial, now_ns, outcome)?;
    }
    Some(())
}
