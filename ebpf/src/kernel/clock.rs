use std::time::Duration;

use rustix::time::{ClockId, clock_getres};

/// How far apart two jiffies are: 1 to 10 ms. What the coarse clocks move by (`posix_get_coarse_res`,
/// kernel/time/posix-timers.c, v6.18).
pub fn tick() -> Duration {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    Duration::from_nanos(resolution.tv_nsec.unsigned_abs())
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
