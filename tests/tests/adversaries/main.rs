//! Adversaries and accidents, live: real packets, real servers, a real upstream. Each
//! scenario ends with the route where it belongs, with what upstream heard of it, and
//! with the guard or the class of fault in the journal.
//!
//! | file | what happens | the route |
//! |---|---|---|
//! | `abuse` | one network leaves requests open, or acknowledges nothing | stays |
//! | `crowds` | a night, then ten times as many clients | stays |
//! | `dns` | queries rightly dropped, noise, a restart within patience | stays |
//! | | a silent server whose resolvers ask again | withdrawn |
//! | `floods` | spoofed SYNs; with an exhausted backlog: `overload` | stays |
//! | `https` | 503 behind TLS, or no TLS, while live trials are good | withdrawn |
//! | `outages` | a hang, slow answers, the host's own packet filter | withdrawn |
//! | `partial` | a tenth, or half, of the connections fail | degraded, withdrawn |
//! | `programs` | a probe's program says no, while live trials are good | withdrawn |
//! | `resets` | spoofed RSTs, port scans | stays |
//!
//! Others have files of their own beside this one: packets dropped on the outer
//! interface (`silent`), restarts within patience (`default_profile`), hooks taken away
//! (`hooks`), routes that somebody changes (`routes`).

mod abuse;
mod crowds;
mod dns;
mod floods;
mod https;
mod outages;
mod partial;
mod programs;
mod resets;
mod resolvers;
mod slow;
mod stage;
