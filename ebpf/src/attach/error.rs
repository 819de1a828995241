use rustix::io::Errno;

use super::{HookKind, Mode};
use crate::capability::Reason;
use crate::kernel::confinement::{Capability, Confinement};
use crate::sys::KernelError;

/// Why a hook could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct AttachError {
    /// Stable reason.
    pub reason: Reason,
    /// The kernel's words, or who is in the way.
    pub message: String,
}

impl AttachError {
    pub(super) fn conflict(message: String) -> Self {
        Self {
            reason: Reason::Conflict,
            message,
        }
    }

    pub(super) fn refused(kind: HookKind, error: &KernelError) -> Self {
        let reason = reason(kind.mode(), error);
        let message = match reason {
            Reason::PermissionDenied => {
                let needed = [Capability::Bpf, Capability::NetAdmin];
                format!("{error} ({})", Confinement::read().closed_by(&needed))
            }
            _ => error.to_string(),
        };
        Self { reason, message }
    }
}

/// What a refusal at a rung means.
fn reason(mode: Mode, error: &KernelError) -> Reason {
    /// Kernel-internal `ENOTSUPP`.
    const ENOTSUPP: Errno = Errno::from_raw_os_error(524);
    let words = error.words.as_deref().unwrap_or_default();
    match error.errno {
        _ if words.to_ascii_lowercase().contains("mtu") => Reason::MtuTooLarge,
        // Another kind of filter holds our priority.
        _ if words.contains("filter kind does not match") => Reason::Conflict,
        Errno::PERM | Errno::ACCESS => Reason::PermissionDenied,
        Errno::RANGE => Reason::MtuTooLarge,
        Errno::BUSY | Errno::EXIST => Reason::Conflict,
        Errno::NODEV => Reason::NoUplink,
        Errno::OPNOTSUPP | Errno::NOSYS | ENOTSUPP => Reason::NotSupported,
        Errno::INVAL if mode == Mode::Tcx => Reason::NotSupported,
        _ if mode == Mode::Native => Reason::DriverRejected,
        _ => Reason::ProbeFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_stable_reason() {
        let too_large = Some("veth: Peer MTU is too large to set XDP");
        let cases = [
            (Mode::Native, Errno::RANGE, too_large, Reason::MtuTooLarge),
            (Mode::Native, Errno::RANGE, None, Reason::MtuTooLarge),
            (
                Mode::Native,
                Errno::INVAL,
                Some("MTU too big for XDP"),
                Reason::MtuTooLarge,
            ),
            (Mode::Native, Errno::INVAL, None, Reason::DriverRejected),
            (Mode::Native, Errno::NOMEM, None, Reason::DriverRejected),
            (Mode::Native, Errno::OPNOTSUPP, None, Reason::NotSupported),
            (Mode::Native, Errno::BUSY, None, Reason::Conflict),
            (Mode::Generic, Errno::EXIST, None, Reason::Conflict),
            (Mode::Generic, Errno::INVAL, None, Reason::ProbeFailed),
            (Mode::Tcx, Errno::INVAL, None, Reason::NotSupported),
            (Mode::Tcx, Errno::NODEV, None, Reason::NoUplink),
            (Mode::Clsact, Errno::PERM, None, Reason::PermissionDenied),
            (
                Mode::Clsact,
                Errno::INVAL,
                Some("Specified filter kind does not match existing one"),
                Reason::Conflict,
            ),
        ];
        for (mode, errno, words, expected) in cases {
            let words = words.map(str::to_owned);
            let error = KernelError { errno, words };
            assert_eq!(reason(mode, &error), expected, "{mode:?} {error}");
        }
    }
}
