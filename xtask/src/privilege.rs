//! Who runs xtask: loading eBPF programs, making network namespaces and
//! installing packages need root.

use std::fs;

use anyhow::{Result, bail};

/// Does this process have root's effective user id?
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| effective_uid(&status))
        == Some(0)
}

/// Refuses to go on without root.
pub fn require_root(verb: &str, why: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "`{verb}` needs root: {why}\n  remedy:  run it again in a root shell \
         (`sudo -s`, with cargo in PATH)"
    )
}

fn effective_uid(status: &str) -> Option<u32> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    // real, effective, saved, file system
    uids.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_uid_is_the_second_number() {
        let status = "Name:\txtask\nUid:\t1000\t0\t1000\t1000\nGid:\t5\t6\t7\t8\n";
        assert_eq!(effective_uid(status), Some(0));
        assert_eq!(effective_uid("Name:\txtask\n"), None);
    }
}
