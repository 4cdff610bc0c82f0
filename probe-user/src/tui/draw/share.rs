//! Who gets how many lines: what the panes would have flows in, what they get flows out.

use crate::tui::panes::Pane;

/// With fewer lines than this, panes that are not chosen are kept small.
pub const ROOMY: u16 = 28;

/// The lines of each pane, in the order of [`Pane::ALL`]: a title for each, then a little for
/// each, then all that the chosen one wants, then what is left. `wants` are the lines for
/// all of a pane, its title included.
pub fn share(lines: u16, chosen: Pane, wants: impl Fn(Pane) -> u16) -> [u16; 4] {
    let mut left = lines;
    let mut shares = [0; 4];
    let mut give = |pane: Pane, up_to: u16| {
        let share = &mut shares[pane as usize];
        let more = up_to.min(wants(pane)).saturating_sub(*share).min(left);
        *share += more;
        left -= more;
        left
    };
    give(chosen, 1);
    for pane in Pane::ALL {
        give(pane, 1);
    }
    for pane in Pane::ALL {
        let little = match (pane, lines >= ROOMY) {
            (Pane::Prefixes, true) => 8,
            (Pane::Services | Pane::Decisions, true) => 10,
            (Pane::Daemon, true) => u16::MAX,
            (Pane::Prefixes | Pane::Services, false) => 4,
            (Pane::Decisions, false) => 3,
            (Pane::Daemon, false) => 1,
        };
        give(pane, little);
    }
    for pane in [chosen, Pane::Services, Pane::Decisions] {
        give(pane, u16::MAX);
    }
    // Its title says it in short, so a part of it would be less.
    if give(Pane::Prefixes, u16::MAX) + 1 >= wants(Pane::Daemon) {
        give(Pane::Daemon, u16::MAX);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_pane_gets_the_room() {
        use Pane::{Daemon, Decisions, Prefixes, Services};
        for (description, lines, chosen, all, expected) in [
            ("nothing", 0, Services, [3, 4, 5, 6], [0, 0, 0, 0]),
            ("one line", 1, Decisions, [3, 4, 5, 6], [0, 0, 1, 0]),
            (
                "room for the daemon",
                18,
                Services,
                [4, 3, 3, 6],
                [4, 3, 3, 6],
            ),
            (
                "not for all of it",
                14,
                Services,
                [4, 3, 3, 6],
                [4, 3, 3, 1],
            ),
            ("titles only", 4, Services, [3, 4, 5, 6], [1, 1, 1, 1]),
            ("all fit", 40, Services, [4, 4, 20, 6], [4, 4, 20, 6]),
            (
                "a small screen",
                18,
                Services,
                [4, 1002, 201, 6],
                [4, 10, 3, 1],
            ),
            (
                "reading decisions",
                18,
                Decisions,
                [4, 1002, 201, 6],
                [4, 4, 9, 1],
            ),
            ("the daemon", 18, Daemon, [4, 1002, 201, 6], [4, 5, 3, 6]),
            (
                "many prefixes",
                18,
                Prefixes,
                [502, 1002, 201, 6],
                [10, 4, 3, 1],
            ),
            (
                "a large screen",
                44,
                Services,
                [4, 1002, 201, 6],
                [4, 24, 10, 6],
            ),
        ] {
            let found = share(lines, chosen, |pane| all[pane as usize]);
            assert_eq!(found, expected, "{description}");
            assert!(found.iter().sum::<u16>() <= lines, "{description}");
        }
    }
}
