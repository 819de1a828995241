//! The name of a device.

use std::fmt;

const PREFIX: &str = "afxdp-";

/// `afxdp-<number>`; as it names a directory too, nothing else is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device(pub(super) u32);

impl Device {
    pub(super) fn parse(id: &str) -> Option<Self> {
        let device = Self(id.strip_prefix(PREFIX)?.parse().ok()?);
        (device.to_string() == id).then_some(device)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_name() {
        for (id, expected) in [
            ("afxdp-0", Some(Device(0))),
            ("afxdp-255", Some(Device(255))),
            ("afxdp-00", None),
            ("afxdp-+1", None),
            ("afxdp-", None),
            ("afxdp-4294967296", None),
            ("afxdp-1/..", None),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(Device::parse(id), expected, "{id}");
        }
    }
}
