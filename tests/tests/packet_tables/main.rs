//! Packets in, verdict and maps out: each case runs through the object in the
//! kernel (`BPF_PROG_TEST_RUN`), by XDP, by tc ingress and tc egress, and through the
//! host build of the same code, and all must say the same. No packet is altered, and
//! every one passes.
//!
//! What is expected comes from the RFCs, from what the kernel does with such packets,
//! and from the table of trials in docs/design.md; each case says which.
#![expect(
    clippy::unwrap_used,
    reason = "a test panics where something is not as it should be"
)]

mod buffers;
mod case;
mod connect;
mod dns;
mod finish;
mod headers;
mod http;
mod icmp;
mod machine;
mod quic;
mod request;
mod reset;
mod room;
mod run;
mod script;
mod sequence;
mod services;
mod tunnels;
mod udp;
