//! The programs. XDP and tc ingress see packets on their way in, tc egress those on
//! their way out. Whatever happens inside, the packet passes unaltered.
//!
//! `inline(always)`: the hooks' macros wrap each function into one with the kernel's
//! signature. Left to itself the compiler keeps the two apart, and every packet pays
//! for a call and a return: about what parsing costs, as measured.
#![no_std]
#![no_main]
#![allow(
    clippy::inline_always,
    reason = "a call in bpf costs every packet registers and stack"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the hooks' macros call them with the context by value"
)]
#![allow(missing_docs, reason = "the hooks' macros make functions without docs")]

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::hooks;

#[xdp(frags)]
#[inline(always)]
pub fn lapwing_xdp(context: XdpContext) -> u32 {
    hooks::xdp(&context);
    xdp_action::XDP_PASS
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

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
