//! tc by filters of the clsact qdisc, for kernels without tcx (before 6.6). A filter
//! is no link: it cannot be pinned, stays until it is removed, and is found again by
//! its place.

use aya::programs::{
    ProgramError, SchedClassifier,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};
use nix::net::if_::if_nameindex;

use super::{Hook, os_error::os_error};

/// Where our filters stand on a clsact qdisc: fixed, so that a restart replaces its
/// own filter instead of adding a second one.
const CLSACT_PRIORITY: u16 = 49;
const CLSACT_HANDLE: TcHandle = TcHandle::new(0, 1);

/// Puts a filter on the clsact qdisc, in the place of our own earlier one. The
/// qdisc is shared with others and never deleted.
pub fn attach(
    program: &mut SchedClassifier,
    interface: &str,
    hook: Hook,
) -> Result<(), ProgramError> {
    if let Err(error) = tc::qdisc_add_clsact(interface)
        && os_error(&error) != Some(libc::EEXIST)
    {
        return Err(error.into());
    }
    detach(interface, hook);
    let id = program.attach_with_options(
        interface,
        hook.tc(),
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

/// Removes our filter from one hook, if it is there.
pub fn detach(interface: &str, hook: Hook) {
    let link =
        SchedClassifierLink::attached(interface, hook.tc(), CLSACT_PRIORITY, CLSACT_HANDLE, None);
    // Dropping a netlink link removes its filter.
    drop(link);
}

/// Removes our filters from the clsact qdiscs of all interfaces.
pub fn detach_all() -> Vec<String> {
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
            if tc::qdisc_detach_program(interface, hook.tc(), program).is_ok() {
                removed.push(format!("clsact {} of {interface}", hook.name()));
            }
        }
    }
    removed
}
