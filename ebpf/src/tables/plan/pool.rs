use std::ops::Range;

/// Numbers of which each is given out once.
pub(super) struct Pool {
    range: Range<u32>,
    used: Vec<bool>,
}

impl Pool {
    pub(super) fn new(range: Range<u32>, used: impl Iterator<Item = u32>) -> Self {
        let mut this = Self {
            used: vec![false; range.len()],
            range,
        };
        used.for_each(|number| this.mark(number));
        this
    }

    /// The first free number from `wish` on, round the end.
    pub(super) fn take(&mut self, wish: u64) -> Option<u32> {
        let len = self.used.len() as u64;
        let from = (wish % len.max(1)) as usize;
        let (before, after) = (0..from, from..self.used.len());
        let at = after.chain(before).find(|at| !self.used[*at])?;
        self.used[at] = true;
        Some(self.range.start + at as u32)
    }

    fn mark(&mut self, number: u32) {
        if self.range.contains(&number) {
            self.used[(number - self.range.start) as usize] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_out_once_and_round_the_end() {
        let mut pool = Pool::new(10..14, [11, 99].into_iter());
        let taken: Vec<_> = (0..4).map(|_| pool.take(2)).collect();
        assert_eq!(taken, [Some(12), Some(13), Some(10), None]);
    }
}
