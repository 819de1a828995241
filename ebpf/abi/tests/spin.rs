//! Round trips told by the spin bit: true where peers spin, none where not.

mod wire;

use wire::{Habit, MS, Pace, Told, Wire};

/// Ten connections of two hundred round trips each.
fn connections(wire: Wire) -> Told {
    let mut all = Told::default();
    for seed in 1..=10 {
        let told = wire.run(seed, 200 * wire.round_trip);
        all.packets += told.packets;
        all.samples.extend(told.samples);
    }
    all
}

/// Most round trips gave a sample, and quantiles are within 15 % of the truth.
#[track_caller]
fn truthful(wire: Wire, least: usize) {
    let mut told = connections(wire);
    assert!(
        told.samples.len() >= least,
        "{} samples: {wire:?}",
        told.samples.len()
    );
    for share in [0.05, 0.5, 0.95] {
        let ratio = told.quantile(share) as f64 / wire.round_trip as f64;
        assert!(
            (0.85..1.15).contains(&ratio),
            "{ratio} at {share}: {wire:?}"
        );
    }
}

/// What ten connections could give, both directions.
const ALL: usize = 10 * 200 * 2;

#[test]
fn a_clean_wire_gives_a_sample_for_nearly_every_round_trip_and_direction() {
    for round_trip in [5 * MS, 20 * MS, 80 * MS] {
        let bursts = Pace::Bursts(round_trip / 10, 10);
        truthful(Wire::of(round_trip), ALL * 9 / 10);
        truthful(
            Wire {
                pace: bursts,
                ..Wire::of(round_trip)
            },
            ALL * 8 / 10,
        );
    }
}

#[test]
fn loss_costs_no_truth() {
    for round_trip in [5 * MS, 20 * MS, 80 * MS] {
        for lost in [10, 50] {
            truthful(
                Wire {
                    lost,
                    ..Wire::of(round_trip)
                },
                ALL * 9 / 10,
            );
        }
    }
}

#[test]
fn reordering_costs_samples_but_no_truth() {
    for round_trip in [5 * MS, 20 * MS, 80 * MS] {
        for late in [(10, round_trip / 4), (20, round_trip / 10)] {
            truthful(
                Wire {
                    late,
                    lost: 10,
                    ..Wire::of(round_trip)
                },
                ALL / 2,
            );
        }
    }
}

#[test]
fn a_peer_that_does_not_spin_gives_no_sample() {
    use Habit::{Fixed, Random, Spins};
    for (client, server) in [
        (Fixed(true), Spins),
        (Fixed(false), Spins),
        (Spins, Fixed(true)),
        (Spins, Fixed(false)),
        (Fixed(true), Fixed(false)),
        (Random, Fixed(false)),
        (Fixed(true), Random),
    ] {
        for pace in [
            Pace::Steady(MS),
            Pace::Bursts(10 * MS, 10),
            Pace::PingPong(MS),
        ] {
            let told = connections(Wire {
                client,
                server,
                pace,
                ..Wire::of(20 * MS)
            });
            assert_eq!(told.samples, [], "{client:?} {server:?} {pace:?}");
        }
    }
}

#[test]
fn random_bits_of_either_peer_give_almost_no_sample() {
    use Habit::{Random, Spins};
    let paces = [
        Pace::Steady(MS),
        Pace::Steady(20 * MS),
        Pace::Bursts(20 * MS, 2),
        Pace::Bursts(20 * MS, 10),
        Pace::PingPong(10 * MS),
    ];
    for (client, server) in [(Random, Random), (Random, Spins), (Spins, Random)] {
        let mut all = Told::default();
        for (seed, pace) in (1..=1000).zip(paces.into_iter().cycle()) {
            let wire = Wire {
                client,
                server,
                pace,
                lost: 5,
                ..Wire::of(20 * MS)
            };
            let told = wire.run(seed, 1000 * MS);
            all.packets += told.packets;
            all.samples.extend(told.samples);
        }
        // A thousand flows of fifty round trips would give 100,000 if they spun.
        let told = all.samples.len() as u64;
        assert!(
            told < 100,
            "{told} of {}: {client:?} {server:?}",
            all.packets
        );
    }
}

#[test]
fn much_reordering_still_costs_no_truth() {
    for round_trip in [5 * MS, 20 * MS, 80 * MS] {
        let (late, lost) = ((50, round_trip / 4), 10);
        let pace = Pace::Steady(round_trip / 200);
        truthful(
            Wire {
                late,
                lost,
                pace,
                ..Wire::of(round_trip)
            },
            ALL / 2,
        );
    }
}

#[test]
fn a_connection_with_pauses_is_overestimated_never_under() {
    for pause in [1, 30, 500] {
        let wire = Wire {
            pace: Pace::PingPong(pause * MS),
            ..Wire::of(20 * MS)
        };
        let told = wire.run(1, 100 * (20 + pause) * MS);
        assert!(!told.samples.is_empty());
        assert!(
            told.samples.iter().all(|sample| *sample >= wire.round_trip),
            "{pause}"
        );
    }
}
