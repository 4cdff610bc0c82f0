//! What an init does: mounts, modules, and the end.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        utsname::uname,
    },
    unistd::{Pid, getpid},
};

/// Where the initramfs has the modules.
const MODULES: &str = "/modules";

/// File system, where.
const MOUNTS: [(&str, &str); 4] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("bpf", "/sys/fs/bpf"),
];

/// Refuses to go on anywhere but in the guest: at the end, the machine is switched off.
pub fn require() -> Result<()> {
    ensure!(
        getpid() == Pid::from_raw(1) && fs::exists(MODULES).unwrap_or(false),
        "this is the init of the guests that `cargo xtask kernels` boots; run that instead"
    );
    Ok(())
}

/// Mounts what the daemon expects.
pub fn mount_all() -> Result<()> {
    for (kind, place) in MOUNTS {
        // The last of them is a directory that the kernel has made.
        if !fs::exists(place).unwrap_or(false) {
            fs::create_dir_all(place).with_context(|| format!("making {place}"))?;
        }
        match mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        ) {
            // Some kernels mount /dev themselves.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mounting {place}")),
        }
    }
    Ok(())
}

/// The release, as `uname -r` says it.
pub fn kernel_release() -> Result<String> {
    let name = uname().context("uname")?;
    Ok(name.release().to_string_lossy().into_owned())
}

/// Loads the modules in the order of their names.
pub fn load_modules() -> Result<()> {
    let mut modules: Vec<PathBuf> = fs::read_dir(MODULES)
        .context("reading the directory of modules")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    modules.sort();
    for path in modules {
        let module =
            fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        finit_module(&module, c"", ModuleInitFlags::empty())
            .with_context(|| format!("loading {}", path.display()))?;
    }
    Ok(())
}

/// Switches the guest off; init must not end in any other way.
pub fn power_off() -> ! {
    let Err(errno) = reboot(RebootMode::RB_POWER_OFF);
    panic!("the guest cannot be switched off: {errno}");
}
