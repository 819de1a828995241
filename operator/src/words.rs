//! Texts that thousands of reports repeat, each kept once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use stoq_crds::ObjectName;

/// The texts.
#[derive(Debug, Default)]
pub(crate) struct Words {
    texts: HashSet<Arc<str>>,
    names: HashSet<Arc<ObjectName>>,
    /// How many there may be before those nobody needs are dropped.
    sweep_at: usize,
}

const LEAST: usize = 1024;

impl Words {
    /// The one copy of the text.
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.make_room();
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }

    /// The one copy of the name.
    pub(crate) fn name(&mut self, namespace: String, name: String) -> Arc<ObjectName> {
        let name = ObjectName { namespace, name };
        if let Some(known) = self.names.get(&name) {
            return known.clone();
        }
        self.make_room();
        let new = Arc::new(name);
        self.names.insert(new.clone());
        new
    }

    fn make_room(&mut self) {
        if self.len() < self.sweep_at.max(LEAST) {
            return;
        }
        sweep(&mut self.texts);
        sweep(&mut self.names);
        self.sweep_at = self.len() * 2;
    }

    fn len(&self) -> usize {
        self.texts.len() + self.names.len()
    }
}

fn sweep<T: Eq + Hash + ?Sized>(all: &mut HashSet<Arc<T>>) {
    all.retain(|one| Arc::strong_count(one) > 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_memory() {
        let mut words = Words::default();
        let (a, b) = (words.text("EINVAL"), words.text("EINVAL"));
        assert!(Arc::ptr_eq(&a, &b));
        let mut name = || words.name("d".into(), "edge".into());
        assert!(Arc::ptr_eq(&name(), &name()));
    }

    #[test]
    fn texts_nobody_needs_go() {
        let mut words = Words::default();
        let kept = words.text("kept");
        for n in 0..10 * LEAST {
            words.text(&n.to_string());
        }
        assert!(words.len() <= LEAST, "{}", words.len());
        assert!(Arc::ptr_eq(&kept, &words.text("kept")));
    }
}
