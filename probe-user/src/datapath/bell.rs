//! The doorbell: the kernel side rings when something fails, or when nothing is heard,
//! and user space had said that it goes to sleep.

use std::io;

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    Error,
    object::{map_error, map_missing},
};

const MAP: &str = "BELL";

/// The bell.
pub struct Bell(AsyncFd<RingBuf<MapData>>);

impl Bell {
    /// Takes the bell from a loaded object, once. Needs a tokio runtime.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let map = ebpf.take_map(MAP).ok_or_else(|| map_missing(MAP))?;
        let ring = RingBuf::try_from(map).map_err(|error| map_error(MAP, &error))?;
        // SAFETY: the ring owns its descriptor, which is open and the same for as long
        // as the ring lives.
        unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .map(Self)
            .map_err(|error| map_error(MAP, &io::Error::from(error)))
    }

    /// Waits until it has rung. May be dropped and called again.
    ///
    /// # Errors
    /// When the runtime cannot wait for it.
    pub async fn rung(&mut self) -> io::Result<()> {
        let mut guard = self.0.readable_mut().await?;
        // However often it rang: there is one thing to do.
        while guard.get_inner_mut().next().is_some() {}
        guard.clear_ready();
        Ok(())
    }
}
