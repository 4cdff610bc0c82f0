//! In flows /proc/self/fdinfo, out flows where our links are attached: so a hook that
//! somebody took away, or whose interface is gone, is noticed without a privilege.

use std::{collections::BTreeSet, fs, path::PathBuf};

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

/// Where links are attached: by what, and the index of the interface. A link that lost its
/// interface says 0.
pub type Linked = BTreeSet<(LinkKind, u32)>;

/// The links among our descriptors. Which those are is remembered: a look at all of them
/// takes most of a millisecond, and one is part of every withdraw.
#[derive(Debug, Default)]
pub struct Links {
    descriptors: Vec<PathBuf>,
}

impl Links {
    /// Where the links are attached that `is_enough`, as the kernel says. If those that were
    /// links at the last look are not enough, all descriptors are looked at.
    pub fn look(&mut self, is_enough: impl Fn(&Linked) -> bool) -> Linked {
        let known: Linked = self.descriptors.iter().filter_map(read_link).collect();
        if is_enough(&known) {
            return known;
        }
        let (descriptors, linked) = all().unzip();
        self.descriptors = descriptors;
        linked
    }
}

/// Where all links that we hold are attached.
pub fn linked() -> Linked {
    all().map(|(_, link)| link).collect()
}

fn all() -> impl Iterator<Item = (PathBuf, (LinkKind, u32))> {
    let entries = fs::read_dir("/proc/self/fdinfo").into_iter().flatten();
    entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let link = read_link(&path)?;
        Some((path, link))
    })
}

fn read_link(path: &PathBuf) -> Option<(LinkKind, u32)> {
    parse_link(&fs::read_to_string(path).ok()?)
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
    fn only_what_was_no_link_before_is_looked_for_everywhere() {
        let mut links = Links::default();
        let none = links.look(|_| false);
        assert_eq!((none, links.descriptors.len()), (BTreeSet::new(), 0));
        // A descriptor that is gone, or another one by now, is no link.
        links.descriptors = vec!["/proc/self/fdinfo/0".into(), "/nowhere".into()];
        assert_eq!(links.look(|_| true), BTreeSet::new());
        assert_eq!(links.descriptors.len(), 2);
        links.look(|_| false);
        assert_eq!(links.descriptors.len(), 0);
    }

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
