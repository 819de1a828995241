//! A pod that asks the broker.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use stoq_crds::ObjectName;
use stoq_ebpf::af_xdp::{Geometry, Rings};
use stoq_ebpf::broker::{Hello, Message, Reason, receive, send};

use crate::broker::{Offer, Offers};

/// Of the pod `edge`.
pub(super) const ENDPOINT: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 4433));
/// Of the pod `other`.
pub(super) const OTHER: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 4433));

/// Both are closed: nobody gets as far as to need a kernel that makes sockets.
pub(super) fn offers() -> Offers {
    let offer = |(endpoint, pod): (SocketAddr, &str)| {
        let offer = Offer {
            transport: "default/edge".into(),
            owner: 1,
            pod: ObjectName {
                namespace: "default".into(),
                name: pod.into(),
            },
            users: BTreeSet::new(),
            mtu: 1500,
            closed: Some((Reason::NotSupported, "played".into())),
            relay: None,
            steered: false,
        };
        (endpoint, offer)
    };
    [(ENDPOINT, "edge"), (OTHER, "other")].map(offer).into()
}

/// Says Hello at the socket of a directory; why it is refused, or that nobody answers.
pub(super) async fn ask(directory: &Path, endpoint: SocketAddr) -> Result<Reason, String> {
    say(&connect(directory)?, endpoint).await
}

/// A connection that has said nothing yet.
pub(super) fn connect(directory: &Path) -> Result<Arc<OwnedFd>, String> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let address = SocketAddrUnix::new(directory.join("afxdp.sock")).unwrap();
    rustix::net::connect(&socket, &address).map_err(|error| error.to_string())?;
    Ok(Arc::new(socket))
}

/// Says Hello.
pub(super) async fn say(socket: &Arc<OwnedFd>, endpoint: SocketAddr) -> Result<Reason, String> {
    let socket = socket.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let hello = Hello {
            endpoint,
            geometry: Geometry::new(64, 2048).unwrap(),
            rings: Rings {
                fill: 64,
                receive: 64,
            },
        };
        let sent = send(socket.as_fd(), &Message::Hello(hello), &[]);
        sent.map_err(|error| error.to_string())?;
        match receive(socket.as_fd()) {
            Ok((Message::Refused(refused), _)) => Ok(refused.reason),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    });
    asked.await.unwrap()
}

/// The path of a directory that is held open, whatever its name is by now.
pub(super) fn through(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}
