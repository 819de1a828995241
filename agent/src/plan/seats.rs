//! Whose packets may go to an AF_XDP socket.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use stoq_crds::{ObjectName, Policy};

use super::PlannedTransport;
use crate::objects::Objects;

/// An endpoint whose pod may ask for a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its transport.
    pub transport: ObjectName,
    /// Fingerprint of its pod.
    pub owner: u64,
    /// Its pod.
    pub pod: ObjectName,
    /// Users that the pod runs as.
    pub users: BTreeSet<u32>,
    /// Whether its transport takes AF_XDP.
    pub wanted: bool,
    /// Whether it is guarded at the uplinks alone, where nothing is admitted.
    pub at_uplink: bool,
    /// Whether its packets are to go to its socket.
    pub steered: bool,
}

pub(super) fn planned(
    objects: &Objects,
    transports: &[PlannedTransport],
    steered: &BTreeSet<SocketAddr>,
) -> BTreeMap<SocketAddr, Seat> {
    let pairs = objects.transports.iter().zip(transports);
    let mut seats = BTreeMap::new();
    for (spec, planned) in pairs {
        let wanted = spec.acceleration.af_xdp != Policy::Disabled;
        for pod in planned.pods.iter().filter(|pod| pod.has_place()) {
            for ip in &pod.ips {
                let at_uplink = pod.place.at_uplink(ip);
                for port in &spec.ports {
                    let endpoint = SocketAddr::new(*ip, port.number.get());
                    let seat = Seat {
                        transport: planned.name.clone(),
                        owner: pod.owner,
                        pod: pod.name.clone(),
                        users: pod.users.clone(),
                        wanted,
                        at_uplink,
                        steered: wanted && !at_uplink && steered.contains(&endpoint),
                    };
                    seats.entry(endpoint).or_insert(seat);
                }
            }
        }
    }
    seats
}
