//! Putting the programs on the hooks, and knowing whether they are still there.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    xdp::XdpLink,
};
use nix::net::if_::{if_nameindex, if_nametoindex};
use probe_core::input::Sensor;

use super::{
    AttachMode, Attachment, Error, Hook, Mode,
    object::{Object, program_error},
    pins::Pins,
};

/// Where our filters stand on a clsact qdisc: fixed, so that a restart replaces its
/// own filter instead of adding a second one.
const CLSACT_PRIORITY: u16 = 49;
const CLSACT_HANDLE: TcHandle = TcHandle::new(0, 1);

/// The hooks of all interfaces.
pub struct Hooks {
    pins: Pins,
    interfaces: Vec<String>,
    attach: AttachMode,
    held: Vec<Held>,
}

/// A hook that is in place.
struct Held {
    attachment: Attachment,
    if_index: u32,
    /// Keeps the link's descriptor, by which we see whether it still is in place.
    /// None for clsact, which has no link.
    _link: Option<FdLink>,
}

/// What tried hooks said, from the most to the least wanted.
type Tried = Vec<(Mode, ProgramError)>;

impl Hooks {
    pub fn new(pins: Pins, interfaces: Vec<String>, attach: AttachMode) -> Self {
        Self {
            pins,
            interfaces,
            attach,
            held: Vec::new(),
        }
    }

    pub fn attachments(&self) -> Vec<Attachment> {
        self.held
            .iter()
            .map(|held| held.attachment.clone())
            .collect()
    }

    /// Attaches whatever is not in place. If it fails at a start, what this start
    /// attached is taken off again: a daemon that does not come up leaves no trace.
    pub fn attach(&mut self, object: &mut Object) -> Result<(), Error> {
        let starting = self.held.is_empty();
        let pinned_before = self.pinned_links();
        let result = self.attach_missing(object);
        if starting && result.is_err() {
            for pin in self.pinned_links().difference(&pinned_before) {
                let _ = fs::remove_file(pin);
            }
            self.held.clear();
        }
        result
    }

    fn pinned_links(&self) -> BTreeSet<PathBuf> {
        fs::read_dir(self.pins.links())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    }

    fn attach_missing(&mut self, object: &mut Object) -> Result<(), Error> {
        self.forget_lost();
        let mut first_error = None;
        for interface in self.interfaces.clone() {
            for hook in [Hook::Ingress, Hook::Egress] {
                if self.holds(&interface, hook) {
                    continue;
                }
                match self.attach_hook(object, &interface, hook) {
                    Ok(held) => self.held.push(held),
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Whether every hook of every interface is in place.
    pub fn sensor(&mut self) -> Sensor {
        self.forget_lost();
        let missing: Vec<String> = self
            .interfaces
            .iter()
            .flat_map(|interface| [(interface, Hook::Ingress), (interface, Hook::Egress)])
            .filter(|(interface, hook)| !self.holds(interface, *hook))
            .map(|(interface, hook)| format!("{interface} {}", hook.name()))
            .collect();
        if missing.is_empty() {
            Sensor::Attached
        } else {
            Sensor::Detached(format!("no program on {}", missing.join(", ")))
        }
    }

    fn holds(&self, interface: &str, hook: Hook) -> bool {
        self.held
            .iter()
            .any(|held| held.attachment.interface == interface && held.attachment.hook == hook)
    }

    /// Forgets hooks whose interface is gone or another one now, or whose link was
    /// detached by somebody.
    fn forget_lost(&mut self) {
        let linked = linked_interfaces();
        self.held.retain(|held| {
            let present = if_nametoindex(held.attachment.interface.as_str());
            let same = present.is_ok_and(|index| index == held.if_index);
            let in_place = match held.attachment.mode {
                Mode::Native | Mode::Generic => linked.contains(&(LinkKind::Xdp, held.if_index)),
                Mode::Tcx => linked.contains(&(LinkKind::Tcx, held.if_index)),
                Mode::Clsact => true,
            };
            same && in_place
        });
    }

    fn attach_hook(&self, object: &mut Object, interface: &str, hook: Hook) -> Result<Held, Error> {
        let if_index = if_nametoindex(interface).map_err(|_| Error::NoInterface {
            interface: interface.to_owned(),
        })?;
        let mut tried = Tried::new();
        for mode in self.modes(hook) {
            let path = self.pins.link(interface, hook, *mode);
            match attach(object, interface, hook, *mode, &path) {
                Ok(link) => {
                    report(interface, hook, *mode, &tried);
                    self.unpin_others(interface, hook, *mode);
                    return Ok(Held {
                        attachment: Attachment {
                            interface: interface.to_owned(),
                            hook,
                            mode: *mode,
                        },
                        if_index,
                        _link: link,
                    });
                }
                Err(AttachError::Hook(error)) => tried.push((*mode, error)),
                Err(AttachError::Fatal(error)) => return Err(error),
            }
        }
        Err(Error::Attach {
            interface: interface.to_owned(),
            hook: hook.name(),
            why: explain(interface, &tried),
        })
    }

    fn modes(&self, hook: Hook) -> &'static [Mode] {
        match (hook, self.attach) {
            (Hook::Ingress, AttachMode::Auto) => {
                &[Mode::Native, Mode::Generic, Mode::Tcx, Mode::Clsact]
            }
            (Hook::Ingress, AttachMode::Native) => &[Mode::Native],
            (Hook::Ingress, AttachMode::Generic) => &[Mode::Generic],
            (_, AttachMode::Clsact) => &[Mode::Clsact],
            (Hook::Ingress, AttachMode::Tc) | (Hook::Egress, _) => &[Mode::Tcx, Mode::Clsact],
        }
    }

    /// Takes away what an earlier start with another setting left on the hook.
    fn unpin_others(&self, interface: &str, hook: Hook, mode: Mode) {
        for other in [Mode::Native, Mode::Generic, Mode::Tcx] {
            if other != mode {
                let _ = fs::remove_file(self.pins.link(interface, hook, other));
            }
        }
    }
}

enum AttachError {
    /// This way of attaching is not possible; another may be.
    Hook(ProgramError),
    /// No way is possible.
    Fatal(Error),
}

fn attach(
    object: &mut Object,
    interface: &str,
    hook: Hook,
    mode: Mode,
    pin: &Path,
) -> Result<Option<FdLink>, AttachError> {
    let fatal = AttachError::Fatal;
    match mode {
        Mode::Native | Mode::Generic => {
            let xdp = object.xdp().map_err(fatal)?;
            loaded("lapwing_xdp", xdp.load())?;
            if let Some(link) = adopt_xdp(xdp, pin) {
                return Ok(Some(link));
            }
            let flags = if mode == Mode::Native {
                XdpMode::Driver
            } else {
                XdpMode::Skb
            };
            let id = xdp.attach(interface, flags).map_err(AttachError::Hook)?;
            let link = xdp.take_link(id).map_err(AttachError::Hook)?;
            pinned(interface, hook, pin, link.try_into()).map(Some)
        }
        Mode::Tcx | Mode::Clsact => {
            let (name, program) = match hook {
                Hook::Ingress => ("lapwing_ingress", object.tc_ingress().map_err(fatal)?),
                Hook::Egress => ("lapwing_egress", object.tc_egress().map_err(fatal)?),
            };
            loaded(name, program.load())?;
            if mode == Mode::Clsact {
                return clsact(program, interface, hook)
                    .map(|()| None)
                    .map_err(AttachError::Hook);
            }
            if let Some(link) = adopt_tcx(program, pin) {
                return Ok(Some(link));
            }
            let id = program
                .attach_with_options(
                    interface,
                    attach_type(hook),
                    TcAttachOptions::TcxOrder(LinkOrder::first()),
                )
                .map_err(AttachError::Hook)?;
            let link = program.take_link(id).map_err(AttachError::Hook)?;
            pinned(interface, hook, pin, link.try_into()).map(Some)
        }
    }
}

fn loaded(program: &'static str, result: Result<(), ProgramError>) -> Result<(), AttachError> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(source) => Err(AttachError::Fatal(program_error(program, source))),
    }
}

fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    }
}

/// Replaces the program behind a link that an earlier start pinned, without a gap.
/// A link whose interface is gone cannot be updated; its pin is removed.
fn adopt_xdp(xdp: &mut Xdp, pin: &Path) -> Option<FdLink> {
    let link = FdLink::from(PinnedLink::from_pin(pin).ok()?);
    let adopted = XdpLink::try_from(link)
        .ok()
        .and_then(|link| xdp.attach_to_link(link).ok())
        .and_then(|id| xdp.take_link(id).ok())
        .and_then(|link| FdLink::try_from(link).ok());
    if adopted.is_none() {
        let _ = fs::remove_file(pin);
    }
    adopted
}

/// As [`adopt_xdp`].
fn adopt_tcx(program: &mut SchedClassifier, pin: &Path) -> Option<FdLink> {
    let link = FdLink::from(PinnedLink::from_pin(pin).ok()?);
    let adopted = SchedClassifierLink::try_from(link)
        .ok()
        .and_then(|link| program.attach_to_link(link).ok())
        .and_then(|id| program.take_link(id).ok())
        .and_then(|link| FdLink::try_from(link).ok());
    if adopted.is_none() {
        let _ = fs::remove_file(pin);
    }
    adopted
}

fn pinned<E: std::fmt::Display>(
    interface: &str,
    hook: Hook,
    pin: &Path,
    link: Result<FdLink, E>,
) -> Result<FdLink, AttachError> {
    let refuse = |why: String| {
        AttachError::Fatal(Error::Attach {
            interface: interface.to_owned(),
            hook: hook.name(),
            why,
        })
    };
    link.map_err(|error| refuse(error.to_string()))?
        .pin(pin)
        .map(FdLink::from)
        .map_err(|error| {
            refuse(format!(
                "the link cannot be pinned at {}: {error}",
                pin.display()
            ))
        })
}

/// Puts a filter on the clsact qdisc, in the place of our own earlier one. The
/// qdisc is shared with others and never deleted.
fn clsact(program: &mut SchedClassifier, interface: &str, hook: Hook) -> Result<(), ProgramError> {
    if let Err(error) = tc::qdisc_add_clsact(interface)
        && os_error(&error) != Some(libc::EEXIST)
    {
        return Err(error.into());
    }
    if let Ok(old) = SchedClassifierLink::attached(
        interface,
        attach_type(hook),
        CLSACT_PRIORITY,
        CLSACT_HANDLE,
        None,
    ) {
        // Dropping a netlink link removes its filter, if there is one.
        drop(old);
    }
    let id = program.attach_with_options(
        interface,
        attach_type(hook),
        TcAttachOptions::Netlink(NlOptions {
            priority: CLSACT_PRIORITY,
            handle: CLSACT_HANDLE,
            ..NlOptions::default()
        }),
    )?;
    // The filter must stay when the daemon ends; a dropped link would remove it.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

fn report(interface: &str, hook: Hook, mode: Mode, tried: &Tried) {
    if tried.is_empty() {
        tracing::info!(
            interface,
            hook = hook.name(),
            mode = mode.name(),
            "attached"
        );
    } else {
        tracing::warn!(
            interface,
            hook = hook.name(),
            mode = mode.name(),
            why = explain(interface, tried),
            "attached by a fallback"
        );
    }
}

fn explain(interface: &str, tried: &Tried) -> String {
    tried
        .iter()
        .map(|(mode, error)| {
            let os_error = os_error(error);
            let why = os_error.map_or_else(
                || error.to_string(),
                |code| io::Error::from_raw_os_error(code).to_string(),
            );
            let remedy = match os_error {
                Some(libc::EBUSY) => format!(
                    " (another program is attached: see `bpftool net show dev {interface}`; \
                     remove it, or use attach = \"tc\")"
                ),
                Some(libc::EPERM | libc::EACCES) => {
                    " (needs CAP_NET_ADMIN and CAP_BPF, or root)".to_owned()
                }
                Some(libc::ERANGE) => " (the MTU is too large for native XDP here)".to_owned(),
                _ => String::new(),
            };
            format!("{}: {why}{remedy}", mode.name())
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// The system's error number behind an error of aya, if there is one.
fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LinkKind {
    Xdp,
    Tcx,
}

/// The interfaces to which the links that we hold are attached, as the kernel says
/// in /proc/self/fdinfo. A link that lost its interface says 0.
fn linked_interfaces() -> BTreeSet<(LinkKind, u32)> {
    let Ok(entries) = fs::read_dir("/proc/self/fdinfo") else {
        return BTreeSet::new();
    };
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|info| parse_link(&info))
        .collect()
}

fn parse_link(info: &str) -> Option<(LinkKind, u32)> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let kind = match field("link_type")? {
        "xdp" => LinkKind::Xdp,
        "tcx" => LinkKind::Tcx,
        _ => return None,
    };
    Some((kind, field("ifindex")?.parse().ok()?))
}

/// Takes all programs off their hooks and removes all pins of this ABI version.
/// What was removed is returned, a line each.
///
/// # Errors
/// When a pin cannot be removed.
pub fn detach(pin_dir: &Path) -> Result<Vec<String>, Error> {
    let pins = Pins::at(pin_dir);
    let mut removed = Vec::new();
    for directory in [pins.links(), pins.maps()] {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| Error::PinDirectory {
                path: path.clone(),
                source,
            })?;
            removed.push(path.display().to_string());
        }
        let _ = fs::remove_dir(&directory);
    }
    let _ = fs::remove_dir(pins.root());
    let _ = fs::remove_dir(pin_dir);
    removed.extend(detach_clsact());
    Ok(removed)
}

/// Removes our filters from the clsact qdiscs of all interfaces.
fn detach_clsact() -> Vec<String> {
    let Ok(interfaces) = if_nameindex() else {
        return Vec::new();
    };
    let mut removed = Vec::new();
    for interface in &interfaces {
        let Ok(interface) = interface.name().to_str() else {
            continue;
        };
        for (hook, program) in [
            (Hook::Ingress, "lapwing_ingress"),
            (Hook::Egress, "lapwing_egress"),
        ] {
            if tc::qdisc_detach_program(interface, attach_type(hook), program).is_ok() {
                removed.push(format!("clsact {} of {interface}", hook.name()));
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_recognised_in_fdinfo() {
        let xdp = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t7\nprog_tag:\tab\nprog_id:\t9\nifindex:\t3\n";
        assert_eq!(parse_link(xdp), Some((LinkKind::Xdp, 3)));
        let tcx =
            "pos:\t0\nlink_type:\ttcx\nlink_id:\t8\nprog_id:\t9\nifindex:\t0\nattach_type:\t47\n";
        assert_eq!(parse_link(tcx), Some((LinkKind::Tcx, 0)));
        assert_eq!(parse_link("pos:\t0\nflags:\t02\nmnt_id:\t15\n"), None);
    }
}
