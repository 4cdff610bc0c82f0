//! What a running daemon holds of the machine: its descriptors, its pins, the
//! programs and links in the kernel that count into its maps, its routes. Two starts
//! of the same daemon must hold the same.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;

use crate::lab::{
    lapwing::Lapwing,
    topology::{Edge, Family},
};

const PINS: &str = "/sys/fs/bpf/lapwing";
/// A probe has a socket for a moment; the fewest descriptors of so many looks are
/// those that stay.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    descriptors: usize,
    pins: BTreeSet<String>,
    programs: usize,
    links: usize,
    routes: Vec<String>,
}

impl Footprint {
    /// Looks at the daemon of an edge.
    pub fn of(edge: &Edge, daemon: &Lapwing) -> Result<Self> {
        let root = edge.node.path(PINS);
        let mut pins = BTreeSet::new();
        collect(&root, &mut pins)?;
        let maps: BTreeSet<u32> = pins
            .iter()
            .filter(|pin| pin.contains("/maps/"))
            .filter_map(|pin| MapInfo::from_pin(pin).ok())
            .map(|map| map.id())
            .collect();
        // The maps are this node's own, so whatever else runs on the machine has no
        // program that uses them.
        let programs: BTreeSet<u32> = aya::programs::loaded_programs()
            .filter_map(Result::ok)
            .filter(|program| {
                program
                    .map_ids()
                    .ok()
                    .flatten()
                    .is_some_and(|ids| ids.iter().any(|id| maps.contains(id)))
            })
            .map(|program| program.id())
            .collect();
        let links = aya::programs::loaded_links()
            .filter_map(Result::ok)
            .filter(|link| programs.contains(&link.program_id()))
            .count();
        Ok(Self {
            descriptors: descriptors(daemon.pid())?,
            pins: pins
                .iter()
                .filter_map(|pin| pin.split_once(PINS).map(|(_, inner)| inner.to_owned()))
                .collect(),
            programs: programs.len(),
            links,
            routes: Family::ALL
                .iter()
                .map(|family| edge.routes(*family))
                .collect::<Result<_>>()?,
        })
    }
}

fn descriptors(pid: u32) -> Result<usize> {
    let directory = format!("/proc/{pid}/fd");
    (0..LOOKS)
        .map(|_| {
            thread::sleep(BETWEEN_LOOKS);
            Ok(fs::read_dir(&directory)?.count())
        })
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .min()
        .context("it was looked at")
}

fn collect(directory: &Path, pins: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pins)?;
        } else {
            pins.insert(path.display().to_string());
        }
    }
    Ok(())
}
