use super::*;
use crate::status::{AttachedStatus, InterfaceStatus, PodStatus, TransportStatus};

#[test]
fn a_status_reads_at_three_in_the_morning() {
    let expected = "\
stoq-agent 0.1.0 on Linux 6.18.5
1 of 2 capabilities available; `stoq-agent probe` says which

TRANSPORTS
TRANSPORT     STATE     MODE  REASON       PODS  AF_XDP  MESSAGE
default/edge  Degraded  Tcx   MtuTooLarge  1     0/0     eth0: XDP refused: ERANGE
default/old   Refused   -     Conflict     0     0/0     default/edge is older

PODS
POD            TRANSPORT     ADDRESSES             GUARDED AT    MESSAGE
default/web-0  default/edge  10.0.0.2, 2001:db8::2  veth12 (pod)

INTERFACES
INTERFACE  ROLE    MTU   PROGRAMS                                      REASON       MESSAGE
eth0       uplink  9000  stoq_uplink_in (tcx-ingress Tcx, id 7)        MtuTooLarge  XDP refused: ERANGE

PROBLEMS
- b.yaml: spec.ports[0].port: 0 is no port
";
    let squeeze = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines();
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let shown = show_status(&status(), Output::Table);
    assert_eq!(squeeze(&shown), squeeze(expected));
}

#[test]
fn an_idle_node_says_none() {
    let shown = show_status(&Status::default(), Output::Table);
    for title in ["TRANSPORTS", "PODS", "INTERFACES", "PROBLEMS"] {
        assert!(shown.contains(&format!("{title}\nnone\n")), "{shown}");
    }
}

#[test]
fn gates_align_and_keep_every_word_of_the_kernel() {
    let expected = "\
GATE             STATE        REASON            MESSAGE
tcx              Available    -
xdp_native on x  Unavailable  PermissionDenied  EPERM (no CAP_BPF)
                                                line two
";
    assert_eq!(show_gates(&gates(), Output::Table), expected);
}

#[test]
fn json_and_yaml_hold_the_whole_status() {
    let status = status();
    let json = show_status(&status, Output::Json);
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
    let yaml = show_status(&status, Output::Yaml);
    assert_eq!(serde_yaml::from_str::<Status>(&yaml).unwrap(), status);
    let json = show_gates(&gates(), Output::Json);
    assert_eq!(
        serde_json::from_str::<Vec<GateStatus>>(&json).unwrap(),
        gates()
    );
    let yaml = show_gates(&gates(), Output::Yaml);
    assert_eq!(
        serde_yaml::from_str::<Vec<GateStatus>>(&yaml).unwrap(),
        gates()
    );
}

fn gates() -> Vec<GateStatus> {
    let text = str::to_owned;
    vec![
        GateStatus {
            name: text("tcx"),
            state: text("Available"),
            ..GateStatus::default()
        },
        GateStatus {
            name: text("xdp_native"),
            interface: text("x"),
            state: text("Unavailable"),
            reason: text("PermissionDenied"),
            message: text("EPERM (no CAP_BPF)\nline two\n"),
        },
    ]
}

fn status() -> Status {
    let text = str::to_owned;
    Status {
        pid: 7,
        updated_at: "2026-01-01T00:00:00Z".into(),
        agent_version: text("0.1.0"),
        kernel: text("6.18.5"),
        gates: gates(),
        interfaces: vec![InterfaceStatus {
            name: text("eth0"),
            role: text("uplink"),
            mtu: 9000,
            attached: vec![AttachedStatus {
                program: text("stoq_uplink_in"),
                hook: text("tcx-ingress"),
                mode: text("Tcx"),
                program_id: 7,
            }],
            reason: text("MtuTooLarge"),
            message: text("XDP refused: ERANGE"),
        }],
        transports: transports(),
        problems: vec![text("b.yaml: spec.ports[0].port: 0 is no port")],
        ..Status::default()
    }
}

fn transports() -> Vec<TransportStatus> {
    let text = str::to_owned;
    let edge = TransportStatus {
        namespace: text("default"),
        name: text("edge"),
        accepted: true,
        ready: true,
        degraded: true,
        mode: text("Tcx"),
        reason: text("MtuTooLarge"),
        message: text("eth0: XDP refused: ERANGE"),
        pods: vec![PodStatus {
            name: text("default/web-0"),
            ips: vec![text("10.0.0.2"), text("2001:db8::2")],
            interface: text("veth12"),
            place: text("pod"),
            ..PodStatus::default()
        }],
        ..TransportStatus::default()
    };
    let old = TransportStatus {
        namespace: text("default"),
        name: text("old"),
        reason: text("Conflict"),
        message: text("default/edge is older"),
        ..TransportStatus::default()
    };
    vec![edge, old]
}
