//! Labels of nodes that say what can be had there, for schedulers and people.

use std::collections::BTreeMap;

use stoq_crds::api::{GateState, NodeInterface, StoqNodeStatus};

/// The labels; others are nobody's business here.
pub(crate) const KEYS: [&str; 3] = ["stoq.io/xdp", "stoq.io/af-xdp", "stoq.io/tcx"];

/// What can be had on a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Abilities {
    xdp: Xdp,
    af_xdp: bool,
    tcx: bool,
    /// Whether the agent has said anything of it yet.
    known: bool,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Xdp {
    None,
    Generic,
    Native,
}

/// What the agent's report comes to. XDP is as good as on the uplink where it is worst.
pub(crate) fn abilities(status: &StoqNodeStatus) -> Abilities {
    let open = |name: &str| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.name == name && gate.state == GateState::Available)
    };
    let kernel = match (open("xdp-native"), open("xdp-generic")) {
        (true, _) => Xdp::Native,
        (false, true) => Xdp::Generic,
        (false, false) => Xdp::None,
    };
    let uplinks = status.interfaces.iter();
    let uplinks = uplinks.filter_map(|one| uplink(one, open("xdp-generic")));
    Abilities {
        xdp: uplinks.fold(kernel, Xdp::min),
        af_xdp: open("af-xdp"),
        tcx: open("tcx"),
        known: !status.gates.is_empty(),
    }
}

/// What an uplink lets be had; `None` where nobody has tried.
fn uplink(interface: &NodeInterface, generic: bool) -> Option<Xdp> {
    let mut programs = interface.attached.iter();
    let attached = programs.find_map(|program| match program.mode.as_str() {
        "Native" => Some(Xdp::Native),
        "Generic" => Some(Xdp::Generic),
        _ => None,
    });
    attached.or(match interface.reason.as_str() {
        "" => None,
        // Another's program is in the way of both.
        "Conflict" => Some(Xdp::None),
        _ if generic => Some(Xdp::Generic),
        _ => Some(Xdp::None),
    })
}

impl Abilities {
    /// The labels for it; none before anything is known.
    pub(crate) fn labels(self) -> BTreeMap<String, String> {
        if !self.known {
            return BTreeMap::new();
        }
        let xdp = match self.xdp {
            Xdp::Native => "native",
            Xdp::Generic => "generic",
            Xdp::None => "none",
        };
        let values = [
            xdp.to_owned(),
            self.af_xdp.to_string(),
            self.tcx.to_string(),
        ];
        KEYS.map(str::to_owned).into_iter().zip(values).collect()
    }
}

/// Those of a node's labels that are ours.
pub(crate) fn ours(labels: Option<BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut labels = labels.unwrap_or_default();
    labels.retain(|key, _| KEYS.contains(&key.as_str()));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(status: &str) -> String {
        let status = serde_yaml::from_str(&format!("{{{status}}}")).unwrap();
        let labels = abilities(&status).labels();
        let values = KEYS.map(|key| labels.get(key).map_or("-", String::as_str));
        values.join(" ")
    }

    const ALL: &str = "gates: [{name: xdp-native, state: Available}, \
        {name: xdp-generic, state: Available}, {name: tcx, state: Available}, \
        {name: af-xdp, state: Available}]";

    #[test]
    fn labels_follow_gates_and_the_worst_uplink() {
        let program =
            |mode| format!("{{name: a, attached: [{{hook: xdp, mode: {mode}, programId: 1}}]}}");
        let (native, generic) = (program("Native"), program("Generic"));
        for (status, expected) in [
            (String::new(), "- - -"),
            (ALL.to_owned(), "native true true"),
            ("gates: [{name: tcx, state: Available}, {name: xdp-native, state: Unknown}]".into(), "none false true"),
            (format!("{ALL}, interfaces: [{native}]"), "native true true"),
            (format!("{ALL}, interfaces: [{native}, {generic}]"), "generic true true"),
            (format!("{ALL}, interfaces: [{{name: a, reason: MtuTooLarge}}]"), "generic true true"),
            (format!("{ALL}, interfaces: [{{name: a, reason: Conflict}}]"), "none true true"),
            ("gates: [{name: xdp-native, state: Available}], interfaces: [{name: a, reason: MtuTooLarge}]".into(), "none false false"),
        ] {
            assert_eq!(labels(&status), expected, "{status}");
        }
    }

    #[test]
    fn labels_of_others_are_not_ours() {
        let labels = [("stoq.io/tcx", "true"), ("zone", "a")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(ours(Some(labels.into())).len(), 1);
        assert_eq!(ours(None).len(), 0);
    }
}
