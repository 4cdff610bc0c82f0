//! What the daemon may do stays with it: programs that it starts (probes by `exec`)
//! get none of its capabilities, and nothing it starts can gain any.

use nix::errno::Errno;

/// Gives up what only a child could use. To be called before any thread is started,
/// since each thread has its own.
///
/// # Errors
/// When the kernel refuses.
pub fn confine() -> Result<(), Errno> {
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: this operation takes no pointer; the unused arguments must be zero.
    let result = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    Errno::result(result).map(drop)
}
