//! Against a kernel that is played, see `played`. Miri runs these too: `scripts/miri.sh`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::played::{FRAMES, Kernel, Memory, Play, Sizes, Word, copied, hostile, intake, packet};
use super::*;

const SIZES: [Sizes; 3] = [
    Sizes {
        fill: 64,
        receive: 64,
    },
    Sizes {
        fill: 64,
        receive: 16,
    },
    Sizes {
        fill: 32,
        receive: 128,
    },
];
const STARTS: [u32; 3] = [0, u32::MAX - 40, u32::MAX];
/// Miri takes a thousand times as long.
const STEPS: u32 = if cfg!(miri) { 40 } else { 3000 };

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// Of one to five parts, each as long as a frame has room for, or less; at times as long as can be.
    fn lengths(&mut self) -> Vec<usize> {
        if !cfg!(miri) && self.roll(50) == 0 {
            return vec![1792; MOST_PARTS];
        }
        let longest = if cfg!(miri) { 40 } else { 1792 };
        let parts = 1 + self.roll(5);
        (0..parts)
            .map(|_| 1 + self.roll(longest) as usize)
            .collect()
    }
}

/// With rings of all sizes, and indexes that begin everywhere.
fn everywhere(each: impl Fn(&mut Play<'_>, &mut Dice)) {
    let few = if cfg!(miri) { 1 } else { 3 };
    for sizes in SIZES.into_iter().take(few) {
        for start in STARTS.into_iter().skip(3 - few) {
            let memory = Memory::new(sizes);
            each(&mut Play::new(&memory, start), &mut Dice(start.into()));
        }
    }
}

/// Sends a packet, which may be received in halves.
fn send(play: &mut Play<'_>, dice: &mut Dice) -> bool {
    let (lengths, most) = (dice.lengths(), dice.roll(3) as usize);
    play.send(&lengths, |play| {
        play.receive(most);
    })
}

/// Receives all there is; nothing was lost, of packets nor frames.
fn ends_well(play: &mut Play<'_>) {
    play.receive(usize::MAX);
    assert_eq!((play.under_way(), play.lost()), (0, 0));
}

#[test]
fn every_packet_arrives_once_in_order_and_whole() {
    everywhere(|play, dice| {
        let mut dropped = 0;
        for step in 0..STEPS {
            // More comes than is taken for a while, then less.
            let sends = if step / 128 % 2 == 0 { 19 } else { 8 };
            if dice.roll(20) < sends {
                dropped += u32::from(!send(play, dice));
            } else {
                play.receive(dice.roll(8) as usize);
            }
            assert_eq!(play.lost(), 0);
        }
        ends_well(play);
        assert!(dropped > 0 || cfg!(miri), "the rings were full at times");
        let counts = play.intake.counts();
        assert!(counts.packets > u64::from(STEPS) / 5);
        assert_eq!(counts.strange, 0);
    });
}

#[test]
fn no_more_packets_are_shown_than_wanted() {
    let memory = Memory::new(SIZES[0]);
    let mut play = Play::new(&memory, u32::MAX - 3);
    for _ in 0..10 {
        assert!(play.send(&[100, 100, 7], |_| {}));
    }
    for (most, expected) in [(0, 0), (1, 1), (4, 4), (9, 5), (9, 0)] {
        assert_eq!(play.receive(most), expected);
    }
    ends_well(&mut play);
}

#[test]
fn a_packet_waits_for_its_last_part() {
    let memory = Memory::new(SIZES[0]);
    let mut play = Play::new(&memory, u32::MAX - 1);
    let sent = play.send(&[40, 40, 7], |play| {
        for _ in 0..3 {
            assert_eq!(play.receive(9), 0);
        }
    });
    assert!(sent);
    assert_eq!(play.receive(9), 1);
    assert_eq!(play.intake.counts().strange, 0);
    ends_well(&mut play);
}

#[test]
fn bytes_are_copied_from_anywhere_over_the_seams_of_parts() {
    let memory = Memory::new(SIZES[0]);
    let mut play = Play::new(&memory, 0);
    assert!(play.send(&[9, 1, 13], |_| {}));
    let mut seen = 0;
    play.intake.receive(&memory.umem, 1, |found| {
        let (whole, len) = (copied(&found), found.len());
        for from in 0..=len {
            for to in from..=len {
                let mut some = vec![0; to - from];
                assert!(found.copy_to(from, &mut some), "{from} to {to}");
                assert_eq!(some, whole[from..to]);
            }
            assert!(!found.copy_to(from, &mut vec![0; len - from + 1]), "{from}");
        }
        for from in [len + 1, usize::MAX] {
            assert!(!found.copy_to(from, &mut []), "{from}");
        }
        seen += len;
    });
    assert_eq!(seen, 23);
}

/// Nothing in a descriptor says that a packet begins: who reads its headers finds one that is too long.
#[test]
fn a_packet_cut_short_spoils_the_next_and_no_other() {
    let few = if cfg!(miri) { 2 } else { MOST_PARTS + 2 };
    for parts in 1..=few {
        let memory = Memory::new(SIZES[0]);
        let mut play = Play::new(&memory, 0);
        play.send_cut(parts, 30);
        assert_eq!(play.receive(9), 0);
        assert!(play.send(&[9], |_| {}));
        let mut seen = 0;
        play.receive_with(9, |packet, _| seen = packet.len());
        play.forget();
        // The end is a part as well.
        let (expected, strange) = match parts {
            ..MOST_PARTS => (parts * 30 + 9, 0),
            _ => (0, 1),
        };
        assert_eq!((seen, play.intake.counts().strange), (expected, strange));
        assert!(play.send(&[9], |_| {}));
        assert_eq!(play.receive(9), 1);
        ends_well(&mut play);
    }
}

#[test]
fn both_ends_run_at_once() {
    const PACKETS: u64 = if cfg!(miri) { 60 } else { 50_000 };
    for sizes in SIZES {
        let memory = Memory::new(sizes);
        let mut kernel = Kernel::new(&memory, u32::MAX - 100);
        let mut intake = intake(&memory);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..PACKETS).for_each(|number| put(&mut kernel, number));
                over.store(true, Ordering::Release);
            });
            let mut next = 0;
            loop {
                let is_last = over.load(Ordering::Acquire);
                let packets = intake.receive(&memory.umem, 7, |found| {
                    assert_eq!(copied(&found), packet(next, length(next)));
                    next += 1;
                });
                match packets {
                    0 if is_last => break,
                    0 => std::thread::yield_now(),
                    _ => {}
                }
            }
            assert_eq!(next, PACKETS);
        });
        assert_eq!(intake.counts().strange, 0);
    }
}

fn length(number: u64) -> usize {
    1 + (number % 61) as usize
}

/// Puts a packet of one or two parts, once there are frames.
fn put(kernel: &mut Kernel<'_>, number: u64) {
    let bytes = packet(number, length(number));
    let parts = [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]];
    let parts = if number.is_multiple_of(3) && bytes.len() > 1 {
        &parts[..]
    } else {
        &[&bytes[..]]
    };
    let frames = loop {
        match kernel.take(parts.len()) {
            Some(frames) => break frames,
            // What was taken is shown, or nobody fills in more.
            None => kernel.publish(),
        }
        std::thread::yield_now();
    };
    for (part, (frame, bytes)) in frames.iter().zip(parts).enumerate() {
        kernel.put(*frame, bytes, part + 1 < parts.len());
    }
    kernel.publish();
}

#[test]
fn indexes_written_over_cost_nothing() {
    use Word::*;
    everywhere(|play, dice| {
        for _ in 0..STEPS {
            send(play, dice);
            let words = [FillProducer, FillConsumer, ReceiveProducer, ReceiveConsumer];
            let word = words[dice.roll(4) as usize];
            let wild = play.memory.load(word) as u64 + 200 + dice.roll(1 << 31);
            play.memory.store(word, wild as u32);
            for _ in 0..dice.roll(3) {
                play.receive(dice.roll(9) as usize);
            }
            // Both ends write theirs before they read the other's.
            play.kernel.publish();
            play.receive(dice.roll(9) as usize);
            assert_eq!(play.lost(), 0);
        }
        ends_well(play);
        assert!(play.intake.counts().strange > 0);
    });
}

#[test]
fn a_descriptor_written_over_costs_its_frame_and_no_other() {
    everywhere(|play, dice| {
        for lost in 0..if cfg!(miri) { 2 } else { 20 } {
            assert!(play.send(&[100], |_| {}));
            let place = play.kernel.waiting().next().unwrap();
            let address = [u64::from(FRAMES) * 2048, u64::MAX][dice.roll(2) as usize];
            play.memory.describe(place, [address, dice.roll(u64::MAX)]);
            play.receive_with(9, |_, _| panic!("of no frame"));
            play.forget();
            assert_eq!(play.lost(), lost + 1);
            assert_eq!(play.intake.counts().strange, lost as u64 + 1);
            // Should the forged one have told of more parts, this is the last of them.
            play.send(&[1], |_| {});
            play.receive_with(9, |_, _| {});
            play.forget();
            for _ in 0..if cfg!(miri) { 4 } else { 40 } {
                assert!(play.send(&[100], |_| {}));
                assert_eq!(play.receive(9), 1);
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "a minute")]
fn a_packet_without_end_keeps_no_frames() {
    for sizes in SIZES {
        let memory = Memory::new(sizes);
        let mut play = Play::new(&memory, 0);
        for _ in 0..10 * FRAMES {
            let frames = play.kernel.take(1).unwrap();
            play.kernel.put(frames[0], b"and so on", true);
            play.kernel.publish();
            play.receive(9);
        }
        assert_eq!(play.intake.counts().strange, 1);
        assert!(play.send(&[9], |_| {}));
        play.receive_with(9, |_, _| panic!("of so many parts"));
        play.forget();
        assert!(play.send(&[9], |_| {}));
        assert_eq!(play.receive(9), 1);
        ends_well(&mut play);
    }
}

#[test]
#[cfg_attr(miri, ignore = "a minute")]
fn a_packet_may_have_as_many_parts_as_the_kernel_makes() {
    let memory = Memory::new(SIZES[0]);
    let mut play = Play::new(&memory, 0);
    assert!(play.send(&[1792; MOST_PARTS], |_| {}));
    assert_eq!(play.receive(1), 1);
    assert!(play.send(&[1792; MOST_PARTS + 1], |_| {}));
    assert_eq!(play.receive_with(1, |_, _| {}), 0);
    play.forget();
    ends_well(&mut play);
}

/// Whoever has the rings may make the kernel overrun them; then both ends agree again.
#[test]
#[cfg_attr(miri, ignore = "a minute")]
fn a_kernel_led_astray_is_followed() {
    for word in [Word::FillProducer, Word::ReceiveConsumer] {
        let memory = Memory::new(SIZES[1]);
        let mut play = Play::new(&memory, 0);
        memory.store(word, memory.load(word).wrapping_add(100));
        while play.kernel.offered() > 30 && play.send(&[9], |_| {}) {}
        for _ in 0..3 * FRAMES {
            play.send(&[9], |_| {});
            play.receive_with(usize::MAX, |_, _| {});
        }
        play.forget();
        assert!(play.kernel.is_sane(), "{word:?}");
        for _ in 0..3 * FRAMES {
            assert!(play.send(&[9], |_| {}), "{word:?}");
            assert_eq!(play.receive(usize::MAX), 1, "{word:?}");
        }
    }
}

/// The limit: nobody but the kernel knows the frames that it has yet to take, so where they were
/// written over it has none until there is a new session.
#[test]
fn frames_of_a_fill_ring_written_over_stay_lost() {
    let memory = Memory::new(SIZES[0]);
    let mut play = Play::new(&memory, 0);
    (0..FRAMES).for_each(|index| memory.offer(index, u64::MAX));
    assert!(!play.send(&[9], |_| {}));
    play.kernel.publish();
    assert_eq!(play.receive(9), 0);
    assert_eq!(play.lost(), FRAMES as usize);
    assert!(!play.intake.is_primed());
}

#[test]
fn any_bytes_anywhere_do_no_harm() {
    let scripts = if cfg!(miri) { 4 } else { 300 };
    for seed in 0..scripts {
        let mut dice = Dice(seed);
        let length = dice.roll(300);
        let script: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        hostile(&script);
    }
}
