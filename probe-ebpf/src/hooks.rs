//! What each hook does with its context.

use aya_ebpf::{
    EbpfContext as _,
    programs::{TcContext, XdpContext},
};

use probe_common::measure::Direction;

use crate::{
    packet::Frame,
    pipeline::{self, Maps},
};

/// No headers that are measured, without options, are longer.
const HEADERS: u32 = 128;

/// Ingress, before the kernel builds its socket buffer.
#[inline(always)]
pub fn xdp(context: &XdpContext) {
    let maps = Maps {
        // SAFETY: the verifier rewrites this into checked loads of the context.
        interface: || unsafe { (*context.ctx).ingress_ifindex },
        segments: || 1,
    };
    let frame = whole(context);
    if !pipeline::plain(&maps, &frame, Direction::In) {
        pipeline::ingress(&maps, &frame);
    }
}

/// Ingress where XDP would disturb the link: after GRO, with the same counts.
#[inline(always)]
pub fn tc_ingress(context: &TcContext) {
    let maps = maps(context);
    if !pipeline::plain(&maps, &as_it_lies(context), Direction::In) {
        pipeline::ingress(&maps, &linear(context));
    }
}

/// Egress, before segmentation.
#[inline(always)]
pub fn tc_egress(context: &TcContext) {
    let maps = maps(context);
    if !pipeline::plain(&maps, &as_it_lies(context), Direction::Out) {
        pipeline::egress(&maps, &linear(context));
    }
}

/// The maps for a packet at a tc hook.
#[inline(always)]
fn maps(context: &TcContext) -> Maps<impl Fn() -> u32, impl Fn() -> u32> {
    let buffer = context.skb.skb;
    Maps {
        // SAFETY: the verifier rewrites this into checked loads of the context.
        interface: move || unsafe { (*buffer).ifindex },
        // SAFETY: likewise.
        segments: move || unsafe { (*buffer).gso_segs },
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
