use rustix::io::Errno;
use serde::Serialize;

use super::Reason;
use crate::kernel::confinement::{Capability, Confinement};
use crate::sys::KernelError;

/// One thing the kernel, the driver or the confinement may or may not let us do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// Stable name, also a metric's label.
    pub name: &'static str,
    /// Open, closed, or not found out.
    #[serde(flatten)]
    pub state: State,
}

/// Whether a gate is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state")]
pub enum State {
    /// It was done.
    Available,
    /// It was refused.
    Unavailable {
        /// Stable reason.
        reason: Reason,
        /// The kernel's words.
        message: String,
    },
    /// It could not be tried.
    Unknown {
        /// Stable reason.
        reason: Reason,
        /// What stood in the way of trying.
        message: String,
    },
}

impl Gate {
    /// Whether the gate is open.
    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }

    /// Available, or refused in the kernel's words.
    pub(super) fn tried<T>(
        name: &'static str,
        needed: &[Capability],
        outcome: Result<T, KernelError>,
    ) -> Self {
        match outcome {
            Ok(_) => Self::available(name),
            Err(error) => Self::refused(name, needed, &error),
        }
    }

    pub(super) fn available(name: &'static str) -> Self {
        let state = State::Available;
        Self { name, state }
    }

    pub(super) fn unavailable(name: &'static str, reason: Reason, message: String) -> Self {
        let state = State::Unavailable { reason, message };
        Self { name, state }
    }

    pub(super) fn unknown(name: &'static str, reason: Reason, message: String) -> Self {
        let state = State::Unknown { reason, message };
        Self { name, state }
    }

    pub(super) fn refused(name: &'static str, needed: &[Capability], error: &KernelError) -> Self {
        Self::unavailable(name, reason(error.errno), confined(error, needed))
    }
}

/// The kernel's words, and of a permission that is denied what denies it.
pub(super) fn confined(error: &KernelError, needed: &[Capability]) -> String {
    match error.errno {
        Errno::PERM | Errno::ACCESS => {
            format!("{error} ({})", Confinement::read().closed_by(needed))
        }
        _ => error.to_string(),
    }
}

/// What a refusal means outside of [`crate::attach`], which knows its rung.
pub(super) fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::PERM | Errno::ACCESS | Errno::NOBUFS => Reason::PermissionDenied,
        Errno::BUSY | Errno::EXIST => Reason::Conflict,
        Errno::RANGE => Reason::MtuTooLarge,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::TIMEDOUT | Errno::AGAIN => {
            Reason::ProbeFailed
        }
        _ => Reason::NotSupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_serialises_flat() {
        let gate = Gate::unavailable("tcx", Reason::NotSupported, "EINVAL".to_owned());
        assert_eq!(
            serde_json::to_string(&gate).unwrap(),
            r#"{"name":"tcx","state":"Unavailable","reason":"NotSupported","message":"EINVAL"}"#
        );
        assert_eq!(
            serde_json::to_string(&Gate::available("tcx")).unwrap(),
            r#"{"name":"tcx","state":"Available"}"#
        );
    }

    #[test]
    fn a_refusal_that_says_nothing_about_the_kernel_is_a_failed_probe() {
        let cases = [
            (Errno::PERM, Reason::PermissionDenied),
            (Errno::INVAL, Reason::NotSupported),
            (Errno::NOSYS, Reason::NotSupported),
            (Errno::AFNOSUPPORT, Reason::NotSupported),
            (Errno::BUSY, Reason::Conflict),
            (Errno::MFILE, Reason::ProbeFailed),
            (Errno::NOBUFS, Reason::PermissionDenied),
        ];
        for (errno, expected) in cases {
            assert_eq!(reason(errno), expected, "{errno:?}");
        }
    }
}
