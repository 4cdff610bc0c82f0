//! What is shown instead of the panes, and how far it was scrolled.

use super::list::Move;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// The keys.
    Help,
    /// All about a prefix.
    Prefix(String),
    /// All about a service.
    Service(String),
    /// All about a decision, by its number.
    Decision(u64),
    /// All about the daemon itself.
    Daemon,
}

/// A sheet that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which.
    pub sheet: Sheet,
    /// The first line that is shown.
    pub offset: usize,
    lines: usize,
    height: usize,
}

impl Opened {
    /// At its beginning.
    pub fn new(sheet: Sheet) -> Self {
        Self {
            sheet,
            offset: 0,
            lines: 0,
            height: 0,
        }
    }

    /// Scrolls it.
    pub fn go(&mut self, way: Move) {
        let last = self.lines.saturating_sub(self.height);
        self.offset = way.from(self.offset, last + 1, self.height);
    }

    /// There is room for so many of its lines.
    pub fn fit(&mut self, height: usize, lines: usize) {
        (self.height, self.lines) = (height, lines);
        self.offset = self.offset.min(lines.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_scrolls_to_its_end_and_no_further() {
        let mut opened = Opened::new(Sheet::Help);
        opened.fit(10, 25);
        for (way, expected) in [
            (Move::Down, 1),
            (Move::PageDown, 10),
            (Move::PageDown, 15),
            (Move::Up, 14),
            (Move::First, 0),
            (Move::Last, 15),
        ] {
            opened.go(way);
            assert_eq!(opened.offset, expected, "{way:?}");
        }
        opened.fit(20, 25);
        assert_eq!(opened.offset, 5, "more room");
        opened.fit(30, 25);
        opened.go(Move::Down);
        assert_eq!(opened.offset, 0, "all is in sight");
    }
}
