//! What the kernel side and the user side of Lapwing share.
#![cfg_attr(not(test), no_std)]

pub mod counters;
pub mod latency;
pub mod service;
pub mod skip;
pub mod trial;
