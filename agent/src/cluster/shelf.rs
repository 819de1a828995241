//! All objects of one kind, as far as they are seen.

use std::collections::BTreeMap;

use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;

/// Namespace, if the kind has any, and name.
pub(super) type Name = (Option<String>, String);

/// The objects of one kind, and what is wrong with some.
#[derive(Debug)]
pub(super) struct Shelf<K> {
    /// Whether all of them are known, from a list or from what an earlier agent saw.
    pub(super) complete: bool,
    entries: BTreeMap<Name, Entry<K>>,
    /// Those of a list that is still coming in.
    coming: BTreeMap<Name, Entry<K>>,
}

/// An object.
#[derive(Debug, PartialEq)]
struct Entry<K> {
    /// Its last good state.
    good: Option<K>,
    /// What is wrong with its present one.
    fault: Option<String>,
}

impl<K> Default for Shelf<K> {
    fn default() -> Self {
        Self {
            complete: false,
            entries: BTreeMap::new(),
            coming: BTreeMap::new(),
        }
    }
}

impl<K: Resource + Clone + PartialEq> Shelf<K> {
    /// Those that an earlier agent saw.
    pub(super) fn put(&mut self, object: K) {
        let (name, good) = (name(&object), Some(object));
        self.entries.insert(name, Entry { good, fault: None });
    }

    /// Follows a watch. What `check` refuses does not take the place of what is good. Returns whether
    /// anything is other than before.
    pub(super) fn take(
        &mut self,
        event: Event<DeserializeGuard<K>>,
        check: impl Fn(&K) -> Result<(), String>,
    ) -> bool {
        match event {
            Event::Init => {
                self.coming.clear();
                false
            }
            Event::InitApply(object) => {
                let (name, entry) = self.entry(object, check);
                self.coming.insert(name, entry);
                false
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.coming);
                let before = std::mem::replace(&mut self.entries, listed);
                !std::mem::replace(&mut self.complete, true) || before != self.entries
            }
            Event::Apply(object) => {
                let (name, entry) = self.entry(object, check);
                let same = self.entries.get(&name) == Some(&entry);
                self.entries.insert(name, entry);
                !same
            }
            Event::Delete(object) => self.entries.remove(&name(&object)).is_some(),
        }
    }

    fn entry(
        &self,
        object: DeserializeGuard<K>,
        check: impl Fn(&K) -> Result<(), String>,
    ) -> (Name, Entry<K>) {
        let name = name(&object);
        let read = object.0.map_err(|invalid| invalid.error);
        let entry = match read.and_then(|object| check(&object).map(|()| object)) {
            Ok(object) => Entry {
                good: Some(object),
                fault: None,
            },
            Err(fault) => Entry {
                good: self.entries.get(&name).and_then(|one| one.good.clone()),
                fault: Some(fault),
            },
        };
        (name, entry)
    }

    /// The last good state of each.
    pub(super) fn good(&self) -> impl Iterator<Item = &K> {
        self.entries.values().filter_map(|one| one.good.as_ref())
    }

    /// The refused: name, reason, and whether an earlier state is in force.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&Name, &str, bool)> {
        let each = self.entries.iter();
        each.filter_map(|(name, one)| Some((name, one.fault.as_deref()?, one.good.is_some())))
    }
}

fn name(object: &impl Resource) -> Name {
    let meta = object.meta();
    (
        meta.namespace.clone(),
        meta.name.clone().unwrap_or_default(),
    )
}
