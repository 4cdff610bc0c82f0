//! Lapwing's measurement in the kernel, without the programs that call it: maps, packet
//! access, and the pipeline that joins them with the code of `probe_common`.
//!
//! A library, so that two objects are made of one pipeline: the daemon's (`main.rs`)
//! and the benchmark's (`bench/main.rs`), which adds programs that change packets and
//! must never be loaded by a daemon.
#![no_std]
// atomic_xadd and atomic_cxchg: bpf's `core` has no read-modify-write methods.
#![expect(internal_features, reason = "see `atomics`")]
#![allow(
    clippy::inline_always,
    reason = "a call in bpf costs registers and stack, and hides bounds from the verifier"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "lengths of packets and headers fit into 32 bits"
)]
#![feature(core_intrinsics)]

mod atomics;
mod bell;
mod clock;
mod counters;
mod flows;
pub mod hooks;
pub mod packet;
mod pipeline;
pub mod state;
mod trace;
mod trials;
mod uplinks;

use aya_ebpf::bindings::BPF_F_MMAPABLE;

/// The map can be mapped into user space.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
/// Replaced at load by what the configuration needs.
const DEFAULT_ENTRIES: usize = 1;
