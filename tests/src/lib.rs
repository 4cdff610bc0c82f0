//! The lab and what its tests share.

pub mod packets;
