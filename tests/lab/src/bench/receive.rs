//! How many packets a second one thread receives, and what each costs it: by UDP, by AF_XDP.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use stoq_ebpf::af_xdp::{Geometry, Mode, Receiver, Rings, Socket, Umem};
use stoq_ebpf::relay::{Relay, Steering};
use stoq_ebpf::tables::PolicySpec;

use super::cpu;
use super::figure::Figure;
use super::node::{Node, PORT};
use crate::Pod;
use crate::flood::{Control, Flood, Kind, Mix};
use crate::topology::UPLINK;

const FRAMES: u32 = 4096;
/// Packets taken at a time.
const BATCH: usize = 64;
/// How long a receiver sleeps at most before it looks whether the flood is over.
const LOOK: Duration = Duration::from_millis(100);

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A UDP socket in the pod, `recvmmsg`; nothing of STOQ on the way.
    Udp,
    /// An AF_XDP socket behind a relay, as pods have it.
    Relay,
    /// One on the uplink itself.
    Direct,
}

/// What one receiver came to.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// Packets per second.
    rate: f64,
    /// CPU time of the receiver per packet, ns.
    cost: f64,
}

/// The figures of payloads of one size: rates and costs of all rounds, relative to UDP's.
pub(super) fn run(
    node: &mut Node,
    figures: &[Figure],
    size: usize,
    rounds: u32,
    seconds: f64,
) -> Result<Vec<(Figure, Vec<f64>)>> {
    let endpoint = node.steer(PolicySpec::default())?;
    node.lab.node.offload(UPLINK, "gro on")?;
    let mut flood = super::drop::flood_of(node, Mix::only(Kind::Loud), seconds, size)?;
    let relay = node.lab.node.run(|| Relay::ensure(endpoint.id, 1500))??;
    let mut ratios: Vec<_> = figures.iter().map(|figure| (*figure, vec![])).collect();
    for round in 1..=rounds {
        let ways = [Way::Udp, Way::Relay, Way::Direct];
        let outcomes = ways.map(|way| measure(node, &mut flood, &relay, way));
        let [udp, relay, direct] = outcomes;
        let (udp, relay, direct) = (udp?, relay?, direct?);
        for (way, one) in ways.iter().zip([udp, relay, direct]) {
            let (rate, cost) = (one.rate / 1e6, one.cost);
            eprintln!(
                "receive {size} B, round {round}/{rounds}, {way:?}: {rate:.2} Mpps, {cost:.0} ns a packet"
            );
        }
        for (figure, ratios) in &mut ratios {
            ratios.push(match figure {
                Figure::Receive64Relay | Figure::Receive1200Relay => relay.rate / udp.rate,
                Figure::Receive64RelayCpu | Figure::Receive1200RelayCpu => relay.cost / udp.cost,
                Figure::Receive64Direct | Figure::Receive1200Direct => direct.rate / udp.rate,
                _ => direct.cost / udp.cost,
            });
        }
    }
    node.lab.node.run(|| relay.remove())??;
    Ok(ratios)
}

fn measure(node: &mut Node, flood: &mut Flood, relay: &Relay, way: Way) -> Result<Outcome> {
    let over = AtomicBool::new(false);
    match way {
        Way::Udp => {
            let address = SocketAddr::new(Pod::Routed.v4().into(), PORT);
            let socket = node.lab.pod.run(|| UdpSocket::bind(address))??;
            socket.set_read_timeout(Some(LOOK))?;
            race(flood, &over, || by_udp(&socket, &over))
        }
        Way::Relay => {
            node.admit_loud(relay.endpoint)?;
            node.attach_xdp(&relay.far.name, "stoq_relay")?;
            node.attach_native(UPLINK)?;
            let receiver = receiver(node, relay, relay.far.index)?;
            let outcome = race(flood, &over, || by_af_xdp(receiver, &over));
            node.detach_native(UPLINK)?;
            node.detach_xdp(&relay.far.name, "stoq_relay")?;
            outcome
        }
        Way::Direct => {
            node.attach_xdp(UPLINK, "stoq_relay")?;
            let receiver = receiver(node, relay, node.index(UPLINK)?)?;
            let outcome = race(flood, &over, || by_af_xdp(receiver, &over));
            node.detach_xdp(UPLINK, "stoq_relay")?;
            outcome
        }
    }
}

/// The flood on its CPU, the receiver on the other.
fn race(
    flood: &mut Flood,
    over: &AtomicBool,
    receive: impl FnOnce() -> Result<(u64, Duration)> + Send,
) -> Result<Outcome> {
    let (sent, received) = thread::scope(|scope| {
        let receiver = scope.spawn(|| cpu::pinned_apart(receive));
        let sent = flood.run(&Control::default());
        // What is on its way arrives.
        thread::sleep(LOOK);
        over.store(true, Relaxed);
        (sent, receiver.join())
    });
    let sent = sent?;
    let (packets, cpu) = received.map_err(|_| anyhow!("the receiver panicked"))??;
    ensure!(
        packets * 20 > sent.total,
        "{packets} of {} arrived",
        sent.total
    );
    Ok(Outcome {
        rate: packets as f64 / sent.seconds,
        cost: cpu.as_nanos() as f64 / packets as f64,
    })
}

fn by_udp(socket: &UdpSocket, over: &AtomicBool) -> Result<(u64, Duration)> {
    let mut buffers = [[0u8; 2048]; BATCH];
    let mut packets = 0;
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    while !over.load(Relaxed) {
        let flags = MsgFlags::MSG_WAITFORONE;
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        match recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            slices.iter_mut(),
            flags,
            None,
        ) {
            Ok(received) => packets += received.count() as u64,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("recvmmsg"),
        }
    }
    Ok((packets, spent()))
}

fn by_af_xdp(mut receiver: Receiver, over: &AtomicBool) -> Result<(u64, Duration)> {
    let mut buffer = [0u8; 2048];
    let mut packets = 0;
    let look = Timespec::try_from(LOOK)?;
    while !over.load(Relaxed) {
        // As a service does that reads its payloads: each is copied out.
        let came = receiver.receive(BATCH, |packet| {
            let length = packet.len().min(buffer.len());
            packet.copy_to(0, &mut buffer[..length]);
        });
        packets += came as u64;
        if came == 0 {
            let fd = receiver.as_fd();
            poll(
                &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
                Some(&look),
            )?;
        }
    }
    Ok((packets, spent()))
}

/// CPU time of this thread.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn receiver(node: &Node, relay: &Relay, index: u32) -> Result<Receiver> {
    let rings = Rings {
        fill: FRAMES,
        receive: FRAMES,
    };
    let umem = Umem::create(Geometry::new(FRAMES, 2048)?)?;
    // A device's index is one of the caller's namespace, in the map too.
    let mut steering = Steering::open(&node.maps())?;
    let bound = node.lab.node.run(|| -> Result<Socket> {
        let socket = Socket::new()?;
        socket.register(&umem)?;
        socket.make_rings(rings)?;
        socket.bind(index, 0, Mode::Copy)?;
        steering.connect(relay, &socket)?;
        Ok(socket)
    })??;
    Ok(Receiver::open(bound, umem, rings)?)
}
