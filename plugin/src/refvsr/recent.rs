//! The last values of a row, and what is usual among them.

use std::collections::VecDeque;

/// The last so many of a row of values.
#[derive(Debug, Clone)]
pub struct Recent<T, const N: usize>(VecDeque<T>);

impl<T, const N: usize> Default for Recent<T, N> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord + Copy, const N: usize> Recent<T, N> {
    /// Another one, in place of the oldest.
    pub fn push(&mut self, value: T) {
        if self.0.len() == N {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn sorted(&self) -> Vec<T> {
        let mut sorted: Vec<T> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted
    }

    /// A quarter of them are no larger.
    pub fn lower_quartile(&self) -> Option<T> {
        let sorted = self.sorted();
        sorted.get(sorted.len().saturating_sub(1) / 4).copied()
    }

    /// Half of them are no larger.
    pub fn median(&self) -> Option<T> {
        let sorted = self.sorted();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }

    /// The smallest of the last so many, if there are as many.
    pub fn least_of_last(&self, count: usize) -> Option<T> {
        let skipped = self.0.len().checked_sub(count)?;
        self.0.iter().skip(skipped).min().copied()
    }

    /// The largest but one: one alone does not count.
    pub fn usual_most(&self) -> Option<T> {
        let sorted = self.sorted();
        sorted.get(sorted.len().checked_sub(2)?).copied()
    }

    pub fn min(&self) -> Option<T> {
        self.0.iter().min().copied()
    }

    pub fn max(&self) -> Option<T> {
        self.0.iter().max().copied()
    }

    /// The newest.
    pub fn last(&self) -> Option<T> {
        self.0.back().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_full(&self) -> bool {
        self.0.len() == N
    }
}
