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
    budget: Budget,
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
        let mut taken = self.nothing();
        taken.more(amount).then_some(taken)
    }

    /// Takes nothing yet.
    pub(crate) fn nothing(&self) -> Taken {
        Taken {
            budget: self.clone(),
            amount: 0,
        }
    }

    /// Returns how much is taken.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Taken {
    /// Takes `amount` more; where that would exceed the budget, nothing more, and says so.
    pub(crate) fn more(&mut self, amount: usize) -> bool {
        let Budget { used, max } = &self.budget;
        let taken = used
            .try_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(amount).filter(|used| used <= max)
            })
            .is_ok();
        if taken {
            self.amount += amount;
        }
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::AcqRel);
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
        let mut three = budget.take(2).expect("2 of the other 3");
        assert!(!three.more(2));
        assert!(three.more(1));
        drop(seven);
        assert!(budget.take(usize::MAX).is_none());
        assert!(budget.take(7).is_some());
        drop(three);
        assert_eq!(budget.used(), 0);
    }
}
