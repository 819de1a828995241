//! Messages as bytes.

use std::net::SocketAddr;

use super::{
    Granted, Hello, Message, Reason, Refused, Resume, TEXT_LEN, VERSION, mapped, unmapped,
};
use crate::af_xdp::{Geometry, GeometryError, Rings};

const MAGIC: [u8; 4] = *b"STOQ";
const HEADER: usize = 12;
/// No message is longer.
pub(super) const LONGEST: usize = HEADER + 4 + TEXT_LEN;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too short for a header, or it begins otherwise.
    #[error("no STOQ message")]
    Magic,
    /// Another version.
    #[error("version {0} of the protocol, {VERSION} is spoken here")]
    Version(u16),
    /// A type this version does not have.
    #[error("unknown type of message: {0}")]
    Type(u16),
    /// The type has another length.
    #[error("{got} bytes in the body of a message of type {kind}")]
    Length {
        /// Its type.
        kind: u16,
        /// Bytes behind the header.
        got: usize,
    },
    /// No such UMEM.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Rings hold a power of two of frames.
    #[error("a ring of {0} entries: a power of two from 64 to 65536 is possible")]
    Ring(u32),
    /// A reason this version does not have.
    #[error("unknown reason {0}")]
    Reason(u16),
}

/// The bytes of a message.
pub fn encode(message: &Message) -> Vec<u8> {
    let (kind, body) = body(message);
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn body(message: &Message) -> (u16, Vec<u8>) {
    let mut body = Vec::new();
    let kind = match message {
        Message::Hello(hello) => {
            put_endpoint(&mut body, hello.endpoint);
            put_memory(&mut body, hello.geometry, hello.rings);
            1
        }
        Message::Granted(granted) => {
            body.extend(granted.session.to_le_bytes());
            put_memory(&mut body, granted.geometry, granted.rings);
            2
        }
        Message::Refused(refused) => {
            let text = refused.text.as_bytes();
            let text = &text[..refused.text.floor_char_boundary(TEXT_LEN)];
            body.extend((refused.reason as u16).to_le_bytes());
            body.extend((text.len() as u16).to_le_bytes());
            body.extend(text);
            body.resize(4 + TEXT_LEN, 0);
            3
        }
        Message::Ready => 4,
        Message::Steered(on) => {
            body.extend(u32::from(*on).to_le_bytes());
            5
        }
        Message::Resume(Resume { granted, endpoint }) => {
            put_endpoint(&mut body, *endpoint);
            body.extend(granted.session.to_le_bytes());
            put_memory(&mut body, granted.geometry, granted.rings);
            6
        }
    };
    (kind, body)
}

fn put_endpoint(body: &mut Vec<u8>, endpoint: SocketAddr) {
    body.extend(mapped(endpoint.ip()));
    body.extend(endpoint.port().to_le_bytes());
    body.extend([0; 2]);
}

fn put_memory(body: &mut Vec<u8>, geometry: Geometry, rings: Rings) {
    let numbers = [
        geometry.frames(),
        geometry.frame_size(),
        rings.fill,
        rings.receive,
    ];
    body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// The message that these bytes are.
///
/// # Errors
/// Bytes that are none, whoever sent them.
pub fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    let mut reader = Reader(bytes);
    if reader.take::<4>() != Some(MAGIC) {
        return Err(WireError::Magic);
    }
    let version = reader.u16().ok_or(WireError::Magic)?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let kind = reader.u16().ok_or(WireError::Magic)?;
    let length = reader.u32().ok_or(WireError::Magic)?;
    let got = reader.0.len();
    let expected = match kind {
        1 => 36,
        2 => 24,
        3 => 4 + TEXT_LEN,
        4 => 0,
        5 => 4,
        6 => 44,
        other => return Err(WireError::Type(other)),
    };
    let wrong = WireError::Length { kind, got };
    if got != expected || length as usize != expected {
        return Err(wrong);
    }
    message(kind, &mut reader)?.ok_or(wrong)
}

/// `None`: the body is too short, which its length has ruled out.
fn message(kind: u16, reader: &mut Reader<'_>) -> Result<Option<Message>, WireError> {
    Ok(match kind {
        1 => hello(reader)?.map(Message::Hello),
        2 => granted(reader)?.map(Message::Granted),
        3 => refused(reader)?.map(Message::Refused),
        4 => Some(Message::Ready),
        5 => reader.u32().map(|on| Message::Steered(on != 0)),
        _ => resume(reader)?.map(Message::Resume),
    })
}

fn hello(reader: &mut Reader<'_>) -> Result<Option<Hello>, WireError> {
    let Some(endpoint) = endpoint(reader) else {
        return Ok(None);
    };
    let hello = |(geometry, rings)| Hello {
        endpoint,
        geometry,
        rings,
    };
    Ok(memory(reader)?.map(hello))
}

fn resume(reader: &mut Reader<'_>) -> Result<Option<Resume>, WireError> {
    let Some(endpoint) = endpoint(reader) else {
        return Ok(None);
    };
    let granted = granted(reader)?;
    Ok(granted.map(|granted| Resume { granted, endpoint }))
}

fn endpoint(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let address = unmapped(reader.take()?);
    let port = reader.u16()?;
    reader.u16()?;
    Some(SocketAddr::new(address, port))
}

fn granted(reader: &mut Reader<'_>) -> Result<Option<Granted>, WireError> {
    let Some(session) = reader.take().map(u64::from_le_bytes) else {
        return Ok(None);
    };
    let granted = |(geometry, rings)| Granted {
        session,
        geometry,
        rings,
    };
    Ok(memory(reader)?.map(granted))
}

fn refused(reader: &mut Reader<'_>) -> Result<Option<Refused>, WireError> {
    let (Some(reason), Some(length)) = (reader.u16(), reader.u16()) else {
        return Ok(None);
    };
    let reason = Reason::from_number(reason).ok_or(WireError::Reason(reason))?;
    let text = reader.0.get(..usize::from(length)).unwrap_or(reader.0);
    let text = String::from_utf8_lossy(text).into_owned();
    Ok(Some(Refused { reason, text }))
}

fn memory(reader: &mut Reader<'_>) -> Result<Option<(Geometry, Rings)>, WireError> {
    let numbers = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
    let [Some(frames), Some(frame_size), Some(fill), Some(receive)] = numbers else {
        return Ok(None);
    };
    let geometry = Geometry::new(frames, frame_size)?;
    let rings = Rings {
        fill: ring(fill)?,
        receive: ring(receive)?,
    };
    Ok(Some((geometry, rings)))
}

fn ring(entries: u32) -> Result<u32, WireError> {
    let possible = entries.is_power_of_two() && (64..=65_536).contains(&entries);
    possible.then_some(entries).ok_or(WireError::Ring(entries))
}

/// Takes numbers off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn messages() -> Vec<Message> {
        let geometry = Geometry::new(4096, 2048).unwrap();
        let rings = Rings {
            fill: 2048,
            receive: 1024,
        };
        let hello = |endpoint: &str| {
            Message::Hello(Hello {
                endpoint: endpoint.parse().unwrap(),
                geometry,
                rings,
            })
        };
        let refused = |reason| {
            let text = "no transport selects 10.0.0.1:4433".to_owned();
            Message::Refused(Refused { reason, text })
        };
        let granted = Granted {
            session: u64::MAX - 1,
            geometry,
            rings,
        };
        [
            hello("10.0.0.1:4433"),
            hello("[2001:db8::1]:65535"),
            Message::Granted(granted),
            Message::Ready,
            Message::Steered(true),
            Message::Steered(false),
            Message::Resume(Resume {
                granted,
                endpoint: "10.0.0.1:4433".parse().unwrap(),
            }),
        ]
        .into_iter()
        .chain(Reason::ALL.map(refused))
        .collect()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for message in messages() {
            let bytes = encode(&message);
            assert!(bytes.len() <= LONGEST, "{message:?}");
            assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn bytes_stand_where_the_page_says() {
        let bytes = encode(&messages()[0]);
        let expected = [
            b"STOQ".as_slice(),
            &[1, 0, 1, 0, 36, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
            &[0x51, 0x11, 0, 0],
            &[0, 0x10, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 4, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_message_cut_or_longer_is_none() {
        for message in messages() {
            let mut bytes = encode(&message);
            for end in 0..bytes.len() {
                assert!(decode(&bytes[..end]).is_err(), "{message:?} at {end}");
            }
            bytes.push(0);
            assert!(decode(&bytes).is_err(), "{message:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for message in messages() {
            let bytes = encode(&message);
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut strange = bytes.clone();
                    strange[at] = value;
                    let _ = decode(&strange);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let with = |at: usize, value: u8| {
            let mut bytes = encode(&messages()[0]);
            bytes[at] = value;
            decode(&bytes).unwrap_err()
        };
        assert_eq!(with(0, b'X'), WireError::Magic);
        assert_eq!(with(4, 2), WireError::Version(2));
        assert_eq!(with(6, 9), WireError::Type(9));
        assert_eq!(with(8, 35), WireError::Length { kind: 1, got: 36 });
        assert_eq!(
            with(32, 1),
            WireError::Geometry(GeometryError::Frames(4097))
        );
        assert_eq!(with(40, 1), WireError::Ring(2049));
    }

    #[test]
    fn a_long_refusal_is_cut_between_characters() {
        let text = "é".repeat(100);
        let reason = Reason::Busy;
        let bytes = encode(&Message::Refused(Refused { reason, text }));
        let Ok(Message::Refused(refused)) = decode(&bytes) else {
            panic!("{bytes:?}");
        };
        assert_eq!(refused.text, "é".repeat(60));
    }
}
