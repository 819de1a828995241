//! By which socket a pod comes, and so how it is known.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use stoq_crds::ObjectName;

/// Who has a socket that was made for one pod alone.
pub trait Holder: Send + Sync {
    /// The pod, or why nobody can tell now.
    fn pod(&self) -> BoxFuture<'_, Result<ObjectName, String>>;
}

/// A socket to ask at.
#[derive(Clone)]
pub enum Door {
    /// The node's, where the kernel tells the user that asks.
    Users,
    /// The one of a pod that holds a device.
    Device(Arc<dyn Holder>),
}

impl Door {
    /// Connections at a time; the next ones wait to be accepted.
    pub(super) const fn places(&self) -> usize {
        match self {
            Self::Users => 1024,
            // A transport has up to 16 ports.
            Self::Device(_) => 64,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A process of this user.
    User(u32),
    /// A process of this pod.
    Pod(ObjectName),
}

impl Caller {
    /// Whether it is a process of the pod, as far as that can be told.
    pub(super) fn is_of(&self, pod: &ObjectName, users: &BTreeSet<u32>) -> bool {
        match self {
            Self::User(user) => *user == 0 || users.contains(user),
            Self::Pod(name) => name == pod,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Pod(name) => write!(f, "pod {name}"),
        }
    }
}
