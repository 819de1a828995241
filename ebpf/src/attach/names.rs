//! Names of what lies beside our links.

use super::HookKind;

/// Name of a link's pin: hook and interface.
pub(super) fn pin_name(kind: HookKind, interface: &str) -> String {
    format!("{}-{}", word(kind), escaped(interface))
}

/// The hook and the interface a pin is named after.
pub(super) fn parse_pin_name(name: &str) -> Option<(HookKind, String)> {
    HookKind::ALL.into_iter().find_map(|kind| {
        let rest = name.strip_prefix(word(kind))?.strip_prefix('-')?;
        Some((kind, rest.replace("%2e", ".").replace("%25", "%")))
    })
}

/// Name of the directory that marks a qdisc as made by us.
pub(super) fn qdisc_name(ifindex: u32) -> String {
    format!("{QDISC}{ifindex}")
}

/// The index of the device whose qdisc a marker is for.
pub(super) fn parse_qdisc_name(name: &str) -> Option<u32> {
    name.strip_prefix(QDISC)?.parse().ok()
}

const QDISC: &str = "clsact_qdisc-";

fn word(kind: HookKind) -> &'static str {
    match kind {
        HookKind::XdpNative => "xdp_native",
        HookKind::XdpGeneric => "xdp_generic",
        HookKind::TcxIngress => "tcx_ingress",
        HookKind::TcxEgress => "tcx_egress",
        HookKind::ClsactIngress => "clsact_ingress",
        HookKind::ClsactEgress => "clsact_egress",
    }
}

/// A BPF file system allows no dots (`eth0.100` is a common name).
fn escaped(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_name_carries_hook_and_interface() {
        let cases = [
            (HookKind::XdpNative, "eth0", "xdp_native-eth0"),
            (HookKind::TcxEgress, "eth0.100", "tcx_egress-eth0%2e100"),
            (HookKind::TcxIngress, "a%2eb-c", "tcx_ingress-a%252eb-c"),
        ];
        for (kind, interface, name) in cases {
            assert_eq!(pin_name(kind, interface), name);
            assert_eq!(parse_pin_name(name), Some((kind, interface.to_owned())));
        }
    }

    #[test]
    fn a_strange_name_is_no_pin() {
        for name in ["", "xdp", "xdp_native", "eth0", "clsact_qdisc-4"] {
            assert_eq!(parse_pin_name(name), None, "{name}");
        }
    }
}
