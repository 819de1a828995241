//! QUIC packets, as far as they can be read without keys.

use stoq_ebpf_abi::quic::{Kind, V1, V2};

/// A long header packet.
#[derive(Clone, Debug)]
pub(crate) struct Long {
    kind: Kind,
    version: u32,
    dcid: Vec<u8>,
    scid: Vec<u8>,
    token: usize,
    body: usize,
    fixed: bool,
}

/// A client's first packet: version 1, ids of 8 bytes, no token, 100 bytes of body.
pub(crate) fn initial() -> Long {
    long(Kind::Initial)
}

/// A long header packet of version 1, ids of 8 bytes, 100 bytes of body.
pub(crate) fn long(kind: Kind) -> Long {
    Long {
        kind,
        version: V1,
        dcid: vec![0xd1; 8],
        scid: vec![0x51; 8],
        token: 0,
        body: 100,
        fixed: true,
    }
}

impl Long {
    pub(crate) fn v2(self) -> Self {
        self.version(V2)
    }

    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// A destination connection id of this length.
    pub(crate) fn dcid(mut self, len: usize) -> Self {
        self.dcid = vec![0xd1; len];
        self
    }

    /// A source connection id of this length.
    pub(crate) fn scid(mut self, len: usize) -> Self {
        self.scid = vec![0x51; len];
        self
    }

    pub(crate) fn dcid_of(mut self, id: &[u8]) -> Self {
        self.dcid = id.to_vec();
        self
    }

    pub(crate) fn scid_of(mut self, id: &[u8]) -> Self {
        self.scid = id.to_vec();
        self
    }

    /// A token of this length.
    pub(crate) fn token(mut self, len: usize) -> Self {
        self.token = len;
        self
    }

    /// Packet number and protected payload of this length.
    pub(crate) fn body(mut self, len: usize) -> Self {
        self.body = len;
        self
    }

    /// With the fixed bit greased away (RFC 9287).
    pub(crate) fn greased(mut self) -> Self {
        self.fixed = false;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80 | u8::from(self.fixed) << 6 | self.number() << 4];
        bytes.extend(self.version.to_be_bytes());
        bytes.push(self.dcid.len() as u8);
        bytes.extend(&self.dcid);
        bytes.push(self.scid.len() as u8);
        bytes.extend(&self.scid);
        match self.kind {
            Kind::Initial => {
                bytes.extend(varint(self.token));
                bytes.resize(bytes.len() + self.token, 0x70);
                bytes.extend(varint(self.body));
            }
            Kind::ZeroRtt | Kind::Handshake => bytes.extend(varint(self.body)),
            _ => {}
        }
        bytes.resize(bytes.len() + self.body, 0xb0);
        bytes
    }

    /// The packet and `PADDING` inside it, up to a datagram of `len` bytes.
    pub(crate) fn filling(mut self, len: usize) -> Vec<u8> {
        self.body = 0;
        while self.bytes().len() < len {
            self.body += len - self.bytes().len();
            // A longer length may take a longer varint.
            while self.bytes().len() > len {
                self.body -= 1;
            }
        }
        self.bytes()
    }

    fn number(&self) -> u8 {
        let kind = match self.kind {
            Kind::Initial => 0,
            Kind::ZeroRtt => 1,
            Kind::Handshake => 2,
            _ => 3,
        };
        if self.version == V2 {
            (kind + 1) & 3
        } else {
            kind
        }
    }
}

/// RFC 9000, 16, in the shortest form.
fn varint(value: usize) -> Vec<u8> {
    match value {
        0..64 => vec![value as u8],
        64..16_384 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

/// A short header packet of `len` bytes, to the connection id that `scid` gives.
pub(crate) fn short(spin: bool, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x51; len];
    if let Some(first) = bytes.first_mut() {
        *first = 0x40 | u8::from(spin) << 5;
    }
    bytes
}

/// The packets coalesced into one datagram.
pub(crate) fn coalesced<const N: usize>(packets: [Vec<u8>; N]) -> Vec<u8> {
    packets.concat()
}

/// The datagram with zeroes behind its last packet, up to `len` bytes.
pub(crate) fn padded(mut datagram: Vec<u8>, len: usize) -> Vec<u8> {
    datagram.resize(len.max(datagram.len()), 0);
    datagram
}
