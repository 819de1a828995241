//! `docs/afxdp-protocol.md` against the code: its tables of messages and reasons.

use std::collections::BTreeMap;
use std::fs;

use super::wire::tests::messages;
use super::{Message, Reason, TEXT_LEN, VERSION, encode};

/// Columns of the rows of the first table behind a heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/afxdp-protocol.md");
    let page = fs::read_to_string(path).unwrap();
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let rows = lines.skip_while(|line| !line.starts_with('|')).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "no table behind {heading}");
    // Nothing is outside the outer bars.
    rows.into_iter().map(|row| row[1..].to_vec()).collect()
}

/// Where each field of a message is: its bytes in the packet.
fn fields(heading: &str, packet: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut end = 12;
    let mut fields = BTreeMap::new();
    for row in table(heading) {
        let [at, length] = [0, 1].map(|cell| row[cell].parse::<usize>().unwrap());
        assert_eq!(at, end, "{heading}: {row:?} does not follow");
        end = at + length;
        fields.insert(row[2].clone(), packet[at..end].to_vec());
    }
    assert_eq!(end, packet.len(), "{heading}");
    fields
}

fn heading(message: &Message) -> Option<&'static str> {
    Some(match message {
        Message::Hello(_) => "### Hello (1)",
        Message::Granted(_) => "### Granted (2)",
        Message::Refused(_) => "### Refused (3)",
        Message::Ready => return None,
        Message::Steered(_) => "### Steered (5)",
        Message::Resume(_) => "### Resume (6)",
    })
}

/// What a message says in the words of the page.
fn said(message: &Message) -> Vec<(&'static str, Vec<u8>)> {
    let number = |number: u32| number.to_le_bytes().to_vec();
    let endpoint = |endpoint: &std::net::SocketAddr| {
        vec![
            ("address", super::mapped(endpoint.ip()).to_vec()),
            ("port", endpoint.port().to_le_bytes().to_vec()),
            ("unused", vec![0; 2]),
        ]
    };
    let memory = |geometry: crate::af_xdp::Geometry, rings: crate::af_xdp::Rings| {
        vec![
            ("frames", number(geometry.frames())),
            ("frame size", number(geometry.frame_size())),
            ("fill ring", number(rings.fill)),
            ("receive ring", number(rings.receive)),
        ]
    };
    let granted = |one: &super::Granted| {
        let session = vec![("session", one.session.to_le_bytes().to_vec())];
        [session, memory(one.geometry, one.rings)].concat()
    };
    match message {
        Message::Hello(one) => [endpoint(&one.endpoint), memory(one.geometry, one.rings)].concat(),
        Message::Granted(one) => granted(one),
        Message::Refused(one) => {
            let mut text = one.text.clone().into_bytes();
            let length = (text.len() as u16).to_le_bytes().to_vec();
            text.resize(TEXT_LEN, 0);
            let reason = (one.reason as u16).to_le_bytes().to_vec();
            vec![("reason", reason), ("length", length), ("text", text)]
        }
        Message::Ready => Vec::new(),
        Message::Steered(on) => vec![("on", number(u32::from(*on)))],
        Message::Resume(one) => [endpoint(&one.endpoint), granted(&one.granted)].concat(),
    }
}

#[test]
fn fields_stand_where_the_page_says() {
    for message in messages() {
        let Some(heading) = heading(&message) else {
            continue;
        };
        let on_the_page = fields(heading, &encode(&message));
        let said = said(&message).into_iter();
        let said: BTreeMap<_, _> = said.map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        assert_eq!(on_the_page, said, "{message:?}");
    }
}

#[test]
fn types_and_lengths_are_those_of_the_page() {
    let types = table("### Types");
    for message in messages() {
        let packet = encode(&message);
        let row = types.iter().find(|row| row[0] == packet[6].to_string());
        let row = row.unwrap_or_else(|| panic!("{message:?} is not on the page"));
        let name = format!("{message:?}");
        assert!(name.starts_with(row[1].as_str()), "{row:?}: {name}");
        assert_eq!(row[3], (packet.len() - 12).to_string(), "{row:?}");
    }
    assert_eq!(types.len(), 6);
    let header = table("### Header");
    let places: Vec<_> = header.iter().map(|row| row[..3].join(" ")).collect();
    let expected = ["0 4 magic", "4 2 version", "6 2 type", "8 4 length"];
    assert_eq!(places, expected);
    assert_eq!(header[1][3], VERSION.to_string());
}

#[test]
fn reasons_are_those_of_the_page() {
    let on_the_page = table("### Reasons").into_iter();
    let on_the_page: Vec<_> = on_the_page.map(|row| row[..2].join(" ")).collect();
    let known = Reason::ALL.map(|reason| format!("{} {reason:?}", reason as u16));
    assert_eq!(on_the_page, known);
}
