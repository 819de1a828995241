//! QUIC packets that no connection stands behind.

/// Bytes of a short Initial, as UDP payload.
const SHORT_INITIAL: usize = 40;
/// Bytes of a stray short header packet.
const SHORT_HEADER: usize = 40;
/// Bytes of the loud source's packets: a full datagram, as in a transfer.
pub const LOUD_SIZE: usize = 1200;
const CONNECTION_ID: u8 = 8;
const QUIC_V1: [u8; 4] = [0, 0, 0, 1];

/// Random bytes from a seed that is not 0.
#[derive(Debug)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A client Initial of QUIC v1, far below 1200 bytes, with random connection id and content.
    pub(super) fn short_initial(&mut self) -> Vec<u8> {
        let mut packet = self.bytes(SHORT_INITIAL);
        let length = SHORT_INITIAL - 18;
        packet[0] = 0xc0;
        packet[1..5].copy_from_slice(&QUIC_V1);
        packet[5] = CONNECTION_ID;
        packet[14..18].copy_from_slice(&[0, 0, 0x40, length as u8]);
        packet
    }

    /// A short header packet with random connection id and content.
    pub(super) fn short_header(&mut self) -> Vec<u8> {
        self.short_header_of(SHORT_HEADER)
    }

    /// A short header packet of this size.
    pub(super) fn loud(&mut self, size: usize) -> Vec<u8> {
        self.short_header_of(size)
    }

    fn short_header_of(&mut self, length: usize) -> Vec<u8> {
        let mut packet = self.bytes(length);
        packet[0] = 0x40 | (packet[0] & 0x3f);
        packet
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_initial_is_well_formed_but_for_its_size() {
        let packet = Noise::new(7).short_initial();
        assert_eq!(packet[..6], [0xc0, 0, 0, 0, 1, CONNECTION_ID]);
        let [scid, token, high, low] = packet[14..18] else {
            panic!()
        };
        assert_eq!((scid, token), (0, 0));
        let length = u16::from_be_bytes([high & 0x3f, low]);
        assert_eq!(18 + usize::from(length), packet.len());
    }

    #[test]
    fn a_short_header_has_the_header_form_bit_clear_and_the_fixed_bit_set() {
        let mut noise = Noise::new(7);
        for packet in [noise.short_header(), noise.loud(LOUD_SIZE)] {
            assert_eq!(packet[0] & 0xc0, 0x40);
        }
    }
}
