//! `lapwing attach` and `lapwing detach`: the hooks without the daemon.

use std::path::{Path, PathBuf};

use super::{Failure, RunOptions, lock::Lock, runtime, setup};
use crate::{
    config::{Daemon, Settings},
    control,
    datapath::{self, Datapath},
};

/// Attaches and pins the hooks and says where. Counting begins; a daemon that is
/// started later takes them over.
pub fn attach(options: &RunOptions) -> Result<String, Failure> {
    let mut settings = setup::settings(options)?;
    // A running daemon has its hooks and its services in the same maps.
    let _lock = Lock::take(&settings.daemon.state_dir).map_err(anyhow::Error::from)?;
    let attachments = runtime()?.block_on(async {
        let interfaces = setup::look_around(&mut settings).await?;
        let mut datapath = Datapath::load(&setup::datapath_options(
            &settings,
            interfaces,
            options.trace,
        ))?;
        datapath.attach()?;
        anyhow::Ok(datapath.attachments())
    })?;
    let lines: Vec<String> = attachments
        .iter()
        .map(|attachment| {
            format!(
                "attached to {} {} ({})",
                attachment.interface,
                attachment.hook.name(),
                attachment.mode.name()
            )
        })
        .collect();
    Ok(lines.join("\n") + "\n")
}

/// Removes pinned hooks and maps and says which.
pub fn detach(config: Option<&Path>, pin_dir: Option<PathBuf>) -> Result<String, Failure> {
    let daemon = match config {
        // Whether an interface still exists does not matter to a detach.
        Some(path) => Settings::load(path, &|_| true)?.daemon,
        None => Daemon::default(),
    };
    // A daemon holds its hooks itself: without their pins they would work on and be
    // gone when it dies.
    if let Ok((_, running)) = control::status(&daemon.control) {
        return Err(Failure::Runtime(anyhow::anyhow!(
            "lapwing runs here as process {} and holds its hooks\nhelp: stop it first (`systemctl stop lapwing`)",
            running.pid
        )));
    }
    let pin_dir = pin_dir.unwrap_or(daemon.pin_dir);
    let removed = datapath::detach(&pin_dir).map_err(anyhow::Error::from)?;
    let mut lines: Vec<String> = removed
        .iter()
        .map(|what| format!("removed {what}"))
        .collect();
    if lines.is_empty() {
        lines.push(format!("nothing was pinned in {}", pin_dir.display()));
    }
    Ok(lines.join("\n") + "\n")
}
