//! The lapwing daemon.

pub mod datapath;
