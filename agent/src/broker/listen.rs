//! Who connects.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as Plain;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen as allow, socket_with,
};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::{Broker, session};

/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(5);
/// Connections at a time; the next ones wait to be accepted.
const CONNECTIONS: usize = 1024;

/// Listens for good.
pub(super) async fn listen(broker: Broker, path: PathBuf) {
    loop {
        let Err(error) = accept(&broker, &path).await;
        let problem = format!("listen at {}: {error}", path.display());
        *broker.problem_slot() = Some(problem);
        tokio::time::sleep(RETRY).await;
    }
}

async fn accept(broker: &Broker, path: &Path) -> Result<std::convert::Infallible, io::Error> {
    let listener = UnixListener::from_std(Plain::from(open(path)?))?;
    *broker.problem_slot() = None;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Never closed, so there is always a place some time.
        let place = places.clone().acquire_owned().await;
        let socket = next(&listener).await?;
        let broker = broker.clone();
        tokio::spawn(async move {
            session::serve(&broker, socket).await;
            drop(place);
        });
    }
}

/// Whoever may reach the directory may ask; who gets something is decided by user and endpoint.
fn open(path: &Path) -> io::Result<OwnedFd> {
    const WAITING: i32 = 128;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    allow(&socket, WAITING)?;
    Ok(socket)
}

async fn next(listener: &UnixListener) -> io::Result<OwnedFd> {
    const PAUSE: Duration = Duration::from_millis(100);
    loop {
        let error = match listener.accept().await {
            Ok((socket, _)) => return Ok(socket.into_std()?.into()),
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::CONNABORTED | Errno::INTR) => {}
            // Out of descriptors or memory: others give theirs back.
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                tokio::time::sleep(PAUSE).await;
            }
            _ => return Err(error),
        }
    }
}
