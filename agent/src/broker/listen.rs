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
use tokio::task::JoinSet;

use super::{Broker, Door, session};

/// Between two attempts to listen.
const RETRY: Duration = Duration::from_secs(5);

/// Listens until dropped. With it, the connections end. Connections are taken from the call on, if
/// that is possible.
pub(super) fn listen(broker: Broker, path: PathBuf, door: Door) -> impl Future<Output = ()> {
    let mut socket = open(&path);
    async move {
        let mut sessions = JoinSet::new();
        loop {
            let Err(error) = accept(&broker, &path, &door, socket, &mut sessions).await;
            broker.tell(&path, Some(error.to_string()));
            tokio::time::sleep(RETRY).await;
            socket = open(&path);
        }
    }
}

async fn accept(
    broker: &Broker,
    path: &Path,
    door: &Door,
    socket: io::Result<OwnedFd>,
    sessions: &mut JoinSet<()>,
) -> Result<std::convert::Infallible, io::Error> {
    let listener = UnixListener::from_std(Plain::from(socket?))?;
    broker.tell(path, None);
    let places = Arc::new(Semaphore::new(door.places()));
    loop {
        // Never closed, so there is always a place some time.
        let place = places.clone().acquire_owned().await;
        let socket = next(&listener).await?;
        let (broker, door) = (broker.clone(), door.clone());
        sessions.spawn(async move {
            session::serve(&broker, &door, socket).await;
            drop(place);
        });
        while sessions.try_join_next().is_some() {}
    }
}

/// Takes the place of what is at the path. Whoever may reach it may ask; who gets something is decided
/// by what it asks for.
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
