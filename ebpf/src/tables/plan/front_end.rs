use stoq_ebpf_abi::maps::{Endpoint, endpoint_flag};

use super::Planner;
use super::endpoint::{all_that_are, key};
use crate::tables::applied::AppliedTransport;
use crate::tables::desired::{DesiredFrontEnd, DesiredTransport};

/// Owner of what belongs to no pod.
const NOBODY: u64 = 0;

impl<'a> Planner<'a> {
    /// Planned after every endpoint: where there is no room for all, a pod's own address comes first.
    pub(super) fn front_ends(
        &mut self,
        transport: &'a DesiredTransport,
        applied: &mut AppliedTransport,
    ) {
        let Some(index) = applied.index else { return };
        let front_ends = transport.front_ends.iter();
        for desired in front_ends.filter(|one| !is_endpoint(one, transport)) {
            let key = key(desired.addr, desired.port);
            let before = self.known(key, index, NOBODY);
            let before = before.filter(Endpoint::is_front_end);
            let id = match self.id(key, before, NOBODY) {
                Ok(id) => id,
                Err(refusal) => {
                    applied.refusals.push(refusal);
                    continue;
                }
            };
            let entry = Endpoint {
                transport: index,
                id,
                slot: index,
                flags: flags(desired, transport),
                owner: NOBODY,
                port: desired.pod_port.into(),
                pad: 0,
            };
            self.put(key, before, entry, &transport.name);
        }
    }
}

/// As of a pod with the host's network: nothing is sent on from there.
fn is_endpoint(front_end: &DesiredFrontEnd, transport: &DesiredTransport) -> bool {
    let mut endpoints = transport.endpoints.iter();
    endpoints.any(|one| (one.addr, one.port) == (front_end.addr, front_end.port))
}

fn flags(front_end: &DesiredFrontEnd, transport: &DesiredTransport) -> u32 {
    let mut endpoints = transport.endpoints.iter();
    let steered = endpoints.any(|one| one.steered && one.port == front_end.pod_port);
    let others = all_that_are([
        (front_end.quic, endpoint_flag::QUIC),
        (front_end.tracked, endpoint_flag::UPLINK),
        (front_end.pod_alone, endpoint_flag::POD_ALONE),
        (steered && !front_end.tracked, endpoint_flag::STEERED),
    ]);
    others | endpoint_flag::FRONT_END
}
