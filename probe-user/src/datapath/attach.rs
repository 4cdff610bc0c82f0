//! Putting the programs on the hooks, and knowing whether they are still there.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
    xdp::XdpLink,
};
use nix::net::if_::if_nametoindex;
use probe_core::input::Sensor;

use super::{
    AttachMode, Attachment, Error, Hook, InterfaceTunnels, Mode, clsact, driver,
    links::{LinkKind, Linked, Links, linked},
    object::{Object, program_error},
    os_error::os_error,
    pins::Pins,
};

/// The hooks of all interfaces.
pub struct Hooks {
    pins: Pins,
    interfaces: Vec<String>,
    attach: AttachMode,
    tunnels: InterfaceTunnels,
    held: Vec<Held>,
    links: Links,
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
    pub fn new(
        pins: Pins,
        interfaces: Vec<String>,
        attach: AttachMode,
        tunnels: InterfaceTunnels,
    ) -> Self {
        Self {
            pins,
            interfaces,
            attach,
            tunnels,
            held: Vec::new(),
            links: Links::default(),
        }
    }

    pub fn attachments(&self) -> Vec<Attachment> {
        self.held
            .iter()
            .map(|held| held.attachment.clone())
            .collect()
    }

    /// The interfaces to watch.
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// Attaches whatever is not in place. If it fails at a start, what this start
    /// attached is taken off again: a daemon that does not come up leaves no trace.
    pub fn attach(&mut self, object: &mut Object) -> Result<(), Error> {
        let starting = self.held.is_empty();
        if !starting {
            return self.attach_missing(object);
        }
        self.pins.take_over_links();
        let pinned_before = self.pinned_links();
        let result = self.attach_missing(object);
        if result.is_err() {
            for pin in self.pinned_links().difference(&pinned_before) {
                let _ = fs::remove_file(pin);
            }
            self.held.clear();
        } else {
            self.pins.remove_others();
            self.let_go();
            // Whatever is to be attached from here on, clients may have come.
            if self.attach == AttachMode::Auto {
                self.attach = AttachMode::Gentle;
            }
        }
        result
    }

    fn let_go_of(&mut self, interface: &str, hook: Hook) {
        self.held
            .retain(|held| held.attachment.interface != interface || held.attachment.hook != hook);
    }

    /// Puts native XDP on every interface that has another program on its way in, although
    /// that may disturb the link. Where it is refused, what was there stays.
    pub fn attach_native(&mut self, object: &mut Object) -> Result<(), Error> {
        let mut first_error = None;
        for interface in self.interfaces.clone() {
            let mut held = self.held.iter().map(|held| &held.attachment);
            let before = held
                .find(|held| held.interface == interface && held.hook == Hook::Ingress)
                .map(|held| held.mode);
            match before {
                Some(Mode::Native) => continue,
                // A link takes one of them at a time.
                Some(Mode::Generic) => {
                    self.unpin_others(&interface, Hook::Ingress, Mode::Native);
                    self.let_go_of(&interface, Hook::Ingress);
                }
                Some(Mode::Tcx | Mode::Clsact) | None => {}
            }
            match self.attach_by(object, &interface, Hook::Ingress, &[Mode::Native]) {
                Ok(held) => {
                    if before == Some(Mode::Clsact) {
                        clsact::detach(&interface, Hook::Ingress);
                    }
                    self.let_go_of(&interface, Hook::Ingress);
                    self.held.push(held);
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            None => Ok(()),
            Some(error) => {
                self.attach_missing(object)?;
                Err(error)
            }
        }
    }

    fn pinned_links(&self) -> BTreeSet<PathBuf> {
        fs::read_dir(self.pins.links())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    }

    /// Takes programs off interfaces that are no longer to be watched.
    fn let_go(&self) {
        let kept: BTreeSet<PathBuf> = self
            .held
            .iter()
            .map(|held| &held.attachment)
            .map(|held| self.pins.link(&held.interface, held.hook, held.mode))
            .collect();
        for pin in self.pinned_links().difference(&kept) {
            match fs::remove_file(pin) {
                Ok(()) => tracing::info!("no longer watched: {}", pin.display()),
                Err(error) => tracing::warn!("cannot remove {}: {error}", pin.display()),
            }
        }
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
        let held = &self.held;
        let linked = self.links.look(|linked| {
            held.iter()
                .all(|held| is_linked(linked, &held.attachment, held.if_index))
        });
        self.held.retain(|held| {
            let present = if_nametoindex(held.attachment.interface.as_str());
            let same = present.is_ok_and(|index| index == held.if_index);
            same && is_linked(&linked, &held.attachment, held.if_index)
        });
    }

    fn attach_hook(&self, object: &mut Object, interface: &str, hook: Hook) -> Result<Held, Error> {
        self.attach_by(object, interface, hook, &self.modes(interface, hook))
    }

    /// Attaches in the first of these ways that is possible.
    fn attach_by(
        &self,
        object: &mut Object,
        interface: &str,
        hook: Hook,
        modes: &[Mode],
    ) -> Result<Held, Error> {
        let if_index = if_nametoindex(interface).map_err(|_| Error::NoInterface {
            interface: interface.to_owned(),
        })?;
        object.set_tunnels(if_index, self.tunnels.of(interface));
        let mut tried = Tried::new();
        for mode in modes {
            let path = self.pins.link(interface, hook, *mode);
            let attachment = Attachment {
                interface: interface.to_owned(),
                hook,
                mode: *mode,
            };
            let mut attached = attach(object, interface, hook, *mode, &path);
            // An interface may have the name that another one had when the link was
            // pinned: that link is not ours to keep.
            if attached.is_ok() && !is_linked(&linked(), &attachment, if_index) {
                let _ = fs::remove_file(&path);
                drop(attached);
                attached = attach(object, interface, hook, *mode, &path);
            }
            match attached {
                Ok(link) => {
                    report(interface, hook, *mode, &tried);
                    self.unpin_others(interface, hook, *mode);
                    return Ok(Held {
                        attachment,
                        if_index,
                        _link: link,
                    });
                }
                Err(AttachError::Hook(error)) => tried.push((*mode, error)),
                // A kernel that does not take the XDP program may take the one for tc.
                Err(AttachError::Program(_, error))
                    if self.may_fall_back() && Some(mode) != modes.last() =>
                {
                    tried.push((*mode, error));
                }
                Err(AttachError::Program(name, error)) => return Err(program_error(name, error)),
                Err(AttachError::Fatal(error)) => return Err(error),
            }
        }
        Err(Error::Attach {
            interface: interface.to_owned(),
            hook: hook.name(),
            why: explain(interface, &tried),
        })
    }

    fn may_fall_back(&self) -> bool {
        matches!(self.attach, AttachMode::Auto | AttachMode::Gentle)
    }

    fn modes(&self, interface: &str, hook: Hook) -> Vec<Mode> {
        const TC: [Mode; 2] = [Mode::Tcx, Mode::Clsact];
        const XDP: [Mode; 2] = [Mode::Native, Mode::Generic];
        match (hook, self.attach) {
            (Hook::Ingress, AttachMode::Native) => vec![Mode::Native],
            (Hook::Ingress, AttachMode::Generic) => vec![Mode::Generic],
            (_, AttachMode::Clsact) => vec![Mode::Clsact],
            (Hook::Ingress, AttachMode::Tc) | (Hook::Egress, _) => TC.to_vec(),
            (Hook::Ingress, AttachMode::Auto) => [XDP, TC].concat(),
            (Hook::Ingress, AttachMode::Gentle)
                if driver::is_quiet(driver::name(interface).as_deref()) =>
            {
                [XDP, TC].concat()
            }
            // Another program behind a link that is there disturbs nobody.
            (Hook::Ingress, AttachMode::Gentle) => XDP
                .into_iter()
                .filter(|mode| self.pins.link(interface, hook, *mode).exists())
                .chain(TC)
                .collect(),
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

/// Whether one of our links is where the attachment says.
fn is_linked(linked: &Linked, attachment: &Attachment, if_index: u32) -> bool {
    let kind = match attachment.mode {
        Mode::Native | Mode::Generic => LinkKind::Xdp,
        Mode::Tcx => LinkKind::Tcx(attachment.hook),
        // A filter has no link.
        Mode::Clsact => return true,
    };
    linked.contains(&(kind, if_index))
}

enum AttachError {
    /// This way of attaching is not possible; another may be.
    Hook(ProgramError),
    /// The kernel refuses this program; another may do.
    Program(&'static str, ProgramError),
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
                return clsact::attach(program, interface, hook)
                    .map(|()| None)
                    .map_err(AttachError::Hook);
            }
            if let Some(link) = adopt_tcx(program, pin) {
                return Ok(Some(link));
            }
            let id = program
                .attach_with_options(
                    interface,
                    hook.tc(),
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
        Err(source) => Err(AttachError::Program(program, source)),
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

fn report(interface: &str, hook: Hook, mode: Mode, tried: &Tried) {
    if tried.is_empty() {
        tracing::debug!(
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

/// Takes all programs off their hooks and removes all pins, whatever version made
/// them. What was removed is returned, a line each.
///
/// # Errors
/// When a pin cannot be removed, or somebody works with them.
pub fn detach(pin_dir: &Path) -> Result<Vec<String>, Error> {
    let mut removed = Pins::remove_all(pin_dir)?;
    removed.extend(clsact::detach_all());
    Ok(removed)
}
