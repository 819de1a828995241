use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_getres, clock_gettime};

/// How long a clock may stand still.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far apart two jiffies are: 1 to 10 ms. What the coarse clocks move by (`posix_get_coarse_res`,
/// kernel/time/posix-timers.c, v6.18).
pub fn tick() -> Duration {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    Duration::from_nanos(resolution.tv_nsec.unsigned_abs())
}

/// Waits until the tick of this moment is over. The coarse clock moves with the ticks, also where the CPU that counts
/// them is held up.
pub fn after_a_tick() {
    let coarse = || clock_gettime(ClockId::MonotonicCoarse);
    let (before, deadline) = (Duration::try_from(coarse()), Instant::now() + PATIENCE);
    let ticked = || Duration::try_from(coarse()).ok() >= before.ok().map(|time| time + 2 * tick());
    while !ticked() && Instant::now() < deadline {
        thread::sleep(tick());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_that_of_a_known_kernel() {
        let hertz = Duration::from_secs(1).as_nanos() / tick().as_nanos();
        assert!([100, 250, 300, 1000].contains(&hertz), "{hertz}");
    }
}
