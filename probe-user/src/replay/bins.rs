//! A bounded record of a time whose length nobody knows before: bins of equal width,
//! which double their width whenever there would be too many.

/// What can be put together with what came after it.
pub trait Join {
    /// Takes the later one in.
    fn join(&mut self, later: Self);
}

/// The bins, from `start_ns` on.
#[derive(Clone, Debug)]
pub struct Bins<T> {
    start_ns: u64,
    width_ns: u64,
    most: usize,
    kept: Vec<T>,
}

impl<T: Default + Join> Bins<T> {
    /// No more than `most` of them, of this width to begin with.
    pub fn new(start_ns: u64, width_ns: u64, most: usize) -> Self {
        Self {
            start_ns,
            width_ns: width_ns.max(1),
            most: most.max(2),
            kept: Vec::new(),
        }
    }

    fn index(&self, at_ns: u64) -> usize {
        let index = at_ns.saturating_sub(self.start_ns) / self.width_ns;
        usize::try_from(index).unwrap_or(usize::MAX)
    }

    /// Whether a time is in the newest bin, or before it.
    pub fn has(&self, at_ns: u64) -> bool {
        self.index(at_ns) < self.kept.len()
    }

    /// The newest bin.
    pub fn newest(&mut self) -> Option<&mut T> {
        self.kept.last_mut()
    }

    /// The bin of a time.
    pub fn at(&mut self, at_ns: u64) -> &mut T {
        while self.index(at_ns) >= self.most {
            self.widen();
        }
        let index = self.index(at_ns);
        if index >= self.kept.len() {
            self.kept.resize_with(index + 1, T::default);
        }
        &mut self.kept[index]
    }

    fn widen(&mut self) {
        let mut narrow = core::mem::take(&mut self.kept).into_iter();
        while let Some(mut bin) = narrow.next() {
            if let Some(later) = narrow.next() {
                bin.join(later);
            }
            self.kept.push(bin);
        }
        self.width_ns *= 2;
    }

    /// How wide each is, in seconds.
    pub fn width_seconds(&self) -> f64 {
        self.width_ns as f64 / 1e9
    }

    /// All of them, each with its begin in seconds since the start.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (f64, &T)> {
        let width = self.width_seconds();
        let begin = move |index: usize| index as f64 * width;
        self.kept
            .iter()
            .enumerate()
            .map(move |(index, bin)| (begin(index), bin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(u64);

    impl Join for Count {
        fn join(&mut self, later: Self) {
            self.0 += later.0;
        }
    }

    #[test]
    fn nothing_is_lost_and_there_are_never_too_many_however_long_it_takes() {
        const START: u64 = 1_000;
        for (description, step, times, width_seconds) in [
            ("within the first bins", 10, 8, 10e-9),
            ("one more", 10, 9, 20e-9),
            ("many more", 10, 1_000, 1_280e-9),
            (
                "a long gap at once",
                1 << 40,
                2,
                10e-9 * (1_u64 << 34) as f64,
            ),
        ] {
            let mut bins = Bins::<Count>::new(START, 10, 8);
            for time in 0..times {
                bins.at(START + time * step).0 += 1;
                assert!(bins.has(START + time * step), "{description}");
            }
            let found: Vec<_> = bins.iter().map(|(_, count)| count.0).collect();
            assert_eq!(found.iter().sum::<u64>(), times, "{description}");
            assert!(found.len() <= 8, "{description}: {found:?}");
            let width = bins.width_seconds();
            assert!(
                (width / width_seconds - 1.0).abs() < 1e-9,
                "{description}: {width}"
            );
        }
    }
}
