//! What a process uses, by `/proc`.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// What the kernel counts processor time in, whatever its own tick is (`USER_HZ`).
const TICK_MILLIS: f64 = 10.0;

/// Milliseconds of processor time per second that a process uses over `span`, with its
/// threads that have ended meanwhile.
pub fn cpu_millis_per_second(pid: u32, span: Duration) -> Result<f64> {
    let stat = format!("/proc/{pid}/stat");
    let before = ticks(&stat)?;
    let begin = Instant::now();
    thread::sleep(span);
    let ticks = ticks(&stat)?.saturating_sub(before);
    Ok(f64::from(ticks) * TICK_MILLIS / begin.elapsed().as_secs_f64())
}

/// As [`cpu_millis_per_second`], by the names of the threads that live at its end.
pub fn cpu_by_thread(pid: u32, span: Duration) -> Result<BTreeMap<String, f64>> {
    let before = threads(pid)?;
    let begin = Instant::now();
    thread::sleep(span);
    let seconds = begin.elapsed().as_secs_f64();
    let mut millis = BTreeMap::new();
    for (id, (name, after)) in threads(pid)? {
        let ticks = after.saturating_sub(before.get(&id).map_or(0, |(_, ticks)| *ticks));
        *millis.entry(name).or_default() += f64::from(ticks) * TICK_MILLIS / seconds;
    }
    Ok(millis)
}

/// Name and used time of each thread.
fn threads(pid: u32) -> Result<BTreeMap<String, (String, u32)>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        // A thread may end meanwhile.
        let name = fs::read_to_string(path.join("comm"));
        let ticks = ticks(&path.join("stat").to_string_lossy());
        if let (Ok(name), Ok(ticks)) = (name, ticks) {
            let id = path.to_string_lossy().into_owned();
            threads.insert(id, (name.trim().to_owned(), ticks));
        }
    }
    Ok(threads)
}

fn ticks(stat: &str) -> Result<u32> {
    let text = fs::read_to_string(stat)?;
    // The name may hold anything; behind it, state is the first field.
    let (_, fields) = text.rsplit_once(") ").context("no name")?;
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|ticks| Ok(ticks.parse::<u32>()?)).sum()
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
