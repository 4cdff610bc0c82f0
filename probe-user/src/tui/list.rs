//! A cursor in a list that is longer than its place on the screen, and that changes below
//! the cursor: keys and moves flow in, the selected row and the first one shown flow out.

/// A move of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// One up.
    Up,
    /// One down.
    Down,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// To the first.
    First,
    /// To the last.
    Last,
}

impl Move {
    /// Where it leads from `index` in a list of `count`, of which `height` are shown.
    pub fn from(self, index: usize, count: usize, height: usize) -> usize {
        // One row of the page before stays in sight.
        let page = height.saturating_sub(1).max(1);
        let to = match self {
            Self::Up => index.saturating_sub(1),
            Self::Down => index.saturating_add(1),
            Self::PageUp => index.saturating_sub(page),
            Self::PageDown => index.saturating_add(page),
            Self::First => 0,
            Self::Last => usize::MAX,
        };
        to.min(count.saturating_sub(1))
    }
}

/// The cursor.
#[derive(Clone, Debug, Default)]
pub struct List {
    selected: usize,
    key: Option<String>,
    offset: usize,
    height: usize,
}

impl List {
    /// The selected row.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The first row that is shown.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The first of `count` rows that is shown, and the one after the last.
    pub fn in_sight(&self, count: usize) -> (usize, usize) {
        (self.offset, count.min(self.offset + self.height))
    }

    /// Moves the cursor in rows that have these keys.
    pub fn go(&mut self, way: Move, keys: &[String]) {
        self.selected = way.from(self.selected, keys.len(), self.height);
        self.key = keys.get(self.selected).cloned();
    }

    /// The rows are others now: the cursor stays on the row it was on. On the first one it
    /// stays the first, so that it shows what is newest.
    pub fn settle(&mut self, keys: &[String]) {
        if self.selected > 0 {
            let same = self.key.as_ref();
            let same = same.and_then(|key| keys.iter().position(|other| other == key));
            self.selected = same.unwrap_or(self.selected.min(keys.len().saturating_sub(1)));
        }
        self.key = keys.get(self.selected).cloned();
    }

    /// There is room for so many of `count` rows.
    pub fn fit(&mut self, height: usize, count: usize) {
        self.height = height;
        let earliest = (self.selected + 1).saturating_sub(height);
        let latest = self.selected.min(count.saturating_sub(height));
        self.offset = self.offset.clamp(earliest.min(latest), latest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|number| number.to_string()).collect()
    }

    #[test]
    fn the_cursor_is_always_in_sight() {
        let rows = keys(0..1000);
        let mut list = List::default();
        list.settle(&rows);
        list.fit(10, rows.len());
        for (way, selected, offset) in [
            (Move::Up, 0, 0),
            (Move::Down, 1, 0),
            (Move::PageDown, 10, 1),
            (Move::PageDown, 19, 10),
            (Move::Up, 18, 10),
            (Move::PageUp, 9, 9),
            (Move::Last, 999, 990),
            (Move::Down, 999, 990),
            (Move::First, 0, 0),
        ] {
            list.go(way, &rows);
            list.fit(10, rows.len());
            assert_eq!(
                (list.selected(), list.offset()),
                (selected, offset),
                "{way:?}"
            );
        }
        list.go(Move::Last, &rows);
        for (height, count, offset) in [(0, 1000, 999), (2000, 1000, 0), (20, 1000, 980)] {
            list.fit(height, count);
            assert_eq!(list.offset(), offset, "{height} of {count}");
        }
        list.go(Move::Down, &[]);
        list.fit(10, 0);
        assert_eq!((list.selected(), list.offset()), (0, 0), "nothing is there");
    }

    #[test]
    fn the_cursor_stays_on_its_row() {
        for (description, selected, before, after, expected) in [
            ("rows come above", 3, keys(5..10), keys(0..10), 8),
            ("the first stays the first", 0, keys(5..10), keys(0..10), 0),
            ("its row is gone", 3, keys(0..5), keys(4..6), 1),
            ("all are gone", 3, keys(0..5), Vec::new(), 0),
        ] {
            let mut list = List::default();
            list.settle(&before);
            for _ in 0..selected {
                list.go(Move::Down, &before);
            }
            list.settle(&after);
            assert_eq!(list.selected(), expected, "{description}");
        }
    }
}
