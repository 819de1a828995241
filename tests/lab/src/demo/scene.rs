//! The five runs.

/// What STOQ does in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stoq {
    /// It is not there.
    Absent,
    /// It drops in the uplink's driver, and guards again at the pod.
    Native,
    /// The uplink's XDP is disabled: it drops at the pod's interface.
    Tcx,
    /// It counts what it would drop, and passes everything.
    Monitor,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scene {
    /// Its name in demo.json.
    pub(super) name: &'static str,
    /// What happens, for a reader.
    pub(super) about: &'static str,
    pub(super) stoq: Stoq,
    pub(super) flooded: bool,
}

impl Scene {
    pub(super) const QUIET: Self = scene("quiet", "clients only", Stoq::Absent, false);
    pub(super) const WITHOUT: Self = scene("flood-without", "no STOQ", Stoq::Absent, true);
    pub(super) const NATIVE: Self = scene(
        "flood-native",
        "STOQ in the uplink's driver (XDP)",
        Stoq::Native,
        true,
    );
    pub(super) const TCX: Self = scene(
        "flood-tcx",
        "STOQ at the pod only (XDP disabled)",
        Stoq::Tcx,
        true,
    );
    pub(super) const MONITOR: Self = scene(
        "flood-monitor",
        "STOQ counts, drops nothing",
        Stoq::Monitor,
        true,
    );
    /// In the order in which they are run.
    pub(super) const ALL: [Self; 5] = [
        Self::QUIET,
        Self::WITHOUT,
        Self::NATIVE,
        Self::TCX,
        Self::MONITOR,
    ];
}

const fn scene(name: &'static str, about: &'static str, stoq: Stoq, flooded: bool) -> Scene {
    Scene {
        name,
        about,
        stoq,
        flooded,
    }
}
