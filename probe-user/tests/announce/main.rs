//! Route control against a real kernel and a real quarrelling neighbour (`ip`), in
//! anonymous network namespaces: nothing of the host changes, nothing is left.
#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers may panic like its tests"
)]

mod foreign;
mod levels;
mod many;
mod namespace;
mod owned;
mod repair;
