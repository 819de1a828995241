use serde::Serialize;

/// Why a node does what it does: the stable words of status, events and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// XDP runs in the driver, as preferred.
    Native,
    /// XDP runs in the stack, as preferred.
    Generic,
    /// TCX is in force, as preferred.
    Tcx,
    /// clsact is in force, as preferred.
    Clsact,
    /// Nothing is in force.
    None,
    /// The spec switched it off.
    Disabled,
    /// The node is paused.
    Paused,
    /// A capability, a filter or a policy forbids it.
    PermissionDenied,
    /// The kernel has no such thing.
    NotSupported,
    /// The driver refused.
    DriverRejected,
    /// The driver refused because of the MTU.
    MtuTooLarge,
    /// Somebody else holds the place.
    Conflict,
    /// There is no such interface.
    NoUplink,
    /// The traffic is inside a tunnel.
    Overlay,
    /// The queue has a socket.
    QueueBusy,
    /// No socket to hand packets to.
    NoSocket,
    /// The kernel's path does not see the flow.
    NoAdmission,
    /// Known not to work on this driver or kernel.
    KnownBad,
    /// The probe itself did not succeed.
    ProbeFailed,
    /// Tried, and taken back.
    Reverted,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 20] = [
        Self::Native,
        Self::Generic,
        Self::Tcx,
        Self::Clsact,
        Self::None,
        Self::Disabled,
        Self::Paused,
        Self::PermissionDenied,
        Self::NotSupported,
        Self::DriverRejected,
        Self::MtuTooLarge,
        Self::Conflict,
        Self::NoUplink,
        Self::Overlay,
        Self::QueueBusy,
        Self::NoSocket,
        Self::NoAdmission,
        Self::KnownBad,
        Self::ProbeFailed,
        Self::Reverted,
    ];
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}
