//! What the kernel says of a connection (`TCP_INFO`): the truth to which counts of
//! segments are compared.

use std::os::fd::{AsFd, AsRawFd as _};

use anyhow::{Result, ensure};
use nix::errno::Errno;

/// The fields of `struct tcp_info` (include/uapi/linux/tcp.h) that tests ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Segments sent again.
    pub retransmitted: u32,
    /// Segments sent.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments with payload sent.
    pub data_segments_out: u32,
}

const RETRANSMITTED: usize = 100;
const SEGMENTS_OUT: usize = 136;
const SEGMENTS_IN: usize = 140;
const DATA_SEGMENTS_OUT: usize = 156;
const LENGTH: usize = 160;

impl TcpInfo {
    /// Of a connected socket, or of one whose connection has ended.
    pub fn of(socket: impl AsFd) -> Result<Self> {
        let mut bytes = [0_u8; LENGTH];
        let mut length = libc::socklen_t::try_from(LENGTH)?;
        // SAFETY: the kernel writes at most `length` bytes, which the array has.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        Errno::result(result)?;
        ensure!(
            usize::try_from(length)? == LENGTH,
            "the kernel's tcp_info is shorter"
        );
        let field = |offset: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[offset..offset + 4]);
            u32::from_ne_bytes(word)
        };
        Ok(Self {
            retransmitted: field(RETRANSMITTED),
            segments_out: field(SEGMENTS_OUT),
            segments_in: field(SEGMENTS_IN),
            data_segments_out: field(DATA_SEGMENTS_OUT),
        })
    }
}
