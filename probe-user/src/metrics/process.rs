//! What the process uses, read from `/proc/self`; nothing of other processes.

use core::time::Duration;
use std::{fs, io, time::SystemTime};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

/// What the process used until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Time on the processors.
    pub cpu: Duration,
    /// Memory in RAM.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// When it was started, since 1970.
    pub started_at: Duration,
}

/// Reads it again and again.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    ticks_per_second: u64,
    page_size: u64,
    started_at: Duration,
}

impl Meter {
    /// For this process. The start is computed once, so that a clock that is set right
    /// does not look like another process.
    pub fn new() -> io::Result<Self> {
        let ticks_per_second = system(SysconfVar::CLK_TCK)?;
        let stat = Stat::read()?;
        let boot: Duration = clock_gettime(ClockId::CLOCK_BOOTTIME)?.into();
        let age = boot.saturating_sub(ticks(stat.start, ticks_per_second));
        let now = SystemTime::now();
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        Ok(Self {
            ticks_per_second,
            page_size: system(SysconfVar::PAGE_SIZE)?,
            started_at: now.unwrap_or_default().saturating_sub(age),
        })
    }

    /// What was used until now.
    pub fn read(&self) -> io::Result<Process> {
        let stat = Stat::read()?;
        // The listing has a descriptor of its own.
        let listed = fs::read_dir("/proc/self/fd")?.count();
        Ok(Process {
            cpu: ticks(stat.user + stat.system, self.ticks_per_second),
            resident_bytes: stat.resident_pages * self.page_size,
            open_fds: u64::try_from(listed.saturating_sub(1)).unwrap_or(u64::MAX),
            started_at: self.started_at,
        })
    }
}

/// The fields of `/proc/self/stat` that are of use; times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    user: u64,
    system: u64,
    /// Since the machine was booted.
    start: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/self/stat")?;
        Self::parse(&text).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/self/stat is not as proc(5) says: {text:?}"),
            )
        })
    }

    /// By the numbers of proc(5). The second field, the name, may have anything in it,
    /// parentheses included.
    fn parse(text: &str) -> Option<Self> {
        let (_, behind_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            user: field(14)?,
            system: field(15)?,
            start: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

fn system(variable: SysconfVar) -> io::Result<u64> {
    sysconf(variable)?
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value > 0)
        .ok_or_else(|| io::Error::other(format!("the system does not say its {variable:?}")))
}

fn ticks(count: u64, per_second: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let behind = "S 1 2 3 0 -1 4194560 11 0 0 0 250 150 0 0 20 0 9 0 77700 123456789 4321 18446744073709551615";
        for name in ["lapwing", "a b", "x) R 9 9", ""] {
            assert_eq!(
                Stat::parse(&format!("42 ({name}) {behind}\n")),
                Some(Stat {
                    user: 250,
                    system: 150,
                    start: 77700,
                    resident_pages: 4321,
                }),
                "{name}"
            );
        }
        for text in [
            "",
            "42 (lapwing",
            "42 (lapwing) S 1 2",
            "42 (x) S 1 2 3 0 -1 4 1 0 0 0 a",
        ] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_measured() {
        let meter = Meter::new().unwrap();
        let before = meter.read().unwrap();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let age = now.saturating_sub(before.started_at);
        assert!(age < Duration::from_hours(1), "{age:?}");
        assert!(before.resident_bytes > 1 << 20, "{before:?}");
        let files: Vec<File> = (0..64).map(|_| File::open("/dev/null").unwrap()).collect();
        let after = meter.read().unwrap();
        // Other tests open and close some meanwhile.
        assert!(
            after.open_fds >= before.open_fds + 32,
            "{before:?} {after:?}"
        );
        assert!(after.cpu >= before.cpu);
        assert_eq!(after.started_at, before.started_at);
        drop(files);
    }
}
