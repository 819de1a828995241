//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An Ethernet address, written `02:00:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

/// Not six bytes in hexadecimal with colons.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no Ethernet address")]
pub struct InvalidMac {
    text: String,
}

impl FromStr for Mac {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let byte = |part: &str| u8::from_str_radix(part, 16).ok();
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let address = bytes.and_then(|bytes| bytes.try_into().ok());
        address.map(Self).ok_or_else(|| InvalidMac {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_text() {
        let mac: Mac = "02:00:00:aB:00:01".parse().unwrap();
        assert_eq!(mac, Mac([2, 0, 0, 0xab, 0, 1]));
        assert_eq!(mac.to_string(), "02:00:00:ab:00:01");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "02-00-00-00-00-01",
            "0x:0:0:0:0:0",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
