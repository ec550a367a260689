//! `/echo` and `/echo/raw`: what comes goes back, in order, and costs the server little.

use framecast_test_support::{TestServer, frame, text};

#[test]
fn a_message_of_any_length_comes_back_as_it_was() {
    let server = TestServer::start();
    for path in ["/echo", "/echo/raw"] {
        let mut client = server.connect(path);
        for len in [0, 1, 125, 126, 127, 1000, 16_384, 65_535, 65_536] {
            let payload: Vec<u8> = (b'a'..b'w').cycle().take(len).collect();
            for first in [0x81, 0x82] {
                client.send(&frame(first, &payload));
                assert!(client.read_frame() == (first, payload.clone()), "{len}");
            }
        }
        client.close();
    }
}

#[test]
fn raw_fragments_come_back_as_fragments_as_soon_as_they_come() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    for (sent, received) in [
        (frame(0x01, b"one"), &b"\x01\x03one"[..]),
        (frame(0x89, b"?"), b"\x8A\x01?"),
        (frame(0x00, b"two"), b"\x00\x03two"),
        (frame(0x80, b"three"), b"\x80\x05three"),
        (frame(0x02, b""), b"\x02\x00"),
        (frame(0x80, b""), b"\x80\x00"),
        (text("whole"), b"\x81\x05whole"),
    ] {
        client.send(&sent);
        client.expect(received);
    }
    client.close();
}

#[test]
fn raw_fragments_that_come_together_stay_apart() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    let fragments = [
        frame(0x01, b"\xE2"),
        frame(0x00, b"\x82"),
        frame(0x89, b"?"),
        frame(0x80, b"\xAC"),
        frame(0x02, b"\xE2"),
        frame(0x80, b"\x82"),
    ];
    client.send(&fragments.concat());
    let mut frames: Vec<_> = (0..fragments.len()).map(|_| client.read_frame()).collect();
    // The pong may overtake.
    let pong = frames
        .iter()
        .position(|(first, _)| *first == 0x8A)
        .expect("a pong");
    assert_eq!(frames.remove(pong).1, b"?");
    let expected = [
        (0x01, b"\xE2"),
        (0x00, b"\x82"),
        (0x80, b"\xAC"),
        (0x02, b"\xE2"),
        (0x80, b"\x82"),
    ];
    assert_eq!(frames, expected.map(|(first, byte)| (first, byte.to_vec())));
    client.close();
}

#[test]
fn raw_fragments_of_any_length_come_back_as_they_were() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    for len in [0, 1, 8_191, 8_192, 8_193, 16_384, 20_000] {
        let payload: Vec<u8> = (b'a'..b'w').cycle().take(len).collect();
        for first in [0x01, 0x00, 0x80, 0x02, 0x80] {
            client.send(&frame(first, &payload));
            assert!(client.read_frame() == (first, payload.clone()), "{len}");
        }
    }
    client.close();
}

#[test]
fn raw_text_is_checked_over_all_its_fragments() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    client.send(&[frame(0x01, b"ab\xE2\x82"), frame(0x80, b"")].concat());
    client.expect(b"\x01\x04ab\xE2\x82\x88\x0F\x03\xEFinvalid UTF-8");
    client.expect_end();
}

#[test]
fn pings_that_come_together_are_answered_one_by_one_in_order() {
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    let pings: Vec<u8> = (0..32).flat_map(|number| frame(0x89, &[number])).collect();
    client.send(&pings);
    for number in 0..32 {
        client.expect(&[0x8A, 1, number]);
    }
    client.close();
}

#[test]
fn of_a_flood_of_pings_the_last_one_is_answered_and_none_twice() {
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    let flood: Vec<u8> = (0..10_000_u32)
        .flat_map(|number| frame(0x89, &number.to_be_bytes()))
        .collect();
    client.send(&flood);
    client.send(&frame(0x88, &[]));
    let mut answered = Vec::new();
    let end = loop {
        match client.read_frame() {
            (0x8A, number) => {
                answered.push(u32::from_be_bytes(number.try_into().unwrap()));
            }
            other => break other,
        }
    };
    assert_eq!(end, (0x88, Vec::new()));
    assert!(answered.is_sorted_by(|a, b| a < b), "{answered:?}");
    assert_eq!(answered.last(), Some(&9_999));
}

#[test]
fn pipelined_messages_come_back_in_order_and_in_few_writes() {
    const MESSAGES: usize = 1000;
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    let writes = || server.health()["writes"].as_u64().unwrap();
    let before = writes();
    let all: Vec<u8> = (0..MESSAGES)
        .flat_map(|number| text(&number.to_string()))
        .collect();
    client.send(&all);
    for number in 0..MESSAGES {
        assert_eq!(client.read_text(), number.to_string());
    }
    let written = writes() - before;
    assert!(written <= 100, "{written} writes for {MESSAGES} messages");
    client.close();
}

#[test]
fn a_raised_limit_lets_messages_of_16_mib_pass() {
    const SIZE: usize = 16 * 1024 * 1024;
    let server = TestServer::with(|config| config.hub.limits.message_bytes = SIZE);
    let payload: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let mut client = server.connect("/echo");
    client.send(&frame(0x82, &payload));
    assert!(client.read_frame() == (0x82, payload.clone()));
    let (start, rest) = payload.split_at(SIZE / 3);
    client.send(&[frame(0x02, start), frame(0x80, rest)].concat());
    assert!(client.read_frame() == (0x82, payload.clone()));
    client.send(&frame(0x81, &[b't'; SIZE]));
    assert!(client.read_frame() == (0x81, vec![b't'; SIZE]));
    client.send(&frame(0x82, &vec![0; SIZE + 1])[..14]);
    assert_eq!(client.read_close().0, 1009);
    client.expect_end();
    let mut raw = server.connect("/echo/raw");
    raw.send(&frame(0x82, &payload));
    assert!(raw.read_frame() == (0x82, payload));
    raw.close();
}
