//! What a process uses, by `/proc`.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// Milliseconds of processor time per second that a process uses over `span`, with its
/// threads that have ended meanwhile.
pub fn cpu_millis_per_second(pid: u32, span: Duration) -> Result<f64> {
    /// What the kernel counts in, whatever its own tick is (`USER_HZ`).
    const TICK_MILLIS: f64 = 10.0;
    let used = || -> Result<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may hold anything; behind it, state is the first field.
        let (_, fields) = text.rsplit_once(") ").context("no name")?;
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| Ok(ticks.parse::<u32>()?)).sum()
    };
    let before = used()?;
    let begin = Instant::now();
    thread::sleep(span);
    let ticks = used()?.saturating_sub(before);
    Ok(f64::from(ticks) * TICK_MILLIS / begin.elapsed().as_secs_f64())
}

/// The memory of a process that is resident, in MiB: all of it, and what is its own alone,
/// without mapped files and what it shares.
pub fn resident_mib(pid: u32) -> Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |key: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.with_context(|| format!("no {key}"))?.parse()?)
    };
    Ok((kib("VmRSS:")? / 1024.0, kib("RssAnon:")? / 1024.0))
}
