//! Round trips as quinn times them, one per round.
//!
//! Of every packet quinn remembers when it was sent, and it tells its congestion controller when
//! that is acknowledged. `Connection::rtt` is a moving average of these times, which has other
//! quantiles than what it averages.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

use super::quantiles::Samples;

/// quinn's usual congestion control, which also notes round trips.
#[derive(Debug)]
pub(super) struct TimedCubic {
    pub(super) round_trips: Arc<Samples>,
    /// Bytes on their way at any time, if congestion control is not to decide.
    pub(super) window: Option<u64>,
}

impl ControllerFactory for TimedCubic {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Timed {
            cubic: Arc::new(CubicConfig::default()).build(now, mtu),
            window: self.window,
            round: now,
            round_trips: self.round_trips.clone(),
        })
    }
}

struct Timed {
    cubic: Box<dyn Controller>,
    window: Option<u64>,
    /// When the round began: the first packet sent from then on ends it by its acknowledgement.
    round: Instant,
    round_trips: Arc<Samples>,
}

impl Controller for Timed {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if sent >= self.round {
            self.round = now;
            self.round_trips.add(now - sent);
        }
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        let cubic = &mut self.cubic;
        cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        let cubic = &mut self.cubic;
        cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.window.unwrap_or_else(|| self.cubic.window())
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            window: self.window,
            round: self.round,
            round_trips: self.round_trips.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.window.unwrap_or_else(|| self.cubic.initial_window())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
