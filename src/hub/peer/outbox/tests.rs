//! Tests of the outbox, written to sockets that take its bytes in pieces of any size.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    hub::{bounds::budget::Budget, ids::TopicKey, publication::segment::tests::segment},
    wire::frame::Frame,
};

fn ledger() -> Rc<Ledger> {
    Ledger::new(Budget::new(u64::MAX))
}

/// Writes the whole outbox to a socket that takes at most `per_write` bytes with each write.
/// Returns the bytes that were written.
fn write_all(outbox: &mut Outbox, per_write: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = outbox.fill(&mut slices);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let taken = bytes.len().min(per_write);
        wire.extend(&bytes[..taken]);
        outbox.written(taken);
    }
    wire
}

#[test]
fn control_frames_overtake_segments_but_not_a_partly_written_frame() {
    let mut outbox = Outbox::default();
    outbox.push(segment(b"first"));
    outbox.push(segment(b"second"));
    outbox.written(2);
    outbox.push_control(segment(b"<1>"));
    outbox.push_control(segment(b"<2>"));
    assert_eq!(write_all(&mut outbox, 100), b"rst<1><2>second");
}

#[test]
fn a_partly_written_control_frame_is_finished_before_the_next_one() {
    let mut outbox = Outbox::default();
    outbox.push(segment(b"data"));
    outbox.push_control(segment(b"<1>"));
    outbox.written(1);
    outbox.push_control(segment(b"<2>"));
    assert_eq!(write_all(&mut outbox, 100), b"1><2>data");
}

#[test]
fn of_a_flood_of_pongs_the_first_31_and_the_latest_are_kept() {
    let mut outbox = Outbox::default();
    for number in 0..100u8 {
        outbox.push_control(segment(&[number]));
    }
    assert_eq!(outbox.bytes, 32);
    let mut expected: Vec<u8> = (0..31).collect();
    expected.push(99);
    assert_eq!(write_all(&mut outbox, 100), expected);
}

#[test]
fn an_empty_frame_counts_as_held_memory() {
    let mut outbox = Outbox::default();
    // Two bytes of header, and no payload.
    outbox.push(segment(b"\x81\x00"));
    assert_eq!(outbox.held_bytes(), 2 + DELIVERY_BYTES);
    outbox.written(2);
    assert_eq!(outbox.held_bytes(), 0);
}

#[test]
fn a_long_queue_is_charged_for_its_capacity_and_frees_it_as_it_gets_shorter() {
    let ledger = ledger();
    let held = || {
        ledger.report();
        usize::try_from(ledger.budget().held()).unwrap()
    };
    let shared = Segment::unshared(Bytes::from_static(b"x"), &ledger);
    // The bytes that are charged for the segment, however often it is queued.
    let alone = held();
    let mut outbox = Outbox::default();
    // The queue shrinks when its capacity is more than 9/4 of its length.
    for _ in 0..10_000 {
        outbox.push(Rc::clone(&shared));
        assert!(outbox.queue.capacity() <= outbox.queue.len() * 9 / 4 + COMMON_CAPACITY);
    }
    let pointers = outbox.queue.capacity() * size_of::<Rc<Segment>>();
    assert_eq!(held(), alone + pointers);
    while !outbox.is_empty() {
        outbox.written(1);
        let most = outbox.queue.len() * 9 / 4 + COMMON_CAPACITY;
        assert!(outbox.queue.capacity() <= most, "{}", outbox.queue.len());
    }
    assert_eq!(held(), alone);
}

#[test]
fn the_oldest_element_is_the_one_queued_first_and_not_a_ping_that_has_overtaken_it() {
    let ledger = ledger();
    let at = |seconds| {
        ledger.set_now(std::time::Instant::now() + std::time::Duration::from_secs(seconds));
        Segment::unshared(Bytes::from_static(b"hello"), &ledger)
    };
    let mut outbox = Outbox::default();
    assert_eq!(outbox.oldest(), None);
    let [first, second, ping] = [at(1), at(2), at(3)];
    outbox.push(Rc::clone(&first));
    outbox.push(Rc::clone(&second));
    outbox.push_control(ping);
    assert_eq!(outbox.oldest(), Some(first.queued()));
    outbox.written(1);
    assert_eq!(outbox.oldest(), Some(first.queued()), "behind half a Ping");
    // The rest of the Ping, and the first byte of `first`.
    outbox.written(4 + 1);
    assert_eq!(outbox.oldest(), Some(first.queued()));
    // The rest of `first`.
    outbox.written(4);
    assert_eq!(outbox.oldest(), Some(second.queued()));
}

// Such a frame once caused a panic. A user of the library may publish any message that fits into
// memory.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_frame_of_more_than_4_gib_is_written_like_any_other() {
    const WRITTEN: usize = 5 << 30;
    // Zeroed pages take no memory until they are touched.
    let large = Bytes::from(vec![0; WRITTEN + 2]);
    let mut outbox = Outbox::default();
    outbox.push(Segment::unshared(large, &ledger()));
    outbox.written(WRITTEN);
    assert!(outbox.is_front_partly_written());
    assert_eq!(outbox.only(), Some(&[0, 0][..]));
    outbox.written(2);
    assert!(outbox.is_empty());
}

#[test]
fn the_close_is_last_and_the_first_close_wins() {
    let mut outbox = Outbox::default();
    outbox.push(segment(b"data"));
    outbox.seal(segment(Frame::close(1000, "").as_bytes()));
    outbox.push(segment(b"late"));
    outbox.push_control(segment(b"late"));
    outbox.seal(segment(Frame::close(1002, "").as_bytes()));
    // A Close with the code 1000.
    assert_eq!(write_all(&mut outbox, 3), b"data\x88\x02\x03\xE8");
}

#[test]
fn discarding_keeps_the_rest_of_a_partly_written_frame() {
    let mut outbox = Outbox::default();
    outbox.push(segment(b"first"));
    outbox.push(segment(b"second"));
    outbox.written(2);
    outbox.discard();
    outbox.seal(segment(Frame::close(4008, "").as_bytes()));
    // A Close with the code 4008.
    assert_eq!(write_all(&mut outbox, 100), b"rst\x88\x02\x0F\xA8");
}

#[test]
fn discarding_returns_the_published_messages_that_are_lost() {
    let ledger = ledger();
    let published = |bytes: &'static [u8], count| {
        let content = Content::new(count, Some(TopicKey::default()));
        Segment::published(Bytes::from_static(bytes), content, &ledger)
    };
    let mut outbox = Outbox::default();
    outbox.push(published(b"partly written", 100));
    outbox.push(published(b"one", 1));
    outbox.push(segment(b"reply"));
    outbox.push(published(b"and two", 2));
    outbox.written(2);
    outbox.push_control(segment(b"<1>"));
    let lost = Content::new(3, Some(TopicKey::default()));
    assert_eq!(outbox.discard(), lost);
    assert_eq!(outbox.discard(), Content::default());
}

proptest! {
    #[test]
    fn the_number_of_queued_bytes_stays_right_over_short_writes(
        operations in proptest::collection::vec((0..3u8, 1..20usize), 1..60),
    ) {
        let mut outbox = Outbox::default();
        let (mut pushed, mut taken) = (0, 0);
        for (operation, size) in operations {
            match operation {
                0 => outbox.push(segment(&vec![b'd'; size])),
                1 => outbox.push_control(segment(&vec![b'c'; size])),
                // The socket takes some bytes.
                _ => {
                    let count = size.min(outbox.bytes);
                    outbox.written(count);
                    taken += count;
                }
            }
            if operation < 2 {
                pushed += size;
            }
            prop_assert_eq!(taken + outbox.bytes, pushed);
            // A segment stays in the queue until its last byte is written.
            let queued: usize = outbox.queue.iter().map(|segment| segment.len()).sum();
            prop_assert_eq!(queued, outbox.bytes + outbox.written);
        }
    }
}
