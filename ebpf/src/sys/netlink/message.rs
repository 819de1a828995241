use rustix::io::Errno;

use super::super::KernelError;
use super::{Attributes, Reply, string};

const HEADER: usize = 16;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;

/// A request under construction.
#[derive(Clone, Debug)]
pub struct Request {
    message_type: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request that is acknowledged; `flags` are `NLM_F_*` beyond that.
    pub fn new(message_type: u16, flags: u16) -> Self {
        Self {
            message_type,
            flags: REQUEST | ACK | flags,
            body: Vec::new(),
        }
    }

    /// A request for everything there is.
    pub fn dump(message_type: u16) -> Self {
        Self {
            message_type,
            flags: REQUEST | DUMP,
            body: Vec::new(),
        }
    }

    /// Appends the family's header.
    pub fn header(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Appends an attribute.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.body
            .extend_from_slice(&length(value.len() + 4).to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    /// Appends a zero-terminated string.
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Appends an attribute that holds what `build` appends.
    pub fn nested(self, kind: u16, build: impl FnOnce(Self) -> Self) -> Self {
        const NESTED: u16 = 0x8000;
        let inner = build(Self::new(0, 0)).body;
        self.attribute(kind | NESTED, &inner)
    }

    pub(super) fn finish(self, sequence: u32) -> Result<Vec<u8>, Errno> {
        let total = u32::try_from(HEADER + self.body.len()).map_err(|_| Errno::MSGSIZE)?;
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend_from_slice(&total.to_ne_bytes());
        bytes.extend_from_slice(&self.message_type.to_ne_bytes());
        bytes.extend_from_slice(&self.flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&self.body);
        Ok(bytes)
    }
}

/// Attributes here are names, numbers and short nests; a longer one is cut and refused by the kernel.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Data(Reply),
    End(Option<KernelError>),
}

/// The messages of one datagram that answer request number `sequence`.
pub(super) fn answers(mut bytes: &[u8], sequence: u32) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((header, payload)) = next_message(&mut bytes) {
        if header.sequence == sequence {
            found.push(answer(&header, payload));
        }
    }
    found
}

struct Header {
    message_type: u16,
    flags: u16,
    sequence: u32,
}

fn next_message<'a>(bytes: &mut &'a [u8]) -> Option<(Header, &'a [u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length) as usize;
    let header = Header {
        message_type: u16::from_ne_bytes(*rest.first_chunk()?),
        flags: u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?),
        sequence: u32::from_ne_bytes(*rest.get(4..)?.first_chunk()?),
    };
    let payload = bytes.get(HEADER..length)?;
    *bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header, payload))
}

fn answer(header: &Header, payload: &[u8]) -> Answer {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    match header.message_type {
        // An error quotes the request's header before its attributes, the end of a dump does not.
        ERROR => Answer::End(refusal(header.flags, payload, 4 + HEADER)),
        DONE => Answer::End(refusal(header.flags, payload, 4)),
        message_type => Answer::Data(Reply {
            message_type,
            payload: payload.to_vec(),
        }),
    }
}

fn refusal(flags: u16, payload: &[u8], attributes: usize) -> Option<KernelError> {
    const ATTRIBUTES: u16 = 0x200;
    const MESSAGE: u16 = 1;
    let code = payload.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    if code == 0 {
        return None;
    }
    let words = (flags & ATTRIBUTES != 0)
        .then(|| Attributes::at(payload, attributes).get(MESSAGE).map(string))
        .flatten();
    Some(KernelError {
        errno: Errno::from_raw_os_error(code.saturating_neg()),
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(code: i32, words: &str) -> Vec<u8> {
        let mut request = Request::new(2, 0)
            .header(&code.to_ne_bytes())
            .header(&[0; HEADER])
            .text(1, words);
        request.flags = 0x300;
        request.finish(7).unwrap()
    }

    #[test]
    fn a_refusal_carries_the_kernel_s_words() {
        let bytes = error_message(-libc::ERANGE, "mtu too large");
        let Answer::End(Some(error)) = &answers(&bytes, 7)[0] else {
            panic!("no refusal in {bytes:?}");
        };
        assert_eq!(error.to_string(), "ERANGE: mtu too large");
    }

    #[test]
    fn a_zero_code_is_an_acknowledgement() {
        assert_eq!(answers(&error_message(0, ""), 7), [Answer::End(None)]);
    }

    #[test]
    fn answers_to_another_request_are_skipped() {
        assert_eq!(answers(&error_message(-1, "no"), 8), []);
    }

    #[test]
    fn a_message_cut_short_is_no_answer() {
        let bytes = error_message(-1, "no");
        for length in 0..bytes.len() - 4 {
            assert_eq!(answers(&bytes[..length], 7), [], "{length} bytes");
        }
    }
}
