//! Driver and queues, by the ethtool ioctl: /sys may belong to another network namespace.

use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::sys::KernelError;

/// Name of the driver behind an interface.
pub fn driver(interface: &str) -> Result<String, KernelError> {
    const ETHTOOL_GDRVINFO: u32 = 0x3;
    // struct ethtool_drvinfo: cmd, driver[32], ... 196 bytes in all.
    let mut info = [0u32; 49];
    ask(interface, ETHTOOL_GDRVINFO, &mut info)?;
    let name = info[1..9].iter().flat_map(|word| word.to_ne_bytes());
    let bytes: Vec<u8> = name.take_while(|byte| *byte != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Receive queues in use; `EOPNOTSUPP` where the driver does not tell, and there is one.
pub fn queues(interface: &str) -> Result<u32, KernelError> {
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    // struct ethtool_channels: cmd, 4 maxima, then rx, tx, other, combined.
    let mut channels = [0u32; 9];
    ask(interface, ETHTOOL_GCHANNELS, &mut channels)?;
    Ok((channels[5] + channels[8]).max(1))
}

/// `answer` is the command's structure, its first word the command.
fn ask(interface: &str, command: u32, answer: &mut [u32]) -> Result<(), KernelError> {
    const SIOCETHTOOL: u32 = 0x8946;
    let socket = any_socket()?;
    answer[0] = command;
    let mut request = IfReq {
        name: name_bytes(interface)?,
        data: answer.as_mut_ptr().cast(),
        unused: [0; 16],
    };
    // SAFETY: `request` is a struct ifreq whose data points at the structure that belongs to `command`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(())
}

/// `struct ifreq` with its pointer member.
#[repr(C)]
struct IfReq {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u8,
    unused: [u8; 16],
}

const _: () = assert!(size_of::<IfReq>() >= size_of::<libc::ifreq>());

fn any_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

fn name_bytes(interface: &str) -> Result<[u8; libc::IFNAMSIZ], Errno> {
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(Errno::NODEV);
    }
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_exist_is_no_device() {
        let error = driver("a-name-longer-than-any").unwrap_err();
        assert_eq!(error.errno, Errno::NODEV);
    }
}
