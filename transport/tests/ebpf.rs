//! What a transport with the feature `ebpf` says of the machine.
#![cfg(feature = "ebpf")]
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use stoq::{GateState, StoqTransport, TransportConfig};

#[tokio::test]
async fn the_status_says_what_was_tried_and_agrees_with_itself() {
    let transport = StoqTransport::new(TransportConfig::default())
        .await
        .unwrap();
    let status = transport.get_ebpf_status().unwrap();
    let state = |name: &str| {
        let gate = status.gates.iter().find(|gate| gate.name == name);
        gate.map(|gate| gate.state.clone()).unwrap()
    };
    let open = |name: &str| state(name) == GateState::Available;
    assert_eq!(
        status.xdp_available,
        open("xdp-native") || open("xdp-generic")
    );
    assert_eq!(status.af_xdp_available, open("af-xdp"));
    for gate in &status.gates {
        if let GateState::Unavailable { reason, message } | GateState::Unknown { reason, message } =
            &gate.state
        {
            assert!(!reason.is_empty() && !message.is_empty(), "{gate:?}");
        }
    }
}
