//! Which kind comes when.

/// `steps` indexes into `shares`, each as often as its share says, evenly interleaved.
/// None if there is no share at all.
pub(super) fn schedule(shares: &[u32], steps: usize) -> Option<Vec<usize>> {
    let total: i64 = shares.iter().map(|share| i64::from(*share)).sum();
    if total == 0 {
        return None;
    }
    let mut credits = vec![0; shares.len()];
    Some(
        (0..steps)
            .map(|_| next(shares, total, &mut credits))
            .collect(),
    )
}

/// The one with the most credit pays for the step that all shares have just earned.
fn next(shares: &[u32], total: i64, credits: &mut [i64]) -> usize {
    for (credit, share) in credits.iter_mut().zip(shares) {
        *credit += i64::from(*share);
    }
    let richest = (0..credits.len())
        .max_by_key(|index| credits[*index])
        .unwrap_or(0);
    credits[richest] -= total;
    richest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(shares: &[u32], steps: usize) -> Vec<usize> {
        let schedule = schedule(shares, steps).unwrap();
        let count = |index| schedule.iter().filter(|kind| **kind == index).count();
        (0..shares.len()).map(count).collect()
    }

    #[test]
    fn each_kind_has_its_share() {
        for (shares, expected) in [
            (&[40, 20, 20, 10, 10], [400, 200, 200, 100, 100]),
            (&[0, 0, 7, 0, 0], [0, 0, 1000, 0, 0]),
            (&[1, 1, 0, 0, 0], [500, 500, 0, 0, 0]),
            (&[998, 1, 1, 0, 0], [998, 1, 1, 0, 0]),
        ] {
            assert_eq!(counts(shares, 1000), expected, "{shares:?}");
        }
    }

    #[test]
    fn kinds_alternate_instead_of_coming_in_blocks() {
        let schedule = schedule(&[1, 1], 6).unwrap();
        assert!(
            schedule.windows(2).all(|pair| pair[0] != pair[1]),
            "{schedule:?}"
        );
    }

    #[test]
    fn nothing_to_send_is_no_schedule() {
        assert_eq!(schedule(&[0, 0], 1000), None);
    }
}
