//! Removes what runs that were killed have left behind.

use stoq_lab::run_name::RunName;

use crate::node;

/// Removes namespaces, directories and cgroups of clusters and labs whose process is gone; their
/// names. Their processes ended with it.
pub fn sweep() -> Vec<String> {
    let mut removed = stoq_lab::sweep();
    let dead = |name: &String| RunName::parse(name).is_some_and(|run| !run.is_alive());
    for name in node::cgroup_names().into_iter().filter(dead) {
        node::remove_cgroup(&name);
        removed.push(name);
    }
    removed
}
