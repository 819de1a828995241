//! Why an object is refused.

use thiserror::Error;

/// A field that does not hold what it must.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Path of the field, as in `spec.ports[0].port`.
    pub field: String,
    /// What is wrong with it.
    pub reason: Violation,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, reason: Violation) -> Self {
        let field = field.into();
        Self { field, reason }
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Violation {
    /// The field is needed and absent.
    #[error("is required")]
    Required,
    /// A rule of the CRD does not hold; the text is the one an API server answers with.
    #[error("{0}")]
    Rule(&'static str),
    /// A list is shorter or longer than it may be.
    #[error("must have {min}..{max} entries, has {found}")]
    Length {
        /// Fewest entries allowed.
        min: usize,
        /// Most entries allowed.
        max: usize,
        /// Entries found.
        found: usize,
    },
    /// A name that no API server would accept.
    #[error("must be a lower-case DNS name (RFC 1123) of at most {max} characters")]
    Name {
        /// Longest name allowed.
        max: usize,
    },
    /// Not an IP address.
    #[error("must be an IPv4 or IPv6 address, is {0:?}")]
    Address(String),
    /// A pod phase that Kubernetes does not have.
    #[error("must be Pending, Running, Succeeded, Failed or Unknown, is {0:?}")]
    Phase(String),
    /// A number that is no user's.
    #[error("must be a user id, is {0}")]
    User(i64),
    /// A number that is no port's.
    #[error("must be 1..65535, is {0}")]
    Port(i32),
}
