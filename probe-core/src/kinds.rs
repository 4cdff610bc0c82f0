//! What each kind of trials may lead to, and what must agree with it first.
//!
//! | kinds | a failure can be caused by | fast alarm | grey alarm |
//! |---|---|---|---|
//! | `connect`, `answer`, `quic` | anyone, with a forged source | withdraw: probes or rate | degrade: probes |
//! | `greet`, `request` | clients that proved themselves | withdraw: probes or rate | degrade: probes or spread |
//! | `finish`, `status` | clients that proved themselves | degrade: probes or spread | the same |
//! | `resolve` | anyone | degrade: probes or names | the same |
//! | `handshake` | anyone, and the path | degrade: rate | - |
//! | `deliver` | clients that proved themselves, and the path | - | - |
//!
//! A connection brings at most one trial of the other kinds, but one of `deliver` every
//! 800 ms. So a few connections that never acknowledge anything can fail more often than
//! all others together succeed, and how many connections a network opened says nothing
//! about it. Nothing agrees with `deliver` alone: it is shown, and held.

use probe_common::trial::Kind;

/// What failing trials of a kind may at most do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Withdraw.
    Withdraw,
    /// Degrade, because a part of what the server does fails.
    DegradeServer,
    /// Degrade, because the way between clients and server fails.
    DegradePath,
}

/// Who, beside the server, can make trials of a kind fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forger {
    /// Anyone: the source address proves nothing.
    Anyone,
    /// A client that proved its address.
    Client,
    /// Anyone, but only by the names that are asked for.
    Names,
}

/// The most that trials of this kind may do.
pub fn effect(kind: Kind) -> Effect {
    match kind {
        Kind::Connect | Kind::Greet | Kind::Request | Kind::Answer | Kind::Quic => Effect::Withdraw,
        Kind::Finish | Kind::Status | Kind::Resolve => Effect::DegradeServer,
        Kind::Handshake | Kind::Deliver => Effect::DegradePath,
    }
}

/// Who can make trials of this kind fail.
pub fn forger(kind: Kind) -> Forger {
    match kind {
        Kind::Connect | Kind::Answer | Kind::Quic | Kind::Handshake => Forger::Anyone,
        Kind::Greet | Kind::Request | Kind::Finish | Kind::Status | Kind::Deliver => Forger::Client,
        Kind::Resolve => Forger::Names,
    }
}

/// Whether trials of this kind may withdraw a prefix.
pub fn may_withdraw(kind: Kind) -> bool {
    effect(kind) == Effect::Withdraw
}
