//! What the events of a watch mean for a store: a list that was begun anew says also what is gone.

use std::collections::BTreeSet;
use std::mem;

use kube::runtime::watcher::Event;

/// Names that are known, and those seen since a list began.
#[derive(Debug)]
pub(super) struct Relist<K> {
    known: BTreeSet<K>,
    seen: Option<BTreeSet<K>>,
    complete: bool,
}

/// What to do with a store.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Change<K, T> {
    There(K, T),
    Gone(K),
}

impl<K> Default for Relist<K> {
    fn default() -> Self {
        Self {
            known: BTreeSet::new(),
            seen: None,
            complete: false,
        }
    }
}

impl<K: Clone + Ord> Relist<K> {
    /// Takes an event; objects without a name are none.
    pub(super) fn take<T>(
        &mut self,
        event: Event<T>,
        mut name: impl FnMut(&T) -> Option<K>,
    ) -> Vec<Change<K, T>> {
        let (object, there) = match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                return Vec::new();
            }
            Event::InitDone => return self.finish(),
            Event::Apply(object) | Event::InitApply(object) => (object, true),
            Event::Delete(object) => (object, false),
        };
        let Some(name) = name(&object) else {
            return Vec::new();
        };
        if !there {
            self.known.remove(&name);
            return vec![Change::Gone(name)];
        }
        self.known.insert(name.clone());
        if let Some(seen) = &mut self.seen {
            seen.insert(name.clone());
        }
        vec![Change::There(name, object)]
    }

    fn finish<T>(&mut self) -> Vec<Change<K, T>> {
        self.complete = true;
        let Some(seen) = self.seen.take() else {
            return Vec::new();
        };
        let known = mem::replace(&mut self.known, seen);
        let gone = known.difference(&self.known).cloned();
        gone.map(Change::Gone).collect()
    }

    /// Whether one list has arrived in whole.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_list_does_not_name_is_gone() {
        let mut relist = Relist::default();
        let mut take = |event| relist.take(event, |one: &&str| Some(*one));
        assert_eq!(take(Event::Init), []);
        assert_eq!(take(Event::InitApply("a")), [Change::There("a", "a")]);
        assert_eq!(take(Event::InitApply("b")), [Change::There("b", "b")]);
        assert_eq!(take(Event::InitDone), []);
        assert_eq!(take(Event::Apply("c")), [Change::There("c", "c")]);
        assert_eq!(take(Event::Delete("b")), [Change::Gone("b")]);
        take(Event::Init);
        take(Event::InitApply("c"));
        assert_eq!(take(Event::InitDone), [Change::Gone("a")]);
        assert!(relist.is_complete());
    }
}
