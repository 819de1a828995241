//! Where packets come in that the node sends on to pods.

use super::*;

fn edge(front_ends: &str) -> String {
    EDGE.replace(
        "\n---",
        &format!("\nstatus: {{frontEnds: [{front_ends}]}}\n---"),
    )
}

/// `address port -> the pods' port`.
fn planned_on(node: &NodeState, yaml: &str) -> Vec<String> {
    let plan = plan(
        node,
        &objects(yaml),
        &Settings::default(),
        &Detours::default(),
        &Wants::default(),
    );
    let transports = plan.desired.transports.iter();
    let front_ends = transports.flat_map(|one| &one.front_ends);
    { front_ends }
        .map(|one| format!("{} {} -> {}", one.addr, one.port, one.pod_port))
        .collect()
}

const NODE_PORT: &str = "{type: NodePort, port: 30443, targetPort: 4433, trafficPolicy: Local}";

#[test]
fn a_node_port_is_at_every_address_that_packets_can_come_to() {
    let node = machine()
        .with_address("2001:db8::1", 2)
        .with_address("::1", 1)
        .with_address("10.1.0.254", 4)
        // The same on two interfaces is one place.
        .with_address("192.0.2.1", 4)
        // A relay's.
        .with_address("169.254.220.7", 9);
    let yaml = format!("{}{}", edge(NODE_PORT), routed());
    assert_eq!(
        planned_on(&node, &yaml),
        [
            "10.1.0.254 30443 -> 4433",
            "192.0.2.1 30443 -> 4433",
            "2001:db8::1 30443 -> 4433"
        ]
    );
}

#[test]
fn an_address_is_where_it_says_and_planned_once() {
    let addresses = [
        "{type: Address, ip: 203.0.113.9, port: 443, targetPort: 4433, trafficPolicy: Cluster}",
        NODE_PORT,
        "{type: Address, ip: 192.0.2.1, port: 30443, targetPort: 4433, trafficPolicy: Local}",
    ];
    let yaml = format!("{}{}", edge(&addresses.join(", ")), routed());
    assert_eq!(
        planned_on(&machine(), &yaml),
        ["203.0.113.9 443 -> 4433", "192.0.2.1 30443 -> 4433"]
    );
}

#[test]
fn there_are_none_where_no_pod_is_or_the_spec_has_another_port() {
    let yaml = edge(NODE_PORT);
    assert_eq!(planned_on(&machine(), &yaml), [""; 0]);
    let moved = yaml.replace("[{port: 4433}]", "[{port: 4434}]");
    let yaml = format!("{moved}{}", routed());
    assert_eq!(planned_on(&machine(), &yaml), [""; 0]);
}

#[test]
fn a_front_end_is_what_its_port_and_transport_are() {
    let yaml = edge(NODE_PORT).replace(
        "[{port: 4433}]",
        "[{port: 53}, {port: 4433, protocol: UDP}], acceleration: {xdp: Disabled}",
    );
    let plan = planned(&format!("{yaml}{}", routed()), &[]);
    let front_end = plan.desired.transports[0].front_ends[0];
    assert_eq!((front_end.quic, front_end.pod_alone), (false, true));
    let plan = planned(&format!("{}{}", edge(NODE_PORT), routed()), &[]);
    let front_end = plan.desired.transports[0].front_ends[0];
    assert_eq!((front_end.quic, front_end.pod_alone), (true, false));
}

#[test]
fn the_uplink_tracks_what_no_pods_interface_sees_as_it_comes() {
    let cluster = NODE_PORT.replace("Local", "Cluster");
    let host = pod("host", ["192.0.2.1", "fd00::9"]);
    // front end, pods, tracked, the uplink
    type Case<'a> = (&'a str, &'a str, &'a str, bool, &'a str);
    let cases: [Case<'_>; 4] = [
        ("local", NODE_PORT, &routed(), false, "eth0 [Native]"),
        (
            "cluster",
            &cluster,
            &routed(),
            true,
            "eth0 [Native] endpoints",
        ),
        (
            "local to the host's network",
            NODE_PORT,
            &host,
            true,
            "eth0 [Native] endpoints",
        ),
        ("none", "", &routed(), false, "eth0 [Native]"),
    ];
    for (case, front_end, pods, tracked, uplink) in cases {
        let plan = planned(&format!("{}{pods}", edge(front_end)), &[]);
        let mut front_ends = plan.desired.transports[0].front_ends.iter();
        assert!(front_ends.all(|one| one.tracked == tracked), "{case}");
        assert_eq!(interfaces(&plan)[0], uplink, "{case}");
    }
}

#[test]
fn any_node_may_get_what_it_sends_on_to_others() {
    let cluster = NODE_PORT.replace("Local", "Cluster");
    let both = NODE_PORT.replace("30443", "30444");
    let plan = planned(&edge(&format!("{cluster}, {both}")), &[]);
    assert_eq!(interfaces(&plan), ["eth0 [Native] endpoints"]);
    let front_ends = &plan.desired.transports[0].front_ends;
    let ports: Vec<_> = front_ends.iter().map(|one| one.port).collect();
    assert_eq!(
        ports,
        [30443],
        "where no pod is, a Local front end leads nowhere"
    );
}

#[test]
fn a_refused_transport_has_no_front_end_and_an_older_one_comes_first() {
    let cluster = NODE_PORT.replace("Local", "Cluster");
    let born = |name: &str, second: i64| {
        let mut one = objects(&edge(&cluster)).transports.remove(0);
        one.name.name = name.to_owned();
        one.created = Some(stoq_crds::Timestamp::from_second(second).unwrap());
        one
    };
    let mut both = Objects::default();
    both.transports = vec![born("young", 2), born("zz-old", 1)];
    let mut refused = both.clone();
    let young = both.transports[0].name.clone();
    refused.refused = [(young, "lost".to_owned())].into();
    let (settings, detours) = (Settings::default(), Detours::default());
    for (case, objects, expected) in [
        (
            "nobody has judged yet",
            both,
            &["default/zz-old", "default/young"][..],
        ),
        ("refused", refused, &["default/zz-old"]),
    ] {
        let plan = plan(&machine(), &objects, &settings, &detours, &Wants::default());
        let desired = plan.desired.transports.iter();
        let names: Vec<_> = desired.map(|one| one.name.as_str()).collect();
        assert_eq!(names, expected, "{case}");
    }
}

#[test]
fn a_host_port_leads_to_its_pod() {
    let with = |ports: &str| {
        let spec = format!("spec: {{containers: [{{name: a, ports: [{ports}]}}]}}\nstatus");
        format!("{EDGE}{}", routed().replace("status", &spec))
    };
    let udp = |more: &str| format!("{{protocol: UDP, containerPort: 4433, hostPort: 443{more}}}");
    for (ports, expected) in [
        (udp(""), &["192.0.2.1 443 -> 4433"][..]),
        (udp(", hostIP: 192.0.2.7"), &["192.0.2.7 443 -> 4433"]),
        (udp("").replace("4433", "9"), &[]),
    ] {
        let yaml = with(&ports);
        assert_eq!(planned_on(&machine(), &yaml), expected, "{ports}");
        let plan = planned(&yaml, &[]);
        let mut front_ends = plan.desired.transports[0].front_ends.iter();
        assert!(front_ends.all(|one| !one.tracked), "{ports}");
    }
}

#[test]
fn nothing_is_desired_of_a_paused_node() {
    let cluster = NODE_PORT.replace("Local", "Cluster");
    let mut objects = objects(&format!("{}{}", edge(&cluster), routed()));
    objects.paused = true;
    let (settings, detours) = (Settings::default(), Detours::default());
    let plan = plan(&machine(), &objects, &settings, &detours, &Wants::default());
    assert_eq!(interfaces(&plan), [""; 0]);
    assert!(plan.desired.transports.is_empty());
    assert_eq!(
        plan.transports[0].pods[0].place,
        Place::Nowhere(Lost::Paused)
    );
}

#[test]
fn the_cluster_s_nodes_are_known_beside_the_own() {
    let mut objects = objects("");
    objects.node_addresses = ["192.0.2.1", "192.0.2.9"].map(address).into();
    let (settings, detours) = (Settings::default(), Detours::default());
    let plan = plan(&machine(), &objects, &settings, &detours, &Wants::default());
    assert_eq!(plan.desired.nodes, ["192.0.2.1", "192.0.2.9"].map(address));
}
