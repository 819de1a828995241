//! XDP features as drivers declare them, from the `netdev` generic netlink family (6.3).

use rustix::io::Errno;

use crate::sys::KernelError;
use crate::sys::netlink::{Attributes, Netlink, Reply, Request, u64_of};

/// What a driver says it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures(u64);

impl XdpFeatures {
    const NAMES: [&'static str; 7] = [
        "basic",
        "redirect",
        "xmit",
        "zero-copy",
        "hw-offload",
        "rx-sg",
        "xmit-sg",
    ];

    /// Native XDP with its basic verdicts.
    pub fn basic(self) -> bool {
        self.0 & 1 != 0
    }

    /// AF_XDP without a copy.
    pub fn zero_copy(self) -> bool {
        self.0 & (1 << 3) != 0
    }
}

impl std::fmt::Display for XdpFeatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = Self::NAMES.iter().enumerate();
        let set: Vec<_> = bits
            .filter(|(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect();
        if set.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&set.join(" "))
    }
}

/// The declared features of an interface; `ENOENT` below 6.3.
pub fn xdp_features(ifindex: u32) -> Result<XdpFeatures, KernelError> {
    const NETDEV_CMD_DEV_GET: u8 = 1;
    const NETDEV_A_DEV_IFINDEX: u16 = 1;
    const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
    let mut netlink = Netlink::generic()?;
    let family = netdev_family(&mut netlink)?;
    let request = Request::new(family, 0)
        .header(&[NETDEV_CMD_DEV_GET, 1, 0, 0])
        .attribute(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
    let replies = netlink.request(request)?;
    let bits = first(&replies, NETDEV_A_DEV_XDP_FEATURES).and_then(u64_of);
    bits.map(XdpFeatures).ok_or(Errno::PROTO.into())
}

fn netdev_family(netlink: &mut Netlink) -> Result<u16, KernelError> {
    const GENL_ID_CTRL: u16 = 0x10;
    const CTRL_CMD_GETFAMILY: u8 = 3;
    const CTRL_ATTR_FAMILY_ID: u16 = 1;
    const CTRL_ATTR_FAMILY_NAME: u16 = 2;
    let request = Request::new(GENL_ID_CTRL, 0)
        .header(&[CTRL_CMD_GETFAMILY, 1, 0, 0])
        .text(CTRL_ATTR_FAMILY_NAME, "netdev");
    let replies = netlink.request(request)?;
    let id = first(&replies, CTRL_ATTR_FAMILY_ID).and_then(|v| v.first_chunk().copied());
    id.map(u16::from_ne_bytes).ok_or(Errno::PROTO.into())
}

fn first(replies: &[Reply], kind: u16) -> Option<&[u8]> {
    const GENL_HEADER: usize = 4;
    let mut values = replies.iter();
    values.find_map(|reply| Attributes::at(&reply.payload, GENL_HEADER).get(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_read_as_words() {
        let cases = [
            (0, "none"),
            (1, "basic"),
            (0b1011, "basic redirect zero-copy"),
        ];
        for (bits, text) in cases {
            assert_eq!(XdpFeatures(bits).to_string(), text);
        }
    }
}
