//! A frame at the hooks of the packet table's node.

use std::sync::LazyLock;

use stoq_ebpf_abi::parse::Addr;

use crate::packets::node::{Fate, Node};
use crate::packets::table::{DNS, FRONT, FRONT6, SERVER, SERVER6, host, variants};

static NODES: LazyLock<[Node; 2]> = LazyLock::new(|| {
    let named = |wanted| variants().into_iter().find(|(name, _)| *name == wanted);
    ["enforce", "monitor"].map(|name| named(name).map(|(_, node)| node).unwrap_or_default())
});

pub(crate) fn check(frame: &[u8], now: u64) {
    let [enforcing, monitoring] = [&NODES[0], &NODES[1]].map(|node| fates(node, frame, now));
    let aimed = [SERVER, SERVER6, DNS, FRONT, FRONT6]
        .into_iter()
        .any(|server| holds(frame, host(server)));
    for (enforced, monitored) in enforcing.into_iter().zip(monitoring) {
        match enforced {
            Fate::Dropped(reason) => {
                assert!(aimed, "{reason:?}: dropped what no transport selects");
                assert_eq!(monitored, Fate::WouldDrop(reason));
            }
            other => assert_eq!(monitored, other),
        }
    }
}

fn fates(node: &Node, frame: &[u8], now: u64) -> [Fate; 2] {
    [
        node.clone().uplink(frame, now),
        node.clone().pod(frame, now),
    ]
}

/// Whether the frame holds the bytes of this address anywhere.
fn holds(frame: &[u8], addr: Addr) -> bool {
    let bytes: Vec<u8> = addr.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mapped = bytes.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    let wire = if mapped { &bytes[12..] } else { &bytes[..] };
    frame.windows(wire.len()).any(|window| window == wire)
}
