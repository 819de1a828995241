use std::collections::BTreeSet;

use stoq_crds::{ObjectName, Tier};
use stoq_ebpf::attach::ladder::{Attempt, Policy, XdpPolicy};
use stoq_ebpf::attach::{Attached, HookKind, Mode};
use stoq_ebpf::tables::{AppliedEndpoint, AppliedTransport, Refusal};

use super::*;
use crate::broker::Offer;
use crate::plan::{BelowXdp, Lost, Place, PlannedPod, PlannedTransport, Role, Wanted};

const UPLINK: u32 = 2;
const OTHER_UPLINK: u32 = 7;
const POD: u32 = 3;

fn name(name: &str) -> ObjectName {
    ObjectName {
        namespace: "lab".into(),
        name: name.into(),
    }
}

fn pod(place: Place) -> PlannedPod {
    PlannedPod {
        name: name("pod"),
        owner: 1,
        users: BTreeSet::new(),
        ips: vec!["10.0.0.1".parse().unwrap()],
        host_ports: Vec::new(),
        place,
    }
}

fn bypassed() -> Place {
    let addresses = BTreeSet::from(["10.0.0.1".parse().unwrap()]);
    Place::Bypassed {
        interface: POD,
        addresses,
    }
}

fn transport(policy: Policy, pods: Vec<PlannedPod>) -> PlannedTransport {
    PlannedTransport {
        name: name("edge"),
        generation: 1,
        conflict: None,
        xdp: XdpPolicy {
            policy,
            native: true,
            generic: false,
        },
        af_xdp: stoq_crds::Policy::Prefer,
        tier: Tier::Transport,
        masqueraded: false,
        pods,
    }
}

fn wanted(name: &str, role: Role) -> Wanted {
    Wanted {
        name: name.into(),
        mtu: 1500,
        xdp: BTreeSet::new(),
        role,
    }
}

fn plan(uplinks: &[u32], transport: PlannedTransport) -> Plan {
    let role = Role::Uplink {
        modes: vec![Mode::Native],
        below: BelowXdp::Endpoints,
    };
    let mut interfaces = BTreeMap::from([(POD, wanted("cali1", Role::Pod))]);
    for index in uplinks {
        interfaces.insert(*index, wanted(&format!("eth{index}"), role.clone()));
    }
    Plan {
        interfaces,
        transports: vec![transport],
        ..Plan::default()
    }
}

/// A slot that took this hook.
fn on(index: u32, slot: Slot, kind: HookKind) -> ((u32, Slot), Held) {
    let mode = kind.mode();
    let attached = Attached {
        mode,
        program_id: 40,
    };
    let held = Held {
        interface: format!("if{index}"),
        attempts: vec![Attempt {
            mode,
            outcome: Ok(()),
        }],
        attached: Some((kind, attached)),
        ..Held::default()
    };
    ((index, slot), held)
}

/// A slot where a rung was refused before another, if any, was taken.
fn refused(index: u32, slot: Slot, mode: Mode, then: Option<HookKind>) -> ((u32, Slot), Held) {
    let mut held = then.map_or_else(Held::default, |kind| on(index, slot, kind).1);
    held.interface = format!("if{index}");
    let outcome = Err((Reason::MtuTooLarge, "ERANGE: mtu".to_owned()));
    held.attempts.insert(0, Attempt { mode, outcome });
    ((index, slot), held)
}

fn told(plan: &Plan, held: HeldSlots) -> Status {
    let pass = Pass {
        plan,
        applied: &Applied::default(),
        offers: &Offers::new(),
        held: &held,
        failed: None,
        problems: Vec::new(),
    };
    report(&pass, &[], "6.18")
}

#[test]
fn the_rung_in_force_is_the_worst_of_the_interfaces_it_takes() {
    use HookKind::{ClsactIngress, TcxEgress, TcxIngress, XdpNative};
    use Slot::{PodIn, PodOut, UplinkIn, UplinkOut, UplinkXdp};
    let native = |index| on(index, UplinkXdp, XdpNative);
    let no_xdp = |index| refused(index, UplinkXdp, Mode::Native, None);
    let at_pod = || [on(POD, PodIn, TcxEgress), on(POD, PodOut, TcxIngress)];
    let at_uplink = || {
        [
            on(UPLINK, UplinkIn, TcxIngress),
            on(UPLINK, UplinkOut, TcxEgress),
        ]
    };
    let half_old = refused(POD, PodOut, Mode::Tcx, Some(ClsactIngress));
    let both = [UPLINK, OTHER_UPLINK];
    let cases = [
        (
            "XDP on the uplink",
            Place::Pod(POD),
            vec![UPLINK],
            vec![native(UPLINK)],
            "Native Native",
        ),
        (
            "one of two uplinks refuses",
            Place::Pod(POD),
            both.to_vec(),
            [
                vec![native(UPLINK), no_xdp(OTHER_UPLINK)],
                at_pod().to_vec(),
            ]
            .concat(),
            "Tcx MtuTooLarge if7: ERANGE: mtu",
        ),
        (
            "no uplink",
            Place::Pod(POD),
            vec![],
            at_pod().to_vec(),
            "Tcx NoUplink no uplink on this node",
        ),
        (
            "one of a pair on the qdisc",
            Place::Pod(POD),
            vec![UPLINK],
            vec![no_xdp(UPLINK), at_pod()[0].clone(), half_old],
            "Clsact MtuTooLarge Native: if2: ERANGE: mtu; Tcx: if3: ERANGE: mtu",
        ),
        (
            "bypassed, XDP refused",
            bypassed(),
            vec![UPLINK],
            [vec![no_xdp(UPLINK)], at_uplink().to_vec()].concat(),
            "Tcx MtuTooLarge if2: ERANGE: mtu",
        ),
        (
            "nothing holds",
            Place::Host,
            vec![UPLINK],
            vec![no_xdp(UPLINK), refused(UPLINK, UplinkIn, Mode::Tcx, None)],
            "None MtuTooLarge Native: if2: ERANGE: mtu; Tcx: if2: ERANGE: mtu; \
             Clsact: if2: Clsact is not attached",
        ),
    ];
    for (case, place, uplinks, held, expected) in cases {
        let plan = plan(&uplinks, transport(Policy::Prefer, vec![pod(place)]));
        let status = told(&plan, held.into_iter().collect());
        let edge = &status.transports[0];
        let text = format!("{} {} {}", edge.mode, edge.reason, edge.message);
        assert_eq!(text.trim_end(), expected, "{case}");
        assert_eq!(edge.degraded, edge.mode != "Native", "{case}");
        assert_eq!(edge.ready, edge.mode != "None", "{case}");
    }
}

#[test]
fn a_transport_whose_connections_nobody_sees_is_not_ready() {
    let native = || on(UPLINK, Slot::UplinkXdp, HookKind::XdpNative);
    let cases = [
        (
            Place::Pod(POD),
            POD,
            Slot::PodIn,
            "if3: connections are not seen, stoq_pod_in",
        ),
        (
            Place::Host,
            UPLINK,
            Slot::UplinkOut,
            "if2: connections are not seen, stoq_uplink_out",
        ),
    ];
    for (place, index, slot, words) in cases {
        let plan = plan(&[UPLINK], transport(Policy::Prefer, vec![pod(place)]));
        let lost = refused(index, slot, Mode::Tcx, None);
        let status = told(&plan, [native(), lost].into_iter().collect());
        let edge = &status.transports[0];
        assert_eq!(
            (edge.mode.as_str(), edge.reason.as_str()),
            ("Native", "MtuTooLarge")
        );
        let expected = format!("{words} is not attached: ERANGE: mtu");
        assert_eq!(edge.message, expected);
        assert_eq!((edge.degraded, edge.ready), (true, false), "{slot:?}");
    }
}

#[test]
fn a_transport_that_does_nothing_here_says_why() {
    let lost = || pod(Place::Nowhere(Lost::NoAddress));
    let conflict = PlannedTransport {
        conflict: Some("lab/old is older".into()),
        ..transport(Policy::Prefer, vec![])
    };
    let failed = || Some((Reason::PermissionDenied, "no CAP_BPF".to_owned()));
    let prefer = |pods| transport(Policy::Prefer, pods);
    for (planned, failed, text, ready) in [
        (conflict.clone(), None, "Conflict lab/old is older", false),
        (conflict, failed(), "Conflict lab/old is older", false),
        (
            prefer(vec![pod(Place::Host)]),
            failed(),
            "PermissionDenied no CAP_BPF",
            false,
        ),
        (
            prefer(vec![]),
            None,
            "None no pod of this node is selected",
            true,
        ),
        (
            prefer(vec![lost()]),
            None,
            "None no selected pod has an interface",
            false,
        ),
    ] {
        let plan = plan(&[UPLINK], planned);
        let pass = Pass {
            plan: &plan,
            applied: &Applied::default(),
            offers: &Offers::new(),
            held: &HeldSlots::new(),
            failed,
            problems: Vec::new(),
        };
        let edge = report(&pass, &[], "").transports.remove(0);
        assert_eq!(format!("{} {}", edge.reason, edge.message), text);
        assert_eq!(
            (edge.mode.as_str(), edge.ready, edge.degraded),
            ("None", ready, false)
        );
    }
}

#[test]
fn reasons_are_those_of_the_api() {
    let ours = Reason::ALL.iter().map(ToString::to_string);
    let stable = stoq_crds::Reason::ALL.iter().map(ToString::to_string);
    assert_eq!(
        ours.collect::<Vec<_>>(),
        stable.take(Reason::ALL.len()).collect::<Vec<_>>()
    );
}

#[test]
fn a_pod_is_told_with_its_place() {
    for (place, expected) in [
        (Place::Pod(POD), ["pod", "cali1", ""]),
        (
            Place::Host,
            ["uplink", "", "the pod has the host's network"],
        ),
        (
            bypassed(),
            [
                "uplink-bypass",
                "cali1",
                "packets go past the host side of the pod's interface: guarded and observed at the uplink",
            ],
        ),
        (
            Place::Nowhere(Lost::NoAddress),
            ["", "", "the pod has no address yet"],
        ),
    ] {
        let plan = plan(&[UPLINK], transport(Policy::Prefer, vec![pod(place)]));
        let status = told(&plan, HeldSlots::new());
        let pod = &status.transports[0].pods[0];
        assert_eq!([&pod.place, &pod.interface, &pod.message], expected);
    }
}

#[test]
fn an_interface_is_told_with_its_hooks_and_its_first_refusal() {
    let plan = plan(&[UPLINK], transport(Policy::Prefer, vec![]));
    let held = HeldSlots::from([
        refused(UPLINK, Slot::UplinkXdp, Mode::Native, None),
        on(UPLINK, Slot::UplinkIn, HookKind::TcxIngress),
        on(UPLINK, Slot::UplinkOut, HookKind::ClsactEgress),
    ]);
    let status = told(&plan, held);
    let [pod, uplink] = &status.interfaces[..] else {
        panic!("{status:?}");
    };
    assert_eq!(
        (pod.role.as_str(), pod.attached.len(), pod.reason.as_str()),
        ("pod", 0, "")
    );
    assert_eq!(
        (uplink.role.as_str(), uplink.reason.as_str()),
        ("uplink", "MtuTooLarge")
    );
    assert_eq!(uplink.message, "Native: ERANGE: mtu");
    let hooks: Vec<_> = { uplink.attached.iter() }
        .map(|one| format!("{} {} {}", one.program, one.hook, one.mode))
        .collect();
    let expected = [
        "stoq_uplink_in tcx-ingress Tcx",
        "stoq_uplink_out clsact-egress Clsact",
    ];
    assert_eq!(hooks, expected);
}

#[test]
fn problems_are_of_the_input_the_node_the_pass_and_the_maps() {
    let mut plan = plan(&[UPLINK], transport(Policy::Prefer, vec![]));
    plan.missing_uplinks = vec!["eth9".into()];
    let applied = Applied {
        transports: vec![AppliedTransport {
            name: "lab/edge".into(),
            index: None,
            endpoints: vec![],
            refusals: vec![Refusal::Transports { limit: 256 }],
        }],
        ..Applied::default()
    };
    let pass = Pass {
        plan: &plan,
        applied: &applied,
        offers: &Offers::new(),
        held: &HeldSlots::new(),
        failed: Some((Reason::ProbeFailed, "no luck".to_owned())),
        problems: vec!["edge.yaml: is empty".to_owned()],
    };
    let expected = [
        "edge.yaml: is empty",
        "uplink eth9: no such interface",
        "ProbeFailed: no luck",
        "transport lab/edge: more than 256 transports on this node",
    ];
    assert_eq!(report(&pass, &[], "").problems, expected);
}

#[test]
fn a_pods_own_slots_are_those_that_are_not_its_transports() {
    let plan = plan(
        &[UPLINK],
        transport(Policy::Prefer, vec![pod(Place::Pod(POD))]),
    );
    let endpoint = |port, slot| AppliedEndpoint {
        addr: "10.0.0.1".parse().unwrap(),
        port,
        id: 9,
        slot,
    };
    let applied = Applied {
        transports: vec![AppliedTransport {
            name: "lab/edge".into(),
            index: Some(1),
            endpoints: vec![endpoint(1, 1), endpoint(2, 5)],
            refusals: vec![],
        }],
        ..Applied::default()
    };
    let pass = Pass {
        plan: &plan,
        applied: &applied,
        offers: &Offers::new(),
        held: &HeldSlots::new(),
        failed: None,
        problems: vec![],
    };
    let edge = report(&pass, &[], "").transports.remove(0);
    assert_eq!((edge.slots, &edge.pods[0].slots), (vec![1, 5], &vec![5]));
}

#[test]
fn required_sockets_that_nobody_could_have_are_told() {
    use stoq_ebpf::broker::Reason as Refusal;
    let held: HeldSlots = [
        on(UPLINK, Slot::UplinkXdp, HookKind::XdpNative),
        on(POD, Slot::PodIn, HookKind::TcxEgress),
        on(POD, Slot::PodOut, HookKind::TcxIngress),
    ]
    .into();
    let offer = |port: u16, closed: bool| {
        let offer = Offer {
            transport: "lab/edge".into(),
            owner: 1,
            pod: name("pod"),
            users: BTreeSet::new(),
            mtu: 1500,
            closed: closed.then(|| (Refusal::NotSupported, "no AF_XDP".to_owned())),
            relay: None,
            steered: false,
        };
        (std::net::SocketAddr::from(([10, 0, 0, 1], port)), offer)
    };
    for (policy, closed, ready) in [
        (stoq_crds::Policy::Require, [true, true], false),
        (stoq_crds::Policy::Require, [true, false], true),
        (stoq_crds::Policy::Prefer, [true, true], true),
    ] {
        let mut edge = transport(Policy::Prefer, vec![pod(Place::Pod(POD))]);
        edge.af_xdp = policy;
        let plan = plan(&[UPLINK], edge);
        let pass = Pass {
            plan: &plan,
            applied: &Applied::default(),
            offers: &[offer(1, closed[0]), offer(2, closed[1])].into(),
            held: &held,
            failed: None,
            problems: Vec::new(),
        };
        let told = &report(&pass, &[], "6.18").transports[0];
        assert_eq!(told.ready, ready, "{policy:?} {closed:?}: {told:?}");
        assert_eq!(told.reason == "NoSocket", !ready);
        assert_eq!(told.af_xdp.message, "no AF_XDP");
    }
}
