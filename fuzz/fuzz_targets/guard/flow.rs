//! A flow that sees the same packet again and again, either way.

use stoq_ebpf_abi::flow::{Direction, Flow, flag, state};
use stoq_ebpf_abi::parse::Datagram;

use crate::packets::Offloaded;
use crate::packets::watch::seen;
use crate::scene::Scene;

pub(crate) fn check(scene: &Scene, frame: &Offloaded<'_>, datagram: &Datagram) {
    let mut flow = Flow::begin(1, scene.now);
    for step in 0..8 {
        let inward = scene.directions >> step & 1 == 0;
        let direction = if inward {
            Direction::In
        } else {
            Direction::Out
        };
        let now = scene.now + step * 700_000_000;
        let mut seen = seen(frame, (datagram.payload, datagram.len), direction, now);
        seen.quic = scene.quic;
        let before = flow;
        let outcome = flow.observe(&seen, || now);
        assert_eq!(
            (flow.endpoint, flow.first_seen, flow.last_seen),
            (1, scene.now, now)
        );
        assert!(flow.state <= state::ESTABLISHED);
        assert!(flow.state >= before.state, "a flow only ever rises");
        assert!(!outcome.opened || (inward && scene.quic), "{outcome:?}");
        assert!(!outcome.established || flow.state == state::ESTABLISHED);
        assert!(flow.state < state::ESTABLISHED || flow.flags & flag::ANSWERED != 0);
        assert!(outcome.handshake <= now - scene.now, "{outcome:?}");
        assert!(outcome.rtt <= now - scene.now, "{outcome:?}");
    }
}
