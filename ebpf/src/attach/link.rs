//! Hooks held by pinned links.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::names::pin_name;
use super::{AttachError, Hook, HookKind, PREFIX};
use crate::kernel::interface;
use crate::sys::link::{self, LinkKind};
use crate::sys::{KernelError, pin, program};
use crate::xdp::{self, XdpMode, XdpProgram};

pub(super) fn attach(
    hook: &Hook,
    kind: LinkKind,
    program: BorrowedFd<'_>,
    links: &Path,
) -> Result<(), AttachError> {
    let refused = |error: &KernelError| AttachError::refused(hook.kind, error);
    if update(hook, program, links).map_err(|e| refused(&e))? {
        return Ok(());
    }
    let Some(mode) = hook.kind.xdp() else {
        return create(hook, kind, program, links).map_err(|e| refused(&e));
    };
    release_other_mode(hook, links).map_err(|e| refused(&e))?;
    if replace_unlinked(hook, mode, program)? {
        return Ok(());
    }
    create(hook, kind, program, links)
        .or_else(|error| without_link(hook, mode, program, &error))
        .map_err(|e| refused(&e))
}

pub(super) fn detach(hook: &Hook, links: &Path) -> Result<(), KernelError> {
    remove_pin(&path(hook, hook.kind, links))?;
    match hook.kind.xdp() {
        Some(mode) => remove_unlinked(hook.ifindex, mode),
        None => Ok(()),
    }
}

/// Detaches a pinned link at once and removes its pin; no pin is no error.
pub(super) fn remove_pin(path: &Path) -> Result<(), KernelError> {
    let pinned = match pin::open(path) {
        Ok(link) => link,
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        Err(error) => return Err(error),
    };
    // Unlinking alone detaches too, only later: the kernel frees pins in the background.
    // A link that cannot detach by call (below 5.9) or whose device is gone is content with that.
    let _ = link::detach(pinned.as_fd());
    std::fs::remove_file(path)?;
    Ok(())
}

/// Detaches what netlink attached under our name, where links do not exist.
pub(super) fn remove_unlinked(ifindex: u32, mode: XdpMode) -> Result<(), KernelError> {
    let found = match interface::by_index(ifindex) {
        Err(error) if error.errno == Errno::NODEV => return Ok(()),
        found => found?,
    };
    let ours = found.xdp.iter().filter(|x| x.mode == mode);
    for attached in ours.filter(|x| is_ours(name_of(x.id).as_deref())) {
        xdp::detach(ifindex, mode, program::open(attached.id)?.as_fd())?;
    }
    Ok(())
}

/// Puts the program into the pinned link, if that is still on this device; removes a pin that is not.
fn update(hook: &Hook, program: BorrowedFd<'_>, links: &Path) -> Result<bool, KernelError> {
    let path = path(hook, hook.kind, links);
    let Some(pinned) = alive(&path, hook.ifindex)? else {
        return Ok(false);
    };
    match link::update(pinned.as_fd(), program) {
        Ok(()) => Ok(true),
        // The device went between the look and the update.
        Err(error) if error.errno == Errno::NOLINK => remove_pin(&path).map(|()| false),
        Err(error) => Err(error),
    }
}

fn alive(path: &Path, ifindex: u32) -> Result<Option<OwnedFd>, KernelError> {
    let pinned = match pin::open(path) {
        Err(error) if error.errno == Errno::NOENT => return Ok(None),
        pinned => pinned?,
    };
    if link::info(pinned.as_fd())?.ifindex == ifindex {
        return Ok(Some(pinned));
    }
    remove_pin(path)?;
    Ok(None)
}

fn create(
    hook: &Hook,
    kind: LinkKind,
    program: BorrowedFd<'_>,
    links: &Path,
) -> Result<(), KernelError> {
    std::fs::create_dir_all(links)?;
    let created = link::create(kind, hook.ifindex, program)?;
    pin::pin(created.as_fd(), &path(hook, hook.kind, links))
}

/// Where `bpf_link_create` failed: attach as before links existed, or else learn the driver's own words.
fn without_link(
    hook: &Hook,
    mode: XdpMode,
    program: BorrowedFd<'_>,
    refusal: &KernelError,
) -> Result<(), KernelError> {
    match xdp::attach(hook.ifindex, mode, program) {
        Ok(()) if refusal.errno == Errno::INVAL => Ok(()),
        // Links exist, so it was the pin that failed: what cannot be pinned is not left behind.
        Ok(()) => {
            xdp::detach(hook.ifindex, mode, program)?;
            Err(refusal.clone())
        }
        Err(error) => Err(error),
    }
}

fn release_other_mode(hook: &Hook, links: &Path) -> Result<(), KernelError> {
    let other = match hook.kind {
        HookKind::XdpNative => HookKind::XdpGeneric,
        _ => HookKind::XdpNative,
    };
    remove_pin(&path(hook, other, links))
}

/// Replaces our own program that no link holds; `Conflict` if the interface has somebody else's.
fn replace_unlinked(
    hook: &Hook,
    mode: XdpMode,
    program: BorrowedFd<'_>,
) -> Result<bool, AttachError> {
    let refused = |error: KernelError| AttachError::refused(hook.kind, &error);
    let found = interface::by_index(hook.ifindex).map_err(refused)?;
    let Some(attached) = found.xdp.first() else {
        return Ok(false);
    };
    let name = name_of(attached.id);
    if !is_ours(name.as_deref()) {
        return Err(conflict(&hook.interface, attached, name));
    }
    let old = program::open(attached.id).map_err(refused)?;
    if attached.mode == mode {
        xdp::replace(hook.ifindex, mode, old.as_fd(), program).map_err(refused)?;
        return Ok(true);
    }
    xdp::detach(hook.ifindex, attached.mode, old.as_fd()).map_err(refused)?;
    Ok(false)
}

fn conflict(interface: &str, found: &XdpProgram, name: Option<String>) -> AttachError {
    let name = name.unwrap_or_else(|| "its name takes CAP_SYS_ADMIN to read".to_owned());
    let XdpProgram { id, mode } = found;
    AttachError::conflict(format!(
        "{interface} has the XDP program of another: id {id} ({name}), {mode:?}"
    ))
}

fn name_of(id: u32) -> Option<String> {
    program::info_by_id(id).ok().map(|info| info.name)
}

fn is_ours(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with(PREFIX))
}

fn path(hook: &Hook, kind: HookKind, links: &Path) -> PathBuf {
    links.join(pin_name(kind, &hook.interface))
}
