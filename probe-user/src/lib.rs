//! The `lapwing` daemon around the decision core: each concern of the outside world
//! is a module that turns it into the core's inputs, or the core's commands into
//! deeds.

pub mod announce;
pub mod bird;
mod chart;
pub mod check;
pub mod cli;
pub mod colours;
pub mod config;
pub mod control;
pub mod daemon;
pub mod datapath;
pub mod discover;
pub mod doctor;
#[cfg(test)]
mod documents;
pub mod explain;
pub mod follow;
pub mod http;
pub mod journal;
pub mod logging;
pub mod metrics;
mod page;
pub mod probe;
pub mod replay;
pub mod simulate;
pub mod status;
pub mod tui;
