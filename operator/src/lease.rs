//! Who leads: decided from the Lease as it was seen.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use stoq_crds::Timestamp;

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Move {
    /// Write this: it is ours, free, or its holder is gone.
    Write(LeaseSpec),
    /// Another one holds it.
    Wait,
}

/// A Lease, and since when it has looked so. Clocks of others are not believed: it has run out
/// when it has not changed for its duration by our own clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    spec: LeaseSpec,
    since: Option<Instant>,
}

impl Sight {
    /// It looks like this now.
    pub(crate) fn see(&mut self, spec: LeaseSpec, now: Instant) {
        if self.since.is_none() || self.spec != spec {
            *self = Self {
                spec,
                since: Some(now),
            };
        }
    }

    /// What `me` should do.
    pub(crate) fn decide(
        &self,
        me: &str,
        duration: Duration,
        now: Instant,
        clock: Timestamp,
    ) -> Move {
        let holder = self.spec.holder_identity.as_deref().unwrap_or("");
        if holder == me {
            return Move::Write(LeaseSpec {
                renew_time: Some(MicroTime(clock)),
                lease_duration_seconds: Some(seconds(duration)),
                ..self.spec.clone()
            });
        }
        if !holder.is_empty() && !self.has_run_out(now) {
            return Move::Wait;
        }
        Move::Write(LeaseSpec {
            acquire_time: Some(MicroTime(clock)),
            holder_identity: Some(me.to_owned()),
            lease_duration_seconds: Some(seconds(duration)),
            lease_transitions: Some(self.spec.lease_transitions.map_or(0, |n| n + 1)),
            renew_time: Some(MicroTime(clock)),
            ..LeaseSpec::default()
        })
    }

    fn has_run_out(&self, now: Instant) -> bool {
        let duration = self.spec.lease_duration_seconds.unwrap_or(0).max(0);
        let duration = Duration::from_secs(duration.unsigned_abs().into());
        self.since
            .is_none_or(|since| now.saturating_duration_since(since) > duration)
    }
}

/// The Lease given back, so that the next one need not wait.
pub(crate) fn released(spec: &LeaseSpec, clock: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(clock)),
        ..spec.clone()
    }
}

/// How long a holder may believe that it holds the Lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    /// Until when it may begin a write.
    pub(crate) begins_until: Instant,
    /// When all of its writes must have ended: nobody else may take the Lease before.
    pub(crate) ends: Instant,
}

impl Term {
    /// Of a Lease that was asked for at `asked`.
    pub(crate) fn new(asked: Instant, duration: Duration) -> Self {
        Self {
            begins_until: asked + duration * 2 / 3,
            ends: asked + duration,
        }
    }
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::at;

    const DURATION: Duration = Duration::from_secs(15);

    fn held(by: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(by.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            acquire_time: Some(MicroTime(at(1))),
            renew_time: Some(MicroTime(at(renewed))),
            ..LeaseSpec::default()
        }
    }

    fn decide(sight: &Sight, now: Instant) -> Option<(String, i32)> {
        match sight.decide("me", DURATION, now, at(100)) {
            Move::Wait => None,
            Move::Write(spec) => Some((spec.holder_identity?, spec.lease_transitions?)),
        }
    }

    #[test]
    fn a_free_lease_is_taken_and_an_own_one_renewed() {
        let now = Instant::now();
        let mut sight = Sight::default();
        assert_eq!(decide(&sight, now), Some(("me".into(), 0)));
        sight.see(released(&held("other", 9), at(10)), now);
        assert_eq!(decide(&sight, now), Some(("me".into(), 4)));
        sight.see(held("me", 9), now);
        assert_eq!(decide(&sight, now), Some(("me".into(), 3)));
    }

    #[test]
    fn another_ones_lease_is_left_until_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut sight = Sight::default();
        sight.see(held("other", 1), start);
        assert_eq!(decide(&sight, later(15)), None);
        sight.see(held("other", 2), later(10));
        assert_eq!(decide(&sight, later(25)), None);
        sight.see(held("other", 2), later(20));
        assert_eq!(decide(&sight, later(26)), Some(("me".into(), 4)));
    }

    #[test]
    fn a_holder_begins_nothing_for_which_no_time_is_left() {
        let now = Instant::now();
        for seconds in [5, 6, 15, 3600] {
            let duration = Duration::from_secs(seconds);
            let term = Term::new(now, duration);
            assert!(term.ends <= now + duration);
            assert!(term.ends - term.begins_until >= Duration::from_secs(1));
        }
    }
}
