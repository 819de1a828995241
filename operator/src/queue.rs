//! Which status is looked at when, and which one is written next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stoq_crds::ObjectName;

use crate::status::Urgency;

/// Between two looks at one transport: many nodes speak of it at once.
const LOOK_GAP: Duration = Duration::from_millis(200);
/// How long to wait after a write that went wrong, at first; doubled each time.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MOST: u32 = 5;

/// Between two writes of one status if only figures are new: as long as figures may take, which are
/// 45 s old when an agent replaces them and must never be 60 s old.
const FIGURES_GAP: Duration = Duration::from_secs(8);
/// The same in a small cluster, if the figures are others and not only younger.
const FIGURES_GAP_LEAST: Duration = Duration::from_secs(4);
/// Agents of a small cluster, and of one where the longer gap holds. Each is told of each write.
const AGENTS: [usize; 2] = [100, 5_000];
/// How long figures let changes of state go before them.
const FIGURES_YIELD: Duration = Duration::from_secs(1);

/// Between two writes of one status, by what is new and how many agents there are.
fn gap(urgency: Urgency, agents: usize) -> Duration {
    match urgency {
        Urgency::State => Duration::from_secs(1),
        Urgency::Traffic => {
            let [few, many] = AGENTS;
            let beyond = agents.clamp(few, many) - few;
            let part = beyond as f64 / (many - few) as f64;
            FIGURES_GAP_LEAST + (FIGURES_GAP - FIGURES_GAP_LEAST).mul_f64(part)
        }
        Urgency::Age => FIGURES_GAP,
    }
}

/// Transports with something to do.
#[derive(Debug, Default)]
pub(crate) struct Queue(BTreeMap<ObjectName, Slot>);

#[derive(Debug)]
struct Slot {
    /// Since when something may have changed; `None`: nothing has.
    since: Option<Instant>,
    /// When to look; meaningless while nothing has changed.
    look_at: Instant,
    /// Found to differ, and may be written; those with the earliest time first.
    ready: Option<Instant>,
    looked: Option<Instant>,
    written: Option<Instant>,
    writing: bool,
    failures: u32,
}

impl Queue {
    /// Something of the transport may have changed.
    pub(crate) fn mark(&mut self, name: &ObjectName, now: Instant) {
        let slot = self.0.entry(name.clone()).or_insert(Slot::new(now));
        let after_last = slot.looked.map_or(now, |looked| looked + LOOK_GAP);
        let soonest = now.max(after_last);
        slot.look_at = match slot.since {
            Some(_) if slot.failures > 0 => slot.look_at,
            Some(_) => slot.look_at.min(soonest),
            None => soonest,
        };
        slot.since.get_or_insert(now);
    }

    /// It is gone.
    pub(crate) fn forget(&mut self, name: &ObjectName) {
        self.0.remove(name);
    }

    /// Nothing is to be written any more.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many wait.
    pub(crate) fn depth(&self) -> usize {
        self.0.values().filter(|slot| slot.since.is_some()).count()
    }

    /// When to look at the next one.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let waiting = self.0.values().filter(|slot| slot.is_waiting());
        waiting.map(|slot| slot.look_at).min()
    }

    /// Whether one may be written now.
    pub(crate) fn has_ready(&self) -> bool {
        self.0.values().any(Slot::is_ready)
    }

    /// Those to look at now.
    pub(crate) fn due(&self, now: Instant) -> Vec<ObjectName> {
        let due = |slot: &Slot| slot.is_waiting() && slot.look_at <= now;
        let due = self.0.iter().filter(|(_, slot)| due(slot));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// What a look came to: it differs so much, or not at all. `agents` are told of what is written.
    pub(crate) fn looked(
        &mut self,
        name: &ObjectName,
        found: Option<Urgency>,
        agents: usize,
        now: Instant,
    ) {
        let Some(slot) = self.0.get_mut(name) else {
            return;
        };
        slot.looked = Some(now);
        let Some(urgency) = found else {
            (slot.since, slot.ready, slot.failures) = (None, None, 0);
            return;
        };
        let gap = gap(urgency, agents);
        let allowed = slot.written.map_or(now, |written| written + gap);
        let place = match urgency {
            Urgency::State => now,
            Urgency::Traffic | Urgency::Age => now + FIGURES_YIELD,
        };
        slot.ready = (allowed <= now).then_some(place);
        slot.look_at = allowed.max(now + LOOK_GAP);
    }

    /// The one to write now: who has waited longest, changes of state a little before figures.
    pub(crate) fn take(&mut self, now: Instant) -> Option<ObjectName> {
        let ready = self.0.iter().filter(|(_, slot)| slot.is_ready());
        let best = ready.min_by_key(|(_, slot)| (slot.ready, slot.since));
        let name = best?.0.clone();
        if let Some(slot) = self.0.get_mut(&name) {
            slot.written = Some(now);
            (slot.writing, slot.ready, slot.since) = (true, None, None);
        }
        Some(name)
    }

    /// A write has ended; one that went wrong is tried again.
    pub(crate) fn written(&mut self, name: &ObjectName, well: bool, now: Instant) {
        let Some(slot) = self.0.get_mut(name) else {
            return;
        };
        slot.writing = false;
        if well {
            slot.failures = 0;
            return;
        }
        slot.since.get_or_insert(now);
        slot.look_at = now + RETRY * (1 << slot.failures.min(RETRY_MOST));
        slot.failures += 1;
    }
}

impl Slot {
    fn new(now: Instant) -> Self {
        Self {
            since: None,
            look_at: now,
            ready: None,
            looked: None,
            written: None,
            writing: false,
            failures: 0,
        }
    }

    fn is_waiting(&self) -> bool {
        self.since.is_some() && self.ready.is_none() && !self.writing
    }

    fn is_ready(&self) -> bool {
        self.ready.is_some() && !self.writing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ObjectName {
        ObjectName {
            namespace: "d".into(),
            name: name.into(),
        }
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.mark(&name("a"), now);
        assert_eq!(queue.due(now), [name("a")]);
        queue.looked(&name("a"), None, 1, now);
        assert_eq!(
            (queue.take(now), queue.next_look(), queue.depth()),
            (None, None, 0)
        );
    }

    #[test]
    fn a_status_is_written_once_a_second_at_most() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut written = Vec::new();
        for millis in (0..5000).step_by(10) {
            let now = after(start, millis);
            queue.mark(&name("a"), now);
            for due in queue.due(now) {
                queue.looked(&due, Some(Urgency::State), 1, now);
            }
            if let Some(taken) = queue.take(now) {
                written.push(millis);
                queue.written(&taken, true, now);
            }
        }
        assert_eq!(written.first(), Some(&0));
        assert!(
            written.windows(2).all(|two| two[1] - two[0] >= 1000),
            "{written:?}"
        );
        assert!(written.len() >= 4, "{written:?}");
    }

    #[test]
    fn figures_wait_longer_and_a_change_of_state_overtakes_them() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.mark(&name("a"), start);
        queue.looked(&name("a"), Some(Urgency::Traffic), 1, start);
        let taken = queue.take(start).unwrap();
        queue.written(&taken, true, start);

        queue.mark(&name("a"), after(start, 1500));
        assert_eq!(queue.due(after(start, 1500)), [name("a")]);
        queue.looked(&name("a"), Some(Urgency::Traffic), 1, after(start, 1500));
        assert!(!queue.has_ready());
        assert_eq!(queue.next_look(), Some(after(start, 4000)));

        queue.mark(&name("a"), after(start, 1600));
        assert_eq!(queue.next_look(), Some(after(start, 1700)));
        queue.looked(&name("a"), Some(Urgency::State), 1, after(start, 1700));
        assert_eq!(queue.take(after(start, 1700)), Some(name("a")));
    }

    #[test]
    fn changes_of_state_go_first_then_who_waited_longest() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        for (n, (one, urgency)) in [
            ("a", Urgency::Traffic),
            ("b", Urgency::State),
            ("c", Urgency::State),
        ]
        .into_iter()
        .rev()
        .enumerate()
        {
            let now = after(start, n as u64);
            queue.mark(&name(one), now);
            queue.looked(&name(one), Some(urgency), 1, now);
        }
        let now = after(start, 9);
        let order: Vec<_> = std::iter::from_fn(|| queue.take(now))
            .map(|one| one.name)
            .collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[test]
    fn figures_are_written_less_often_the_more_agents_are_told() {
        for (agents, millis) in [
            (0, 4000),
            (100, 4000),
            (2550, 6000),
            (5000, 8000),
            (9000, 8000),
        ] {
            assert_eq!(
                gap(Urgency::Traffic, agents).as_millis(),
                millis,
                "{agents}"
            );
            assert!(gap(Urgency::Traffic, agents) <= gap(Urgency::Age, agents));
        }
    }

    /// Everything changes all the time: the state of most transports, the figures of the others.
    #[test]
    fn figures_of_fifty_transports_on_five_thousand_nodes_are_never_13_s_late() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut budget = crate::budget::Budget::new(start);
        let urgency = |n: usize| match n % 5 {
            0 => Urgency::Age,
            1 => Urgency::Traffic,
            _ => Urgency::State,
        };
        let names: Vec<_> = (0..50).map(|n| name(&format!("{n:02}"))).collect();
        let mut written = vec![vec![0]; names.len()];
        let mut tokens = 0;
        for millis in (0..120_000).step_by(20) {
            let now = after(start, millis);
            names.iter().for_each(|one| queue.mark(one, now));
            for due in queue.due(now) {
                let n = due.name.parse().unwrap();
                queue.looked(&due, Some(urgency(n)), 5_000, now);
            }
            while queue.has_ready() && budget.take(now) {
                tokens += 1;
                // Labels and the like have theirs.
                if tokens % 8 == 0 {
                    continue;
                }
                let taken = queue.take(now).unwrap();
                queue.written(&taken, true, now);
                written[taken.name.parse::<usize>().unwrap()].push(millis);
            }
        }
        for (n, mut at) in written.into_iter().enumerate() {
            at.push(120_000);
            let longest = at.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            assert!(longest <= 13_000, "{n}: {longest} ms between two writes");
        }
    }

    #[test]
    fn a_write_that_went_wrong_is_tried_again_later_and_later() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut now = start;
        for wait in [1, 2, 4] {
            queue.mark(&name("a"), now);
            queue.looked(&name("a"), Some(Urgency::State), 1, now);
            let taken = queue.take(now).unwrap();
            queue.written(&taken, false, now);
            queue.mark(&name("a"), now);
            assert_eq!(queue.next_look(), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
    }

    #[test]
    fn one_that_is_being_written_is_not_written_again_meanwhile() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.mark(&name("a"), start);
        queue.looked(&name("a"), Some(Urgency::State), 1, start);
        queue.take(start).unwrap();
        queue.mark(&name("a"), after(start, 2000));
        assert_eq!(queue.due(after(start, 9000)), []);
        queue.written(&name("a"), true, after(start, 2500));
        assert_eq!(queue.due(after(start, 9000)), [name("a")]);
    }
}
