//! Asking the kernel to find a pod behind a bridge.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::Handle;

/// One address is asked for at most this often.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(2);

/// When each (bridge, address) was last asked for.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    asked: HashMap<(u32, IpAddr), Instant>,
}

impl Resolver {
    /// Asks the kernel to resolve `pod` on `bridge`, unless it was asked a moment ago.
    ///
    /// This is `ip neigh replace ... use`: the kernel sends its own ARP request or neighbour
    /// solicitation, exactly as if it had a packet for the pod. The pod sees no datagram, NetworkPolicy
    /// has nothing to judge, a static entry stays as it is; and the pod's answer teaches the bridge the
    /// port as well. What the kernel still believes reachable it does not ask for again: a bridged
    /// pod that comes back with another MAC and never sends a packet is found when that belief ends,
    /// after a minute at most; one that sends is found at once.
    pub(super) async fn ask(&mut self, handle: &Handle, now: Instant, bridge: u32, pod: IpAddr) {
        if !self.due(now, (bridge, pod)) {
            return;
        }
        let request = handle
            .neighbours()
            .add(bridge, pod)
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .replace();
        if let Err(error) = request.execute().await {
            tracing::debug!(%pod, bridge, %error, "the kernel does not resolve a pod");
        }
    }

    fn due(&mut self, now: Instant, key: (u32, IpAddr)) -> bool {
        self.asked
            .retain(|_, at| now.duration_since(*at) < RESOLVE_EVERY);
        match self.asked.contains_key(&key) {
            true => false,
            false => self.asked.insert(key, now).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_asked_for_once_per_period_and_others_do_not_wait() {
        let start = Instant::now();
        let (a, b) = ((1, [10, 0, 0, 1].into()), (1, [10, 0, 0, 2].into()));
        let mut resolver = Resolver::default();
        assert!(resolver.due(start, a));
        assert!(!resolver.due(start + RESOLVE_EVERY / 2, a));
        assert!(resolver.due(start + RESOLVE_EVERY / 2, b));
        assert!(resolver.due(start + RESOLVE_EVERY, a));
    }
}
