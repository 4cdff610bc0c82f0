//! The IO around the decision core: everything of the `lapwing` daemon that
//! touches the host.

pub mod announce;
pub mod http;
pub mod metrics;
pub mod probe;
