use super::*;

const LAYOUT: Layout = Layout {
    producer: 0,
    consumer: 64,
    flags: 128,
    entries: 192,
};

/// Zeros that a ring fits into.
fn memory() -> Mapping {
    Mapping::anonymous(64 * 1024).unwrap()
}

fn set(memory: &Mapping, at: usize, value: u32) {
    memory.word(at).unwrap().store(value, Ordering::Relaxed);
}

#[test]
fn a_ring_that_does_not_fit_its_memory_is_refused() {
    for (layout, size) in [
        (LAYOUT, 0),
        (LAYOUT, 3),
        (LAYOUT, 1 << 20),
        (
            Layout {
                producer: 2,
                ..LAYOUT
            },
            64,
        ),
        (
            Layout {
                flags: 1 << 20,
                ..LAYOUT
            },
            64,
        ),
        (
            Layout {
                entries: usize::MAX / 2,
                ..LAYOUT
            },
            64,
        ),
    ] {
        let ring = Receive::new(memory(), layout, size);
        assert_eq!(ring.map(drop), Err(Errno::INVAL), "{layout:?} {size}");
    }
}

#[test]
fn room_and_waiting_hold_across_the_wrap_of_their_indexes() {
    for start in [0, 1, u32::MAX - 2, u32::MAX] {
        let memory = memory();
        set(&memory, LAYOUT.producer, start);
        set(&memory, LAYOUT.consumer, start);
        let mut fill = Fill::new(memory, LAYOUT, 64).unwrap();
        assert_eq!(fill.room(), 64);
        assert!(!fill.has_frames());
        for frame in 0..64 {
            fill.push(frame * 2048);
        }
        fill.publish();
        assert_eq!(fill.room(), 0, "{start}");
        set(&fill.ring.memory, LAYOUT.consumer, start.wrapping_add(10));
        assert_eq!(fill.room(), 10, "{start}");
        assert!(fill.has_frames());
    }
}

#[test]
fn an_index_that_makes_no_sense_is_let_be_until_it_moves() {
    for wild in [1, 65, 1 << 31] {
        let memory = memory();
        let mut fill = Fill::new(&memory, LAYOUT, 64).unwrap();
        for (taken, room, strange) in [
            (wild, 0, 1),
            (wild, 0, 1),
            (0, 64, 1),
            (wild, 0, 2),
            (wild + 1, 64, 3),
        ] {
            set(&memory, LAYOUT.consumer, taken);
            assert_eq!((fill.room(), fill.strange()), (room, strange), "{wild}");
        }
        fill.publish();
        let producer = memory.word(LAYOUT.producer).unwrap();
        assert_eq!(producer.load(Ordering::Relaxed), wild + 1);
    }
    for wild in [65, 1 << 31, u32::MAX] {
        let memory = memory();
        let mut receive = Receive::new(&memory, LAYOUT, 64).unwrap();
        for (filled, waiting, strange) in [
            (wild, Some(0), 1),
            (wild, Some(0), 1),
            (64, Some(64), 1),
            (wild, Some(0), 2),
            (wild.wrapping_add(1 << 30), None, 3),
            (wild.wrapping_add(1 << 30), Some(0), 3),
        ] {
            set(&memory, LAYOUT.producer, filled);
            assert_eq!((receive.waiting(), receive.strange()), (waiting, strange));
        }
    }
}
