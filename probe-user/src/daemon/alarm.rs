//! Wakes the loop at a point of the kernel's monotonic clock, to the microsecond.
//!
//! The runtime's own timer counts whole milliseconds; a tick may be shorter, and a
//! millisecond is a large part of a decision. A timerfd is exact and uses the clock
//! that the core and the kernel's maps use.

use std::{
    io::{self, ErrorKind},
    os::fd::AsFd,
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use probe_core::Timestamp;
use tokio::net::unix::pipe::Receiver;

/// The alarm clock.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// The same timer as the runtime sees it: something to read from.
    bell: Receiver,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        let bell = Receiver::from_owned_fd_unchecked(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, bell })
    }

    /// Waits until `at`; returns at once if that has passed. May be dropped and
    /// called again with another time.
    pub async fn wait_until(&self, at: Timestamp) -> io::Result<()> {
        // Zero would disarm the timer.
        let at = Duration::from_nanos(at.as_nanos().max(1));
        self.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(at)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME,
        )?;
        let mut expirations = [0; size_of::<u64>()];
        loop {
            self.bell.readable().await?;
            match self.bell.try_read(&mut expirations) {
                Ok(_) => return Ok(()),
                // The readiness was that of an earlier time.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        Timestamp::from_nanos(u64::try_from(Duration::from(now).as_nanos()).unwrap())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn it_rings_in_time_again_and_again_and_at_once_for_the_past() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let at = now().after(Duration::from_millis(3));
            alarm.wait_until(at).await.unwrap();
            assert!(now() >= at);
        }
        alarm.wait_until(Timestamp::from_nanos(0)).await.unwrap();
        // A wait that is given up does not ring later.
        let far = now().after(Duration::from_hours(1));
        let given_up = tokio::time::timeout(Duration::from_millis(5), alarm.wait_until(far)).await;
        assert!(given_up.is_err());
        let at = now().after(Duration::from_millis(3));
        alarm.wait_until(at).await.unwrap();
        assert!(now() >= at);
    }
}
