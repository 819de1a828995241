//! A node as the agent makes it, with one endpoint that lives on the uplink, and an agent's side of
//! the broker.
#![allow(clippy::unwrap_used, reason = "a test's preparation may end the test")]

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};
use stoq_ebpf::af_xdp::{Mode, Socket, Umem};
use stoq_ebpf::attach::{Hook, HookKind, Pins as Links, attach};
use stoq_ebpf::broker::{Granted, Hello, Message, Reason, Refused, Resume, receive, send};
use stoq_ebpf::kernel::after_a_tick;
use stoq_ebpf::kernel::interface::{self, Interface};
use stoq_ebpf::loader::{self, Loaded, Options, Pins};
use stoq_ebpf::relay::{Relay, Steering};
use stoq_ebpf::tables::{Desired, DesiredEndpoint, DesiredTransport, PolicySpec, Tables};

/// What is on the machine.
pub(crate) struct Node {
    _loaded: Loaded,
    steering: Mutex<Steering>,
    relay: Relay,
}

impl Node {
    /// With `endpoint` behind the interface `uplink`; BPF objects are pinned in `bpffs`.
    pub(crate) fn up(bpffs: &Path, uplink: &str, endpoint: SocketAddr) -> Arc<Self> {
        let pins = Pins::new(bpffs);
        let mut loaded = loader::load(&pins, &Options::default()).unwrap();
        let mut tables = Tables::open(&pins.maps()).unwrap();
        let applied = tables.apply(&desired(endpoint)).unwrap();
        let id = applied.transports[0].endpoints[0].id;
        let relay = Relay::ensure(id, 1500).unwrap();
        let links = Links::of_version(bpffs, 7).links();
        let uplink = interface::by_name(uplink).unwrap();
        // What is the pod's interface elsewhere is the uplink here.
        for (on, kind, program) in [
            (&relay.far, HookKind::XdpNative, "stoq_relay"),
            (&uplink, HookKind::XdpNative, "stoq_uplink"),
            (&uplink, HookKind::TcxIngress, "stoq_pod_in"),
            (&uplink, HookKind::TcxEgress, "stoq_pod_out"),
        ] {
            let fd = loaded.program(program).unwrap().as_fd();
            attach(&hook(on, kind, program), fd, &links).unwrap();
        }
        after_a_tick();
        let steering = Mutex::new(Steering::open(&pins.maps()).unwrap());
        Arc::new(Self {
            _loaded: loaded,
            steering,
            relay,
        })
    }

    fn connect(&self, socket: &Socket) {
        let mut steering = lock(&self.steering);
        steering.connect(&self.relay, socket).unwrap();
    }

    pub(crate) fn disconnect(&self) {
        let mut steering = lock(&self.steering);
        steering.disconnect(self.relay.endpoint).unwrap();
    }

    pub(crate) fn remove_relay(&self) {
        self.relay.remove().unwrap();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hook(on: &Interface, kind: HookKind, program: &str) -> Hook {
    Hook {
        interface: on.name.clone(),
        ifindex: on.index,
        kind,
        program: program.to_owned(),
    }
}

fn desired(endpoint: SocketAddr) -> Desired {
    let endpoint = DesiredEndpoint {
        addr: endpoint.ip(),
        port: endpoint.port(),
        quic: true,
        uplink: false,
        pod_alone: false,
        steered: true,
        owner: 1,
    };
    let transport = DesiredTransport {
        name: "default/edge".to_owned(),
        policy: PolicySpec::default(),
        per_pod_counters: false,
        endpoints: vec![endpoint],
        front_ends: vec![],
    };
    Desired {
        transports: vec![transport],
        nodes: vec![],
    }
}

/// Whether an agent takes over what another has granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    TakenOver,
    Refused,
}

/// An agent that listens until it is dropped, as one that is killed: steering is left as it is.
pub(crate) struct Agent {
    path: PathBuf,
    listener: OwnedFd,
    connections: Arc<Mutex<Vec<OwnedFd>>>,
    heard: Arc<Mutex<Vec<Message>>>,
    killed: Arc<AtomicBool>,
}

impl Agent {
    pub(crate) fn listen(path: &Path, node: &Arc<Node>, sessions: Sessions) -> Self {
        let kind = SocketType::SEQPACKET;
        let flags = SocketFlags::CLOEXEC;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&listener, 8).unwrap();
        let agent = Self {
            path: path.to_owned(),
            listener,
            connections: Arc::default(),
            heard: Arc::default(),
            killed: Arc::default(),
        };
        agent.serve(node.clone(), sessions);
        agent
    }

    fn serve(&self, node: Arc<Node>, sessions: Sessions) {
        let listener = self.listener.try_clone().unwrap();
        let (connections, heard) = (self.connections.clone(), self.heard.clone());
        let killed = self.killed.clone();
        std::thread::spawn(move || {
            while let Ok(connection) = rustix::net::accept(&listener) {
                lock(&connections).push(connection.try_clone().unwrap());
                let (node, heard, killed) = (node.clone(), heard.clone(), killed.clone());
                std::thread::spawn(move || {
                    talk(&node, &connection, sessions, &heard);
                    if !killed.load(Ordering::Relaxed) {
                        node.disconnect();
                    }
                });
            }
        });
    }

    /// What pods have said.
    pub(crate) fn heard(&self) -> Vec<Message> {
        lock(&self.heard).clone()
    }

    /// Says this to every pod.
    pub(crate) fn say(&self, message: &Message) {
        for connection in lock(&self.connections).iter() {
            // Those that are gone do not hear it.
            _ = send(connection.as_fd(), message, &[]);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.killed.store(true, Ordering::Relaxed);
        _ = std::fs::remove_file(&self.path);
        for connection in lock(&self.connections)
            .drain(..)
            .chain([&self.listener].map(clone))
        {
            _ = rustix::net::shutdown(&connection, Shutdown::Both);
        }
    }
}

fn clone(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().unwrap()
}

/// One conversation. The agent's own descriptor of the socket is closed once steering is on.
fn talk(node: &Node, connection: &OwnedFd, sessions: Sessions, heard: &Mutex<Vec<Message>>) {
    let mut socket = None;
    while let Ok((message, mut fds)) = receive(connection.as_fd()) {
        lock(heard).push(message.clone());
        match message {
            Message::Hello(hello) => socket = Some(grant(node, connection, hello)),
            Message::Resume(Resume { granted, .. }) if sessions == Sessions::TakenOver => {
                assert_eq!(fds.len(), 1);
                socket = fds.pop().map(Socket::from);
                send(connection.as_fd(), &Message::Granted(granted), &[]).unwrap();
            }
            Message::Resume(_) => {
                node.disconnect();
                let text = "the session is over".to_owned();
                let reason = Reason::Disabled;
                let refused = Message::Refused(Refused { reason, text });
                send(connection.as_fd(), &refused, &[]).unwrap();
            }
            Message::Ready => {
                // Said again, the socket is there already.
                if let Some(socket) = socket.take() {
                    node.connect(&socket);
                }
                send(connection.as_fd(), &Message::Steered(true), &[]).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

fn grant(node: &Node, connection: &OwnedFd, hello: Hello) -> Socket {
    let umem = Umem::create(hello.geometry).unwrap();
    let socket = Socket::new().unwrap();
    socket.register(&umem).unwrap();
    socket.make_rings(hello.rings).unwrap();
    socket.bind(node.relay.far.index, 0, Mode::Copy).unwrap();
    let granted = Message::Granted(Granted {
        session: 1,
        geometry: hello.geometry,
        rings: hello.rings,
    });
    let fds = [umem.memfd(), socket.as_fd()];
    send(connection.as_fd(), &granted, &fds).unwrap();
    socket
}
