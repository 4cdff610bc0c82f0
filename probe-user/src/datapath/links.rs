//! In flows /proc/self/fdinfo, out flows where our links are attached: so a hook that
//! somebody took away, or whose interface is gone, is noticed without a privilege.

use std::{collections::BTreeSet, fs};

use super::Hook;

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of include/uapi/linux/bpf.h.
const TCX_INGRESS: &str = "46";
const TCX_EGRESS: &str = "47";

/// What a link is attached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// XDP, native or generic.
    Xdp,
    /// tcx, in this direction.
    Tcx(Hook),
}

/// The interfaces to which the links that we hold are attached, as the kernel says
/// in /proc/self/fdinfo. A link that lost its interface says 0.
pub fn linked_interfaces() -> BTreeSet<(LinkKind, u32)> {
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
        // The number, and its name behind it.
        "tcx" => match field("attach_type")?.split_whitespace().next()? {
            TCX_INGRESS => LinkKind::Tcx(Hook::Ingress),
            TCX_EGRESS => LinkKind::Tcx(Hook::Egress),
            _ => return None,
        },
        _ => return None,
    };
    Some((kind, field("ifindex")?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_recognised_in_fdinfo() {
        let xdp = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t7\nprog_tag:\tab\nprog_id:\t9\nifindex:\t3\n";
        assert_eq!(parse_link(xdp), Some((LinkKind::Xdp, 3)));
        for (attach_type, hook) in [("46 (tcx_ingress)", Hook::Ingress), ("47", Hook::Egress)] {
            let tcx = format!(
                "pos:\t0\nlink_type:\ttcx\nlink_id:\t8\nprog_id:\t9\nifindex:\t0\nattach_type:\t{attach_type}\n"
            );
            assert_eq!(parse_link(&tcx), Some((LinkKind::Tcx(hook), 0)));
        }
        assert_eq!(parse_link("pos:\t0\nflags:\t02\nmnt_id:\t15\n"), None);
    }
}
