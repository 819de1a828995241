//! Two QUIC peers that spin, or do not, over a wire with delay, loss and
//! reordering; watched at the server's door.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use stoq_ebpf_abi::flow::Direction;
use stoq_ebpf_abi::spin::Spin;

pub(crate) const MS: u64 = 1_000_000;

/// What a peer does with the spin bit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Habit {
    /// RFC 9000, 17.4.
    Spins,
    /// Always the same.
    Fixed(bool),
    /// Another in every packet.
    Random,
}

/// When the peers send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Both without pause, a packet every so often.
    Steady(u64),
    /// Both in bursts of so many packets, every so often.
    Bursts(u64, u32),
    /// The client asks, waits for the answer, and pauses.
    PingPong(u64),
}

/// A connection to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) client: Habit,
    pub(crate) server: Habit,
    pub(crate) pace: Pace,
    /// Both ways together, ns.
    pub(crate) round_trip: u64,
    /// Packets lost, per mille.
    pub(crate) lost: u64,
    /// Packets that come late, per mille, and how late at most.
    pub(crate) late: (u64, u64),
}

impl Wire {
    /// A clean wire between two peers that spin.
    pub(crate) fn of(round_trip: u64) -> Self {
        Self {
            client: Habit::Spins,
            server: Habit::Spins,
            pace: Pace::Steady(round_trip / 50),
            round_trip,
            lost: 0,
            late: (0, 0),
        }
    }

    /// Runs a connection for so long; its packets seen and round trips told.
    pub(crate) fn run(self, seed: u64, duration: u64) -> Told {
        Run::new(self, seed).to(duration)
    }
}

/// What came of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) packets: u64,
    pub(crate) samples: Vec<u64>,
}

impl Told {
    /// The sample below which this share of them lies.
    pub(crate) fn quantile(&mut self, share: f64) -> u64 {
        self.samples.sort_unstable();
        self.samples[((self.samples.len() - 1) as f64 * share) as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send {
        server: bool,
    },
    Arrive {
        server: bool,
        number: u64,
        spin: bool,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    sent: u64,
    highest: u64,
    heard: bool,
}

struct Run {
    wire: Wire,
    random: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    queued: u64,
    peers: [Peer; 2],
    spin: Spin,
    told: Told,
}

impl Run {
    fn new(wire: Wire, seed: u64) -> Self {
        let mut run = Self {
            wire,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            queue: BinaryHeap::new(),
            queued: 0,
            peers: [Peer::default(); 2],
            spin: Spin::default(),
            told: Told::default(),
        };
        run.at(MS, Event::Send { server: false });
        if !matches!(wire.pace, Pace::PingPong(_)) {
            run.at(MS + wire.round_trip / 3, Event::Send { server: true });
        }
        run
    }

    fn to(mut self, duration: u64) -> Told {
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            if now > duration {
                break;
            }
            match event {
                Event::Send { server } => self.turn(server, now),
                Event::Arrive {
                    server,
                    number,
                    spin,
                } => self.arrive(server, number, spin, now),
            }
        }
        self.told
    }

    fn at(&mut self, time: u64, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((time, self.queued, event)));
    }

    /// It is this peer's turn to send, as its pace has it.
    fn turn(&mut self, server: bool, now: u64) {
        let (packets, pause) = match self.wire.pace {
            Pace::Steady(gap) => (1, gap),
            Pace::Bursts(gap, packets) => (packets, gap),
            // Goes on even if the answer is lost.
            Pace::PingPong(pause) => (1, pause + self.wire.round_trip),
        };
        (0..packets).for_each(|_| self.send(server, now));
        self.at(now + pause, Event::Send { server });
    }

    fn send(&mut self, server: bool, now: u64) {
        let habit = if server {
            self.wire.server
        } else {
            self.wire.client
        };
        let peer = &mut self.peers[usize::from(server)];
        peer.sent += 1;
        let (number, heard) = (peer.sent, peer.heard);
        let spin = match habit {
            Habit::Spins => heard == server,
            Habit::Fixed(value) => value,
            Habit::Random => self.dice(2) == 0,
        };
        if server {
            self.watch(Direction::Out, spin, now);
        }
        if self.dice(1000) >= self.wire.lost {
            let late = self.lateness();
            let arrival = now + self.wire.round_trip / 2 + late;
            self.at(
                arrival,
                Event::Arrive {
                    server: !server,
                    number,
                    spin,
                },
            );
        }
    }

    fn arrive(&mut self, server: bool, number: u64, spin: bool, now: u64) {
        if server {
            self.watch(Direction::In, spin, now);
        }
        let peer = &mut self.peers[usize::from(server)];
        if number > peer.highest {
            (peer.highest, peer.heard) = (number, spin);
        }
        if server && matches!(self.wire.pace, Pace::PingPong(_)) {
            self.send(true, now);
        }
    }

    fn watch(&mut self, direction: Direction, spin: bool, now: u64) {
        self.told.packets += 1;
        let sample = self.spin.observe(direction, spin, || now);
        if sample != 0 {
            self.told.samples.push(sample);
        }
    }

    fn lateness(&mut self) -> u64 {
        let (share, most) = self.wire.late;
        if self.dice(1000) < share {
            1 + self.dice(most)
        } else {
            0
        }
    }

    /// A number below `sides` (xorshift64*).
    fn dice(&mut self, sides: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides.max(1)
    }
}
