//! A bounded amount of something, taken and given back without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much there is of something; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

/// A part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    used: Arc<AtomicUsize>,
    amount: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            used: Arc::default(),
            max,
        }
    }

    /// Takes `amount`, or nothing where that would exceed the budget.
    pub(crate) fn take(&self, amount: usize) -> Option<Taken> {
        self.used
            .try_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(amount).filter(|used| *used <= self.max)
            })
            .ok()?;
        Some(Taken {
            used: self.used.clone(),
            amount,
        })
    }

    /// Returns how much is taken.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.used.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let budget = Budget::new(10);
        let seven = budget.take(7).expect("7 of 10");
        assert!(budget.take(4).is_none());
        let three = budget.take(3).expect("the other 3");
        drop(seven);
        assert!(budget.take(usize::MAX).is_none());
        assert!(budget.take(7).is_some());
        drop(three);
        assert_eq!(budget.used(), 0);
    }
}
