//! The parsed front ends of a transport's status.

use std::net::IpAddr;
use std::num::NonZeroU16;

use super::{broken, check_length, parse_port_number, try_each};
use crate::api::{self, FrontEndType, StoqTransportStatus, TrafficPolicy};
use crate::{Invalid, Violation, rules};

/// A way into the cluster that leads to selected pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrontEnd {
    /// Where it is.
    pub address: FrontEndAddress,
    /// Its UDP port.
    pub port: NonZeroU16,
    /// UDP port of the pods. A spec that was changed since may name it no longer.
    pub target_port: NonZeroU16,
    /// Which nodes send its packets on to which pods.
    pub traffic_policy: TrafficPolicy,
}

impl FrontEnd {
    /// Whether its packets come to pods from a node's address. `kube-proxy` does so even to pods of the node itself.
    #[must_use]
    pub fn is_masqueraded(&self) -> bool {
        self.traffic_policy == TrafficPolicy::Cluster
    }
}

/// Where a front end is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrontEndAddress {
    /// At every address of every node.
    Nodes,
    /// At one address, a load balancer's or an external one.
    One(IpAddr),
}

pub(super) fn parse_all(status: Option<&StoqTransportStatus>) -> Result<Vec<FrontEnd>, Invalid> {
    let front_ends = status.map_or(&[][..], |status| &status.front_ends);
    let field = "status.frontEnds";
    check_length(front_ends, 0, rules::MAX_FRONT_ENDS, field)?;
    try_each(front_ends, field, parse)
}

fn parse(front_end: &api::FrontEnd, field: &str) -> Result<FrontEnd, Invalid> {
    Ok(FrontEnd {
        address: parse_address(front_end, field)?,
        port: parse_port_number(front_end.port, format!("{field}.port"))?,
        target_port: parse_port_number(front_end.target_port, format!("{field}.targetPort"))?,
        traffic_policy: front_end.traffic_policy,
    })
}

fn parse_address(front_end: &api::FrontEnd, field: &str) -> Result<FrontEndAddress, Invalid> {
    match (front_end.kind, &front_end.ip) {
        (FrontEndType::NodePort, None) => Ok(FrontEndAddress::Nodes),
        (FrontEndType::Address, Some(text)) => {
            let ip = text.parse().map_err(|_| {
                Invalid::new(format!("{field}.ip"), Violation::Address(text.clone()))
            })?;
            Ok(FrontEndAddress::One(ip))
        }
        _ => Err(broken(field, rules::FRONT_END_IP)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> Result<Vec<FrontEnd>, Invalid> {
        parse_all(Some(&serde_yaml::from_str(yaml).unwrap()))
    }

    fn port(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn a_node_port_and_an_address_are_read() {
        let found = parsed(
            "frontEnds:\n\
             - {type: NodePort, port: 30443, targetPort: 4433, trafficPolicy: Local}\n\
             - {type: Address, ip: '2001:db8::1', port: 443, targetPort: 4433, trafficPolicy: Cluster}",
        );
        let node_port = FrontEnd {
            address: FrontEndAddress::Nodes,
            port: port(30443),
            target_port: port(4433),
            traffic_policy: TrafficPolicy::Local,
        };
        let address = FrontEnd {
            address: FrontEndAddress::One("2001:db8::1".parse().unwrap()),
            port: port(443),
            traffic_policy: TrafficPolicy::Cluster,
            ..node_port
        };
        assert_eq!(found.unwrap(), [node_port, address]);
    }

    #[test]
    fn a_transport_without_a_status_or_front_ends_has_none() {
        assert_eq!(parse_all(None).unwrap(), []);
        assert_eq!(parsed("{pods: 3}").unwrap(), []);
    }
}
