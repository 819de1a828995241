//! The value rules, each once: the CEL expression that goes into the CRD, and the message that
//! both an API server and [`crate::Transport::parse`] answer with.

use serde::Serialize;

/// Most ports of a transport.
pub(crate) const MAX_PORTS: usize = 16;
/// Most front ends of a transport.
pub(crate) const MAX_FRONT_ENDS: usize = 64;
/// Most CIDRs of one list.
pub(crate) const MAX_CIDRS: usize = 1024;
/// Most expressions of a selector, values of an expression and labels of `matchLabels`: bounds
/// without which an API server cannot bound the cost of the rules.
pub(crate) const MAX_SELECTOR: usize = 64;
/// Highest rate per second; with the deepest bucket (10 s) it still fits 64 bits of nanotokens.
pub(crate) const MAX_RATE: i64 = 1_000_000_000;

/// Most gates of a node.
pub(crate) const MAX_GATES: usize = 32;
/// Most uplinks of a node that are told one by one.
pub(crate) const MAX_INTERFACES: usize = 16;
/// Most transports of a node.
pub(crate) const MAX_NODE_TRANSPORTS: usize = 256;
/// Longest text with the kernel's words, characters.
pub(crate) const MAX_MESSAGE: usize = 512;

/// One entry of `x-kubernetes-validations`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Rule {
    #[serde(rename = "rule")]
    pub(crate) cel: &'static str,
    pub(crate) message: &'static str,
}

pub(crate) const PORT: Rule = Rule {
    cel: "self >= 1 && self <= 65535",
    message: "must be 1..65535",
};

pub(crate) const UNIQUE_PORTS: Rule = Rule {
    cel: "self.all(p, self.exists_one(q, q.port == p.port))",
    message: "must not name a port twice (QUIC and UDP share the UDP ports)",
};

pub(crate) const UNIQUE_MODES: Rule = Rule {
    cel: "size(self) < 2 || self[0] != self[1]",
    message: "must not name a mode twice",
};

pub(crate) const READMIT_AFTER: Rule = Rule {
    cel: "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('100ms') && duration(self) <= duration('60s')",
    message: "must be a duration of 100ms..60s, such as 1s",
};

pub(crate) const BURST: Rule = Rule {
    cel: "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('100ms') && duration(self) <= duration('10s')",
    message: "must be a duration of 100ms..10s, such as 1s",
};

/// Host bits are refused, not masked away: `10.0.0.7/8` on a deny list is a mistake worth hearing of.
/// `isCIDR` and `cidr` need Kubernetes 1.31.
pub(crate) const CIDR: Rule = Rule {
    cel: "isCIDR(self) && cidr(self).ip() == cidr(self).masked().ip()",
    message: "must be an IPv4 or IPv6 CIDR without host bits, such as 203.0.113.0/24",
};

pub(crate) const RATE: Rule = Rule {
    cel: "self >= 1 && self <= 1000000000",
    message: "must be 1..1000000000 per second; leave it out for no limit",
};

pub(crate) const PREFIX_V4: Rule = Rule {
    cel: "self >= 0 && self <= 32",
    message: "must be 0..32",
};

pub(crate) const PREFIX_V6: Rule = Rule {
    cel: "self >= 0 && self <= 128",
    message: "must be 0..128",
};

pub(crate) const SELECTOR_VALUES: Rule = Rule {
    cel: "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
    message: "must have values for In and NotIn, and none for Exists and DoesNotExist",
};

pub(crate) const FRONT_END_IP: Rule = Rule {
    cel: "self.type == 'Address' ? has(self.ip) : !has(self.ip)",
    message: "must have an ip for Address, and none for NodePort",
};

pub(crate) const IMMUTABLE_SELECTOR: Rule = Rule {
    cel: "self == oldSelf",
    message: "is immutable: create another transport, then delete this one",
};
