//! Removes what runs that were killed have left behind.

/// Removes namespaces and directories of clusters and labs whose process is gone; their names.
/// Their processes ended with it.
pub fn sweep() -> Vec<String> {
    stoq_lab::sweep()
}
