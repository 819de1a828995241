//! Clients by the thousand, and a loud one.
#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use stoq_cluster::Cluster;

/// Clients that ask at once.
const BATCH: u32 = 200;
/// How often a client asks: UDP may lose a packet on a busy machine.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(500);
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
/// The loud one asks so often at a time.
const VOLLEY: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// A crowd that was answered to the last.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Questions that had to be asked again.
    pub(crate) again: u32,
    /// Without the time that was lost with those.
    pub(crate) took: Duration,
}

/// So many clients, each with an address of its own, ask an echo, which answers all but one in two
/// hundred at the first time.
pub(crate) fn crowd(cluster: &Cluster, echo: SocketAddr, clients: u32) -> Crowd {
    let ask = || {
        let (begun, mut again, mut lost) = (Instant::now(), 0, Duration::ZERO);
        for first in (0..clients).step_by(BATCH as usize) {
            for (client, socket) in batch(echo, first..clients.min(first + BATCH)) {
                let asked = Instant::now();
                let more = asked_again(client, &socket);
                if more > 0 {
                    lost += asked.elapsed();
                }
                again += more;
                assert!(again <= clients / 200, "{again} up to client {client}");
            }
        }
        Crowd {
            again,
            took: begun.elapsed() - lost,
        }
    };
    cluster.client.run(ask).unwrap()
}

/// All of them ask at once.
fn batch(echo: SocketAddr, clients: Range<u32>) -> Vec<(u32, UdpSocket)> {
    let sockets = clients.map(|client| {
        let address = Ipv4Addr::from(u32::from(FIRST) + client);
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.connect(echo).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(&client.to_le_bytes()).unwrap();
        (client, socket)
    });
    sockets.collect()
}

/// Waits for the client's answer; how often it had to ask again.
fn asked_again(client: u32, socket: &UdpSocket) -> u32 {
    for again in 0..TRIES {
        let mut answer = [0; 4];
        if matches!(socket.recv(&mut answer), Ok(4)) && answer == client.to_le_bytes() {
            return again;
        }
        socket.send(&client.to_le_bytes()).unwrap();
    }
    panic!("client {client} was answered to none of {TRIES} questions");
}

/// What became of a loud client's questions.
#[derive(Debug)]
pub(crate) struct Loud {
    pub(crate) asked: usize,
    pub(crate) answered: usize,
    pub(crate) took: Duration,
}

/// One client asks an echo about two thousand times a second.
pub(crate) fn loud(cluster: &Cluster, client: Ipv4Addr, echo: SocketAddr, time: Duration) -> Loud {
    let ask = || {
        let socket = UdpSocket::bind((client, 0)).unwrap();
        socket.connect(echo).unwrap();
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        let (begun, mut asked, mut answered) = (Instant::now(), 0, 0);
        let mut answer = [0; 4];
        while begun.elapsed() < time {
            for _ in 0..VOLLEY {
                socket.send(b"loud").unwrap();
            }
            asked += VOLLEY;
            let volley = Instant::now();
            while volley.elapsed() < PAUSE {
                answered += usize::from(socket.recv(&mut answer).is_ok());
            }
        }
        Loud {
            asked,
            answered,
            took: begun.elapsed(),
        }
    };
    cluster.client.run(ask).unwrap()
}
