//! The hooks. XDP and tc ingress see packets on their way in, tc egress those on
//! their way out. Whatever happens inside, the packet passes unaltered.
#![no_std]
#![no_main]
// atomic_xadd and atomic_cxchg: bpf's `core` has no read-modify-write methods.
#![expect(internal_features, reason = "see `atomics`")]
#![allow(
    clippy::inline_always,
    reason = "a call in bpf costs registers and stack, and hides bounds from the verifier"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the hooks' macros call them with the context by value"
)]
#![allow(missing_docs, reason = "the hooks' macros make functions without docs")]
#![feature(core_intrinsics)]

mod atomics;
mod clock;
mod cohorts;
mod counters;
mod gate;
mod handshakes;
mod packet;
mod pipeline;
mod services;
mod trace;

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// Ingress, before the kernel builds its socket buffer.
#[xdp(frags)]
pub fn lapwing_xdp(context: XdpContext) -> u32 {
    pipeline::ingress(context.data(), context.data_end(), 1);
    xdp_action::XDP_PASS
}

/// Ingress where XDP would disturb the link: after GRO, with the same counts.
#[classifier]
pub fn lapwing_ingress(context: TcContext) -> i32 {
    pipeline::ingress(context.data(), context.data_end(), segments(&context));
    TC_ACT_UNSPEC
}

/// Egress, before segmentation.
#[classifier]
pub fn lapwing_egress(context: TcContext) -> i32 {
    pipeline::egress(context.data(), context.data_end(), segments(&context));
    TC_ACT_UNSPEC
}

#[inline(always)]
fn segments(context: &TcContext) -> u32 {
    // SAFETY: the verifier rewrites this into a checked load of the context.
    unsafe { (*context.skb.skb).gso_segs }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
