//! What transports mean to each other and to Services: conflicts and front ends.

use std::collections::{BTreeMap, BTreeSet};

use stoq_crds::{ObjectName, Pod, Transport, resolve_conflicts};

use super::{Index, Known};
use crate::front_ends;

impl Index {
    /// Finds conflicts and front ends anew.
    pub(super) fn relate(&mut self) {
        let conflicts = self.conflicts();
        let mut conflicts: BTreeMap<_, _> = conflicts
            .into_iter()
            .map(|one| (one.loser.clone(), one))
            .collect();
        let found: Vec<_> = self
            .transports
            .values()
            .map(|known| self.front_ends(known))
            .collect();
        for ((name, known), front_ends) in self.transports.iter_mut().zip(found) {
            let conflict = conflicts.remove(name);
            if known.conflict != conflict || known.front_ends != front_ends {
                (known.conflict, known.front_ends) = (conflict, front_ends);
                self.changed.transports.insert(name.clone());
            }
        }
    }

    fn conflicts(&self) -> Vec<stoq_crds::Conflict> {
        let valid: Vec<&Transport> = { self.transports.values() }
            .filter_map(|known| known.parsed.as_ref().ok())
            .collect();
        let selected = self
            .transports
            .values()
            .flat_map(|known| known.selected.iter());
        let selected: BTreeSet<_> = selected.collect();
        let pods = selected.into_iter().filter_map(|name| self.pods.get(name));
        let pods: Vec<&Pod> = pods.collect();
        resolve_conflicts(valid, &pods)
    }

    fn front_ends(&self, known: &Known) -> front_ends::FrontEnds {
        let Ok(transport) = &known.parsed else {
            return front_ends::FrontEnds::default();
        };
        let namespace = &known.name.namespace;
        let first = ObjectName {
            namespace: namespace.clone(),
            name: String::new(),
        };
        let services = self.services.range(first.clone()..);
        let services = services.take_while(|(name, _)| name.namespace == *namespace);
        let services = services
            .map(|(name, service)| (name.name.as_str(), service))
            .collect();
        let slices = self.slices.range(first..);
        let slices = slices.take_while(|(name, _)| name.namespace == *namespace);
        let selected = |pod: &str| known.selects(pod);
        front_ends::find(
            transport,
            &services,
            slices.map(|(_, slice)| slice),
            selected,
        )
    }
}
