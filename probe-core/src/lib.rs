//! Lapwing's decision core.
//!
//! In flow: readings of the kernel's maps, probe results, route and sensor
//! events ([`Input`]), each with the time at which it happened. Out flow:
//! [`Command`]s, each with its [`Reason`]. In between there is no IO, no clock and
//! no randomness, so that a recorded stream of inputs gives the same commands
//! again, on any machine.
//!
//! ```text
//! Reading ─▶ tally ─▶ window ─▶ detector, baseline, rate ─┐
//!                                                ├─▶ suspicion ─▶ watch ─▶ prefix ─▶ Command
//! ProbeResult ─▶ probing ────────────────────────┘   (verdict)     (policy, guards, recovery)
//! ```

mod baseline;
pub mod command;
pub mod config;
mod detector;
mod engine;
mod exact;
pub mod input;
pub mod level;
mod outbox;
mod policy;
mod prefix;
mod probing;
mod rate;
mod reason;
mod recovery;
pub mod status;
mod suspicion;
mod tally;
pub mod time;
mod watch;
mod window;

pub use command::{Command, Reason};
pub use config::Config;
pub use engine::Engine;
pub use input::Input;
pub use level::Level;
pub use time::Timestamp;
