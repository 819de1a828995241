//! Who has connected and has no session yet: of each user so many, that none keeps the others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Of one user at a time. Each has a few seconds to say something.
const EACH: usize = 64;

/// How many there are, by user.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers(Arc<Mutex<BTreeMap<u32, usize>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Call {
    callers: Callers,
    user: u32,
}

impl Callers {
    /// One more; `None` if the user has as many as it may.
    pub(super) fn admit(&self, user: u32) -> Option<Call> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = all.entry(user).or_default();
        if *mine >= EACH {
            return None;
        }
        *mine += 1;
        let callers = self.clone();
        Some(Call { callers, user })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut all = { self.callers.0.lock() }.unwrap_or_else(PoisonError::into_inner);
        let left = all.remove(&self.user).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            all.insert(self.user, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_of_one_user_is_no_other_s() {
        let callers = Callers::default();
        let mut crowd: Vec<_> = (0..EACH).map(|_| callers.admit(1).unwrap()).collect();
        assert!(callers.admit(1).is_none());
        let other = callers.admit(2).unwrap();
        crowd.pop();
        crowd.push(callers.admit(1).unwrap());
        drop((crowd, other));
        assert!(callers.0.lock().unwrap().is_empty());
    }
}
