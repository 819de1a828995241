use std::collections::{BTreeMap, BTreeSet};

use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stoq_ebpf_abi::maps::{CidrV4, CidrV6, Endpoint, EndpointKey, Policy};
use stoq_ebpf_abi::parse::Addr;

use super::addr::{v4_from_wire, v6_from_wire};
use super::cidr::Cidrs;
use super::observed::{Observed, decode_name};
use super::{
    CIDRS_V4, CIDRS_V6, ENDPOINTS, HISTOGRAMS, NODES, POLICIES, TRANSPORTS, Tables, TablesError,
    read_error,
};
use crate::pinned::for_each;

impl Tables {
    /// Reads what the maps hold.
    pub fn observe(&self) -> Result<Observed, TablesError> {
        Ok(Observed {
            transports: self.names()?,
            policies: self.policies()?,
            cidrs: self.cidrs()?,
            endpoints: self.endpoints()?,
            nodes: self.nodes()?,
            histograms: self.histograms()?,
        })
    }

    fn names(&self) -> Result<BTreeMap<u32, String>, TablesError> {
        let names = numbered(TRANSPORTS, self.transports.iter())?.into_iter();
        Ok(names
            .filter_map(|(index, name)| Some((index, decode_name(&name)?)))
            .collect())
    }

    fn policies(&self) -> Result<BTreeMap<u32, Policy>, TablesError> {
        let policies = numbered(POLICIES, self.policies.iter())?.into_iter();
        Ok(policies
            .filter(|(_, policy)| *policy != Policy::default())
            .collect())
    }

    fn cidrs(&self) -> Result<BTreeMap<u32, Cidrs>, TablesError> {
        let mut cidrs = BTreeMap::<u32, Cidrs>::new();
        let mut add = |transport, net: Option<IpNet>, flags| {
            net.map(|net| cidrs.entry(transport).or_default().insert(net, flags));
        };
        for_each(&self.cidrs_v4, |key: &Key<CidrV4>, flags: &u32| {
            add(key.data().transport, net_v4(key), *flags);
        })
        .map_err(|source| read_error(CIDRS_V4, source))?;
        for_each(&self.cidrs_v6, |key: &Key<CidrV6>, flags: &u32| {
            add(key.data().transport, net_v6(key), *flags);
        })
        .map_err(|source| read_error(CIDRS_V6, source))?;
        Ok(cidrs)
    }

    fn endpoints(&self) -> Result<Vec<(EndpointKey, Endpoint)>, TablesError> {
        let mut endpoints = Vec::new();
        for_each(&self.endpoints, |key, endpoint| {
            endpoints.push((*key, *endpoint))
        })
        .map_err(|source| read_error(ENDPOINTS, source))?;
        Ok(endpoints)
    }

    fn nodes(&self) -> Result<BTreeSet<Addr>, TablesError> {
        let mut nodes = BTreeSet::new();
        for_each(&self.nodes, |addr, _| {
            nodes.insert(*addr);
        })
        .map_err(|source| read_error(NODES, source))?;
        Ok(nodes)
    }

    fn histograms(&self) -> Result<BTreeSet<u32>, TablesError> {
        let slots: Result<_, MapError> = self.histograms.keys().collect();
        slots.map_err(|source| read_error(HISTOGRAMS, source))
    }
}

fn numbered<V>(
    map: &'static str,
    values: impl Iterator<Item = Result<V, MapError>>,
) -> Result<Vec<(u32, V)>, TablesError> {
    let values: Result<Vec<V>, MapError> = values.collect();
    Ok((0..)
        .zip(values.map_err(|source| read_error(map, source))?)
        .collect())
}

/// The transport's bits always match in full.
const TRANSPORT_BITS: u32 = u32::BITS;

pub(super) fn key_v4(transport: u32, net: Ipv4Net) -> Key<CidrV4> {
    let addr = super::addr::v4_to_wire(net.addr());
    Key::new(
        TRANSPORT_BITS + u32::from(net.prefix_len()),
        CidrV4 { transport, addr },
    )
}

pub(super) fn key_v6(transport: u32, net: Ipv6Net) -> Key<CidrV6> {
    let addr = super::addr::v6_to_wire(net.addr());
    Key::new(
        TRANSPORT_BITS + u32::from(net.prefix_len()),
        CidrV6 { transport, addr },
    )
}

fn net_v4(key: &Key<CidrV4>) -> Option<IpNet> {
    let prefix = u8::try_from(key.prefix_len().checked_sub(TRANSPORT_BITS)?).ok()?;
    Some(
        Ipv4Net::new(v4_from_wire(key.data().addr), prefix)
            .ok()?
            .into(),
    )
}

fn net_v6(key: &Key<CidrV6>) -> Option<IpNet> {
    let prefix = u8::try_from(key.prefix_len().checked_sub(TRANSPORT_BITS)?).ok()?;
    Some(
        Ipv6Net::new(v6_from_wire(key.data().addr), prefix)
            .ok()?
            .into(),
    )
}
