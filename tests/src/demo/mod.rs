//! The demo: two sites, two faults at one of them, a timeline as it happens.
//!
//! ```text
//!  act 1: nginx killed ─▶ withdrawn ─▶ nginx started ─▶ hold ─▶ announced
//!  act 2: packets dropped outside ─▶ withdrawn, local checks pass ─▶ rule gone ─▶ one retry
//! ```
//! Everything shown is measured by a witness of the lab (its module `witness`); each thing
//! that must happen is a check, and a check that fails makes the demo fail.

mod screen;
mod story;
mod table;
mod witness;

pub use story::run;
