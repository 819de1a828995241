//! What the events of a watch mean for a store: a list that was begun anew says also what is gone.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher::Event;

/// Names seen since a list began.
#[derive(Debug)]
pub(super) struct Relist<K> {
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
            seen: None,
            complete: false,
        }
    }
}

impl<K: Clone + Ord> Relist<K> {
    /// Takes an event about what is in the store; objects without a name are none.
    pub(super) fn take<T, V>(
        &mut self,
        event: Event<T>,
        store: &BTreeMap<K, V>,
        mut name: impl FnMut(&T) -> Option<K>,
    ) -> Vec<Change<K, T>> {
        let (object, there) = match event {
            Event::Init => {
                self.seen = Some(BTreeSet::new());
                return Vec::new();
            }
            Event::InitDone => return self.finish(store),
            Event::Apply(object) | Event::InitApply(object) => (object, true),
            Event::Delete(object) => (object, false),
        };
        let Some(name) = name(&object) else {
            return Vec::new();
        };
        if !there {
            return vec![Change::Gone(name)];
        }
        if let Some(seen) = &mut self.seen {
            seen.insert(name.clone());
        }
        vec![Change::There(name, object)]
    }

    fn finish<T, V>(&mut self, store: &BTreeMap<K, V>) -> Vec<Change<K, T>> {
        self.complete = true;
        let Some(seen) = self.seen.take() else {
            return Vec::new();
        };
        let gone = store.keys().filter(|name| !seen.contains(*name));
        gone.cloned().map(Change::Gone).collect()
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
        let store = BTreeMap::from([("a", ()), ("c", ())]);
        let mut take = |event| relist.take(event, &store, |one: &&str| Some(*one));
        assert_eq!(take(Event::InitDone), [], "no list had begun");
        assert_eq!(take(Event::Init), []);
        assert_eq!(take(Event::InitApply("b")), [Change::There("b", "b")]);
        assert_eq!(take(Event::InitApply("c")), [Change::There("c", "c")]);
        assert_eq!(take(Event::InitDone), [Change::Gone("a")]);
        assert_eq!(take(Event::Apply("d")), [Change::There("d", "d")]);
        assert_eq!(take(Event::Delete("c")), [Change::Gone("c")]);
        assert!(relist.is_complete());
    }
}
