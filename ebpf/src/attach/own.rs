use std::os::fd::AsFd as _;
use std::path::Path;

use serde::Serialize;

use super::names::parse_pin_name;
use super::pins::entries;
use super::{HookKind, clsact};
use crate::kernel::interface;
use crate::sys::{KernelError, link, pin};
use crate::tc::Direction;

/// One of our programs in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Where on the interface.
    pub kind: HookKind,
    /// Name of the interface when it was attached.
    pub interface: String,
    /// Index of the interface; 0 once it is gone.
    pub ifindex: u32,
    /// Id of the program.
    pub program_id: u32,
    /// Id of the link that holds it; `None` for filters.
    pub link_id: Option<u32>,
}

/// Everything of ours: the links pinned in `links`, and our filters on every interface of this namespace.
pub fn list_ours(links: &Path) -> Result<Vec<Attachment>, KernelError> {
    let mut found = pinned(links)?;
    for interface in interface::list()? {
        for direction in Direction::ALL {
            let ours = clsact::ours(interface.index, direction)?;
            found.extend(ours.into_iter().map(|filter| Attachment {
                kind: kind_of(direction),
                interface: interface.name.clone(),
                ifindex: interface.index,
                program_id: filter.program_id.unwrap_or_default(),
                link_id: None,
            }));
        }
    }
    Ok(found)
}

fn pinned(links: &Path) -> Result<Vec<Attachment>, KernelError> {
    let mut found = Vec::new();
    for path in entries(links)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((kind, interface)) = name.and_then(parse_pin_name) else {
            continue;
        };
        let info = link::info(pin::open(&path)?.as_fd())?;
        found.push(Attachment {
            kind,
            interface,
            ifindex: info.ifindex,
            program_id: info.program_id,
            link_id: Some(info.id),
        });
    }
    Ok(found)
}

fn kind_of(direction: Direction) -> HookKind {
    match direction {
        Direction::Ingress => HookKind::ClsactIngress,
        Direction::Egress => HookKind::ClsactEgress,
    }
}
