//! The benchmark's programs: the daemon's own hooks, and the baselines from which
//! their cost is told.
//!
//! | | alone | for a new flow each time |
//! |---|---|---|
//! | nothing | `empty_*` | `varied_empty_*` |
//! | parse | `parse_*` | `varied_parse_*` |
//! | all | `lapwing_*` | `varied_xdp`, `varied_egress` |
//!
//! `BPF_PROG_TEST_RUN` repeats one packet, so the programs on the right first write
//! the next flow's addresses into it (`sequence`); the difference to `varied_empty_*`
//! leaves that out. Like the daemon's, they are inlined into the macros' functions.
#![no_std]
#![no_main]
#![allow(
    clippy::inline_always,
    reason = "a call in bpf costs registers and stack, and hides bounds from the verifier"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the hooks' macros call them with the context by value"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "casts here keep the bits that a packet's field has room for"
)]
#![allow(missing_docs, reason = "the hooks' macros make functions without docs")]

mod sequence;

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use probe_common::{
    measure::Direction,
    parse::{self, tunnel::Tunnels},
    skip::Skip,
};
use probe_ebpf::{hooks, packet::Frame, state};

#[xdp(frags)]
#[inline(always)]
pub fn empty_xdp(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[xdp(frags)]
#[inline(always)]
pub fn parse_xdp(context: XdpContext) -> u32 {
    parsed(&hooks::whole(&context));
    xdp_action::XDP_PASS
}

#[xdp(frags)]
#[inline(always)]
pub fn lapwing_xdp(context: XdpContext) -> u32 {
    hooks::xdp(&context);
    xdp_action::XDP_PASS
}

#[xdp(frags)]
#[inline(always)]
pub fn varied_empty_xdp(context: XdpContext) -> u32 {
    sequence::next(context.data(), context.data_end(), Direction::In);
    xdp_action::XDP_PASS
}

#[xdp(frags)]
#[inline(always)]
pub fn varied_parse_xdp(context: XdpContext) -> u32 {
    sequence::next(context.data(), context.data_end(), Direction::In);
    parsed(&hooks::whole(&context));
    xdp_action::XDP_PASS
}

#[xdp(frags)]
#[inline(always)]
pub fn varied_xdp(context: XdpContext) -> u32 {
    sequence::next(context.data(), context.data_end(), Direction::In);
    hooks::xdp(&context);
    xdp_action::XDP_PASS
}

#[classifier]
#[inline(always)]
pub fn empty_tc(_: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn parse_tc(context: TcContext) -> i32 {
    parsed(&hooks::linear(&context));
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn lapwing_ingress(context: TcContext) -> i32 {
    hooks::tc_ingress(&context);
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn lapwing_egress(context: TcContext) -> i32 {
    hooks::tc_egress(&context);
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn varied_empty_tc(context: TcContext) -> i32 {
    sequence::next(context.data(), context.data_end(), Direction::Out);
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn varied_parse_tc(context: TcContext) -> i32 {
    sequence::next(context.data(), context.data_end(), Direction::Out);
    parsed(&hooks::linear(&context));
    TC_ACT_UNSPEC
}

#[classifier]
#[inline(always)]
pub fn varied_egress(context: TcContext) -> i32 {
    sequence::next(context.data(), context.data_end(), Direction::Out);
    hooks::tc_egress(&context);
    TC_ACT_UNSPEC
}

/// Parses a TCP segment, and keeps every field of the result alive.
#[inline(always)]
fn parsed(frame: &Frame<'_>) {
    if let Ok(fields) = fields(frame) {
        core::hint::black_box(fields);
    }
}

#[inline(always)]
fn fields(frame: &Frame<'_>) -> Result<u64, Skip> {
    let state = state::state().ok_or(Skip::NoTable)?;
    let network = parse::network(frame, Tunnels::default(), &state.services)?;
    let segment = parse::segment(frame, &network)?;
    let (source, destination) = (network.source.0, network.destination.0);
    Ok(source[0]
        ^ source[1]
        ^ destination[0]
        ^ destination[1]
        ^ u64::from(network.ip_length)
        ^ u64::from(segment.sequence)
        ^ u64::from(segment.acknowledgment)
        ^ u64::from(segment.payload_length)
        ^ u64::from(segment.window)
        ^ u64::from(segment.source_port)
        ^ u64::from(segment.destination_port)
        ^ u64::from(segment.flags.0))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
