/// Walks the attributes of a message or of a nested attribute; stops at the first that is cut short.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Attributes that start at `offset`, behind a family's header.
    pub fn at(payload: &'a [u8], offset: usize) -> Self {
        Self(payload.get(offset..).unwrap_or_default())
    }

    /// The value of the first attribute of this kind.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find(|(k, _)| *k == kind).map(|(_, v)| v)
    }

    /// The attributes nested in the first one of this kind; none if it is absent.
    pub fn nested(&self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// Without the flags for nested and byte order.
        const TYPE_MASK: u16 = 0x3fff;
        let header = self.0.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A 32-bit value in host byte order.
pub fn u32_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_ne_bytes)
}

/// A 64-bit value in host byte order.
pub fn u64_of(value: &[u8]) -> Option<u64> {
    value.first_chunk().copied().map(u64::from_ne_bytes)
}

/// Text up to the first zero byte.
pub fn string(value: &[u8]) -> String {
    let text = value.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_to_four_bytes() {
        let bytes = [[5, 0, 1, 0], [b'x', 0, 0, 0], [8, 0, 2, 0x80], [7, 0, 0, 0]].concat();
        let all: Vec<_> = Attributes::at(&bytes, 0).collect();
        assert_eq!(all, [(1, &b"x"[..]), (2, &[7, 0, 0, 0][..])]);
    }

    #[test]
    fn an_attribute_cut_short_ends_the_walk() {
        for bytes in [&[9, 0, 1, 0, 1][..], &[3, 0, 1, 0], &[8, 0], &[]] {
            assert_eq!(Attributes::at(bytes, 0).count(), 0, "{bytes:?}");
        }
    }
}
