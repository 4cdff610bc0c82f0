//! Sample cells: what needs every segment of a connection, for a bounded sample of
//! connections.
//!
//! Each service has a slab of cells. A verified connection whose hash has none of
//! the bits of the service's sample mask takes the cell that its hash names, if
//! nobody holds it, and keeps it until the connection ends or is idle for two
//! seconds. Whether a connection is sampled is known before anything of its fate
//! is, so the sample is unbiased with respect to outcomes.
//!
//! The ingress half has one writer at a time and the egress half another: a
//! connection's segments of one direction are handled one after another.

use crate::cell::{Atomics, Shared};

/// Cells of a service, unless configured.
pub const DEFAULT_CELLS: u32 = 1024;
/// Most cells of a service.
pub const MAX_CELLS: u32 = 1 << 16;
/// An idle connection loses its cell.
const IDLE_NS: u64 = 2_000_000_000;
/// The span of the trial `deliver`.
pub const SPAN_NS: u64 = 800_000_000;

/// Who holds the cells of a line of [`Holders`].
const HOLDERS: usize = 16;

/// Who holds some neighbouring cells: one cache line.
///
/// Apart from the cells, since many connections that are to be sampled find theirs held
/// by another one: all that their segments read should stay in a processor's cache.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Holders([Holder; HOLDERS]);

const _: () = assert!(size_of::<Holders>() == 64);

/// Who holds a cell: the connection's tag, or nobody.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Holder(Shared<u32>);

/// One sampled connection: one cache line.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Cell {
    in_next: Shared<u32>,
    in_gap_start: Shared<u32>,
    in_gap_end: Shared<u32>,
    in_ended: Shared<u32>,
    in_last_ns: Shared<u64>,
    out_next: Shared<u32>,
    out_acknowledged: Shared<u32>,
    out_last_ns: Shared<u64>,
    span_start_ns: Shared<u64>,
    span_failed: Shared<u32>,
    out_ended: Shared<u32>,
    reserved: [u32; 2],
}

const _: () = assert!(size_of::<Cell>() == 64);

/// Whether a connection with this hash is to be sampled.
#[inline(always)]
pub fn is_sampled(hash: u64, sample_mask: u32) -> bool {
    tag(hash) & sample_mask == 0
}

/// The index of the cell of a connection with this hash, among all services' cells.
#[inline(always)]
pub fn cell_index(service: u32, hash: u64, cells: u32) -> u32 {
    service * cells + ((hash >> 44) as u32 & cells.wrapping_sub(1))
}

/// How many [`Holders`] so many cells have.
pub const fn holders(cells: u32) -> u32 {
    cells.div_ceil(HOLDERS as u32)
}

/// The index of the [`Holders`] among which a cell's holder is.
#[inline(always)]
pub fn holders_index(cell: u32) -> u32 {
    cell / HOLDERS as u32
}

impl Holders {
    /// The holder of a cell that [`holders_index`] led here.
    #[inline(always)]
    pub fn of(&self, cell: u32) -> &Holder {
        &self.0[cell as usize & (HOLDERS - 1)]
    }
}

/// The bits of a hash by which a cell knows its connection; those of the sample mask
/// are among the lower ones.
#[inline(always)]
fn tag(hash: u64) -> u32 {
    (hash >> 24) as u32
}

/// What a segment with payload of a sampled connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// It goes on where the last one ended, or further on.
    New,
    /// Seen before, at least in part.
    Retransmission,
    /// It fills a gap.
    OutOfOrder,
    /// A keep-alive or a window probe: one byte or none before what is expected
    /// (RFC 9293 sections 3.8.4 and 3.8.6.1).
    KeepAlive,
}

/// Whether `a` comes before `b` (RFC 9293 section 3.4).
#[inline(always)]
fn before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

impl Holder {
    /// Whether that is the connection with this hash.
    #[inline(always)]
    pub fn is(&self, hash: u64) -> bool {
        self.0.load() == tag(hash) | HELD
    }

    /// Takes the cell for a connection that was just verified; false if it is in use.
    #[inline(always)]
    pub fn take<A: Atomics>(
        &self,
        cell: &Cell,
        hash: u64,
        now_ns: u64,
        client_next: u32,
        service_next: u32,
    ) -> bool {
        let seen = self.0.load();
        if seen != 0 && !cell.is_idle(now_ns) {
            return false;
        }
        if !A::compare_exchange(&self.0, seen, BUSY) {
            return false;
        }
        cell.start(now_ns, client_next, service_next);
        self.0.store(tag(hash) | HELD);
        true
    }

    /// Gives the cell back.
    #[inline(always)]
    pub fn release(&self) {
        self.0.store(0);
    }
}

impl Cell {
    /// Whether its connection has been idle for so long that it loses the cell.
    #[inline(always)]
    fn is_idle(&self, now_ns: u64) -> bool {
        let last_ns = self.in_last_ns.load().max(self.out_last_ns.load());
        now_ns.saturating_sub(last_ns) >= IDLE_NS
    }

    /// Begins with a connection that is verified and has sent nothing but its handshake,
    /// or the first request with it.
    #[inline(always)]
    fn start(&self, now_ns: u64, client_next: u32, service_next: u32) {
        self.in_next.store(client_next);
        self.in_gap_start.store(client_next);
        self.in_gap_end.store(client_next);
        self.in_last_ns.store(now_ns);
        self.out_next.store(service_next);
        self.out_acknowledged.store(client_next);
        self.out_last_ns.store(now_ns);
        self.span_start_ns.store(0);
        self.span_failed.store(0);
        self.in_ended.store(0);
        self.out_ended.store(0);
    }

    /// A segment in, from `sequence` to `end`, which are not equal; `is_fin` if a FIN
    /// is the last of it.
    #[inline(always)]
    pub fn segment_in(&self, sequence: u32, end: u32, is_fin: bool, now_ns: u64) -> Sequence {
        self.in_last_ns.store(now_ns);
        let next = self.in_next.load();
        if !before(sequence, next) {
            if sequence != next {
                self.in_gap_start.store(next);
                self.in_gap_end.store(sequence);
            }
            self.in_next.store(end);
            return Sequence::New;
        }
        if !is_fin && is_probe(sequence, end, next) {
            return Sequence::KeepAlive;
        }
        let (gap_start, gap_end) = (self.in_gap_start.load(), self.in_gap_end.load());
        if !before(sequence, gap_start) && !before(gap_end, end) && gap_start != gap_end {
            // What is left of the gap, as a rule its rear part.
            self.in_gap_start.store(end);
            return Sequence::OutOfOrder;
        }
        if before(next, end) {
            self.in_next.store(end);
        }
        Sequence::Retransmission
    }

    /// As [`segment_in`](Self::segment_in), for a segment out. At the sender nothing is
    /// out of order: what was sent before is a retransmission.
    #[inline(always)]
    pub fn segment_out(&self, sequence: u32, end: u32, is_fin: bool, now_ns: u64) -> Sequence {
        self.out_last_ns.store(now_ns);
        let next = self.out_next.load();
        if !before(sequence, next) {
            self.out_next.store(end);
            return Sequence::New;
        }
        if !is_fin && is_probe(sequence, end, next) {
            return Sequence::KeepAlive;
        }
        if before(next, end) {
            self.out_next.store(end);
        }
        Sequence::Retransmission
    }

    /// Any segment out acknowledges.
    #[inline(always)]
    pub fn acknowledge(&self, acknowledgment: u32) {
        self.out_acknowledged.store(acknowledgment);
    }

    /// Whether the service accepts a RST with this sequence number: it must be the
    /// next one expected (RFC 5961 section 3.2), which is what was acknowledged last
    /// or, if the acknowledgment is still to come, what was received last.
    #[inline(always)]
    pub fn accepts_rst(&self, sequence: u32) -> bool {
        sequence == self.out_acknowledged.load() || sequence == self.in_next.load()
    }

    /// Whether a keep-alive without a byte of payload has this sequence number.
    #[inline(always)]
    pub fn is_keep_alive_in(&self, sequence: u32) -> bool {
        sequence.wrapping_add(1) == self.in_next.load()
    }

    /// As [`is_keep_alive_in`](Self::is_keep_alive_in), for a segment out.
    #[inline(always)]
    pub fn is_keep_alive_out(&self, sequence: u32) -> bool {
        sequence.wrapping_add(1) == self.out_next.load()
    }

    /// A FIN in; whether both sides are done.
    #[inline(always)]
    pub fn end_in(&self) -> bool {
        self.in_ended.store(1);
        self.out_ended.load() != 0
    }

    /// A FIN out; whether both sides are done.
    #[inline(always)]
    pub fn end_out(&self) -> bool {
        self.out_ended.store(1);
        self.in_ended.load() != 0
    }

    /// The start of the span that `now_ns` lies in, if it has just begun.
    #[inline(always)]
    pub fn new_span(&self, now_ns: u64) -> Option<u64> {
        if now_ns.saturating_sub(self.span_start_ns.load()) < SPAN_NS {
            return None;
        }
        self.span_start_ns.store(now_ns);
        self.span_failed.store(0);
        Some(now_ns)
    }

    /// The start of the present span, if this is its first failure.
    #[inline(always)]
    pub fn fail_span(&self) -> Option<u64> {
        if self.span_failed.load() != 0 {
            return None;
        }
        self.span_failed.store(1);
        Some(self.span_start_ns.load())
    }
}

/// The tag's bit of a cell that is held; never part of a sample mask.
const HELD: u32 = 1 << 31;
/// Held by nobody whose hash could ask: being written.
const BUSY: u32 = 1 << 30;

#[inline(always)]
fn is_probe(sequence: u32, end: u32, next: u32) -> bool {
    end.wrapping_sub(sequence) <= 1 && sequence.wrapping_add(1) == next
}
