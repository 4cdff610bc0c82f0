//! The number that the system gave for an error, whatever wraps it.

use std::io;

/// The system's error number behind an error of aya, if there is one.
pub fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(code);
        }
        next = error.source();
    }
    None
}
