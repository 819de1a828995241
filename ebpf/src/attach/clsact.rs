//! Hooks held by a filter on the `clsact` qdisc.
//!
//! That we made the qdisc is remembered as a directory beside the links: it outlives us, as they do.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::names::qdisc_name;
use super::{AttachError, Hook, PREFIX};
use crate::kernel::interface;
use crate::sys::KernelError;
use crate::tc::{self, Direction, Filter};

pub(super) fn attach(
    hook: &Hook,
    direction: Direction,
    program: BorrowedFd<'_>,
    links: &Path,
) -> Result<(), AttachError> {
    add_qdisc(hook, links)
        .and_then(|()| tc::replace(hook.ifindex, direction, &hook.program, program))
        .map_err(|error| AttachError::refused(hook.kind, &error))
}

pub(super) fn detach(hook: &Hook, direction: Direction, links: &Path) -> Result<(), KernelError> {
    for filter in ours(hook.ifindex, direction)? {
        tc::remove(hook.ifindex, &filter)?;
    }
    let marker = links.join(qdisc_name(hook.ifindex));
    if marker.is_dir() {
        release_qdisc(hook.ifindex, &marker)?;
    }
    Ok(())
}

/// Our filters; none where the device is gone.
pub(super) fn ours(ifindex: u32, direction: Direction) -> Result<Vec<Filter>, KernelError> {
    match tc::filters(ifindex, direction) {
        Err(error) if gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(mut filters) => {
            filters.retain(|filter| filter.name.starts_with(PREFIX));
            Ok(filters)
        }
    }
}

/// Removes the qdisc we made once nobody has a filter on it, and with it the marker.
pub(super) fn release_qdisc(ifindex: u32, marker: &Path) -> Result<(), KernelError> {
    if interface::by_index(ifindex).is_ok() {
        if in_use(ifindex)? {
            return Ok(());
        }
        match tc::remove_qdisc(ifindex) {
            Err(error) if !gone(&error) => return Err(error),
            _ => {}
        }
    }
    std::fs::remove_dir(marker)?;
    Ok(())
}

fn add_qdisc(hook: &Hook, links: &Path) -> Result<(), KernelError> {
    if tc::add_qdisc(hook.ifindex)? {
        remember(&links.join(qdisc_name(hook.ifindex)))?;
    }
    Ok(())
}

fn remember(marker: &PathBuf) -> Result<(), KernelError> {
    Ok(std::fs::create_dir_all(marker)?)
}

fn in_use(ifindex: u32) -> Result<bool, KernelError> {
    for direction in Direction::ALL {
        if !tc::filters(ifindex, direction)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn gone(error: &KernelError) -> bool {
    [Errno::NODEV, Errno::NOENT, Errno::INVAL].contains(&error.errno)
}
