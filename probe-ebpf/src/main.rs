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
#![allow(
    clippy::cast_possible_truncation,
    reason = "lengths of packets and headers fit into 32 bits"
)]
#![allow(missing_docs, reason = "the hooks' macros make functions without docs")]
#![feature(core_intrinsics)]

mod atomics;
mod bell;
mod clock;
mod counters;
mod flows;
mod packet;
mod pipeline;
mod state;
mod trace;
mod trials;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_MMAPABLE, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use packet::Frame;

/// The map can be mapped into user space.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Replaced at load by what the configuration needs.
const DEFAULT_ENTRIES: usize = 1;
/// No headers that are measured, without options, are longer.
const HEADERS: u32 = 128;

/// Ingress, before the kernel builds its socket buffer.
#[xdp(frags)]
pub fn lapwing_xdp(context: XdpContext) -> u32 {
    let (data, end) = (context.data(), context.data_end());
    // SAFETY: these are the context's own packet pointers.
    let frame = unsafe { Frame::new(data, end, (end - data) as u32, None) };
    // SAFETY: the verifier rewrites this into a checked load of the context.
    let interface = unsafe { (*context.ctx).ingress_ifindex };
    pipeline::ingress(&frame, interface, 1);
    xdp_action::XDP_PASS
}

/// Ingress where XDP would disturb the link: after GRO, with the same counts.
#[classifier]
pub fn lapwing_ingress(context: TcContext) -> i32 {
    let (interface, segments) = buffer(&context);
    pipeline::ingress(&linear(&context), interface, segments);
    TC_ACT_UNSPEC
}

/// Egress, before segmentation.
#[classifier]
pub fn lapwing_egress(context: TcContext) -> i32 {
    let (interface, segments) = buffer(&context);
    pipeline::egress(&linear(&context), interface, segments);
    TC_ACT_UNSPEC
}

/// The frame, with its headers in the linear part.
#[inline(always)]
fn linear(context: &TcContext) -> Frame<'_> {
    let length = context.len();
    let wanted = if length < HEADERS { length } else { HEADERS };
    if ((context.data_end() - context.data()) as u32) < wanted {
        // Some drivers leave the headers in pages. What cannot be had is seen as
        // truncated.
        let _ = context.pull_data(wanted);
    }
    // SAFETY: these are the context's own packet pointers, as they are now.
    unsafe {
        Frame::new(
            context.data(),
            context.data_end(),
            length,
            Some(context.as_ptr().cast()),
        )
    }
}

/// The interface, and how many packets the buffer stands for.
#[inline(always)]
fn buffer(context: &TcContext) -> (u32, u32) {
    // SAFETY: the verifier rewrites these into checked loads of the context.
    unsafe { ((*context.skb.skb).ifindex, (*context.skb.skb).gso_segs) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
