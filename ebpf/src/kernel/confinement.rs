//! Why this process is refused: which gate is closed, and by what.

use std::fs::read_to_string;

/// A Linux capability STOQ may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Attach to devices, change them.
    NetAdmin,
    /// Open AF_XDP sockets.
    NetRaw,
    /// Lock memory beyond the limit.
    IpcLock,
    /// Stands in for `CAP_BPF` and `CAP_PERFMON`.
    SysAdmin,
    /// Verifier privileges of tracing-like programs.
    Perfmon,
    /// Load programs, create maps.
    Bpf,
}

impl Capability {
    fn bit(self) -> u64 {
        1 << match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::IpcLock => 14,
            Self::SysAdmin => 21,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::IpcLock => "CAP_IPC_LOCK",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// What holds this process back, as /proc and /sys show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    effective: u64,
    seccomp: bool,
    user_namespace: bool,
    lockdown: Option<String>,
    unprivileged_bpf: Option<String>,
}

impl Confinement {
    /// Reads the calling thread's own state; what cannot be read counts as absent.
    pub fn read() -> Self {
        Self::parse(
            &text("/proc/thread-self/status"),
            &text("/proc/self/uid_map"),
            &text("/sys/kernel/security/lockdown"),
            &text("/proc/sys/kernel/unprivileged_bpf_disabled"),
        )
    }

    fn parse(status: &str, uid_map: &str, lockdown: &str, unprivileged_bpf: &str) -> Self {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
        };
        let effective = field("CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let everyone = ["0", "0", "4294967295"];
        Self {
            effective: effective.unwrap_or_default(),
            seccomp: field("Seccomp:").is_some_and(|mode| mode != "0"),
            user_namespace: !uid_map.is_empty() && !uid_map.split_whitespace().eq(everyone),
            lockdown: locked(lockdown),
            unprivileged_bpf: restricted(unprivileged_bpf),
        }
    }

    /// Whether the process has a capability, by itself or by one that includes it.
    pub fn has(&self, capability: Capability) -> bool {
        let included = matches!(capability, Capability::Bpf | Capability::Perfmon);
        let by_admin = included && self.effective & Capability::SysAdmin.bit() != 0;
        by_admin || self.effective & capability.bit() != 0
    }

    /// After the kernel refused for want of permission: what closed the gate.
    pub fn closed_by(&self, needed: &[Capability]) -> String {
        let missing: Vec<_> = needed
            .iter()
            .filter(|capability| !self.has(**capability))
            .map(|capability| capability.name())
            .collect();
        if missing.is_empty() {
            return self.beyond_capabilities();
        }
        let also = self.unprivileged_bpf.as_ref();
        let also = also.filter(|_| missing.contains(&"CAP_BPF"));
        let missing = format!("missing {}", missing.join(", "));
        also.map_or(missing.clone(), |also| format!("{missing}; {also}"))
    }

    fn beyond_capabilities(&self) -> String {
        let seccomp = self.seccomp.then(|| "seccomp filter".to_owned());
        let namespace = self.user_namespace.then(|| "user namespace".to_owned());
        let suspects: Vec<_> = [seccomp, namespace, self.lockdown.clone()]
            .into_iter()
            .flatten()
            .collect();
        if suspects.is_empty() {
            return "no capability is missing: a security module, or a limit".to_owned();
        }
        format!(
            "no capability is missing; in force: {}",
            suspects.join(", ")
        )
    }
}

/// The level in brackets, unless it is `none`: `none [integrity] confidentiality`.
fn locked(lockdown: &str) -> Option<String> {
    let level = lockdown.split_once('[')?.1.split_once(']')?.0;
    (level != "none").then(|| format!("kernel lockdown {level}"))
}

fn restricted(sysctl: &str) -> Option<String> {
    let value = sysctl.trim();
    let set = !value.is_empty() && value != "0";
    set.then(|| format!("kernel.unprivileged_bpf_disabled is {value}"))
}

fn text(path: &str) -> String {
    read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &str = "CapEff:\t0000000000000000\nSeccomp:\t0\n";
    const ROOT: &str = "CapEff:\t000001ffffffffff\nSeccomp:\t0\n";
    const FILTERED: &str = "CapEff:\t000001ffffffffff\nSeccomp:\t2\n";
    const ADMIN: &str = "CapEff:\t0000000000200000\nSeccomp:\t0\n";
    const HOST: &str = "         0          0 4294967295\n";
    const NEEDED: &[Capability] = &[Capability::Bpf, Capability::NetAdmin];

    #[test]
    fn a_refusal_names_what_closed_the_gate() {
        let cases = [
            (NOBODY, HOST, "", "0", "missing CAP_BPF, CAP_NET_ADMIN"),
            (
                NOBODY,
                HOST,
                "",
                "2\n",
                "missing CAP_BPF, CAP_NET_ADMIN; kernel.unprivileged_bpf_disabled is 2",
            ),
            (ADMIN, HOST, "", "2", "missing CAP_NET_ADMIN"),
            (
                FILTERED,
                HOST,
                "",
                "0",
                "no capability is missing; in force: seccomp filter",
            ),
            (
                ROOT,
                "0 1000 1",
                "none [integrity] confidentiality\n",
                "",
                "no capability is missing; in force: user namespace, kernel lockdown integrity",
            ),
            (
                ROOT,
                HOST,
                "[none] integrity",
                "",
                "no capability is missing: a security module, or a limit",
            ),
            ("", "", "", "", "missing CAP_BPF, CAP_NET_ADMIN"),
        ];
        for (status, uid_map, lockdown, sysctl, text) in cases {
            let confinement = Confinement::parse(status, uid_map, lockdown, sysctl);
            assert_eq!(confinement.closed_by(NEEDED), text);
        }
    }
}
