//! Flows: what opens, establishes and measures a connection.

mod packets;

use packets::quic::{coalesced, initial, long, padded, short};
use packets::watch::seen;
use stoq_ebpf_abi::flow::{Direction, Flow, Outcome, Seen, state};
use stoq_ebpf_abi::quic::{Census, Header, Kind, V1, V2};

use Direction::{In, Out};

const MS: u64 = 1_000_000;
/// The client's connection ids of a first and a second connection.
const FIRST: [u8; 8] = [1; 8];
const SECOND: [u8; 8] = [2; 8];

/// A flow under observation.
struct Watched {
    flow: Flow,
    now: u64,
}

impl Watched {
    /// A flow whose first packet comes right away.
    fn new() -> Self {
        let now = 1000 * MS;
        Self {
            flow: Flow::begin(1, now),
            now,
        }
    }

    /// A datagram goes by, `after` ms since the last.
    fn sees(&mut self, after: u64, direction: Direction, datagram: impl AsRef<[u8]>) -> Outcome {
        self.now += after * MS;
        let bytes = datagram.as_ref();
        let seen = seen(bytes, (0, bytes.len()), direction, self.now);
        self.flow.observe(&seen, || self.now)
    }

    /// A whole handshake of the client with this id, over a round trip of 20 ms.
    fn connects(&mut self, id: [u8; 8]) -> [Outcome; 4] {
        [
            self.sees(0, In, hello(id)),
            self.sees(1, Out, answer(id)),
            self.sees(20, In, finished(id)),
            self.sees(1, Out, short(false, 60)),
        ]
    }
}

fn hello(id: [u8; 8]) -> Vec<u8> {
    initial().scid_of(&id).filling(1200)
}

/// The server's first flight.
fn answer(id: [u8; 8]) -> Vec<u8> {
    let reply = initial().dcid_of(&id).scid(4).bytes();
    padded(
        coalesced([reply, long(Kind::Handshake).dcid_of(&id).bytes()]),
        1200,
    )
}

/// The client's last flight, with its first short header behind.
fn finished(id: [u8; 8]) -> Vec<u8> {
    coalesced([
        long(Kind::Handshake)
            .dcid_of(&[0x51; 4])
            .scid_of(&id)
            .bytes(),
        short(false, 50),
    ])
}

const NOTHING: Outcome = Outcome {
    opened: false,
    established: false,
    handshake: 0,
    rtt: 0,
};
const OPENED: Outcome = Outcome {
    opened: true,
    ..NOTHING
};

fn measured(ms: u64) -> Outcome {
    Outcome {
        handshake: ms * MS,
        ..NOTHING
    }
}

fn established() -> Outcome {
    Outcome {
        established: true,
        ..NOTHING
    }
}

#[test]
fn a_handshake_opens_measures_and_establishes_once() {
    let mut watched = Watched::new();
    assert_eq!(
        watched.connects(FIRST),
        [OPENED, NOTHING, measured(21), established()]
    );
    assert_eq!(
        (watched.flow.state, watched.flow.version),
        (state::ESTABLISHED, V1)
    );
    for direction in [In, Out, In] {
        assert_eq!(watched.sees(1, direction, short(false, 90)), NOTHING);
    }
    assert_eq!(watched.flow.last_seen, watched.now);
}

#[test]
fn version_2_is_told() {
    let mut watched = Watched::new();
    watched.sees(0, In, initial().v2().filling(1200));
    assert_eq!(
        (watched.flow.state, watched.flow.version),
        (state::HANDSHAKING, V2)
    );
}

#[test]
fn a_server_that_sends_first_establishes_with_the_client_s_answer() {
    let mut watched = Watched::new();
    watched.sees(0, In, hello(FIRST));
    let early = coalesced([answer(FIRST)]);
    assert_eq!(watched.sees(1, Out, early), NOTHING);
    assert_eq!(watched.sees(0, Out, short(false, 700)), NOTHING);
    assert!(!watched.flow.established());
    let outcome = watched.sees(20, In, finished(FIRST));
    assert_eq!(
        outcome,
        Outcome {
            established: true,
            ..measured(21)
        }
    );
}

#[test]
fn retransmitted_initials_belong_to_the_same_connection_and_the_first_counts() {
    let mut watched = Watched::new();
    assert_eq!(watched.sees(0, In, hello(FIRST)), OPENED);
    assert_eq!(watched.sees(300, In, hello(FIRST)), NOTHING);
    assert_eq!(watched.sees(600, In, hello(FIRST)), NOTHING);
    watched.sees(1, Out, answer(FIRST));
    // An acknowledging Initial carries the server's choice of id, and the client's own.
    let acknowledging = initial().dcid(4).scid_of(&FIRST).filling(1200);
    assert_eq!(watched.sees(10, In, acknowledging), NOTHING);
    assert_eq!(watched.sees(10, In, finished(FIRST)), measured(921));
}

#[test]
fn a_client_hello_over_two_datagrams_opens_one_connection() {
    let mut watched = Watched::new();
    assert_eq!(watched.sees(0, In, hello(FIRST)), OPENED);
    assert_eq!(watched.sees(0, In, hello(FIRST)), NOTHING);
}

#[test]
fn a_retry_is_part_of_the_handshake() {
    let mut watched = Watched::new();
    watched.sees(0, In, hello(FIRST));
    watched.sees(1, Out, long(Kind::Retry).dcid_of(&FIRST).bytes());
    let again = initial().dcid(4).scid_of(&FIRST).token(60).filling(1200);
    assert_eq!(watched.sees(20, In, again), NOTHING);
    watched.sees(1, Out, answer(FIRST));
    assert_eq!(watched.sees(20, In, finished(FIRST)), measured(42));
}

#[test]
fn early_data_is_neither_a_short_header_nor_an_end() {
    let mut watched = Watched::new();
    let early = coalesced([
        initial().scid_of(&FIRST).bytes(),
        long(Kind::ZeroRtt).bytes(),
    ]);
    assert_eq!(watched.sees(0, In, padded(early, 1200)), OPENED);
    let more = long(Kind::ZeroRtt).scid_of(&FIRST).bytes();
    assert_eq!(watched.sees(1, In, more), NOTHING);
    assert_eq!(watched.flow.state, state::HANDSHAKING);
    watched.sees(1, Out, answer(FIRST));
    assert_eq!(watched.sees(20, In, finished(FIRST)), measured(22));
}

#[test]
fn short_headers_alone_establish_without_a_connection_event() {
    // Migration to a new address, or an agent that came later.
    for order in [[In, Out], [Out, In]] {
        let mut watched = Watched::new();
        for direction in order {
            assert!(!watched.flow.established());
            assert_eq!(watched.sees(5, direction, short(true, 80)), NOTHING);
        }
        assert!(watched.flow.established());
    }
}

#[test]
fn a_stateless_reset_establishes_nothing() {
    // It is shorter than what provoked it; whoever provokes many must not stop paying.
    let mut watched = Watched::new();
    for probe in [60, 1200, 30] {
        watched.sees(5, In, short(true, probe));
        watched.sees(0, Out, short(false, probe.min(43) - 1));
        assert!(!watched.flow.established(), "after a probe of {probe}");
    }
    watched.sees(5, Out, short(false, 1200));
    assert!(watched.flow.established());
}

#[test]
fn a_server_that_only_acknowledges_is_known_by_its_spin_bit() {
    // An upload that was there before the agent, or moved to another address. `late`: how many
    // acknowledgements still carry the old bit after the client's has flipped.
    for (name, late, server) in [
        ("follows", 0, None),
        ("follows late", 2, None),
        ("never spins", 0, Some(false)),
        ("never spins either", 0, Some(true)),
    ] {
        let mut watched = Watched::new();
        for packet in 0..100 {
            let spin = server.is_none() && packet / 25 % 2 == 1;
            let old = packet >= 25 && packet % 25 < late;
            watched.sees(1, In, short(spin, 1200));
            watched.sees(0, Out, short(server.unwrap_or(spin != old), 40));
        }
        assert!(watched.flow.established(), "{name}");
    }
}

#[test]
fn resets_with_random_spin_bits_establish_nothing() {
    let mut random = 1u64;
    let mut watched = Watched::new();
    for packet in 0..100_000 {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        watched.sees(1, In, short(packet % 3 == 0, 1200));
        watched.sees(0, Out, short(random & 1 == 1, 43));
    }
    assert!(!watched.flow.established());
}

#[test]
fn one_way_traffic_never_establishes() {
    for datagram in [
        hello(FIRST),
        short(false, 40),
        long(Kind::Handshake).bytes(),
    ] {
        let mut watched = Watched::new();
        for _ in 0..100 {
            let outcome = watched.sees(1, In, &datagram);
            assert!(!outcome.established && outcome.handshake == 0);
        }
        assert!(!watched.flow.established());
    }
}

#[test]
fn a_next_connection_on_the_same_port_is_counted_and_measured() {
    let mut watched = Watched::new();
    watched.connects(FIRST);
    watched.now += 5000 * MS;
    // The old flow's short headers were seen both ways: the first new one establishes.
    let outcomes = watched.connects(SECOND);
    assert_eq!(outcomes[0], OPENED);
    assert_eq!(outcomes[2].handshake, 21 * MS);
    let events = outcomes
        .iter()
        .filter(|outcome| outcome.established)
        .count();
    assert_eq!(events, 1, "{outcomes:?}");
    assert!(
        watched.flow.established(),
        "it stays free of the budgets throughout"
    );
}

#[test]
fn connections_at_once_on_one_port_are_counted_but_their_handshakes_not_invented() {
    let mut watched = Watched::new();
    watched.connects(FIRST);
    assert_eq!(watched.sees(1, In, hello(SECOND)), OPENED);
    assert_eq!(watched.sees(1, In, short(false, 70)), NOTHING);
    watched.sees(1, Out, answer(SECOND));
    let outcome = watched.sees(1, In, short(false, 70));
    assert_eq!(outcome, established());
}

#[test]
fn a_connection_that_failed_gives_way_to_the_next() {
    let mut watched = Watched::new();
    assert_eq!(watched.sees(0, In, hello(FIRST)), OPENED);
    watched.now += 10_000 * MS;
    let outcomes = watched.connects(SECOND);
    assert_eq!(outcomes, [OPENED, NOTHING, measured(21), established()]);
}

#[test]
fn a_client_without_an_id_of_its_own_is_observed_alike() {
    let mut watched = Watched::new();
    assert_eq!(watched.sees(0, In, initial().scid(0).filling(1200)), OPENED);
    assert_eq!(
        watched.sees(0, In, initial().scid(0).filling(1200)),
        NOTHING
    );
    watched.sees(1, Out, padded(initial().dcid(0).bytes(), 1200));
    let last = coalesced([
        long(Kind::Handshake).dcid_of(&[0x51; 8]).scid(0).bytes(),
        short(false, 40),
    ]);
    assert_eq!(watched.sees(20, In, last), measured(21));
    assert_eq!(watched.sees(1, Out, short(false, 40)), established());
}

#[test]
fn a_stranger_s_answer_does_not_end_the_handshake() {
    let mut watched = Watched::new();
    watched.sees(0, In, hello(FIRST));
    watched.sees(1, Out, answer(SECOND));
    assert_eq!(watched.sees(1, In, short(false, 40)), NOTHING);
}

#[test]
fn who_does_not_know_the_server_s_id_establishes_nothing_however_early_the_server_speaks() {
    let blind = || {
        let mut bytes = short(false, 40);
        bytes[1..5].fill(0xee);
        bytes
    };
    let mut watched = Watched::new();
    watched.sees(0, In, blind());
    watched.sees(0, In, hello(FIRST));
    watched.sees(0, In, short(false, 40));
    watched.sees(1, Out, answer(FIRST));
    watched.sees(0, Out, short(false, 700));
    watched.sees(0, In, blind());
    watched.sees(9, Out, short(false, 700));
    assert!(!watched.flow.established());

    let mut at_last = Watched {
        flow: watched.flow,
        now: watched.now,
    };
    at_last.sees(1, In, short(false, 40));
    assert!(at_last.flow.established());

    // Or by an id that it learned since: so much is only sent to who was heard of.
    watched.flow.bytes = [1300, 4000];
    watched.sees(1, In, blind());
    assert!(watched.flow.established());
}

#[test]
fn an_idle_flow_wakes_up_established() {
    let mut watched = Watched::new();
    watched.connects(FIRST);
    watched.flow.state = state::IDLE;
    assert!(watched.flow.established(), "silence is no reason to pay");
    watched.sees(60_000, In, short(false, 30));
    assert_eq!(watched.flow.state, state::ESTABLISHED);
}

#[test]
fn plain_udp_is_established_by_an_answer() {
    let packet = |direction, now| Seen {
        direction,
        now,
        quic: false,
        header: Header::NONE,
        client_id: 0,
        server_id: 0,
        len: 0,
        census: Census::default(),
    };
    let mut flow = Flow::begin(1, MS);
    for (direction, expected) in [(In, false), (In, false), (Out, true), (In, true)] {
        assert_eq!(
            flow.observe(&packet(direction, MS), || panic!("no clock")),
            NOTHING
        );
        assert_eq!(flow.established(), expected);
    }
    assert_eq!(flow.last_seen, MS);
}

#[test]
fn empty_datagrams_of_a_quic_flow_mean_nothing() {
    let mut watched = Watched::new();
    for direction in [In, Out, In] {
        assert_eq!(watched.sees(1, direction, []), NOTHING);
    }
    assert_eq!(watched.flow.state, state::SEEN);
}

#[test]
fn the_fine_clock_is_read_for_edges_only() {
    let mut watched = Watched::new();
    watched.connects(FIRST);
    let unread = || panic!("the clock was read");
    for direction in [In, Out, In, Out] {
        let seen = seen(&short(false, 60)[..], (0, 60), direction, watched.now);
        watched.flow.observe(&seen, unread);
    }
}
