use rustix::io::Errno;

/// The kernel said no: which errno, and in which words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", errno_name(*.errno), .words.clone().unwrap_or_else(|| described(*.errno)))]
pub struct KernelError {
    /// The error number.
    pub errno: Errno,
    /// Netlink's extended acknowledgement or the tail of the verifier's log.
    pub words: Option<String>,
}

impl From<Errno> for KernelError {
    fn from(errno: Errno) -> Self {
        Self { errno, words: None }
    }
}

impl From<std::io::Error> for KernelError {
    fn from(error: std::io::Error) -> Self {
        Errno::from_io_error(&error).unwrap_or(Errno::IO).into()
    }
}

/// The symbolic name of an errno, as in `errno(3)`.
pub fn errno_name(errno: Errno) -> String {
    NAMES
        .iter()
        .find(|(known, _)| *known == errno.raw_os_error())
        .map_or_else(
            || format!("errno {}", errno.raw_os_error()),
            |(_, name)| (*name).to_owned(),
        )
}

fn described(errno: Errno) -> String {
    if errno.raw_os_error() == ENOTSUPP {
        return "operation not supported".to_owned();
    }
    let text = std::io::Error::from(errno).to_string().to_lowercase();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Kernel-internal, yet the BPF and XDP code lets it out.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/errno.h#L27>
const ENOTSUPP: i32 = 524;

const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EROFS, "EROFS"),
    (libc::ERANGE, "ERANGE"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOLINK, "ENOLINK"),
    (libc::EPROTO, "EPROTO"),
    (libc::EOVERFLOW, "EOVERFLOW"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::ENETDOWN, "ENETDOWN"),
    (libc::ENOBUFS, "ENOBUFS"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::ESTALE, "ESTALE"),
    (ENOTSUPP, "ENOTSUPP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_name_and_words() {
        let cases = [
            (Errno::PERM, None, "EPERM: operation not permitted"),
            (Errno::RANGE, Some("mtu too large"), "ERANGE: mtu too large"),
            (
                Errno::from_raw_os_error(ENOTSUPP),
                None,
                "ENOTSUPP: operation not supported",
            ),
        ];
        for (errno, words, text) in cases {
            let words = words.map(str::to_owned);
            assert_eq!(KernelError { errno, words }.to_string(), text);
        }
    }

    #[test]
    fn an_errno_without_a_name_keeps_its_number() {
        assert_eq!(errno_name(Errno::from_raw_os_error(4000)), "errno 4000");
    }
}
