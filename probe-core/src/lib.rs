//! Lapwing's decision core.
//!
//! In flow: readings of the kernel's maps, probe results, route and sensor
//! events ([`Input`]), each with the time at which it happened. Out flow:
//! [`Command`]s, each with its [`Reason`]. In between there is no IO, no clock and
//! no randomness, so that a recorded stream of inputs gives the same commands
//! again, on any machine.
//!
//! ```text
//! Reading ─▶ tally ─▶ window ─▶ judge (detectors, baseline, rate) ─▶ alarm ─┐
//!        └─▶ clients, spread, load ──────────────────────────────────────────┼─▶ suspicion ─▶ watch
//! ProbeResult ─▶ probing ────────────────────────────────────────────────────┘               │
//!                                                                   faults, impairments, class ▼
//! Order ─▶ operator ─────────────────▶ prefix (policy, guards, budget, recovery) ─▶ Command
//! other hosts ─▶ witness ────────────▶   ▲
//! ```

mod alarm;
mod baseline;
mod blame;
mod budget;
mod cadence;
mod clients;
pub mod command;
pub mod config;
mod deadline;
pub mod detector;
mod engine;
mod exact;
mod hours;
pub mod input;
mod judge;
mod kinds;
mod last_resort;
pub mod level;
mod load;
mod operator;
mod outbox;
mod persistence;
mod policy;
mod prefix;
mod probe;
mod probing;
mod rate;
mod reason;
mod recovery;
mod renumbering;
mod spread;
pub mod status;
mod suspicion;
mod tally;
pub mod time;
pub mod uplinks;
mod watch;
mod window;
pub mod witness;

pub use command::{Command, Reason};
pub use config::Config;
pub use engine::{Engine, Memory};
pub use input::Input;
pub use last_resort::LastResort;
pub use level::Level;
pub use renumbering::Renumbering;
pub use time::Timestamp;
pub use watch::Attention;
