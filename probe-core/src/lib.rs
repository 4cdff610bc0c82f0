//! Lapwing's decision core.
//!
//! In flows: readings of the kernel's maps, probe results, route and sensor
//! events ([`Input`]), each with the time at which it happened. Out flow:
//! [`Command`]s, each with its [`Reason`]. In between there is no IO, no clock and
//! no randomness, so that a recorded stream of inputs gives the same commands
//! again, on any machine.
//!
//! ```text
//! Reading ─▶ window ─▶ detector ─▶ suspicion + second leg ─▶ verdict ─▶ policy ─▶ guard ─▶ Command
//! ```

pub mod command;
pub mod config;
pub mod input;
pub mod level;
pub mod status;
pub mod time;

pub use command::{Command, Reason};
pub use config::Config;
pub use input::Input;
pub use level::Level;
pub use time::Timestamp;
