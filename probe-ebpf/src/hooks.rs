//! What each hook does with its context.

use aya_ebpf::{
    EbpfContext as _,
    programs::{TcContext, XdpContext},
};

use probe_common::measure::Direction;

use crate::{packet::Frame, pipeline};

/// No headers that are measured, without options, are longer.
const HEADERS: u32 = 128;

/// Ingress, before the kernel builds its socket buffer.
#[inline(always)]
pub fn xdp(context: &XdpContext) {
    // SAFETY: the verifier rewrites this into checked loads of the context.
    let interface = || unsafe { (*context.ctx).ingress_ifindex };
    let frame = whole(context);
    if !pipeline::plain(&frame, interface, Direction::In, 1) {
        pipeline::ingress(&frame, interface, 1);
    }
}

/// Ingress where XDP would disturb the link: after GRO, with the same counts.
#[inline(always)]
pub fn tc_ingress(context: &TcContext) {
    let interface = || interface(context);
    let segments = segments(context);
    if !pipeline::plain(&as_it_lies(context), interface, Direction::In, segments) {
        pipeline::ingress(&linear(context), interface, segments);
    }
}

/// Egress, before segmentation.
#[inline(always)]
pub fn tc_egress(context: &TcContext) {
    let interface = || interface(context);
    let segments = segments(context);
    if !pipeline::plain(&as_it_lies(context), interface, Direction::Out, segments) {
        pipeline::egress(&linear(context), interface, segments);
    }
}

/// The frame that XDP sees.
#[inline(always)]
pub fn whole(context: &XdpContext) -> Frame<'_> {
    let (data, end) = (context.data(), context.data_end());
    // SAFETY: these are the context's own packet pointers.
    unsafe { Frame::new(data, end, (end - data) as u32, None) }
}

/// The frame with what of it is in the linear part, nearly always all headers.
#[inline(always)]
fn as_it_lies(context: &TcContext) -> Frame<'_> {
    // SAFETY: these are the context's own packet pointers.
    unsafe {
        Frame::new(
            context.data(),
            context.data_end(),
            context.len(),
            Some(context.as_ptr().cast()),
        )
    }
}

/// The frame, with its headers in the linear part.
#[inline(always)]
pub fn linear(context: &TcContext) -> Frame<'_> {
    let length = context.len();
    let wanted = if length < HEADERS { length } else { HEADERS };
    if ((context.data_end() - context.data()) as u32) < wanted {
        // Some drivers leave the headers in pages. What cannot be had is seen as
        // truncated.
        let _ = context.pull_data(wanted);
    }
    as_it_lies(context)
}

/// The interface's index.
#[inline(always)]
fn interface(context: &TcContext) -> u32 {
    // SAFETY: the verifier rewrites this into checked loads of the context.
    unsafe { (*context.skb.skb).ifindex }
}

/// How many packets the buffer stands for.
#[inline(always)]
fn segments(context: &TcContext) -> u32 {
    // SAFETY: as in `interface`.
    unsafe { (*context.skb.skb).gso_segs }
}
