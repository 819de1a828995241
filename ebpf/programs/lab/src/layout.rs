//! Layout of the flood program's maps. The user side includes this very file.

/// Template slots.
pub(crate) const SLOTS: u32 = 4096;
/// Bytes of a slot: the frame's length as a native u32, then the frame.
pub(crate) const SLOT_BYTES: usize = 1520;
/// Where the frame begins in its slot.
pub(crate) const SLOT_FRAME: usize = 4;
/// The longest frame: Ethernet header and an MTU of 1500.
pub(crate) const FRAME_MAX: usize = 1514;
/// The length of live frames before they become packets, by which the program knows them.
pub(crate) const LIVE_FRAME: usize = 2049;

/// Steps of the schedule: one kind each, repeated for ever.
pub(crate) const SCHEDULE_STEPS: u32 = 1000;
/// Kinds of packets at most.
pub(crate) const KINDS: usize = 8;

/// Words of a kind's rule, all u32.
pub(crate) const RULE_WORDS: usize = 5;
/// Rule: first slot of the kind's templates.
pub(crate) const RULE_FIRST: usize = 0;
/// Rule: number of its templates, used in turn.
pub(crate) const RULE_COUNT: usize = 1;
/// Rule: source network, host byte order.
pub(crate) const RULE_NETWORK: usize = 2;
/// Rule: the bits of the source address that are random.
pub(crate) const RULE_RANDOM: usize = 3;
/// Rule: source port, or 0 for a random one from 1024.
pub(crate) const RULE_PORT: usize = 4;

/// Words of the state, all u64.
pub(crate) const STATE_WORDS: usize = STATE_SENT + KINDS;
/// State: frames so far.
pub(crate) const STATE_SEQUENCE: usize = 0;
/// State: the random generator's, never 0.
pub(crate) const STATE_RANDOM: usize = 1;
/// State: the device to send on, an interface index.
pub(crate) const STATE_IFINDEX: usize = 2;
/// State: first of the counters of frames sent, one per kind.
pub(crate) const STATE_SENT: usize = 3;

/// Sources that `lab_vary` goes through: the lower two bytes of the address.
pub(crate) const VARY_SOURCES: u32 = 50_000;
/// From one to the next: a prime, so that all are met, far apart in memory.
pub(crate) const VARY_STRIDE: u32 = 28_657;
