//! What is known of BIRD and of the prefixes in it at one moment.

use std::collections::BTreeMap;

use probe_core::Timestamp;

use super::{Followed, judge::AlertKind};

/// What is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Whether BIRD answers.
    pub bird: BirdState,
    /// When it last did.
    pub answered: Option<Timestamp>,
    /// Its BGP sessions.
    pub sessions: Vec<SessionPicture>,
    /// The prefixes, in the order of their ids.
    pub prefixes: Vec<PrefixPicture>,
}

/// Whether BIRD answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BirdState {
    /// It was not asked yet, or has no socket where one is usual, and none was named.
    #[default]
    Unknown,
    /// It does.
    Up {
        /// Its version.
        version: String,
    },
    /// It does not.
    Down {
        /// Why, and what to do.
        sentence: String,
    },
}

/// One BGP session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPicture {
    /// Its name.
    pub name: String,
    /// Who is at the other end.
    pub neighbor: Option<String>,
    /// Whether it is established.
    pub established: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// One prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixPicture {
    /// Whether BIRD and all sessions are as the kernel's table says; none while
    /// nobody can be asked and nobody needs to be.
    pub verified: Option<bool>,
    /// The established sessions, and whether they export it.
    pub sessions: Vec<(String, bool)>,
    /// What is wrong.
    pub alerts: BTreeMap<AlertKind, String>,
    /// The last change that was followed to its end.
    pub followed: Option<Followed>,
}
