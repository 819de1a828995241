//! What is measured: sizes of datagrams, kinds of senders, works.

use crate::LabOptions;
use crate::transport::Work;

/// One row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: PathKind,
    pub(super) work: Work,
}

/// The way from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathKind {
    /// Largest datagram, bytes.
    pub(super) datagram: u16,
    /// Whether the client's device cuts trains of datagrams into packets, as a wire would carry them.
    pub(super) wire: bool,
}

const WIRE_1452: PathKind = PathKind {
    datagram: 1452,
    wire: true,
};
const GSO_1452: PathKind = PathKind {
    datagram: 1452,
    wire: false,
};
const WIRE_6500: PathKind = PathKind {
    datagram: 6500,
    wire: true,
};
const GSO_6500: PathKind = PathKind {
    datagram: 6500,
    wire: false,
};

/// 64 bytes fit any datagram, so their rows are as few as show the sizes.
pub(super) const ROWS: [Row; 8] = [
    Row::new(WIRE_1452, Work::Bulk),
    Row::new(WIRE_1452, Work::Rpc),
    Row::new(WIRE_1452, Work::Loaded),
    Row::new(GSO_1452, Work::Bulk),
    Row::new(GSO_6500, Work::Bulk),
    Row::new(GSO_6500, Work::Rpc),
    Row::new(GSO_6500, Work::Loaded),
    Row::new(WIRE_6500, Work::Bulk),
];

impl Row {
    const fn new(path: PathKind, work: Work) -> Self {
        Self { path, work }
    }

    /// `<size>.<work>`, as in the names of figures.
    pub(super) fn name(self) -> String {
        format!("{}.{}", self.path.name(), work(self.work))
    }
}

/// As in the names of figures, and as the client is told.
pub(super) fn work(work: Work) -> &'static str {
    match work {
        Work::Bulk => "bulk",
        Work::Rpc => "rpc",
        Work::Loaded => "loaded",
    }
}

impl PathKind {
    fn name(self) -> String {
        let sender = if self.wire { "-wire" } else { "" };
        format!("{}{sender}", self.datagram)
    }

    /// A lab with such a way.
    pub(super) fn lab(self) -> LabOptions {
        LabOptions {
            mtu: if self.datagram > 1472 { 9000 } else { 1500 },
            wire_like: self.wire,
            impairment: None,
        }
    }
}
