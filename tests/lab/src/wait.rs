//! Waiting for a condition, with a deadline, instead of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const LOOK: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer; an error that names `what` after `within`.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut answer: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = answer() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {within:?}");
        }
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_ends_the_wait() {
        let mut asked = 0;
        let answer = wait_for("three", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn no_answer_is_an_error_that_says_of_what() {
        let error = wait_for::<()>("rain", Duration::ZERO, || None).unwrap_err();
        assert!(error.to_string().starts_with("rain"));
    }
}
