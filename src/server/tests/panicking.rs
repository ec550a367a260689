//! Tests of what happens to the connections of a server when one of its shards panics.

use std::{
    io::{Read as _, Write as _},
    rc::Rc,
};

use crate::{
    error::Error,
    hub::shard::Shard,
    message::Message,
    server::tests::served::{Served, expect, expect_end},
    topic::TopicName,
};

/// Runs `work`, which panics, on the shard `shard` of a server with `shards` shards, and checks
/// that its connections end with 1011, and those of the other shards with 1012.
#[track_caller]
fn check_a_panic(shards: usize, shard: usize, work: fn(&Rc<Shard>)) {
    let mut server = Served::start(shards);
    let mut subscribers = server.subscribers();
    server.hub.run_on(shard, work);
    for (on, subscriber) in subscribers.iter_mut().enumerate() {
        if on == shard {
            // A Close with the code 1011.
            expect(subscriber, b"\x88\x10\x03\xF3internal error");
        } else {
            // A Close with the code 1012, which this client answers with a Close.
            expect(subscriber, b"\x88\x16\x03\xF4server is restarting");
            subscriber.write_all(b"\x88\x82\0\0\0\0\x03\xF4").unwrap();
        }
        expect_end(subscriber);
    }
    // The server has ended without being told to.
    assert!(matches!(server.ended(), Err(Error::ShardPanicked)));
    assert_eq!(server.hub.metrics().topics, 0);
}

#[test]
fn clients_of_a_shard_that_panics_get_1011_and_all_others_1012() {
    for (shards, shard) in [(1, 0), (2, 0), (2, 1)] {
        check_a_panic(shards, shard, |_| panic!("on purpose"));
    }
}

#[test]
fn a_shard_ends_if_any_of_its_tasks_panics() {
    for (shards, shard) in [(1, 0), (2, 0), (2, 1)] {
        check_a_panic(shards, shard, |shard| {
            shard.spawn(async { panic!("on purpose") });
        });
    }
}

#[test]
fn a_client_that_has_got_half_a_frame_gets_no_close_into_it() {
    // With this limit an outbox may hold 64 MiB, so 48 MiB make nobody a slow consumer.
    let mut server = Served::with(2, |config| config.hub.limits.message_bytes = 16 << 20);
    let mut subscribers = server.subscribers();
    let message = Message::binary(&vec![0; 48 << 20]);
    let whole = message.payload().len();
    // The socket does not take all of the message, so the client has only a part of the frame when
    // the shard panics.
    let topic = TopicName::new("t").unwrap();
    let message = server.hub.encode(message);
    let _queued = server.hub.publish_now(&[topic], message, None);
    // The header of a binary message of 48 MiB.
    expect(&mut subscribers[0], &[0x82, 127, 0, 0, 0, 0, 3, 0, 0, 0]);
    server.hub.run_on(0, |_| panic!("on purpose"));
    let mut received = Vec::new();
    subscribers[0].read_to_end(&mut received).unwrap();
    assert!(received.len() < whole);
    assert!(received.iter().all(|&byte| byte == 0), "no Close");
    drop(subscribers);
    assert!(matches!(server.ended(), Err(Error::ShardPanicked)));
}

#[test]
fn a_client_that_is_still_sending_gets_its_close_with_1011() {
    let server = Served::start(1);
    let mut echo = server.upgrade("/echo");
    let release = server.hold_up(0);
    server.hub.run_on(0, |_| panic!("on purpose"));
    // The shard has not read these bytes when it panics.
    echo.write_all(&[0; 10_000]).unwrap();
    drop(release);
    // A Close with the code 1011.
    expect(&mut echo, b"\x88\x10\x03\xF3internal error");
    expect_end(&mut echo);
}
