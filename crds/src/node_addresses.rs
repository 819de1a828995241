//! The ConfigMap of node addresses: the operator writes it, agents read it.

/// Its name, in the namespace of both.
pub const CONFIG_MAP: &str = "stoq-node-addresses";

/// Key of its data: one address a line, sorted.
pub const KEY: &str = "addresses";
