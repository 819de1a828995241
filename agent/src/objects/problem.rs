//! What is wrong with what the agent is asked for.

use std::fmt;

use stoq_crds::{Kind, Refused};

use super::Key;

/// Something that was not taken over, and what stays in force instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file in the directory; the directory itself if that cannot be read; the API server.
    pub file: String,
    /// What is wrong.
    pub fault: Fault,
    /// Objects whose last good state stays in force because of it.
    pub in_force: Vec<Key>,
}

/// What is wrong with a file or one of its documents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file or directory cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file has no content: more likely half written than meant.
    #[error("is empty; remove the file to delete its objects")]
    Empty,
    /// A document is refused.
    #[error("{}{refused}", object_of(refused))]
    Refused {
        /// Document, field and reason.
        refused: Refused,
    },
    /// The object is in another document already.
    #[error("{}: is already in {first}, which counts", Named(object))]
    Duplicate {
        /// The object.
        object: Key,
        /// The file that counts.
        first: String,
    },
    /// An object of the API server is refused.
    #[error("{object}: {reason}{}", if *kept { KEPT } else { "" })]
    Object {
        /// Kind, namespace and name.
        object: String,
        /// The field and why.
        reason: String,
        /// Whether an earlier state of it stays in force.
        kept: bool,
    },
}

const KEPT: &str = "; its last good state stays in force";

/// `StoqTransport namespace/name`.
struct Named<'a>(&'a Key);

fn object_of(refused: &Refused) -> String {
    let named = |key| format!("{}: ", Named(key));
    refused.object.as_ref().map(named).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.fault)?;
        for (i, key) in self.in_force.iter().enumerate() {
            let lead = if i == 0 {
                "; last good state stays in force: "
            } else {
                ", "
            };
            write!(f, "{lead}{}", Named(key))?;
        }
        Ok(())
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.0 {
            Kind::Transport => "StoqTransport",
            Kind::Pod => "Pod",
        };
        write!(f, "{kind} {}", self.0.1)
    }
}
