use std::collections::{BTreeMap, BTreeSet};

use stoq_ebpf_abi::maps::{Endpoint, EndpointKey, NAME_LEN, Policy, TransportName};
use stoq_ebpf_abi::parse::Addr;

use super::cidr::Cidrs;

/// What the maps hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// `namespace/name` of each transport, by its index.
    pub transports: BTreeMap<u32, String>,
    /// Policies by transport, those that say nothing left out.
    pub policies: BTreeMap<u32, Policy>,
    /// CIDRs by transport.
    pub cidrs: BTreeMap<u32, Cidrs>,
    /// Endpoints with their keys.
    pub endpoints: Vec<(EndpointKey, Endpoint)>,
    /// Node addresses.
    pub nodes: BTreeSet<Addr>,
    /// Slots with histograms.
    pub histograms: BTreeSet<u32>,
}

/// The name as a map holds it; `None` if it is too long, or empty.
pub(super) fn encode_name(name: &str) -> Option<TransportName> {
    let mut bytes = [0; NAME_LEN];
    bytes
        .get_mut(..name.len())?
        .copy_from_slice(name.as_bytes());
    (!name.is_empty()).then_some(TransportName { name: bytes })
}

/// The name a map holds; `None` where the index is free.
pub(super) fn decode_name(name: &TransportName) -> Option<String> {
    let text = name.name.split(|byte| *byte == 0).next()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_map() {
        let longest = "n".repeat(NAME_LEN);
        for name in ["default/edge", &longest] {
            let encoded = encode_name(name).unwrap();
            assert_eq!(decode_name(&encoded).as_deref(), Some(name));
        }
    }

    #[test]
    fn no_name_and_too_long_a_name_are_refused() {
        assert_eq!(encode_name(""), None);
        assert_eq!(encode_name(&"n".repeat(NAME_LEN + 1)), None);
        let free = TransportName {
            name: [0; NAME_LEN],
        };
        assert_eq!(decode_name(&free), None);
    }
}
