use super::*;

const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  namespace: lab
  name: a
  uid: u-1
  labels: {app: edge}
  annotations: {token: secret}
spec:
  nodeName: node-a
  securityContext: {runAsUser: 7, fsGroup: 9}
  containers:
  - name: server
    image: edge
    env: [{name: PASSWORD, value: secret}]
    args: [--password=secret]
    ports: [{containerPort: 4433, hostPort: 443, protocol: UDP}]
status: {phase: Running, podIP: 10.0.0.1, message: secret}
";

const TRANSPORT: &str = "
apiVersion: stoq.io/v1alpha1
kind: StoqTransport
metadata: {namespace: lab, name: edge, generation: 4}
spec: {podSelector: {}, ports: [{port: 4433}]}
status:
  pods: 3
  frontEnds: [{type: NodePort, port: 30443, targetPort: 4433, trafficPolicy: Local}]
";

fn index() -> Index {
    let mut index = Index::default();
    index.pods.put(kept_pod(serde_yaml::from_str(POD).unwrap()));
    let transport = serde_yaml::from_str(TRANSPORT).unwrap();
    index.transports.put(kept_transport(transport));
    let own = "{metadata: {name: node-a, generation: 2}, spec: {paused: true}}";
    index.own.put(kept_node(serde_yaml::from_str(own).unwrap()));
    let map = "{metadata: {namespace: s, name: a}, data: {addresses: 10.0.0.9}}";
    index
        .addresses
        .put(kept_map(serde_yaml::from_str(map).unwrap()));
    index
}

#[test]
fn what_was_seen_is_in_force_again() {
    let directory = tempfile::tempdir().unwrap();
    let before = index();
    write(directory.path(), &text(&before).unwrap()).unwrap();
    let after = read(directory.path(), "node-a");
    assert_eq!(after.objects(), before.objects());
    assert!(after.missing().is_empty());
    let objects = after.objects();
    assert!(objects.paused);
    let found = (&objects.transports[0], &objects.pods[0]);
    assert_eq!((found.0.front_ends.len(), found.0.generation), (1, 4));
    assert_eq!((found.1.host_ports.len(), found.1.users.len()), (1, 1));
}

#[test]
fn no_secret_of_a_pod_is_written_down() {
    let text = text(&index()).unwrap();
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn half_a_file_and_one_of_another_node_are_not_believed() {
    let whole = text(&index()).unwrap();
    for (case, text, node) in [
        ("torn", &whole[..whole.len() - 10], "node-a"),
        ("of another node", &whole[..], "node-b"),
        ("strange", "{\"kind\": \"Secret\"}\n", "node-a"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), text).unwrap();
        let found = read(directory.path(), node);
        assert_eq!(found.missing().len(), 4, "{case}");
        assert!(found.objects().pods.is_empty(), "{case}");
    }
}

#[test]
fn that_nothing_was_asked_for_is_known_too() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(read(directory.path(), "node-a").missing().len(), 4);
    write(directory.path(), "").unwrap();
    assert!(read(directory.path(), "node-a").missing().is_empty());
}

#[test]
fn what_the_status_of_a_transport_says_each_minute_is_not_kept() {
    let written = |version: &str, pods: &str| {
        let text = TRANSPORT.replace("generation: 4", &format!("generation: 4, {version}"));
        kept_transport(serde_yaml::from_str(&text.replace("pods: 3", pods)).unwrap())
    };
    let before = written("resourceVersion: '7'", "pods: 3");
    let after = written(
        "resourceVersion: '8', managedFields: [{manager: stoq-operator}]",
        "pods: 4\n  summary: {nodes: 2/2, mode: Native}",
    );
    assert_eq!(before, after);
}
