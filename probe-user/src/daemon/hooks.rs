//! `lapwing attach` and `lapwing detach`: the hooks without the daemon.

use std::path::{Path, PathBuf};

use super::{Failure, RunOptions, lock::Lock, runtime, setup};
use crate::{
    config::{Attach, Daemon, Settings},
    control,
    datapath::{self, Attachment, Datapath},
};

/// How native XDP is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Native {
    /// Even where a prefix is announced.
    pub force: bool,
}

/// Attaches and pins the hooks and says where. Counting begins; a daemon that is
/// started later takes them over. A daemon that runs is asked for native XDP.
pub fn attach(options: &RunOptions, native: Option<Native>) -> Result<String, Failure> {
    let mut settings = setup::settings(options)?;
    if let Some(Native { force }) = native {
        match control::attach_native(&settings.daemon.control, force) {
            Err(control::Error::NotRunning(_)) => settings.daemon.attach = Attach::Native,
            Ok(done) => return Ok(done + "\n"),
            Err(error) => return Err(anyhow::Error::from(error).into()),
        }
    }
    // A running daemon has its hooks and its services in the same maps.
    let _lock = Lock::take(&settings.daemon.state_dir).map_err(anyhow::Error::from)?;
    let attachments = runtime()?.block_on(async {
        let interfaces = setup::look_around(&mut settings).await?;
        let announced = setup::announced(&settings).await;
        if native == Some(Native { force: false }) {
            ensure_calm(announced.as_ref().map(Option::as_deref))?;
        }
        let mut datapath = Datapath::load(&setup::datapath_options(
            &settings,
            interfaces,
            matches!(announced, Ok(None)),
            options.trace,
        ))?;
        datapath.attach()?;
        anyhow::Ok(datapath.attachments())
    })?;
    Ok(told(&attachments) + "\n")
}

/// Where hooks are, in words.
pub fn told(attachments: &[Attachment]) -> String {
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
    lines.join("\n")
}

/// In mode `observe` others announce, by ways of their own.
pub fn nobody_knows() -> anyhow::Error {
    anyhow::anyhow!("in mode observe it is not known what is announced from here")
}

/// Native XDP may make a link drop for a moment, and the BGP session with it.
///
/// # Errors
/// While a prefix is announced, or while nobody knows.
pub fn ensure_calm(announced: Result<Option<&str>, &anyhow::Error>) -> anyhow::Result<()> {
    let why = match announced {
        Ok(None) => return Ok(()),
        Ok(Some(prefix)) => format!("{prefix} is announced from here"),
        Err(error) => format!("{error:#}"),
    };
    anyhow::bail!(
        "{why}, and attaching native XDP may make a link drop for a moment\nhelp: drain it first \
         (`lapwing drain all`, until `lapwing status` says withdrawn), or say --force"
    )
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
