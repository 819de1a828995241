//! One full look at the namespace.

use std::{collections::HashSet, time::Duration};

use futures::StreamExt;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
    neighbour::NeighbourMessage,
    route::RouteMessage,
};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
};

use super::{
    message::{address, fdb_entry, interface, neighbour, route},
    state::NodeState,
};

/// A dump takes milliseconds; one that takes this long will not end.
const DUMP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the namespace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The kernel refused.
    #[error("the kernel refuses to list {what}: {source}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The socket ended before the list did.
    #[error("the netlink socket closed while listing {what}")]
    Closed {
        /// What was asked for.
        what: &'static str,
    },
    /// No answer.
    #[error("the kernel did not list {what} in time")]
    TimedOut {
        /// What was asked for.
        what: &'static str,
    },
}

/// Reads the whole state. The connection behind `handle` must forward `NLMSG_DONE`: a list without
/// its end is an error, not a short list.
pub(super) async fn read(handle: &Handle) -> Result<NodeState, SnapshotError> {
    let mut state = NodeState::default();
    links(handle, &mut state).await?;
    addresses(handle, &mut state).await?;
    routes(handle, &mut state).await?;
    neighbours(handle, &mut state).await?;
    fdb(handle, &mut state).await?;
    Ok(state)
}

async fn links(handle: &Handle, state: &mut NodeState) -> Result<(), SnapshotError> {
    let mut request = LinkMessage::default();
    // Statistics are half of each answer, and not looked at.
    request
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    for message in dump(handle, "interfaces", RouteNetlinkMessage::GetLink(request)).await? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            state.interfaces.insert(link.header.index, interface(&link));
        }
    }
    Ok(())
}

async fn addresses(handle: &Handle, state: &mut NodeState) -> Result<(), SnapshotError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    for message in dump(handle, "addresses", request).await? {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            state.addresses.extend(address(&message));
        }
    }
    Ok(())
}

async fn routes(handle: &Handle, state: &mut NodeState) -> Result<(), SnapshotError> {
    let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    for message in dump(handle, "routes", request).await? {
        if let RouteNetlinkMessage::NewRoute(message) = message {
            state.routes.extend(route(&message));
        }
    }
    Ok(())
}

async fn neighbours(handle: &Handle, state: &mut NodeState) -> Result<(), SnapshotError> {
    let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
    for message in dump(handle, "neighbours", request).await? {
        let RouteNetlinkMessage::NewNeighbour(message) = message else {
            continue;
        };
        if let Some((key, Some(mac))) = neighbour(&message)
            && state.is_bridge(key.0)
        {
            state.neighbours.insert(key, mac);
        }
    }
    Ok(())
}

async fn fdb(handle: &Handle, state: &mut NodeState) -> Result<(), SnapshotError> {
    let mut request = NeighbourMessage::default();
    request.header.family = AddressFamily::Bridge;
    let request = RouteNetlinkMessage::GetNeighbour(request);
    let wanted: HashSet<_> = state
        .neighbours
        .iter()
        .map(|((bridge, _), mac)| (*bridge, *mac))
        .collect();
    for message in dump(handle, "forwarding entries", request).await? {
        let RouteNetlinkMessage::NewNeighbour(message) = message else {
            continue;
        };
        if let Some((key, port)) = fdb_entry(&message)
            && wanted.contains(&key)
        {
            state.fdb.insert(key, port);
        }
    }
    Ok(())
}

async fn dump(
    handle: &Handle,
    what: &'static str,
    request: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, SnapshotError> {
    tokio::time::timeout(DUMP_TIMEOUT, collect(handle.clone(), what, request))
        .await
        .map_err(|_| SnapshotError::TimedOut { what })?
}

async fn collect(
    mut handle: Handle,
    what: &'static str,
    request: RouteNetlinkMessage,
) -> Result<Vec<RouteNetlinkMessage>, SnapshotError> {
    let mut request = NetlinkMessage::from(request);
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut answers = handle
        .request(request)
        .map_err(|_| SnapshotError::Closed { what })?;
    let mut messages = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => messages.push(message),
            NetlinkPayload::Done(_) => return Ok(messages),
            NetlinkPayload::Error(error) => {
                return Err(SnapshotError::Refused {
                    what,
                    source: error.to_io(),
                });
            }
            _ => {}
        }
    }
    Err(SnapshotError::Closed { what })
}
