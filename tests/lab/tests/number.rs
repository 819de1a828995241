//! Numbered packets: an undisturbed lab loses none, and a wire's faults show as they are.
// Clippy takes only the #[test] functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use stoq_lab::number::{NumberReceived, NumberSent, Stream};
use stoq_lab::{Impairment, Lab, LabOptions, Pod, turn};

const PORT: u16 = 5000;
const SOON: Duration = Duration::from_secs(30);

fn run(lab: &Lab, pod: Pod, family: usize, options: &[&str]) -> (NumberSent, NumberReceived) {
    let receiver = lab.number_receive(pod, PORT, &["--until-ended=1"]).unwrap();
    let sender = lab.number_send(pod.targets(PORT)[family], options).unwrap();
    let sent = sender.report(SOON).unwrap();
    (sent, receiver.report(SOON).unwrap())
}

fn only(received: &NumberReceived) -> &Stream {
    assert_eq!(
        (received.streams.len(), received.foreign),
        (1, 0),
        "{received:?}"
    );
    &received.streams[0]
}

#[test]
fn fifty_thousand_packets_a_second_arrive_on_half_a_core() {
    let Some(_turn) = turn("fifty_thousand_packets_a_second_arrive_on_half_a_core") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    let (sent, received) = run(&lab, Pod::Routed, 0, &["--seconds=3"]);
    let stream = only(&received);
    assert_eq!((sent.sent, stream.received), (150_000, 150_000));
    assert_eq!(
        (stream.lost, stream.duplicated, stream.reordered),
        (0, 0, 0),
        "{stream:?}"
    );
    assert!(
        received.cpu_s < 1.5,
        "receiver: {} s of CPU in 3 s",
        received.cpu_s
    );
    assert!(sent.cpu_s < 1.5, "sender: {} s of CPU in 3 s", sent.cpu_s);
}

#[test]
fn every_pod_receives_on_both_families() {
    let Some(_turn) = turn("every_pod_receives_on_both_families") else {
        return;
    };
    let lab = Lab::up(LabOptions {
        wire_like: true,
        ..LabOptions::default()
    })
    .unwrap();
    for pod in Pod::ALL {
        for family in [0, 1] {
            let options = ["--rate=1000", "--seconds=0.2"];
            let (_, received) = run(&lab, pod, family, &options);
            let stream = only(&received);
            assert_eq!((stream.received, stream.lost), (200, 0), "{pod:?}");
        }
    }
}

#[test]
fn streams_of_several_sources_are_told_apart() {
    let Some(_turn) = turn("streams_of_several_sources_are_told_apart") else {
        return;
    };
    let lab = Lab::up(LabOptions::default()).unwrap();
    lab.client.ip("addr add 203.0.113.7/32 dev lo").unwrap();
    let receiver = lab
        .number_receive(Pod::Routed, PORT, &["--until-ended=2"])
        .unwrap();
    let target = Pod::Routed.targets(PORT)[0];
    let senders = ["--source=198.18.0.2", "--source=203.0.113.7"].map(|source| {
        lab.number_send(target, &["--rate=500", "--seconds=0.2", source])
            .unwrap()
    });
    let received: NumberReceived = receiver.report(SOON).unwrap();
    drop(senders);
    for source in ["198.18.0.2", "203.0.113.7"] {
        let streams: Vec<u64> = received
            .from(source.parse().unwrap())
            .map(|stream| stream.received)
            .collect();
        assert_eq!(streams, [100], "{source}: {received:?}");
    }
}

#[test]
fn an_impaired_wire_carries_a_hundred_megabits_without_losses_of_its_own() {
    let Some(_turn) = turn("an_impaired_wire_carries_a_hundred_megabits_without_losses_of_its_own")
    else {
        return;
    };
    let impairment = Impairment::delay(Duration::from_millis(20));
    let options = LabOptions {
        impairment: Some(impairment),
        ..LabOptions::default()
    };
    let lab = Lab::up(options).unwrap();
    // 20,000 packets/s of 1,472 bytes are 236 Mbit/s.
    let load = ["--rate=20000", "--seconds=2", "--size=1472"];
    let (_, received) = run(&lab, Pod::Bridged, 0, &load);
    let (stream, counts) = (only(&received), lab.wire().unwrap().counts());
    let found = (stream.received, stream.lost, stream.reordered);
    assert_eq!(found, (40_000, 0, 0), "{stream:?} {counts:?}");
}

#[test]
fn a_wire_that_loses_and_reorders_is_found_out() {
    let Some(_turn) = turn("a_wire_that_loses_and_reorders_is_found_out") else {
        return;
    };
    let delay = Impairment::delay(Duration::from_millis(1));
    let impairment = Impairment {
        loss: 0.01,
        reorder: 0.05,
        ..delay
    };
    let options = LabOptions {
        impairment: Some(impairment),
        ..LabOptions::default()
    };
    let lab = Lab::up(options).unwrap();
    let (_, received) = run(&lab, Pod::Routed, 0, &["--rate=10000", "--seconds=2"]);
    let stream = only(&received);
    let [there, _] = lab.wire().unwrap().counts();
    assert!((140..260).contains(&stream.lost), "{stream:?}");
    assert!(
        stream.lost.abs_diff(there.lost) <= 10,
        "{stream:?} {there:?}"
    );
    assert!((700..1300).contains(&stream.reordered), "{stream:?}");
}
