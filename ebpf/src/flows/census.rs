use std::collections::BTreeMap;
use std::time::Duration;

use stoq_ebpf_abi::flow::{Flow, flag, state};
use stoq_ebpf_abi::maps::FlowKey;

/// Flows, by the index of their transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Transports that have flows, or had until this sweep.
    pub transports: BTreeMap<u32, Tally>,
}

/// Flows of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets passed; nothing is known of a connection.
    pub seen: u64,
    /// A client Initial passed.
    pub handshaking: u64,
    /// Established and not idle.
    pub established: u64,
    /// Established, and silent for some time.
    pub idle: u64,
    /// Of the idle ones, those that were not yet at the last sweep.
    pub idled: u64,
    /// Removed by this sweep; counted nowhere else.
    pub gone: u64,
}

impl Tally {
    /// Flows in the table.
    pub fn live(&self) -> u64 {
        self.seen + self.handshaking + self.established + self.idle
    }
}

impl Census {
    /// The transport's flows; of one without flows, none.
    pub fn transport(&self, index: u32) -> Tally {
        self.transports.get(&index).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, key: &FlowKey, flow: &Flow, ages: &Ages) {
        if is_front_ends(flow) {
            return;
        }
        let tally = self.transports.entry(key.transport).or_default();
        match flow.state {
            state::SEEN => tally.seen += 1,
            state::HANDSHAKING => tally.handshaking += 1,
            _ if ages.idle(flow) => {
                tally.idle += 1;
                tally.idled += u64::from(ages.newly_idle(flow));
            }
            _ => tally.established += 1,
        }
    }

    pub(super) fn remove(&mut self, key: &FlowKey, flow: &Flow) {
        if !is_front_ends(flow) {
            self.transports.entry(key.transport).or_default().gone += 1;
        }
    }
}

/// Such is tracked for the guard alone: mostly its connection is an endpoint's too, from a node's address.
fn is_front_ends(flow: &Flow) -> bool {
    flow.flags & flag::FRONT_END != 0
}

/// Flows pushed out of the full table: of all that began, those neither live nor removed. A flow that starts over with
/// another endpoint counts among them.
///
/// `began` is the transport's flow counter, read before the sweep that counted `live`, so that the difference is never
/// too large; after a restart, the flows of the first sweep and the counter's growth since. `gone` is the sum of all
/// sweeps.
pub fn evicted(began: u64, live: u64, gone: u64) -> u64 {
    began.saturating_sub(live.saturating_add(gone))
}

/// From when on a flow is idle or gone, ns of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    idle_before: u64,
    /// What counted as idle at the last sweep.
    idled_before: Option<u64>,
    gone_before: u64,
}

impl Ages {
    pub(super) fn new(
        now: u64,
        swept: Option<u64>,
        idle_after: Duration,
        gone_after: Duration,
    ) -> Self {
        let idle_after = nanoseconds(idle_after);
        Self {
            idle_before: now.saturating_sub(idle_after),
            idled_before: swept.map(|swept| swept.saturating_sub(idle_after)),
            gone_before: now.saturating_sub(nanoseconds(gone_after)),
        }
    }

    pub(super) fn gone(&self, flow: &Flow) -> bool {
        flow.last_seen < self.gone_before
    }

    fn idle(&self, flow: &Flow) -> bool {
        flow.last_seen < self.idle_before
    }

    /// The first sweep can't tell.
    fn newly_idle(&self, flow: &Flow) -> bool {
        self.idled_before
            .is_some_and(|before| flow.last_seen >= before)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ages(now: u64, swept: Option<u64>) -> Ages {
        let swept = swept.map(|swept| swept * SECOND);
        Ages::new(
            now * SECOND,
            swept,
            Duration::from_secs(30),
            Duration::from_secs(300),
        )
    }

    fn flow(state: u32, last_seen: u64) -> Flow {
        Flow {
            state,
            last_seen: last_seen * SECOND,
            ..Flow::default()
        }
    }

    fn count(flows: &[(u32, u64)], ages: &Ages) -> Tally {
        let mut census = Census::default();
        for (state, last_seen) in flows {
            census.add(&FlowKey::default(), &flow(*state, *last_seen), ages);
        }
        census.transport(0)
    }

    #[test]
    fn a_front_end_s_flow_is_counted_neither_here_nor_when_it_goes() {
        let tracked = Flow {
            flags: flag::FRONT_END,
            ..flow(state::ESTABLISHED, 1000)
        };
        let mut census = Census::default();
        census.add(&FlowKey::default(), &tracked, &ages(1000, None));
        census.remove(&FlowKey::default(), &tracked);
        assert_eq!(census, Census::default());
    }

    #[test]
    fn only_an_established_flow_becomes_idle() {
        let flows = [
            (state::SEEN, 900),
            (state::HANDSHAKING, 900),
            (state::ESTABLISHED, 900),
            (state::ESTABLISHED, 969),
            (state::ESTABLISHED, 970),
            (state::ESTABLISHED, 1000),
            // The clock of a packet may be ahead of ours.
            (state::ESTABLISHED, 1001),
        ];
        let expected = Tally {
            seen: 1,
            handshaking: 1,
            established: 3,
            idle: 2,
            ..Tally::default()
        };
        assert_eq!(count(&flows, &ages(1000, None)), expected);
        assert_eq!(expected.live(), 7);
    }

    #[test]
    fn a_flow_becomes_idle_once() {
        let flows = [(state::ESTABLISHED, 965)];
        let idled = |now, swept| count(&flows, &ages(now, swept)).idled;
        assert_eq!(idled(990, Some(980)), 0, "not yet");
        assert_eq!(idled(1000, Some(990)), 1, "now");
        assert_eq!(idled(1010, Some(1000)), 0, "not again");
        assert_eq!(idled(1010, None), 0, "nobody knows");
    }

    #[test]
    fn a_flow_is_gone_after_its_silence() {
        let ages = ages(1000, None);
        assert!(ages.gone(&flow(state::SEEN, 699)));
        assert!(!ages.gone(&flow(state::SEEN, 700)));
        assert!(!ages.gone(&flow(state::SEEN, 1001)));
    }

    #[test]
    fn soon_after_boot_nothing_is_idle() {
        let flows = [(state::ESTABLISHED, 1)];
        assert_eq!(count(&flows, &ages(20, None)).established, 1);
    }

    #[test]
    fn what_neither_lives_nor_went_was_evicted() {
        let cases = [
            // began, live, gone, evicted
            (0, 0, 0, 0),
            (15, 15, 0, 0),
            (15, 8, 7, 0),
            (15, 8, 2, 5),
            // Two began after the counter was read.
            (10, 12, 0, 0),
        ];
        for (began, live, gone, expected) in cases {
            assert_eq!(
                evicted(began, live, gone),
                expected,
                "{began} {live} {gone}"
            );
        }
    }
}
